/*
 * rows.hpp: reads all rows of a small table of the extension.
 */
#pragma once

#include "pg/compat.hpp"
#include "pg/heap_access.hpp"
#include "pg/row.hpp"

namespace gxy
{

/*
 * Calls visit(const Row &) for every row that the snapshot sees. The caller holds a lock on the
 * table and took and registered the snapshot after the lock. Takes no predicate lock; with one, a
 * SERIALIZABLE caller could fail with 40001 because of an unrelated change to the table.
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
