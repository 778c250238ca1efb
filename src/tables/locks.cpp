/*
 * locks.cpp: waits for locks, and the errors of waits that time out.
 */
#include "tables/locks.hpp"

#include "pg/heap_access.hpp"

namespace gxy
{

Assignments
open_assignments(LOCKMODE mode, Deadline deadline)
{
	Assignments assignments = Assignments::open(mode, deadline);

	assignments.open_key();
	return assignments;
}

Insertion
prepare_insertion(const Assignments &assignments, Deadline deadline)
{
	IndexLocks locks = IndexLocks::wait_for_all(assignments.table(), deadline);
	Insertion insertion = Insertion::prepare(assignments);

	locks.release();
	return insertion;
}

Assignments::Change
wait_for_row(Assignments *assignments, ItemPointer tid, const RoomKey &room, Deadline deadline)
{
	Assignments::Change change = Assignments::Change::busy;

	wait_or_report(
		deadline, [assignments, tid, &change] { change = assignments->lock_row(tid); },
		[&room] { raise_timeout(room); });
	return change;
}

void
raise_timeout(const RoomKey &room)
{
	std::string_view id = room.view();

	ereport(
		ERROR,
		(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
		 errmsg("timed out waiting for room \"%.*s\"", static_cast<int>(id.size()), id.data()),
		 errdetail("Other transactions kept the room, or the placement of rooms, to themselves."),
		 errhint("Retry; pg_locks and pg_stat_activity show who holds what.")));
	pg_unreachable();
}

} // namespace gxy
