/*
 * wait.cpp: bounded waits, and the errors of those that ran out.
 *
 * lock_timeout is set through the GUC machinery at a nest level of its own: an error unwinds it with the
 * (sub)transaction, so nothing has to be put back by hand.
 */
#include "wait.hpp"

#include "catalog.hpp"

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
						"WHERE p.transaction OPERATOR(pg_catalog.=) $1";
	Oid types[] = {XIDOID};
	Datum values[] = {TransactionIdGetDatum(transaction)};
	char *name = nullptr;
	MemoryContext caller = CurrentMemoryContext;

	SPI_connect();
	if (SPI_execute_with_args(query, 1, types, values, nullptr, true, 1) == SPI_OK_SELECT &&
		SPI_processed == 1)
	{
		const char *gid = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);

		name = gid != nullptr ? MemoryContextStrdup(caller, gid) : nullptr;
	}
	SPI_finish();
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

/* Runs wait under the deadline and turns a lock timeout into the error that report raises. */
template <typename W, typename R>
void
wait_or_report(Deadline deadline, W wait, R report)
{
	MemoryContext caller = CurrentMemoryContext;

	PG_TRY();
	{
		with_lock_timeout(deadline, wait);
	}
	PG_CATCH();
	{
		if (geterrcode() != ERRCODE_LOCK_NOT_AVAILABLE)
			PG_RE_THROW();
		MemoryContextSwitchTo(caller);
		FlushErrorState();
		report();
	}
	PG_END_TRY();
}

} // namespace

int
Deadline::milliseconds_left() const
{
	TimestampTz left = (at - GetCurrentTimestamp()) / 1000;

	return static_cast<int>(std::clamp<TimestampTz>(left, 1, INT_MAX));
}

int
begin_lock_timeout(Deadline deadline)
{
	int level = NewGUCNestLevel();
	int left = deadline.milliseconds_left();
	char value[16];

	if (LockTimeout > 0 && LockTimeout <= left)
		return level;
	pg_lltoa(left, value);
	(void) set_config_option("lock_timeout", value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
	return level;
}

void
end_lock_timeout(int guc_nest_level)
{
	AtEOXact_GUC(true, guc_nest_level);
}

Assignments
open_assignments(LOCKMODE mode, Deadline deadline)
{
	Oid table = relations().assignments;

	if (!ConditionalLockRelationOid(table, mode))
		wait_or_report(
			deadline, [table, mode] { LockRelationOid(table, mode); },
			[] {
				ereport(ERROR, (errcode(ERRCODE_LOCK_NOT_AVAILABLE),
								errmsg("timed out waiting for table room_server_assignments"),
								errhint("Somebody has locked it as a whole; see pg_locks.")));
			});
	return Assignments::open(mode);
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

void
wait_for_placement_lock(const RoomKey &room, Deadline deadline)
{
	wait_or_report(
		deadline, [] { acquire_placement_lock(); }, [&room] { give_up(room); });
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
