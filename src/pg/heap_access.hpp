/*
 * heap_access.hpp: rows of the extension's tables and their versions, beneath the executor.
 *
 * What this is for: one index descent costs less than any query, a row can be looked at through the snapshots that the
 * guarantees need, and nobody is waited for. What it costs: only our own tables can be read so, whose columns tables/catalog.cpp
 * vouches for. User triggers do not fire.
 */
#pragma once

#include "pg/compat.hpp"

namespace gxy
{

/* What became of a change to a row. */
enum class Change
{
	done,
	busy,	 /* another transaction in progress has the row; nobody was waited for */
	outdated /* the row is gone or has a newer version: look again */
};

Change change_of(TM_Result result);

/*
 * Writes a new version of a row with other values in some columns (from 1, none of them NULL), and enters it into the
 * indexes where it has to be. Passes over a row that somebody else has locked. Raises the error of a CHECK constraint
 * on one of the columns. The change is visible to what follows.
 */
Change change_columns(Relation heap, ItemPointer tid, std::span<const int> columns,
					  const Datum *values);

/* Deletes a row; wait: for whoever has it. */
Change delete_row(Relation heap, ItemPointer tid, bool wait);

/*
 * Inserts a row as INSERT ... ON CONFLICT does: should another one of the same key be there, or get in at the same
 * moment, the row is withdrawn and nobody is waited for: false. Every index is kept, also those a DBA adds. Raises the
 * error of a constraint that the row violates. The indexes of target are open for speculative insertion.
 */
bool insert_row(ResultRelInfo *target, TupleTableSlot *slot, EState *estate);

/*
 * Calls visit(TupleTableSlot *), or visit(TupleTableSlot *, ItemPointer) with what the index points to, for the versions
 * of the row with a key, by one index descent, for as long as it returns true. An MVCC snapshot takes predicate locks,
 * others do not. Returns whether the index has any entry of the key: if it has none, there is no such row, and none was
 * there when the index was read, whatever the snapshot.
 */
template <typename F>
bool
for_each_version(Relation heap, Relation index, Datum key, Snapshot snapshot, F visit)
{
	ScanKeyData equals_key;
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(heap), &TTSOpsBufferHeapTuple);
	IndexScanDesc scan = compat::index_beginscan(heap, index, snapshot, 1);

	ScanKeyEntryInitialize(&equals_key, 0, 1, BTEqualStrategyNumber, InvalidOid,
						   index->rd_indcollation[0], F_TEXTEQ, key);
	index_rescan(scan, &equals_key, 1, nullptr, 0);

	ItemPointerData root = {};
	bool any = false;
	bool more = true;

	while (more)
	{
		/* Else: the next version of the same chain. */
		if (!scan->xs_heap_continue)
		{
			ItemPointer next = index_getnext_tid(scan, ForwardScanDirection);

			if (next == nullptr)
				break;
			root = *next;
		}
		any = true;
		if (!index_fetch_heap(scan, slot))
			continue;
		if constexpr (std::is_invocable_v<F, TupleTableSlot *, ItemPointer>)
			more = visit(slot, &root);
		else
			more = visit(slot);
	}
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	return any;
}

/* The tuple of a line pointer; false if it has none. The page is pinned; locked as well, unless this was true before. */
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
 * Goes through every version of every row, dead ones included, page by page, as a sequential scan does. Calls
 * select(HeapTuple, Buffer) for each under the lock of its page, so it may allocate, and no more; it returns an optional
 * of what there is to know of the version. Then calls visit(HeapTuple, const that &) for those that it selected, with the
 * page pinned: the tuple stays where it is, and visit may do anything. Takes no predicate locks. prune: makes room for
 * heap-only updates first, in a table that is not read by its index often enough.
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

/* Calls visit(HeapTuple) for every row that a registered MVCC snapshot sees, with its page pinned. */
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
