/*
 * placement_locks.cpp: the room lock and the placement lock, and waits that may time out without an
 * error.
 *
 * The server ends a wait by raising an error. If the call is to go on after that, the wait runs in
 * a subtransaction, whose rollback restores the lock manager and everything else.
 */
#include "tables/placement_locks.hpp"

#include "pg/role.hpp"
#include "pg/subtransaction.hpp"
#include "tables/catalog.hpp"
#include "tables/locks.hpp"

namespace gxy
{
namespace
{

/*
 * Other object locks name a catalog here, never one of the extension's tables. In pg_locks:
 * classid, objid, and objsubid 2.
 */
LOCKTAG
room_lock_tag(const RoomKey &room)
{
	LOCKTAG tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, relations().assignments,
					   static_cast<std::uint32_t>(room.hash()), 2);
	return tag;
}

LOCKTAG
placement_lock_tag()
{
	return side_lock_tag(relations().assignments);
}

/*
 * Runs f with the transaction as the owner of its locks. A lock acquired in a subtransaction passes
 * to the transaction when the subtransaction ends, and only the owner can release it.
 */
template <typename F>
auto
as_transaction(F f)
{
	ResourceOwner owner = CurrentResourceOwner;

	CurrentResourceOwner = CurTransactionResourceOwner;

	auto result = f();

	CurrentResourceOwner = owner;
	return result;
}

bool
try_lock(const LOCKTAG &tag, LOCKMODE mode)
{
	return as_transaction(
		[&] { return LockAcquire(&tag, mode, false, true) != LOCKACQUIRE_NOT_AVAIL; });
}

void
release(const LOCKTAG &tag, LOCKMODE mode)
{
	(void) as_transaction([&] { return LockRelease(&tag, mode, false); });
}

/*
 * Tries for up to 20 ms to take the placement lock without queueing for it. Returns whether it has.
 *
 * The lock manager grants a lock to the backend that has waited longest. If that backend must first
 * wait for a processor, all others wait too. Trying for a while before queueing gives the lock to a
 * backend that is running.
 */
bool
poll_placement_lock(LOCKMODE mode, Deadline deadline)
{
	constexpr int attempts = 100;
	constexpr long pause = 200; /* microseconds */
	LOCKTAG tag = placement_lock_tag();

	for (int i = 0; i < attempts; i++)
	{
		if (try_lock(tag, mode))
			return true;
		CHECK_FOR_INTERRUPTS();
		if (deadline.passed())
			return false;
		pg_usleep(pause);
	}
	return false;
}

/*
 * Runs wait in a subtransaction. Returns false if a lock timeout has ended it; raises other errors.
 */
template <typename W>
bool
survive_timeout(Deadline deadline, W wait)
{
	int level = begin_lock_timeout(deadline);
	ErrorData *error = try_in_subtransaction([&wait] {
		wait();
		return true;
	});

	if (error != nullptr && error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE)
		ReThrowError(error);
	end_lock_timeout(level);
	return error == nullptr;
}

const char *
prepared_transaction_name(TransactionId transaction)
{
	const char *query = "SELECT p.gid FROM pg_catalog.pg_prepared_xacts p "
						"WHERE p.transaction = $1";
	Oid types[] = {XIDOID};
	Datum values[] = {TransactionIdGetDatum(transaction)};
	char *name = nullptr;
	MemoryContext caller = CurrentMemoryContext;

	/* Every role may read the view; as_role() only sets a safe search_path. */
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

[[noreturn]] void
report_holder(const RoomKey &room, TransactionId holder)
{
	TransactionId transaction = SubTransGetTopmostTransaction(holder);
	int pid = BackendXidGetPid(transaction);
	const char *prepared = pid == 0 ? prepared_transaction_name(transaction) : nullptr;
	std::string_view id = room.view();

	ereport(
		ERROR,
		(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
		 errmsg("timed out waiting for the server of room \"%.*s\"", static_cast<int>(id.size()),
				id.data()),
		 errdetail("Another transaction has assigned or freed the room and has not ended yet."),
		 prepared != nullptr
			 ? errhint(
				   "It is the prepared transaction '%s': end it with COMMIT PREPARED or ROLLBACK "
				   "PREPARED.",
				   prepared)
		 : pid != 0 ? errhint("It is that of the session with pid %d, see pg_stat_activity.", pid)
					: errhint("Its id is %u, see pg_prepared_xacts and pg_locks.", transaction)));
	pg_unreachable();
}

} // namespace

void
release_room_lock(const RoomKey &room)
{
	release(room_lock_tag(room), ExclusiveLock);
}

void
release_placement_lock(LOCKMODE mode)
{
	release(placement_lock_tag(), mode);
}

bool
try_placement_lock(LOCKMODE mode)
{
	return try_lock(placement_lock_tag(), mode);
}

void
keep_placement_lock(Deadline deadline)
{
	LOCKTAG tag = placement_lock_tag();

	wait_or_report(
		deadline,
		[&tag] {
			(void) as_transaction([&] { return LockAcquire(&tag, ExclusiveLock, false, false); });
		},
		[] {
			ereport(ERROR, (errcode(ERRCODE_LOCK_NOT_AVAILABLE),
							errmsg("timed out waiting for rooms that are being placed"),
							errhint("Retry; pg_locks shows who holds the object lock on "
									"room_server_assignments.")));
		});
}

void
wait_for_placement_lock(const RoomKey &room, LOCKMODE mode, Deadline deadline)
{
	if (poll_placement_lock(mode, deadline))
		return;

	LOCKTAG tag = placement_lock_tag();

	wait_or_report(
		deadline,
		[&tag, mode] {
			(void) as_transaction([&] { return LockAcquire(&tag, mode, false, false); });
		},
		[&room] { raise_timeout(room); });
}

/* After the deadline the call must not wait again. */
template <typename W>
bool
RoomWaits::wait(W wait)
{
	timed_out = !survive_timeout(until, wait);
	return !timed_out;
}

bool
RoomWaits::lock_room()
{
	LOCKTAG tag = room_lock_tag(*room);

	if (try_lock(tag, ExclusiveLock))
		return true;
	if (timed_out)
		raise_timeout(*room);
	waited = true;
	return wait([&tag] { (void) LockAcquire(&tag, ExclusiveLock, false, false); });
}

bool
RoomWaits::lock_placement(LOCKMODE mode)
{
	LOCKTAG tag = placement_lock_tag();

	if (poll_placement_lock(mode, until))
		return true;
	if (timed_out)
		raise_timeout(*room);
	waited = true;
	return wait([&tag, mode] { (void) LockAcquire(&tag, mode, false, false); });
}

void
RoomWaits::wait_for_holder(TransactionId holder, std::uint32_t token)
{
	if (timed_out)
		report_holder(*room, holder);
	waited = TransactionIdIsInProgress(holder);
	(void) wait([holder, token] {
		if (token != 0)
			SpeculativeInsertionWait(holder, token);
		else
			XactLockTableWait(holder, nullptr, nullptr, XLTW_None);
	});
}

Change
RoomWaits::wait_for_row(Assignments *assignments, ItemPointer tid)
{
	waited = true;
	return gxy::wait_for_row(assignments, tid, *room, until);
}

void
RoomWaits::next_round()
{
	/* Each leaves a dead row. */
	constexpr int most_refusals = 10;
	/* A room that many callers renew at once may change between two looks, but not forever. */
	constexpr int most_rounds = 1000;

	rounds_without_wait = waited ? 0 : rounds_without_wait + 1;
	if (rounds_without_wait >= most_refusals && row_refused)
		ereport(ERROR, (errcode(ERRCODE_UNIQUE_VIOLATION),
						errmsg("a unique index refuses the row of room \"%s\"",
							   copy_of(room->view()).data()),
						errdetail("Table room_server_assignments has a unique index besides its "
								  "primary key, and a row of another room is in the way."),
						errhint("Drop that index.")));
	if (rounds_without_wait >= most_rounds)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
						errmsg_internal("the row of room \"%s\" is neither found nor absent",
										copy_of(room->view()).data())));
	waited = false;
	row_refused = false;
	round_start = GetCurrentTimestamp();
}

} // namespace gxy
