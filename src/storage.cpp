/*
 * storage.cpp: direct access to room_server_assignments.
 *
 * Which snapshot sees what, and why each is used where it is:
 *
 * - SnapshotSelf, in find(): the last committed version of a row, or this transaction's own, at every isolation level,
 *   without a predicate lock. It judges each version at the moment it meets it, so that a row updated behind its back
 *   can slip through: a hit is final, a miss is not.
 * - SnapshotAny plus a check of each version against a registered latest MVCC snapshot, in probe() and in scan()
 *   (scan.cpp): the snapshot keeps the version it sees from being pruned, so nothing slips through, and since the scan
 *   itself is not an MVCC scan, a SERIALIZABLE caller still takes no predicate locks and owes nothing for having looked.
 */
#include "storage.hpp"

#include "catalog.hpp"

namespace gxy
{
namespace
{

/* The other transaction, if any, that is deleting (not updating, not locking) a tuple just now. */
TransactionId
deleter_in_progress(TupleTableSlot *slot)
{
	BufferHeapTupleTableSlot *buffered = reinterpret_cast<BufferHeapTupleTableSlot *>(slot);
	HeapTuple tuple = buffered->base.tuple;
	TransactionId deleter = InvalidTransactionId;

	/* Nearly always: nobody has touched it. One that comes after this look came after the call. */
	if (tuple->t_data->t_infomask & HEAP_XMAX_INVALID)
		return InvalidTransactionId;

	LockBuffer(buffered->buffer, BUFFER_LOCK_SHARE);

	HeapTupleHeader header = tuple->t_data;

	if (!(header->t_infomask & HEAP_XMAX_INVALID) &&
		!HEAP_XMAX_IS_LOCKED_ONLY(header->t_infomask) &&
		ItemPointerEquals(&header->t_ctid, &tuple->t_self))
		deleter = HeapTupleHeaderGetUpdateXid(header);
	LockBuffer(buffered->buffer, BUFFER_LOCK_UNLOCK);

	if (TransactionIdIsValid(deleter) && !TransactionIdIsCurrentTransactionId(deleter) &&
		TransactionIdIsInProgress(deleter))
		return deleter;
	return InvalidTransactionId;
}

Found
found_in(TupleTableSlot *slot)
{
	Found found;
	Datum server;

	slot_getsomeattrs(slot, columns);
	server = slot->tts_values[column_server - 1];
	found.tid = slot->tts_tid;
	found.server = text_of(view_of(server));
	found.assigned_at = DatumGetTimestampTz(slot->tts_values[column_assigned_at - 1]);
	found.leased_from =
		std::max(found.assigned_at, DatumGetTimestampTz(slot->tts_values[column_last_used_at - 1]));
	if (!slot->tts_isnull[column_expected_users - 1])
		found.expected_users = DatumGetInt32(slot->tts_values[column_expected_users - 1]);
	if (!slot->tts_isnull[column_reported_users - 1])
		found.reported_users = DatumGetInt32(slot->tts_values[column_reported_users - 1]);
	found.inserter = first_inserter(reinterpret_cast<BufferHeapTupleTableSlot *>(slot)->base.tuple);
	found.deleter = deleter_in_progress(slot);
	return found;
}

std::optional<Found>
first_version(Relation heap, Relation key, const RoomKey &room, Snapshot snapshot, bool *absent)
{
	std::optional<Found> found;
	bool any =
		for_each_version(heap, key, room.as_datum(), snapshot, [&found](TupleTableSlot *slot) {
			found = found_in(slot);
			return false;
		});

	if (absent != nullptr)
		*absent = !any;
	return found;
}

} // namespace

void
RoomKey::set(std::string_view id)
{
	if (id.size() > max_name_length)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("room is too long"),
						errdetail("It has %zu bytes.", id.size()),
						errhint("A room's id is text of 1 to %d bytes.", max_name_length)));
	length = static_cast<int>(id.size());
	std::memcpy(datum.bytes, id.data(), id.size());
	SET_VARSIZE(&datum, VARHDRSZ + length);
}

void
RoomKey::set(std::int64_t id)
{
	length = pg_lltoa(id, datum.bytes);
	SET_VARSIZE(&datum, VARHDRSZ + length);
}

Assignment
copy_of(const Assignment &row)
{
	Assignment copy = row;

	copy.room = copy_of(row.room);
	copy.server = copy_of(row.server);
	copy.region = copy_of(row.region);
	copy.reason = copy_of(row.reason);
	return copy;
}

Assignments
Assignments::open()
{
	Assignments opened;
	Relations known = relations();

	opened.heap = table_open(known.assignments, NoLock);
	opened.key = index_open(known.assignments_key, NoLock);
	return opened;
}

void
Assignments::close()
{
	/* The locks stay until the end of the transaction, as those of any statement. */
	index_close(key, NoLock);
	table_close(heap, NoLock);
}

std::optional<Found>
Assignments::find(const RoomKey &room, bool *absent) const
{
	return first_version(heap, key, room, SnapshotSelf, absent);
}

std::optional<Found>
Assignments::find_visible(const RoomKey &room) const
{
	return first_version(heap, key, room, GetActiveSnapshot(), nullptr);
}

Assignments::Probe
Assignments::probe(const RoomKey &room, Snapshot snapshot) const
{
	Probe probe;

	for_each_version(
		heap, key, room.as_datum(), SnapshotAny, [&probe, snapshot](TupleTableSlot *slot) {
			BufferHeapTupleTableSlot *buffered = reinterpret_cast<BufferHeapTupleTableSlot *>(slot);
			HeapTuple tuple = buffered->base.tuple;
			SnapshotData dirty;

			InitDirtySnapshot(dirty);
			LockBuffer(buffered->buffer, BUFFER_LOCK_SHARE);

			bool visible = HeapTupleSatisfiesVisibility(tuple, snapshot, buffered->buffer);
			bool alive = visible || HeapTupleSatisfiesVisibility(tuple, &dirty, buffered->buffer);

			LockBuffer(buffered->buffer, BUFFER_LOCK_UNLOCK);
			if (visible)
			{
				probe.visible = true;
				slot_getsomeattrs(slot, column_server);
				probe.server = text_of(view_of(slot->tts_values[column_server - 1]));
			}
			if (visible || (alive && !TransactionIdIsValid(dirty.xmin)))
				probe.committed = true;
			else if (alive)
			{
				probe.holder = dirty.xmin;
				probe.token = dirty.speculativeToken;
			}
			return !probe.visible;
		});
	return probe;
}

Assignments::Change
Assignments::renew(ItemPointer tid, TimestampTz now, std::optional<int> reported_users)
{
	static constexpr int renewed[] = {column_last_used_at, column_reported_users};
	const Datum values[] = {TimestampTzGetDatum(now), Int32GetDatum(reported_users.value_or(0))};

	return change_columns(heap, tid, std::span(renewed, reported_users ? 2 : 1), values);
}

/* A compare-and-set: the version at tid has to be the latest. */
Assignments::Change
Assignments::move(ItemPointer tid, std::string_view server, std::string_view reason,
				  TimestampTz now)
{
	static constexpr int moved[] = {column_server, column_assigned_at, column_last_used_at,
									column_reason};
	const Datum values[] = {PointerGetDatum(text_of(server)), TimestampTzGetDatum(now),
							TimestampTzGetDatum(now), PointerGetDatum(text_of(reason))};

	return change_columns(heap, tid, moved, values);
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

/* heap_delete() without waiting gives up on a lock of our own, which a renewal leaves behind. */
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
