/*
 * lease.cpp: sticky answers, first assignments, renewals and releases.
 *
 * A call is a loop (RoomWaits in tables/placement_locks.hpp). Each round finds the room's row. If
 * there is a row, it renews the lease if that is due, and answers; if not, it places the room. If
 * another transaction is in the way, the round either goes on without the step, as a renewal does,
 * or waits for the end of that transaction and starts the next round. While a call waits it holds
 * no lock that it has taken itself. So it waits only for transactions on its own room, and blocks
 * no other session. release() locks the table while it waits for the row, as a DELETE does.
 *
 * A lease that has not expired is answered from its row, whatever other transactions do to the row.
 * An expired lease may be about to be deleted, so it is renewed before the answer. If another
 * transaction is deleting the row, only the end of that transaction tells where the room is.
 */
#include "rooms/lease.hpp"

#include "pg/array.hpp"
#include "pg/debug_delay.hpp"
#include "pg/heap_access.hpp"
#include "pg/lock_timeout.hpp"
#include "pg/may_write.hpp"
#include "pg/settings.hpp"
#include "placement/assign.hpp"
#include "placement/candidates.hpp"
#include "policy/time_arithmetic.hpp"
#include "rooms/load_changes.hpp"
#include "rooms/moves_on_call.hpp"
#include "rooms/room_existence.hpp"
#include "servers/pool.hpp"
#include "shared/databases.hpp"
#include "shared/placements.hpp"
#include "shared/status.hpp"
#include "tables/known_rows.hpp"
#include "tables/locks.hpp"
#include "tables/placement_locks.hpp"

