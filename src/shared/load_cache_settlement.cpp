/*
 * load_cache_settlement.cpp: the changes of transactions that have ended. See the head of
 * shared/load_cache.cpp.
 */
#include "shared/load_cache_settlement.hpp"

#include "shared/load_cache_state.hpp"
#include "shared/segments.hpp"

namespace gxy
{

bool
is_in_snapshot(const LoadCache *cache, TransactionId transaction)
{
	const BaselineSnapshot &snapshot = cache->snapshot;
	const TransactionId *end = cache->in_progress + snapshot.in_progress_count;

	assert_locked(cache);
	if (transaction == snapshot.own || TransactionIdFollowsOrEquals(transaction, snapshot.next))
		return false;
	return TransactionIdPrecedes(transaction, snapshot.oldest_in_progress) ||
		   std::find(static_cast<const TransactionId *>(cache->in_progress), end, transaction) ==
			   end;
}

bool
snapshot_is_in_flight(const LoadCache *cache)
{
	std::span<const TransactionId> backends = transactions_in_flight();

	return std::any_of(backends.begin(), backends.end(), [cache](TransactionId transaction) {
		return TransactionIdIsValid(transaction) && is_in_snapshot(cache, transaction);
	});
}

void
apply_commit(LoadCache *cache, TransactionId transaction, int slot, Load added,
			 const LoadAtCommit &at_commit)
{
	bool counted = cache->counting && is_in_snapshot(cache, transaction);
	bool for_next = cache->counting && !counted;

	if (slot < 0)
	{
		cache->usable = false;
		return;
	}

	Load &committed = changing_slot(cache, slot).committed[cache->epoch ^ (counted ? 1 : 0)];

	committed += added;
	committed += at_commit.for_count_at(for_next ? cache->counting_at : cache->counted_at);
}

/*
 * Returns false if the transaction, which is no longer in progress, is so old that its status has
 * been removed. Otherwise *committed says how it ended.
 */
static bool
has_committed(TransactionId transaction, bool *committed)
{
	bool known;

	LWLockAcquire(XactTruncationLock, LW_SHARED);
	known = TransactionIdPrecedesOrEquals(compat::oldest_known_transaction(), transaction);
	if (known)
		*committed = TransactionIdDidCommit(transaction);
	LWLockRelease(XactTruncationLock);
	return known;
}

/* Resolves the changes of a block. Those whose transactions are still prepared stay. */
static void
resolve_block(LoadCache *cache, PreparedBlock *block)
{
	int kept = 0;

	for (int i = 0; i < block->count; i++)
	{
		const PreparedDelta change = block->deltas[i];
		bool committed = false;

		if (TransactionIdIsInProgress(change.transaction))
		{
			block->deltas[kept++] = change;
			continue;
		}
		if (!has_committed(change.transaction, &committed))
			cache->usable = false;
		if (change.slot >= 0)
			changing_slot(cache, change.slot).in_flight += -change.added;
		if (committed)
			apply_commit(cache, change.transaction, change.slot, change.added, change.at_commit);
	}
	block->count = kept;
}

void
resolve_prepared(LoadCache *cache)
{
	SharedPointer *link = &cache->prepared;

	assert_locked(cache);
	while (*link != 0)
	{
		SharedPointer pointer = *link;
		PreparedBlock *block = shared<PreparedBlock>(pointer);

		resolve_block(cache, block);
		if (block->count > 0)
		{
			link = &block->next;
			continue;
		}
		*link = block->next;
		block->next = cache->unused_blocks;
		cache->unused_blocks = pointer;
	}
}

void
forget_prepared(LoadCache *cache)
{
	assert_locked(cache);
	cache->prepared_known = false;
	cache->usable = false;
	/* A running count has not looked for the rows of prepared transactions. */
	cache->is_void = true;
}

void
add_prepared_block(LoadCache *cache, SharedPointer pointer)
{
	PreparedBlock *block = shared<PreparedBlock>(pointer);
	assert_locked(cache);

	SharedPointer &list = block->count > 0 ? cache->prepared : cache->unused_blocks;

	block->next = list;
	list = pointer;
}

/* Returns whether a transaction in progress, or a prepared one, has changes in the cache. */
static bool
has_reported(const LoadCache *cache, TransactionId transaction)
{
	std::span<const TransactionId> backends = transactions_in_flight();

	if (std::find(backends.begin(), backends.end(), transaction) != backends.end())
		return true;
	for (SharedPointer at = cache->prepared; at != 0; at = shared<PreparedBlock>(at)->next)
	{
		const PreparedBlock *block = shared<PreparedBlock>(at);

		for (int i = 0; i < block->count; i++)
			if (block->deltas[i].transaction == transaction)
				return true;
	}
	return false;
}

void
add_prepared_rows(LoadCache *cache, const Array<PreparedRow> &rows, SharedPointer pointer)
{
	assert_locked(cache);
	if (rows.count > 0 && pointer == 0)
	{
		forget_prepared(cache);
		return;
	}
	for (const PreparedRow &row : rows)
	{
		if (has_reported(cache, row.transaction))
			continue;

		PreparedBlock *block = shared<PreparedBlock>(pointer);

		block->deltas[block->count++] = PreparedDelta{
			.transaction = row.transaction, .slot = row.slot, .added = row.load, .at_commit = {}};
		if (row.slot >= 0)
			changing_slot(cache, row.slot).in_flight += row.load;
	}
	if (pointer != 0)
		add_prepared_block(cache, pointer);
	cache->prepared_known = true;
}

} // namespace gxy
