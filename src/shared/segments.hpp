/*
 * segments.hpp: blocks of dynamic shared memory.
 *
 * PostgreSQL's DSA areas do not fit: dsa_get_address() maps a segment when a process first meets
 * it, which may fail, and nothing may fail under a lock or in a transaction callback. Here a
 * process maps all existing segments before it takes a lock, and a pointer is published only under
 * that lock. So every pointer found under a lock can be followed:
 *
 *     allocate_shared()   maps segments and makes new ones; normal code, no lock held
 *     with_lock()         maps segments, takes the lock, and starts again if one was added
 *     address_of()        under with_lock(); in a callback only for blocks used before
 *
 * Freed blocks are used again. Segments are not returned to the system; together they take at most
 * gxy_balancer.max_shared_memory.
 */
#pragma once

#include "pg/compat.hpp"
#include "shared/header.hpp"

namespace gxy
{

/*
 * Maps the segments that this process has not mapped yet. May raise an error. Normal code, no lock
 * held.
 */
void map_segments();

bool all_segments_mapped();

/* Returns the address of a block in this process. */
void *address_of(SharedPointer block);

template <typename T>
T *
shared(SharedPointer block)
{
	return static_cast<T *>(address_of(block));
}

/*
 * Allocates a block of at least so many bytes, all zero. Returns 0 if the limit is reached or the
 * system has no memory; the first time this raises a WARNING. Normal code, no lock held.
 */
SharedPointer allocate_shared(Size size);

/*
 * Frees a block, of which no process has the address any more; 0 is ignored. Normal code, no lock
 * held.
 */
void free_shared(SharedPointer block, Size size);

/* Returns the bytes that a block of this size takes. */
Size block_size(Size size);

/* Runs f under a lock, with all segments mapped. f must not fail. Normal code, no lock held. */
template <typename F>
auto
with_lock(LWLock *lock, LWLockMode mode, F f)
{
	for (;;)
	{
		map_segments();
		LWLockAcquire(lock, mode);
		if (all_segments_mapped())
			break;
		LWLockRelease(lock);
	}
	if constexpr (std::is_void_v<decltype(f())>)
	{
		f();
		LWLockRelease(lock);
	}
	else
	{
		auto result = f();

		LWLockRelease(lock);
		return result;
	}
}

/* Allocates a block for count objects of T; see allocate_shared(). */
template <typename T>
SharedPointer
allocate_shared_array(Size count)
{
	return allocate_shared(mul_size(sizeof(T), count));
}

} // namespace gxy
