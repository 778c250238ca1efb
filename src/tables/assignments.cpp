/*
 * assignments.cpp: direct access to room_server_assignments.
 *
 * Each search uses the snapshot that its guarantee needs:
 *
 * - find() uses SnapshotSelf: it sees the last committed version of a row, or this transaction's
 *   own, at every isolation level, without a predicate lock. It judges each version when it meets
 *   it. If a row is updated during the scan, it can miss both versions: a hit is final, a miss is
 *   not.
 *
 * - probe() and scan() (tables/assignments_scan.cpp) use SnapshotAny and check each version against
 *   a registered latest MVCC snapshot. The snapshot keeps the version that it sees from being
 *   pruned, so no row is missed. The scan itself is not an MVCC scan, so a SERIALIZABLE caller
 *   takes no predicate locks.
 */
#include "tables/assignments.hpp"

#include "pg/async_commit.hpp"
#include "pg/debug_delay.hpp"
#include "tables/catalog.hpp"
#include "tables/columns.hpp"
#include "tables/known_rows.hpp"
#include "tables/owner_code.hpp"

namespace gxy
{
namespace
{

/*
 * Returns the other transaction that is deleting (not updating or locking) a tuple, or invalid. The
 * tuple's page is pinned.
 */
TransactionId
deleter_of(HeapTuple tuple, Buffer buffer)
{
	HeapTupleHeader header = tuple->t_data;
	TransactionId deleter = InvalidTransactionId;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	if (!(header->t_infomask & HEAP_XMAX_INVALID) &&
		!HEAP_XMAX_IS_LOCKED_ONLY(header->t_infomask) &&
		ItemPointerEquals(&header->t_ctid, &tuple->t_self))
		deleter = HeapTupleHeaderGetUpdateXid(header);
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	if (!TransactionIdIsValid(deleter))
		return deleter;
	/* The order matters: a transaction that is no longer in progress has committed or aborted. */
	if (!TransactionIdIsInProgress(deleter) && !TransactionIdDidCommit(deleter))
		deleter = InvalidTransactionId;
	return deleter;
}

std::optional<Found>
first_version(Relation heap, Relation key, const RoomKey &room, Snapshot snapshot,
			  bool with_deleter)
{
	std::optional<Found> found;

	auto take = [&](HeapTuple tuple, Buffer buffer, const ItemPointerData &) {
		found = found_in(tuple, assignment_of(tuple, RelationGetDescr(heap)));
		if (with_deleter)
			found->deleter = deleter_of(tuple, buffer);
		return false;
	};

	(void) for_each_version(heap, key, room.as_datum(), snapshot, take);
	return found;
}

} // namespace

Assignments
Assignments::open(LOCKMODE mode, Deadline deadline)
{
	Oid table = lock_table(&Relations::assignments, mode, deadline);

	return Assignments(table_open(table, NoLock), mode, deadline);
}

void
Assignments::open_key() const
{
	if (key == nullptr)
		key = index_open(lock_table(&Relations::assignments_key, mode, deadline), NoLock);
}

void
Assignments::close()
{
	/*
	 * The locks stay until the end of the transaction, as those of any statement. Exception: a
	 * reader's lock on the index is released. A transaction that reads and then writes would
	 * otherwise hold the index while it asks for a stronger lock on the table; REINDEX locks in the
	 * opposite order, which is a deadlock.
	 */
	if (key != nullptr)
		index_close(key, mode == AccessShareLock ? mode : NoLock);
	table_close(heap, NoLock);
}

void
Assignments::close_and_unlock()
{
	if (key != nullptr)
		index_close(key, mode);
	table_close(heap, mode);
}

/* What is written meanwhile, such as a pruned page, is not for the transaction's sake. */
std::optional<Found>
Assignments::find(const RoomKey &room, bool *absent) const
{
	std::optional<Found> found;

	write_expendably([&] {
		found = find_known_row(heap, room);
		if (!found)
			found = find_by_key(room, absent);
	});
	return found;
}

std::optional<Found>
Assignments::find_by_key(const RoomKey &room, bool *absent) const
{
	std::optional<Found> found;
	auto take = [&](HeapTuple tuple, Buffer buffer, const ItemPointerData &root) {
		found = found_in(tuple, assignment_of(tuple, RelationGetDescr(heap)));
		remember_row(heap, room.hash(), root, found->tid, buffer);
		return false;
	};

	open_key();

	bool any = for_each_version(heap, key, room.as_datum(), SnapshotSelf, take,
								[] { debug_pause("entry found"); });

	if (absent != nullptr)
		*absent = !any;
	return found;
}

std::optional<Found>
Assignments::find_visible(const RoomKey &room) const
{
	open_key();
	return first_version(heap, key, room, GetActiveSnapshot(), false);
}

std::optional<Found>
Assignments::find_with_deleter(const RoomKey &room) const
{
	open_key();
	return first_version(heap, key, room, SnapshotSelf, true);
}

Assignments::Probe
Assignments::probe(const RoomKey &room, Snapshot snapshot) const
{
	Probe probe;
	auto judge = [&](HeapTuple tuple, Buffer buffer, const ItemPointerData &) {
		SnapshotData dirty;

		InitDirtySnapshot(dirty);
		LockBuffer(buffer, BUFFER_LOCK_SHARE);

		bool visible = HeapTupleSatisfiesVisibility(tuple, snapshot, buffer);
		bool alive = visible || HeapTupleSatisfiesVisibility(tuple, &dirty, buffer);

		LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
		if (visible)
		{
			probe.visible = true;
			probe.server = text_of(assignment_of(tuple, RelationGetDescr(heap)).server);
		}
		if (visible || (alive && !TransactionIdIsValid(dirty.xmin)))
			probe.committed = true;
		else if (alive)
		{
			probe.holder = dirty.xmin;
			probe.token = dirty.speculativeToken;
		}
		return !probe.visible;
	};

	open_key();
	(void) for_each_version(heap, key, room.as_datum(), SnapshotAny, judge);
	return probe;
}

Assignments::Change
Assignments::renew(ItemPointer tid, TimestampTz now, std::optional<int> reported_users)
{
	static constexpr int renewed[] = {assignments_last_used_at, assignments_reported_users};
	const Datum values[] = {TimestampTzGetDatum(now), Int32GetDatum(reported_users.value_or(0))};

	Change change;

	as_table_owner(heap, [&] {
		change = change_columns(heap, tid, std::span(renewed, reported_users ? 2 : 1), values,
								reported_users ? Durability::required : Durability::expendable);
	});
	return change;
}

Assignments::Change
Assignments::restamp(ItemPointer tid, TimestampTz assigned_at, TimestampTz last_used_at)
{
	static constexpr int stamped[] = {assignments_assigned_at, assignments_last_used_at};
	const Datum values[] = {TimestampTzGetDatum(assigned_at), TimestampTzGetDatum(last_used_at)};

	Change change;

	as_table_owner(
		heap, [&] { change = change_columns(heap, tid, stamped, values, Durability::expendable); });
	return change;
}

/* A compare-and-set: succeeds only if the version at tid is the latest. */
Assignments::Change
Assignments::move(ItemPointer tid, std::string_view server, std::string_view reason,
				  TimestampTz now)
{
	static constexpr int moved[] = {assignments_server, assignments_assigned_at,
									assignments_last_used_at, assignments_reason};
	const Datum values[] = {PointerGetDatum(text_of(server)), TimestampTzGetDatum(now),
							TimestampTzGetDatum(now), PointerGetDatum(text_of(reason))};

	Change change;

	as_table_owner(heap, [&] { change = change_columns(heap, tid, moved, values); });
	return change;
}

std::optional<Assignment>
Assignments::read(ItemPointer tid) const
{
	TupleTableSlot *slot = table_slot_create(heap, nullptr);
	std::optional<Assignment> row;

	if (table_tuple_fetch_row_version(heap, tid, SnapshotSelf, slot))
		row = copy_of(
			assignment_of(ExecFetchSlotHeapTuple(slot, false, nullptr), RelationGetDescr(heap)));
	ExecDropSingleTupleTableSlot(slot);
	return row;
}

/*
 * heap_delete() without waiting reports busy if this transaction has locked the row itself, as a
 * renewal does. So lock the row and delete it again.
 */
Assignments::Change
Assignments::remove(ItemPointer tid)
{
	Change change = delete_row(heap, tid, false);

	if (change == Change::busy && lock_row(tid, LockWaitSkip) == Change::done)
		change = delete_row(heap, tid, true);
	return change;
}

Assignments::Change
Assignments::lock_row(ItemPointer tid, LockWaitPolicy policy)
{
	TupleTableSlot *row = table_slot_create(heap, nullptr);
	TM_FailureData failure;
	Change change =
		change_of(table_tuple_lock(heap, tid, InvalidSnapshot, row, GetCurrentCommandId(true),
								   LockTupleExclusive, policy, 0, &failure));

	ExecDropSingleTupleTableSlot(row);
	return change;
}

} // namespace gxy
