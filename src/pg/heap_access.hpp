/*
 * heap_access.hpp: reads and writes rows of the extension's tables without the executor.
 *
 * Advantages: one index descent is cheaper than a query; the caller chooses the snapshot; no
 * function but delete_row() with wait waits for another transaction. Limits: it works only for the
 * extension's own tables, whose columns tables/catalog.cpp checks, and user triggers do not fire
 * (but pg_repack's: pg/log_trigger.hpp).
 *
 * The caller holds a table lock: ACCESS SHARE for reads, ROW EXCLUSIVE for writes.
 */
#pragma once

#include "pg/compat.hpp"
#include "pg/lock_timeout.hpp"

namespace gxy
{

/* The result of a change to a row. */
enum class Change
{
	done,
	/* another transaction has locked or changed the row, or locked an index; did not wait */
	busy,
	outdated /* the row was deleted or updated: read it again */
};

Change change_of(TM_Result result);

/*
 * Locks on the indexes of a table. A change of a row opens every index, and would wait for a
 * transaction that has locked one, with ALTER INDEX ... SET TABLESPACE for example.
 */
class IndexLocks
{
public:
	/* Locks as many indexes as it can without waiting. */
	static IndexLocks try_all(Relation table);
	/* Raises 55P03 at the deadline. */
	static IndexLocks wait_for_all(Relation table, Deadline deadline);

