/*
 * rows.hpp: reading a small table of the extension whole, as of now.
 */
#pragma once

#include "pg/array.hpp"
#include "pg/heap_access.hpp"

namespace gxy
{

/* A row being looked at; what text() gives is copied into the current memory context. */
class RowView
{
public:
	explicit RowView(TupleTableSlot *slot) : slot(slot) {}

	bool is_null(int column) const { return slot->tts_isnull[column - 1]; }
	Datum datum(int column) const { return slot->tts_values[column - 1]; }
	std::string_view peek(int column) const { return view_of(datum(column)); }
	std::string_view text(int column) const { return copy_of(peek(column)); }
	bool boolean(int column) const { return DatumGetBool(datum(column)); }
	TimestampTz time(int column) const { return DatumGetTimestampTz(datum(column)); }
	int integer(int column, int if_null) const
	{
		return is_null(column) ? if_null : DatumGetInt32(datum(column));
	}

private:
	TupleTableSlot *slot;
};

/*
 * Calls visit(RowView) for every row that the snapshot sees: a registered one, taken with the table locked. It is not an
 * MVCC scan, which would take a predicate lock on the table for a SERIALIZABLE caller: that caller would then fail with
 * 40001 because of an unrelated change.
 */
template <typename F>
void
for_each_row_of(Oid table, Snapshot snapshot, F visit)
{
	Relation relation = table_open(table, NoLock);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(relation), &TTSOpsHeapTuple);
	MemoryContext copies =
		AllocSetContextCreate(CurrentMemoryContext, "gxy_balancer rows", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(copies);
	Array<HeapTuple> rows;

	/* visit() may have to fetch a value that is stored out of line, which must not happen under a page lock. */
	for_each_tuple(relation, false, [&rows, snapshot](HeapTuple tuple, Buffer buffer) {
		if (HeapTupleSatisfiesVisibility(tuple, snapshot, buffer))
			rows.push(heap_copytuple(tuple));
	});
	MemoryContextSwitchTo(caller);
	for (HeapTuple row : rows)
	{
		ExecStoreHeapTuple(row, slot, false);
		slot_getallattrs(slot);
		visit(RowView(slot));
	}
	ExecDropSingleTupleTableSlot(slot);
	MemoryContextDelete(copies);
	table_close(relation, NoLock);
}

} // namespace gxy
