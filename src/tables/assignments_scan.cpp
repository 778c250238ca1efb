/*
 * assignments_scan.cpp: every assignment there is, and every one that may yet be committed.
 *
 * Counting rooms exactly, without waiting for the transactions that are assigning others, needs both: the rows that a
 * snapshot taken under the placement lock sees, and those that are in flight. A version that the snapshot does not see
 * but SnapshotDirty does was inserted by a transaction that has not ended, or ended a moment ago. It counts if its room
 * has no version that the snapshot sees; otherwise it is the new version of a row being updated.
 */
#include "tables/assignments.hpp"

#include "pg/row.hpp"
#include "tables/columns.hpp"

namespace gxy
{
Assignment
assignment_of(HeapTuple tuple, TupleDesc descriptor)
{
	TupleRow row(tuple, descriptor);

	return Assignment{.room = row.text(assignments_room).value_or(""),
					  .server = row.text(assignments_server).value_or(""),
					  .region = row.text(assignments_region).value_or(""),
					  .reason = row.text(assignments_reason).value_or(""),
					  .assigned_at = row.time(assignments_assigned_at).value_or(DT_NOBEGIN),
					  .last_used_at = row.time(assignments_last_used_at).value_or(DT_NOBEGIN),
					  .expected_users = row.integer(assignments_expected_users),
					  .reported_users = row.integer(assignments_reported_users)};
}

namespace
{

/* What has become of a version whose inserter may not have ended. */
enum class Fate
{
	current,
	replaced,
	deleted /* for good: by its inserter, or by a transaction that has committed */
};

Fate
fate_of(HeapTuple tuple)
{
	HeapTupleHeader header = tuple->t_data;

	if (header->t_infomask & HEAP_XMAX_INVALID || HEAP_XMAX_IS_LOCKED_ONLY(header->t_infomask))
		return Fate::current;

	TransactionId changer = HeapTupleHeaderGetUpdateXid(header);

	if (!TransactionIdIsValid(changer) || TransactionIdDidAbort(changer))
		return Fate::current;
	if (!ItemPointerEquals(&header->t_ctid, &tuple->t_self))
		return Fate::replaced;
	/* A deletion by somebody else may yet be rolled back. */
	if (TransactionIdDidCommit(changer) ||
		SubTransGetTopmostTransaction(changer) ==
			SubTransGetTopmostTransaction(HeapTupleHeaderGetXmin(header)))
		return Fate::deleted;
	return Fate::current;
}

/*
 * Which of the versions of one room stands for it; nullptr if it has been deleted again (SnapshotDirty looks no further
 * than an inserter in progress). The scan may have missed the current version, written to a page behind it: then one
 * that has been replaced by none of those seen stands in.
 */
HeapTuple
latest_of(HeapTuple *versions, int count)
{
	HeapTuple stand_in = nullptr;

	for (int i = 0; i < count; i++)
	{
		Fate fate = fate_of(versions[i]);
		ItemPointer successor = &versions[i]->t_data->t_ctid;
		bool seen = std::any_of(versions, versions + count, [successor](HeapTuple other) {
			return ItemPointerEquals(&other->t_self, successor);
		});

		if (fate == Fate::current)
			return versions[i];
		if (fate == Fate::replaced && !seen)
			stand_in = versions[i];
	}
	return stand_in;
}

/* Whether a row version is there for a snapshot as if this transaction had changed nothing. */
bool
is_seen_by_others(HeapTuple tuple, Snapshot snapshot, Buffer buffer)
{
	HeapTupleHeader header = tuple->t_data;

	if (TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(header)))
		return false;
	if (HeapTupleSatisfiesVisibility(tuple, snapshot, buffer))
		return true;
	if (header->t_infomask & HEAP_XMAX_INVALID || HEAP_XMAX_IS_LOCKED_ONLY(header->t_infomask) ||
		!TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetUpdateXid(header)))
		return false;

