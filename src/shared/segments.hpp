/*
 * segments.hpp: blocks of dynamic shared memory, and the locks under which they are read.
 *
 * A DSA area would do most of this, but its dsa_get_address() maps a segment whenever it meets a new one, which may
 * fail, at a point where nothing may: under a lock, or in a transaction callback. Here the rule is that a process maps
 * all segments there are before it takes a lock, and that a pointer is published under that lock. So under a lock every
 * pointer can be followed, and nothing that fails is done there:
 *
 *     allocate_shared()       maps, and makes segments; normal code, no lock held
 *     with_lock()             maps, takes the lock, and starts again if a segment was made in between
 *     address_of()            under with_lock(); of a block whose address was taken before: also in callbacks
 *
 * Segments are never given back to the system, their blocks are used again; together they take no more than
 * gxy_balancer.max_shared_memory.
 */
#pragma once

#include "shared/header.hpp"

namespace gxy
{

/* Maps the segments that this process has not mapped yet. May raise an error. No lock may be held. */
void map_segments();

bool all_segments_mapped();

/* Where a block is in this process. */
void *address_of(SharedPointer block);

template <typename T>
T *
shared(SharedPointer block)
{
	return static_cast<T *>(address_of(block));
}

/* A block of at least so many bytes, all zero; 0 if the limit is reached or the system has none. Normal code, no lock held. */
SharedPointer allocate_shared(Size size);

/* Gives a block back that no process can reach any more; 0 is none. Normal code, no lock held. */
void free_shared(SharedPointer block, Size size);

/* The bytes that a block of this size takes. */
Size block_size(Size size);

/* Runs f under a lock, all segments mapped. Normal code, no lock held. */
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

/* Room for count objects of T, which are still zero; see allocate_shared(). */
template <typename T>
SharedPointer
allocate_shared_array(Size count)
{
	return allocate_shared(mul_size(sizeof(T), count));
}

} // namespace gxy
