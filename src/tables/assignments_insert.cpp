/*
 * assignments_insert.cpp: inserts a new assignment.
 *
 * The insertion is speculative (pg/heap_access.hpp). If an application's own statement inserts a
 * row of the same room at the same moment, this row is withdrawn, without waiting for that
 * transaction.
 */
#include "tables/assignments_insert.hpp"

#include "pg/heap_access.hpp"
#include "tables/columns.hpp"
#include "tables/owner_code.hpp"

namespace gxy
{
Insertion
Insertion::prepare(const Assignments &assignments)
{
	Insertion prepared;

	prepared.estate = CreateExecutorState();
	prepared.target = makeNode(ResultRelInfo);
	InitResultRelInfo(prepared.target, assignments.table(), 0, nullptr, 0);
	as_table_owner(assignments.table(), [&prepared, &assignments] {
		ExecOpenIndices(prepared.target, true);
		prepared.defaults = defaults_after(assignments.table(), assignments_reported_users);
	});
	prepared.slot = MakeSingleTupleTableSlot(RelationGetDescr(assignments.table()), &TTSOpsVirtual);
	/*
	 * Assign the transaction id before the placement lock is taken, because that may wait for the
	 * disk.
	 */
	(void) GetCurrentTransactionId();
	return prepared;
}

bool
Insertion::insert(const RoomKey &room, const Assignment &row)
{
	Relation heap = target->ri_RelationDesc;
	auto set = [this](int column, Datum value) {
		slot->tts_values[column - 1] = value;
		slot->tts_isnull[column - 1] = false;
	};

	ExecClearTuple(slot);
	std::copy_n(defaults.values, RelationGetDescr(heap)->natts, slot->tts_values);
	std::copy_n(defaults.nulls, RelationGetDescr(heap)->natts, slot->tts_isnull);
	set(assignments_room, room.as_datum());
	set(assignments_server, PointerGetDatum(text_of(row.server)));
	if (!row.region.empty())
		set(assignments_region, PointerGetDatum(text_of(row.region)));
	set(assignments_assigned_at, TimestampTzGetDatum(row.assigned_at));
	set(assignments_last_used_at, TimestampTzGetDatum(row.last_used_at));
	if (!row.reason.empty())
		set(assignments_reason, PointerGetDatum(text_of(row.reason)));
	if (row.expected_users)
		set(assignments_expected_users, Int32GetDatum(*row.expected_users));
	ExecStoreVirtualTuple(slot);

	bool inserted;

	as_table_owner(heap, [&] { inserted = insert_row(target, slot, estate); });
	return inserted;
}

void
Insertion::finish()
{
	ExecCloseIndices(target);
	ExecDropSingleTupleTableSlot(slot);
	FreeExecutorState(estate);
}

} // namespace gxy