	/* Deleted or replaced by ourselves: as it was before that. */
	HeapTupleHeaderData before = *header;
	HeapTupleData undone = *tuple;

	before.t_infomask |= HEAP_XMAX_INVALID;
	undone.t_data = &before;
	return HeapTupleSatisfiesVisibility(&undone, snapshot, buffer);
}

/* Whether a room was inserted by a transaction that is prepared and in progress for the snapshot. */
bool
is_prepared_insertion(HeapTuple tuple, Snapshot snapshot, Buffer buffer)
{
	HeapTupleHeader header = tuple->t_data;
	TransactionId inserter = HeapTupleHeaderGetXmin(header);

	if (!TransactionIdIsNormal(inserter) || header->t_infomask & HEAP_UPDATED ||
		HeapTupleHeaderXminCommitted(header) ||
		HeapTupleSatisfiesVisibility(tuple, snapshot, buffer) ||
		!TransactionIdIsInProgress(inserter))
		return false;
	inserter = SubTransGetTopmostTransaction(inserter);
	/* In this order: no backend has the transaction and then it is in progress, so it is prepared. */
	return BackendXidGetPid(inserter) == 0 && TransactionIdIsInProgress(inserter) &&
		   fate_of(tuple) != Fate::deleted;
}

} // namespace

bool
Assignments::is_one_of(Rows rows, HeapTuple tuple, Snapshot snapshot, Buffer buffer)
{
	switch (rows)
	{
		case Rows::of_others:
			return is_seen_by_others(tuple, snapshot, buffer);
		case Rows::prepared:
			return is_prepared_insertion(tuple, snapshot, buffer);
		default:
			return HeapTupleSatisfiesVisibility(tuple, snapshot, buffer);
	}
}

/* Versions that the snapshot does not see but that may yet be committed are set aside. */
void
Assignments::scan(Snapshot snapshot, Rows rows, RowVisitor visit, void *context) const
{
	TupleDesc descriptor = RelationGetDescr(heap);
	Array<HeapTuple> set_aside;

	for_each_tuple(heap, false, [&](HeapTuple tuple, Buffer buffer) {
		SnapshotData dirty;

		InitDirtySnapshot(dirty);
		if (is_one_of(rows, tuple, snapshot, buffer))
			visit(context, assignment_of(tuple, descriptor), tuple);
		else if (rows == Rows::uncommitted && HeapTupleSatisfiesVisibility(tuple, &dirty, buffer))
			set_aside.push(heap_copytuple(tuple));
	});
	visit_set_aside(snapshot, set_aside, visit, context);
}

/*
 * A room whose versions were set aside counts once, unless the snapshot sees another version of it: then these are only
 * its new versions. If it is on its way to another server, it counts on both: either may turn out to have it.
 */
void
Assignments::visit_set_aside(Snapshot snapshot, Array<HeapTuple> set_aside, RowVisitor visit,
							 void *context) const
{
	TupleDesc descriptor = RelationGetDescr(heap);
	auto room_of = [descriptor](HeapTuple tuple) { return assignment_of(tuple, descriptor).room; };
	int next;

	std::sort(set_aside.begin(), set_aside.end(),
			  [room_of](HeapTuple a, HeapTuple b) { return room_of(a) < room_of(b); });
	for (int first = 0; first < set_aside.count; first = next)
	{
		RoomKey room;

		room.set(room_of(set_aside[first]));
		for (next = first + 1; next < set_aside.count && room_of(set_aside[next]) == room.view();
			 next++)
			;

		HeapTuple latest = latest_of(set_aside.items + first, next - first);

		if (latest == nullptr)
			continue;

		Assignment row = assignment_of(latest, descriptor);
		Probe seen = probe(room, snapshot);

		if (!seen.visible || view_of(seen.server) != row.server)
			visit(context, row, latest);
	}
}

} // namespace gxy
