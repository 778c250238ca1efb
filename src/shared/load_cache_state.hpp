/*
 * load_cache_state.hpp: the memory of a load cache: how it is found, grows and is freed. Private to
 * the load cache.
 */
#pragma once

#include "pg/compat.hpp"
#include "shared/header.hpp"
#include "shared/load_cache_layout.hpp"
#include "shared/segments.hpp"

namespace gxy
{

/*
 * The transaction of this backend that has changes in flight, and those of all backends. Guarded by
 * the lock of the load cache of the backend's database. Only after load_cache() has returned one.
 */
TransactionId &my_transaction();
std::span<const TransactionId> transactions_in_flight();

/*
 * Allocates a block that is counted in LoadCache::bytes. Returns 0 if there is no memory. Normal
 * code, no lock held.
 */
SharedPointer allocate_in_cache(LoadCache *cache, Size size);

/* Frees such a block; 0 is ignored. Normal code, no lock held. */
void free_in_cache(LoadCache *cache, SharedPointer block, Size size);

/* Doubles the number of slots. Returns false if there is no memory. Normal code, no lock held. */
bool add_chunk(LoadCache *cache);

/*
 * Moves a hash table to a block with space for at least count entries, unless it has that by now.
 * Returns false if there is no memory. Normal code, no lock held.
 */
template <typename E, typename K>
bool
grow_table(LoadCache *cache, Table LoadCache::*which, K E::*key_of, int count)
{
	int size = 64;

	while (size < count * 2 + 2)
		size *= 2;

	SharedPointer fresh = allocate_in_cache(cache, sizeof(E) * static_cast<Size>(size));
	int unused_size = size;

	if (fresh == 0)
		return false;

	SharedPointer unused = with_lock(&cache->lock, LW_EXCLUSIVE, [&]() -> SharedPointer {
		Table &table = cache->*which;

		if (table.size >= size)
			return fresh;
		for (int i = 0; i < table.size; i++)
			if (const E &entry = shared<E>(table.entries)[i]; entry.*key_of != 0)
				find_entry(shared<E>(fresh), size, key_of, entry.*key_of) = entry;
		unused_size = table.size;
		table.size = size;
		return std::exchange(table.entries, fresh);
	});

	free_in_cache(cache, unused, sizeof(E) * static_cast<Size>(unused_size));
	return true;
}

/*
 * Allocates a block for so many changes of a prepared transaction. Returns 0 if there is no memory.
 * Normal code.
 */
SharedPointer allocate_prepared(LoadCache *cache, int deltas);

/*
 * Notes that a transaction has changed something without changing the sums, for want of memory. The
 * cache is unusable until a count sees the end of all such transactions. Normal code, no lock held.
 */
void record_unreported(TransactionId transaction);

/*
 * Returns whether a snapshot with this oldest transaction in progress sees the end of all such
 * transactions. Takes the header's lock; the caller may hold the lock of a load cache.
 */
bool all_reported_before(TransactionId oldest_in_progress);

} // namespace gxy
