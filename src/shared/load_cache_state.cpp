/*
 * load_cache_state.cpp: makes load caches, enlarges them and frees them.
 */
#include "shared/load_cache_state.hpp"

#include "shared/backends.hpp"
#include "shared/databases.hpp"
#include "shared/load_cache.hpp"

namespace gxy
{
namespace
{

/* That of this backend's database; nullptr: not looked up yet. */
LoadCache *here = nullptr;

Size
cache_size()
{
	Size transactions = static_cast<Size>(MaxBackends) + static_cast<Size>(max_prepared_xacts) + 1;

	return offsetof(LoadCache, in_progress) + sizeof(TransactionId) * transactions;
}

Size
size_of_prepared(int deltas)
{
	return offsetof(PreparedBlock, deltas) + sizeof(PreparedDelta) * static_cast<Size>(deltas);
}

/* Returns the load cache of an entry, made if there is none; 0 if there is no memory. */
SharedPointer
make_cache(DatabaseEntry *entry)
{
	SharedPointer fresh = allocate_shared(cache_size());
	SharedPointer found = 0;

	if (fresh == 0)
		return 0;

	LoadCache *cache = shared<LoadCache>(fresh);

	LWLockInitialize(&cache->lock, shared_header()->tranche);
	ConditionVariableInit(&cache->count_ended);
	cache->bytes = block_size(cache_size());
	found = with_lock(&shared_header()->lock, LW_EXCLUSIVE, [entry, fresh] {
		if (entry->load_cache == 0)
			entry->load_cache = fresh;
		return entry->load_cache;
	});
	if (found != fresh)
		free_shared(fresh, cache_size());
	return found;
}

void
free_prepared(LoadCache *cache, SharedPointer first)
{
	while (first != 0)
	{
		PreparedBlock *block = shared<PreparedBlock>(first);
		SharedPointer next = block->next;

		free_in_cache(cache, first, size_of_prepared(block->space));
		first = next;
	}
}

} // namespace

LoadCache *
load_cache()
{
	if (here != nullptr || !IsTransactionState())
		return here;
	check_layout();

	DatabaseEntry *entry = my_database();

	if (entry == nullptr || !make_backends())
		return nullptr;

	SharedPointer cache =
		with_lock(&shared_header()->lock, LW_SHARED, [entry] { return entry->load_cache; });

	if (cache == 0)
		cache = make_cache(entry);
	if (cache != 0)
	{
		map_segments();
		here = shared<LoadCache>(cache);
	}
	return here;
}

TransactionId &
my_transaction()
{
	return transactions_of_backends()[static_cast<std::size_t>(compat::backend_number())];
}

std::span<const TransactionId>
transactions_in_flight()
{
	return transactions_of_backends();
}

SharedPointer
allocate_in_cache(LoadCache *cache, Size size)
{
	SharedPointer block = allocate_shared(size);

	if (block != 0)
		with_lock(&cache->lock, LW_EXCLUSIVE, [=] { cache->bytes += block_size(size); });
	return block;
}

void
free_in_cache(LoadCache *cache, SharedPointer block, Size size)
{
	if (block == 0)
		return;
	with_lock(&cache->lock, LW_EXCLUSIVE, [=] { cache->bytes -= block_size(size); });
	free_shared(block, size);
}

bool
add_chunk(LoadCache *cache)
{
	int chunk_count = cache->chunk_count;
	Size size =
		sizeof(ServerSlot) * static_cast<Size>(slots_in(chunk_count + 1) - slots_in(chunk_count));

	if (chunk_count == max_chunks)
		return false;

	SharedPointer fresh = allocate_in_cache(cache, size);

	if (fresh == 0)
		return false;

	bool used = with_lock(&cache->lock, LW_EXCLUSIVE, [cache, chunk_count, fresh] {
		if (cache->chunk_count != chunk_count)
			return false;
		cache->chunk[cache->chunk_count++] = fresh;
		return true;
	});

	if (!used)
		free_in_cache(cache, fresh, size);
	return true;
}

SharedPointer
allocate_prepared(LoadCache *cache, int deltas)
{
	SharedPointer block = allocate_in_cache(cache, size_of_prepared(deltas));

	if (block != 0)
		shared<PreparedBlock>(block)->space = deltas;
	return block;
}

void
free_unused_blocks(LoadCache *cache)
{
	if (cache->unused_blocks != 0)
		free_prepared(cache, with_lock(&cache->lock, LW_EXCLUSIVE, [cache] {
						  return std::exchange(cache->unused_blocks, SharedPointer{0});
					  }));
}

/* Returns the id with its epoch. The transaction is not older than half of all ids. */
static FullTransactionId
full_id(TransactionId transaction)
{
	FullTransactionId next = ReadNextFullTransactionId();
	std::uint32_t epoch = EpochFromFullTransactionId(next);

	if (transaction > XidFromFullTransactionId(next))
		epoch--;
	return FullTransactionIdFromEpochAndXid(epoch, transaction);
}

void
record_unreported(TransactionId transaction)
{
	if (shared_header() == nullptr)
		return;

	FullTransactionId id = full_id(transaction);

	/* Another backend may have made the cache in the meantime, and a baseline. */
	SharedPointer cache = with_lock(&shared_header()->lock, LW_EXCLUSIVE, [id] {
		DatabaseEntry *entry = find_database(MyDatabaseId);
		FullTransactionId &last =
			entry != nullptr ? entry->last_unreported : shared_header()->last_unreported;

		if (FullTransactionIdPrecedes(last, id))
			last = id;
		return entry != nullptr ? entry->load_cache : 0;
	});

	if (cache != 0)
		with_lock(&shared<LoadCache>(cache)->lock, LW_EXCLUSIVE,
				  [cache] { shared<LoadCache>(cache)->usable = false; });
}

bool
all_reported_before(TransactionId oldest_in_progress)
{
	FullTransactionId oldest = full_id(oldest_in_progress);
	bool all;

	LWLockAcquire(&shared_header()->lock, LW_SHARED);
	all = FullTransactionIdPrecedes(my_database()->last_unreported, oldest);
	LWLockRelease(&shared_header()->lock);
	return all;
}

Size
bytes_of_load_cache(SharedPointer cache)
{
	return cache != 0 ? shared<LoadCache>(cache)->bytes : 0;
}

void
free_load_cache(SharedPointer pointer)
{
	if (pointer == 0)
		return;
	map_segments();

	LoadCache *cache = shared<LoadCache>(pointer);

	for (int i = 0; i < cache->chunk_count; i++)
		free_in_cache(cache, cache->chunk[i],
					  sizeof(ServerSlot) * static_cast<Size>(slots_in(i + 1) - slots_in(i)));
	free_in_cache(cache, cache->names.entries,
				  sizeof(NamedSlot) * static_cast<Size>(cache->names.size));
	free_in_cache(cache, cache->orphans.entries,
				  sizeof(Orphan) * static_cast<Size>(cache->orphans.size));
	free_in_cache(cache, cache->ranking.nodes,
				  sizeof(int) * static_cast<Size>(cache->ranking.leaves));
	free_prepared(cache, cache->prepared);
	free_prepared(cache, cache->unused_blocks);
	free_shared(pointer, cache_size());
}

} // namespace gxy
