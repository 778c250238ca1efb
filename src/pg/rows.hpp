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

	for_each_visible_tuple(relation, false, snapshot, [relation, &visit](HeapTuple tuple) {
		visit(TupleRow(tuple, RelationGetDescr(relation)));
	});
	table_close(relation, NoLock);
}

} // namespace gxy
