/*
 * locks.cpp: the waits, and the errors of those that ran out.
 */
#include "tables/locks.hpp"

#include "pg/role.hpp"
#include "tables/catalog.hpp"

namespace gxy
{
namespace
{

/* Who is in the way: filled in before the wait, because nothing can be looked up after an error. */
struct Holder
{
	TransactionId transaction = InvalidTransactionId;
	int pid = 0;					/* 0: not a session's */
	const char *prepared = nullptr; /* its identifier, if it is a prepared transaction */
};

const char *
prepared_transaction_name(TransactionId transaction)
{
	const char *query = "SELECT p.gid FROM pg_catalog.pg_prepared_xacts p "
						"WHERE p.transaction = $1";
	Oid types[] = {XIDOID};
	Datum values[] = {TransactionIdGetDatum(transaction)};
	char *name = nullptr;
	MemoryContext caller = CurrentMemoryContext;

	/* Anybody may read the view: this is for the search_path. */
	as_role(GetUserId(), [&] {
		SPI_connect();
		if (SPI_execute_with_args(query, 1, types, values, nullptr, true, 1) == SPI_OK_SELECT &&
			SPI_processed == 1)
		{
			const char *gid = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);

			name = gid != nullptr ? MemoryContextStrdup(caller, gid) : nullptr;
		}
		SPI_finish();
	});
	return name;
}

Holder
identify(TransactionId transaction)
{
	Holder holder;

	holder.transaction = SubTransGetTopmostTransaction(transaction);
	holder.pid = BackendXidGetPid(holder.transaction);
	if (holder.pid == 0)
		holder.prepared = prepared_transaction_name(holder.transaction);
	return holder;
}

/* The holder may have prepared its transaction while we waited. */
[[noreturn]] void
report_timeout(const RoomKey &room, const Holder &holder)
{
	int pid = BackendXidGetPid(holder.transaction);
	std::string_view id = room.view();

	ereport(
		ERROR,
		(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
		 errmsg("timed out waiting for the server of room \"%.*s\"", static_cast<int>(id.size()),
				id.data()),
		 errdetail("Another transaction has assigned or freed the room and has not ended yet."),
		 holder.prepared != nullptr
			 ? errhint(
				   "It is the prepared transaction '%s': end it with COMMIT PREPARED or ROLLBACK "
				   "PREPARED.",
				   holder.prepared)
		 : pid != 0
			 ? errhint("It is that of the session with pid %d, see pg_stat_activity.", pid)
			 : errhint("Its id is %u, see pg_prepared_xacts and pg_locks.", holder.transaction)));
	pg_unreachable();
}

} // namespace

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
	int level = begin_lock_timeout(deadline);
	Insertion insertion = Insertion::prepare(assignments);

	end_lock_timeout(level);
	return insertion;
}

void
wait_for_holder(TransactionId holder, std::uint32_t token, const RoomKey &room, Deadline deadline)
{
	Holder who = identify(holder);

	wait_or_report(
		deadline,
		[holder, token] {
			if (token != 0)
				SpeculativeInsertionWait(holder, token);
			else
				XactLockTableWait(holder, nullptr, nullptr, XLTW_None);
		},
		[&room, &who] { report_timeout(room, who); });
}

Assignments::Change
wait_for_row(Assignments *assignments, ItemPointer tid, const RoomKey &room, Deadline deadline)
{
	Assignments::Change change = Assignments::Change::busy;

	wait_or_report(
		deadline, [assignments, tid, &change] { change = assignments->lock_row(tid); },
		[&room] { give_up(room); });
	return change;
}

/*
 * The lock manager hands a lock over to whoever has waited longest, and if that one has to wait for a processor first,
 * so do all behind it, though they might have done their work in the meantime. So nobody queues before having tried for
 * a while: whoever is running gets the lock.
 */
void
wait_for_placement_lock(const RoomKey &room, LOCKMODE mode, Deadline deadline)
{
	constexpr int attempts = 100;
	constexpr long pause = 200; /* microseconds */

	for (int i = 0; i < attempts; i++)
	{
		if (try_placement_lock(mode))
			return;
		CHECK_FOR_INTERRUPTS();
		pg_usleep(pause);
		if (deadline.passed())
			break;
	}
	wait_or_report(
		deadline, [mode] { acquire_placement_lock(mode); }, [&room] { give_up(room); });
}

void
give_up(const RoomKey &room)
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
