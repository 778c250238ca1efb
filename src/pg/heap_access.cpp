/*
 * heap_access.cpp: writes single rows without the executor.
 *
 * The writes use the table access method, so the server itself writes WAL, maintains the visibility
 * map and checks for conflicts. Runs in the backend of the caller and in the worker.
 */
#include "pg/heap_access.hpp"

#include "pg/async_commit.hpp"
#include "pg/log_trigger.hpp"
#include "pg/new_rows.hpp"

namespace gxy
{

Change
change_of(TM_Result result)
{
	switch (result)
	{
		case TM_Ok:
			return Change::done;
		case TM_Updated:
		case TM_Deleted:
			return Change::outdated;
		default:
			/* Another transaction, or the statement that called us, is changing the row. */
			return Change::busy;
	}
}

IndexLocks
IndexLocks::try_all(Relation table)
{
	IndexLocks locks;

	locks.indexes = RelationGetIndexList(table);
	while (!locks.complete() &&
		   ConditionalLockRelationOid(list_nth_oid(locks.indexes, locks.count), RowExclusiveLock))
		locks.count++;
	return locks;
}

IndexLocks
IndexLocks::wait_for_all(Relation table, Deadline deadline)
{
	IndexLocks locks;

	locks.indexes = RelationGetIndexList(table);
	for (; !locks.complete(); locks.count++)
		lock_relation(list_nth_oid(locks.indexes, locks.count), RowExclusiveLock, deadline);
	return locks;
}

void
IndexLocks::release()
{
	for (int i = 0; i < count; i++)
		UnlockRelationOid(list_nth_oid(indexes, i), RowExclusiveLock);
	list_free(indexes);
	*this = IndexLocks();
}

static ResultRelInfo *
target_of(Relation heap)
{
	ResultRelInfo *target = makeNode(ResultRelInfo);

	InitResultRelInfo(target, heap, 0, nullptr, 0);
	return target;
}

static void
enter_into_indexes(Relation heap, TupleTableSlot *row, compat::IndexUpdates updates)
{
	EState *estate = CreateExecutorState();
	ResultRelInfo *target = target_of(heap);

	ExecOpenIndices(target, false);
	compat::insert_index_tuples(target, row, estate, true, updates.only_summarizing(), nullptr);
	ExecCloseIndices(target);
	FreeExecutorState(estate);
}

/* The row at tid with other values in some columns, in a slot of its own. */
static TupleTableSlot *
new_version_of(Relation heap, TupleTableSlot *old_row, std::span<const int> columns,
			   const Datum *values)
{
	bool nulls[16] = {};

	Assert(columns.size() <= std::size(nulls));

	HeapTuple tuple = heap_modify_tuple_by_cols(
		ExecFetchSlotHeapTuple(old_row, false, nullptr), RelationGetDescr(heap),
		static_cast<int>(columns.size()), const_cast<int *>(columns.data()),
		const_cast<Datum *>(values), nulls);
	TupleTableSlot *row = MakeSingleTupleTableSlot(RelationGetDescr(heap), &TTSOpsHeapTuple);

	ExecForceStoreHeapTuple(tuple, row, false);
	row->tts_tableOid = RelationGetRelid(heap);
	return row;
}

static Change
update_row(Relation heap, ItemPointer tid, TupleTableSlot *row)
{
	TM_FailureData failure;
	LockTupleMode mode;
	compat::IndexUpdates updates;
	Change change =
		change_of(table_tuple_update(heap, tid, row, GetCurrentCommandId(true), InvalidSnapshot,
									 InvalidSnapshot, true, &failure, &mode, &updates.which));

	if (change == Change::done && updates.any())
		enter_into_indexes(heap, row, updates);
	return change;
}

/*
 * Constraints are code of the table's owner, and may write as well: whatever that is, it is not
 * expendable.
 */
static Change
change_columns_of_row(Relation heap, ItemPointer tid, std::span<const int> columns,
					  const Datum *values, Durability durability)
{
	TupleTableSlot *old_row = table_slot_create(heap, nullptr);
	TM_FailureData failure;
	Change change;
	auto write = [durability](auto f) {
		if (durability == Durability::expendable)
			write_expendably(f);
		else
			f();
	};

	write([&] {
		change = change_of(table_tuple_lock(heap, tid, InvalidSnapshot, old_row,
											GetCurrentCommandId(true), LockTupleNoKeyExclusive,
											LockWaitSkip, 0, &failure));
	});
	if (change == Change::done)
	{
		TupleTableSlot *new_row = new_version_of(heap, old_row, columns, values);

		if (have_to_check(heap, columns))
			check_new_row(target_of(heap), new_row);
		write([&] { change = update_row(heap, tid, new_row); });
		if (change == Change::done)
			fire_log_trigger(heap, [&](EState *estate, ResultRelInfo *target) {
				ExecARUpdateTriggers(estate, target, nullptr, nullptr, tid, nullptr, new_row, NIL,
									 nullptr, false);
			});
		ExecDropSingleTupleTableSlot(new_row);
		CommandCounterIncrement();
	}
	ExecDropSingleTupleTableSlot(old_row);
	return change;
}

Change
change_columns(Relation heap, ItemPointer tid, std::span<const int> columns, const Datum *values,
			   Durability durability)
{
	IndexLocks locks = IndexLocks::try_all(heap);
	Change change = Change::busy;

	if (locks.complete())
		change = change_columns_of_row(heap, tid, columns, values, durability);
	locks.release();
	return change;
}

Change
delete_row(Relation heap, ItemPointer tid, bool wait)
{
	TM_FailureData failure;
	Change change =
		change_of(table_tuple_delete(heap, tid, GetCurrentCommandId(true), InvalidSnapshot,
									 InvalidSnapshot, wait, &failure, false));

	if (change == Change::done)
		fire_log_trigger(heap, [&](EState *estate, ResultRelInfo *target) {
			ExecARDeleteTriggers(estate, target, tid, nullptr, nullptr, false);
		});
	return change;
}

bool
insert_row(ResultRelInfo *target, TupleTableSlot *slot, EState *estate)
{
	Relation heap = target->ri_RelationDesc;

	slot->tts_tableOid = RelationGetRelid(heap);
	check_new_row(target, slot);

	std::uint32_t token = SpeculativeInsertionLockAcquire(GetCurrentTransactionId());
	bool conflict = false;

	table_tuple_insert_speculative(heap, slot, GetCurrentCommandId(true), 0, nullptr, token);
	compat::insert_index_tuples(target, slot, estate, false, false, &conflict);
	table_tuple_complete_speculative(heap, slot, token, !conflict);
	SpeculativeInsertionLockRelease(GetCurrentTransactionId());
	if (!conflict)
		fire_log_trigger(heap, [&](EState *own, ResultRelInfo *logged) {
			ExecARInsertTriggers(own, logged, slot, NIL, nullptr);
		});
	return !conflict;
}

} // namespace gxy