	bool complete() const { return count == list_length(indexes); }
	void release();

private:
	List *indexes = nullptr;
	int count = 0; /* the first of them are locked */
};

/*
 * Whether a crash may lose a change although its transaction has committed: see
 * pg/async_commit.hpp.
 */
enum class Durability
{
	required,
	expendable
};

/*
 * Updates some columns of a row (numbered from 1, new values not NULL) and inserts the index
 * entries that the new version needs. Does not wait: returns busy if another transaction has locked
 * the row or an index. Raises 23514 if a CHECK constraint on one of the columns fails. The rest of
 * the transaction sees the change.
 */
Change change_columns(Relation heap, ItemPointer tid, std::span<const int> columns,
					  const Datum *values, Durability durability = Durability::required);

/* Deletes a row. wait: waits for a transaction that has locked it instead of returning busy. */
Change delete_row(Relation heap, ItemPointer tid, bool wait);

/*
 * Inserts a row speculatively, as INSERT ... ON CONFLICT does. If a row with this key exists,
 * or another transaction inserts one at the same time, removes the new row and returns false
 * without waiting. Maintains every index, also those of a DBA. Raises the error of a violated
 * constraint. The caller has opened the indexes of target for speculative insertion.
 */
bool insert_row(ResultRelInfo *target, TupleTableSlot *slot, EState *estate);

/*
 * Finds the versions of the row with a key by one index descent. Calls visit(HeapTuple, Buffer,
 * const ItemPointerData &), with the pinned page and the TID in the index entry, for each version
 * that the snapshot sees, until visit returns false. An MVCC snapshot takes predicate locks; others
 * do not.
 *
 * Returns true if the index has an entry for the key. If it returns false, no version of the row
 * existed when the index was read, under any snapshot.
 *
 * Calls pause() between the index and the table, holding no lock on a page.
 */
template <typename F, typename P = decltype([] {})>
bool
for_each_version(Relation heap, Relation index, Datum key, Snapshot snapshot, F visit, P pause = {})
{
	ScanKeyData equals_key;
	IndexScanDesc scan = compat::index_beginscan(heap, index, snapshot, 1);
	Buffer buffer = InvalidBuffer;
	bool any = false;
	bool more = true;

	ScanKeyEntryInitialize(&equals_key, 0, 1, BTEqualStrategyNumber, InvalidOid,
						   index->rd_indcollation[0], F_TEXTEQ, key);
	index_rescan(scan, &equals_key, 1, nullptr, 0);

	for (ItemPointer entry; more && (entry = index_getnext_tid(scan, ForwardScanDirection));)
	{
		ItemPointerData root = *entry;
		ItemPointerData tid = root;
		Buffer last = buffer;
		bool first = true;
		bool all_dead = false;

		any = true;
		pause();
		buffer = ReleaseAndReadBuffer(buffer, heap, ItemPointerGetBlockNumber(&root));
		if (buffer != last)
			heap_page_prune_opt(heap, buffer);
		/* Each search but the first continues after the version that the last one has found. */
		while (more && (first || !IsMVCCSnapshot(snapshot)))
		{
			HeapTupleData tuple;

			LockBuffer(buffer, BUFFER_LOCK_SHARE);

			bool seen =
				heap_hot_search_buffer(&tid, heap, buffer, snapshot, &tuple, &all_dead, first);

			LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
			if (!seen)
				break;
			pgstat_count_heap_fetch(index);
			more = visit(&tuple, buffer, root);
			first = false;
		}
		/* The scan marks the index entry, so that later ones skip it. */
		scan->kill_prior_tuple = all_dead && !scan->xactStartedInRecovery;
	}
	if (BufferIsValid(buffer))
		ReleaseBuffer(buffer);
	index_endscan(scan);
	return any;
}

/*
 * Sets *tuple to the tuple of a line pointer; returns false if it has none. The caller has pinned
 * the page. It also holds the page's lock, unless an earlier call for this line pointer under the
 * same pin returned true.
 */
inline bool
find_on_page(Relation heap, BlockNumber block, Page page, OffsetNumber at, HeapTuple tuple)
{
	ItemId item = PageGetItemId(page, at);

	if (!ItemIdIsNormal(item))
		return false;
	tuple->t_data = reinterpret_cast<HeapTupleHeader>(PageGetItem(page, item));
	tuple->t_len = ItemIdGetLength(item);
	tuple->t_tableOid = RelationGetRelid(heap);
	ItemPointerSet(&tuple->t_self, block, at);
	return true;
}

/*
 * Reads every version of every row, also dead ones, page by page.
 *
 * For each version calls select(HeapTuple, Buffer), which returns std::optional<Known>. The page is
 * share-locked then, so select may allocate memory but do nothing that waits. After unlocking the
 * page, calls visit(HeapTuple, const Known &) for each version for which select returned a value.
 * The page stays pinned, so the tuple does not move; visit may do anything. Takes no predicate
 * locks.
 *
 * prune: prunes each page first, which frees space for heap-only updates. The server prunes a page
 * when a query reads it, but the extension reads most pages only here.
 */
template <typename S, typename V>
void
for_each_tuple(Relation heap, bool prune, S select, V visit)
{
	using Known = typename std::invoke_result_t<S, HeapTuple, Buffer>::value_type;
	struct Selected
	{
		OffsetNumber at;
		Known known;
	};
	Selected selected[MaxHeapTuplesPerPage];
	BlockNumber blocks = RelationGetNumberOfBlocks(heap);

	for (BlockNumber block = 0; block < blocks; block++)
	{
		CHECK_FOR_INTERRUPTS();

		Buffer buffer = ReadBuffer(heap, block);

		if (prune)
			heap_page_prune_opt(heap, buffer);
		LockBuffer(buffer, BUFFER_LOCK_SHARE);

		Page page = BufferGetPage(buffer);
		OffsetNumber last = PageGetMaxOffsetNumber(page);
		HeapTupleData tuple;
		int count = 0;

		for (OffsetNumber at = FirstOffsetNumber; at <= last; at++)
			if (find_on_page(heap, block, page, at, &tuple))
				if (std::optional<Known> known = select(&tuple, buffer))
					selected[count++] = Selected{.at = at, .known = *known};
		LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
		for (int i = 0; i < count; i++)
			if (find_on_page(heap, block, page, selected[i].at, &tuple))
				visit(&tuple, selected[i].known);
		ReleaseBuffer(buffer);
	}
}

/* Calls visit(HeapTuple) for every row that the registered MVCC snapshot sees; its page pinned. */
template <typename V>
void
for_each_visible_tuple(Relation heap, bool prune, Snapshot snapshot, V visit)
{
	for_each_tuple(
		heap, prune,
		[snapshot](HeapTuple tuple, Buffer buffer) {
			bool visible = HeapTupleSatisfiesVisibility(tuple, snapshot, buffer);

			return visible ? std::optional<bool>(true) : std::nullopt;
		},
		[&visit](HeapTuple tuple, bool) { visit(tuple); });
}

} // namespace gxy
