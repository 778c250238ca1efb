/*
 * rows.hpp: reading a small table of the extension whole, as of now.
 */
#pragma once

#include "pg/heap_access.hpp"
#include "pg/row.hpp"

namespace gxy
{

/*
 * Calls visit(const Row &) for every row that the snapshot sees: a registered one, taken with the table locked. It is not
 * an MVCC scan, which would take a predicate lock on the table for a SERIALIZABLE caller: that caller would then fail
 * with 40001 because of an unrelated change.
 */
template <typename F>
void
for_each_row_of(Oid table, Snapshot snapshot, F visit)
{
	Relation relation = table_open(table, NoLock);
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
		visit(TupleRow(row, RelationGetDescr(relation)));
	MemoryContextDelete(copies);
	table_close(relation, NoLock);
}

} // namespace gxy