namespace gxy
{
namespace
{

void
require_write(const RoomKey &room, const char *what)
{
	if (may_write())
		return;

	std::string_view id = room.view();

	ereport(ERROR, (errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
					errmsg("cannot %s room \"%.*s\" in a read-only transaction", what,
						   static_cast<int>(id.size()), id.data()),
					RecoveryInProgress() ? errhint("This server is a standby: call the primary.")
										 : errhint("Call it in a READ WRITE transaction.")));
}

/*
 * Returns the age (microseconds) at which a lease is renewed. Writing in a SERIALIZABLE transaction
 * risks a serialization failure, so it renews less often.
 */
TimestampTz
renewal_interval()
{
	TimestampTz grace = microseconds(setting::assignment_grace);

	if (IsolationIsSerializable())
		return grace / 2;
	return std::min(microseconds(setting::touch_interval), grace / 3);
}

bool
expired(const Found &found, TimestampTz now)
{
	return elapsed(found.leased_from, now) >= microseconds(setting::assignment_grace);
}

bool
is_due(const Found &found, TimestampTz now, std::optional<int> users)
{
	return elapsed(found.leased_from, now) >= renewal_interval() ||
		   (users && users != found.reported_users && !IsolationIsSerializable());
}

/*
 * Renews a lease without waiting. Returns busy if another transaction has locked the row or the
 * table.
 */
Change
renew(Assignments *assignments, Found *found, TimestampTz now, std::optional<int> users)
{
	Oid table = RelationGetRelid(assignments->table());

	if (!ConditionalLockRelationOid(table, RowExclusiveLock))
		return Change::busy;

	Change change =
		assignments->renew(&found->tid, now, users != found->reported_users ? users : std::nullopt);

	if (change == Change::done)
	{
		note_renewed(*found, now, users);
		count(Counter::renewed);
	}
	else
		UnlockRelationOid(table, RowExclusiveLock);
	return change;
}

enum class LookupResult
{
	answered,
	absent,
	stranded, /* its server has failed, and no standby has claimed it */
	again
};

/*
 * Sets *server to where callers of a room are sent: the server that the row names, or the standby
 * that has claimed it. A claim is the answer even if the row cannot be rewritten now. Waits for no
 * other transaction: if one has locked the pool's tables, the row is the answer.
 */
LookupResult
route(Assignments *assignments, const RoomKey &room, Found *found, TimestampTz now,
	  Deadline deadline, text **server)
{
	const Pool *current = pool_without_waiting();
	std::string_view named = view_of(found->server);

	*server = found->server;
	if (current == nullptr)
		return LookupResult::answered;

	RoomLocation where = current->locate(named, found->assigned_at, now);

	if (where.stranded && may_write_if_useful())
		return LookupResult::stranded;
	if (!where.moved)
		return LookupResult::answered;
	if (!claim_holds(*current, where, room.view()))
		return may_write_if_useful() ? LookupResult::stranded : LookupResult::answered;
	*server = text_of(current->servers[where.server].name);
	/*
	 * Writing in a SERIALIZABLE transaction risks a serialization failure. The worker rewrites the
	 * row later.
	 */
	if (!may_write_if_useful() || IsolationIsSerializable())
		return LookupResult::answered;

	Change change =
		move_to_claimant(assignments, room, found, *current, view_of(*server), deadline);

	return change == Change::outdated ? LookupResult::again : LookupResult::answered;
}

/* A transaction that must end before the call can be answered. */
struct Blocker
{
	TransactionId holder = InvalidTransactionId; /* invalid if there is none */
	std::uint32_t token = 0;
};

/*
 * The row was not found. Returns again if there is one after all, otherwise absent; sets
 * *blocker if another transaction is inserting it.
 */
LookupResult
probe_row(const Assignments &assignments, const RoomKey &room, Blocker *blocker)
{
	Assignments::Probe probe = probe_now(assignments, room);

	if (probe.committed)
		return LookupResult::again;
	*blocker = {.holder = probe.holder, .token = probe.token};
	return LookupResult::absent;
}

/* Renews an expired lease. If another transaction is deleting the row, *blocker is set to it. */
LookupResult
renew_expired(Assignments *assignments, const RoomKey &room, std::optional<Found> *found,
			  TimestampTz now, std::optional<int> users, Blocker *blocker)
{
	debug_pause("renew expired");

	Change change = renew(assignments, &**found, now, users);

	if (change == Change::busy)
	{
		*found = assignments->find_with_deleter(room);
		if (*found)
			blocker->holder = (*found)->deleter;
	}
	if (change == Change::done)
		*found = assignments->find(room);
	return change == Change::outdated || !*found ? LookupResult::again : LookupResult::answered;
}

/*
 * Finds the row of a room and renews its lease if that is due or if the number of users has
 * changed. Sets *server, if it is given, to where callers are sent. Returns again if the row has
 * changed meanwhile or the call has waited.
 */
LookupResult
look_up_and_renew(const RoomKey &room, std::optional<int> users, RoomWaits *waits, text **server)
{
	TimestampTz now = waits->now();
	Assignments assignments = Assignments::open(AccessShareLock, waits->deadline());
	bool absent;
	std::optional<Found> found = assignments.find(room, &absent);
	LookupResult result = LookupResult::answered;
	Blocker blocker;
	/* touch_room() has no other purpose. */
	auto may_renew = [server] { return server == nullptr ? may_write() : may_write_if_useful(); };
	bool is_expired = found && expired(*found, now) && may_renew();

	if (!found)
		result = absent ? LookupResult::absent : probe_row(assignments, room, &blocker);
	else if (is_expired)
		result = renew_expired(&assignments, room, &found, now, users, &blocker);
	if (TransactionIdIsValid(blocker.holder) && (found || (server != nullptr && may_write())))
	{
		/*
		 * Unlock, so that the other transaction can lock the whole table before it ends, as for a
		 * TRUNCATE.
		 */
		assignments.close_and_unlock();
		waits->wait_for_holder(blocker.holder, blocker.token);
		return LookupResult::again;
	}
	if (result == LookupResult::answered && server != nullptr)
		result = route(&assignments, room, &*found, now, waits->deadline(), server);
	if (result == LookupResult::answered && !is_expired && is_due(*found, now, users) &&
		may_renew())
	{
		debug_pause("renew");
		if (renew(&assignments, &*found, now, users) == Change::outdated)
			result = LookupResult::again;
	}
	/* The caller may have to wait next. Nothing was read or written that needs the lock. */
	if (result == LookupResult::absent || result == LookupResult::again)
		assignments.close_and_unlock();
	else
		assignments.close();
	return result;
}

/*
 * Returns the room's server if its row is settled where this backend saw it last, nothing is to be
 * written, and its server is usable; otherwise nullptr. Takes no lock on the table, so it also
 * answers while another transaction holds an exclusive one, as the row's committed version.
 */
text *
settled_answer(const RoomKey &room, TimestampTz now)
{
	std::optional<Found> found = find_settled_row(room);

	if (!found || (may_write() && (expired(*found, now) || is_due(*found, now, std::nullopt))))
		return nullptr;

	const Pool *current = pool_without_waiting();

	if (current == nullptr)
		return nullptr;

	RoomLocation where = current->locate(view_of(found->server), found->assigned_at, now);

	return where.stranded || where.moved ? nullptr : found->server;
}

} // namespace

text *
get_or_assign(const RoomKey &room, std::string_view region, std::optional<int> expected_users)
{
	return retry(room, [&](RoomWaits *waits) -> std::optional<text *> {
		text *server = settled_answer(room, waits->now());

		if (server != nullptr)
		{
			count(Counter::sticky);
			return server;
		}

		std::optional<std::uint32_t> placements = placements_like(room.hash());

		switch (look_up_and_renew(room, std::nullopt, waits, &server))
		{
			case LookupResult::answered:
				break;
			case LookupResult::stranded:
				if (reassign(room, view_of(server), waits->deadline()))
					return std::nullopt;
				break;
			case LookupResult::again:
				return std::nullopt;
			case LookupResult::absent:
				require_write(room, "assign a server to");
				server = place(PlacementRequest{.room = &room,
												.region = region,
												.expected_users = expected_users,
												.now = waits->now(),
												.deadline = waits->deadline(),
												.placements_before = placements},
							   waits);
				return server != nullptr ? std::optional(server) : std::nullopt;
		}
		count(Counter::sticky);
		return server;
	});
}

bool
is_assigned(const Assignments &assignments, const RoomKey &room)
{
	return probe_now(assignments, room).committed;
}

bool
touch(const RoomKey &room, std::optional<int> users)
{
	require_write(room, "touch");
	return retry(room, [&](RoomWaits *waits) -> std::optional<bool> {
		LookupResult result = look_up_and_renew(room, users, waits, nullptr);

		return result != LookupResult::again ? std::optional(result == LookupResult::answered)
											 : std::nullopt;
	});
}

bool
release(const RoomKey &room)
{
	require_write(room, "release");

	Assignments assignments = open_assignments(RowExclusiveLock, Deadline::of_call_starting_now());
	bool released = retry(room, [&](RoomWaits *waits) -> std::optional<bool> {
		std::optional<Found> found = assignments.find(room);

		if (!found)
			return is_assigned(assignments, room) ? std::nullopt : std::optional(false);
		/* Wait for the row lock, then check what the other transaction has done to the row. */
		Change locked = waits->wait_for_row(&assignments, &found->tid);

		if (locked == Change::busy)
			ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
							errmsg("cannot release a room in the statement that assigns it"),
							errhint("Release it in a statement of its own.")));
		if (locked != Change::done || assignments.remove_locked(&found->tid) != Change::done)
			return std::nullopt;
		note_freed(room, *found);
		CommandCounterIncrement();
		return true;
	});

	assignments.close();
	return released;
}

text *
look_up(const RoomKey &room)
{
	Deadline deadline = Deadline::of_call_starting_now();
	Assignments assignments = Assignments::open(AccessShareLock, deadline);
	std::optional<Found> found = assignments.find_visible(room);

	assignments.close();
	if (!found)
		return nullptr;

	const Pool *current = pool_without_waiting();
	RoomLocation where;

	if (current != nullptr)
		where = current->locate(view_of(found->server), found->assigned_at, GetCurrentTimestamp());
	return where.moved && claim_holds(*current, where, room.view())
			   ? text_of(current->servers[where.server].name)
			   : found->server;
}

} // namespace gxy
