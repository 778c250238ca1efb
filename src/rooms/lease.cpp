/*
 * lease.cpp: sticky answers, first assignments, renewals and releases.
 *
 * A call goes round a loop (RoomWaits in tables/placement_locks.hpp): find the room's row; if it is there, renew its lease
 * if that is due and answer; if not, place the room. A step that meets another transaction either does without it, as a
 * renewal does, or has the call wait for its end and go round again. While it waits the call holds no lock that it has
 * taken itself, so that it waits for transactions that concern its own room only, and keeps none of them waiting.
 *
 * A lease that has not expired is answered from its row whatever other transactions do to the row. An expired one may be
 * on its way out, so its renewal comes before the answer: if another transaction is deleting the row, only the end of
 * that transaction tells where the room is.
 */
#include "rooms/lease.hpp"

#include "placement/assign.hpp"
#include "tables/catalog.hpp"
#include "tables/placement_locks.hpp"
#include "pg/debug_delay.hpp"
#include "rooms/relocation.hpp"
#include "servers/pool_under_lock.hpp"
#include "shared/status.hpp"
#include "policy/time_arithmetic.hpp"

namespace gxy
{
namespace
{

bool
may_write()
{
	return !XactReadOnly && !RecoveryInProgress() && !IsInParallelMode();
}

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

/* For how long a lease goes without being renewed; a SERIALIZABLE writer may be owed an error, so it writes rarely. */
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

/* Renews without waiting: busy if another transaction has the row, or has locked the table. */
Change
renew(Assignments *assignments, Found *found, TimestampTz now, std::optional<int> users)
{
	Oid table = RelationGetRelid(assignments->table());

	if (!ConditionalLockRelationOid(table, RowExclusiveLock))
		return Change::busy;

	Change change = assignments->renew(&found->tid, now, users);

	if (change != Change::done)
		UnlockRelationOid(table, RowExclusiveLock);
	return change;
}

/* Its sessions, if it has any, are counted where they are. */
void
note_freed(const RoomKey &room, const Found &found)
{
	Assignment row;

	row.assigned_at = found.assigned_at;
	row.expected_users = found.expected_users;
	note_loss(view_of(found.server), gxy::burden_of(row, current_rules(), GetCurrentTimestamp()),
			  found.inserter);
	note_lost_room(room.view());
}

enum class LookupResult
{
	answered,
	absent,
	stranded, /* its server has failed, and no standby has claimed it */
	again
};

/*
 * Where to send the callers of a room: what its row says, unless its server has failed. A claim is the answer whether or
 * not the row can be rewritten just now; nobody is waited for, and if somebody has locked the pool as a whole the row
 * has to do.
 */
LookupResult
route(Assignments *assignments, Found *found, TimestampTz now, text **server)
{
	const Pool *current = pool_without_waiting();
	std::string_view named = view_of(found->server);

	*server = found->server;
	if (current == nullptr)
		return LookupResult::answered;

	RoomLocation where = current->locate(named, found->assigned_at, now);

	if (where.stranded && may_write())
		return LookupResult::stranded;
	if (!where.moved)
		return LookupResult::answered;
	*server = text_of(current->servers[where.server].name);
	/* A SERIALIZABLE transaction may be owed an error for writing; the worker rewrites the row as well. */
	if (!may_write() || IsolationIsSerializable() ||
		!ConditionalLockRelationOid(RelationGetRelid(assignments->table()), RowExclusiveLock) ||
		!try_lock_placement_with(*current, placing_by_cache))
		return LookupResult::answered;

	Change change =
		relocate_row(assignments, found, view_of(*server), reason_of_move("failover", named));

	release_placement_lock(placing_by_cache);
	return change == Change::outdated ? LookupResult::again : LookupResult::answered;
}

/*
 * Has the policy move a stranded room off its server, unless somebody else has done so since it was found there. False if
 * it stays: somebody has its row in hand, or there is nowhere to go.
 */
bool
reassign(const RoomKey &room, std::string_view from, Deadline deadline)
{
	if (!ConditionalLockRelationOid(relations().assignments, RowExclusiveLock))
		return false;

	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context =
		AllocSetContextCreate(caller, "gxy_balancer move", ALLOCSET_DEFAULT_SIZES);

	MemoryContextSwitchTo(context);

	debug_pause();

	Assignments assignments = open_assignments(RowExclusiveLock, deadline);
	std::optional<Found> found = assignments.find(room);
	std::optional<Assignment> row = found ? assignments.read(&found->tid) : std::nullopt;
	bool looks_again = true;

	if (row && row->server == from)
	{
		Array<Assignment> rooms;

		rooms.push(*row);

		MoveResult moved = move_rooms(&assignments, rooms, Way{.why = "failover"}, deadline);

		looks_again = !moved.busy && !moved.stuck;
	}
	assignments.close();
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	return looks_again;
}

/* Another transaction that has to end before a call can be answered. */
struct InTheWay
{
	TransactionId holder = InvalidTransactionId; /* invalid: none */
	std::uint32_t token = 0;
};

/* The row of a room was not found: absent, again, or another transaction is inserting it. */
LookupResult
look_closer(const Assignments &assignments, const RoomKey &room, InTheWay *in_the_way)
{
	Assignments::Probe probe = probe_now(assignments, room);

	if (probe.committed)
		return LookupResult::again;
	*in_the_way = {.holder = probe.holder, .token = probe.token};
	return LookupResult::absent;
}

/* Renews an expired lease. Another transaction that has the row may be deleting it: that one is in the way. */
LookupResult
renew_expired(Assignments *assignments, const RoomKey &room, std::optional<Found> *found,
			  TimestampTz now, std::optional<int> users, InTheWay *in_the_way)
{
	debug_pause();

	Change change = renew(assignments, &**found, now, users);

	if (change == Change::busy)
	{
		*found = assignments->find_with_deleter(room);
		if (*found)
			in_the_way->holder = (*found)->deleter;
	}
	if (change == Change::done)
	{
		count(Counter::renewed);
		*found = assignments->find(room);
	}
	return change == Change::outdated || !*found ? LookupResult::again : LookupResult::answered;
}

/*
 * Looks for the row of a room and renews its lease if that is due, or users are to be noted; finds out where its callers
 * are to be sent if server is given. again: something has changed in between, or the call has waited for it.
 */
LookupResult
look_up_and_renew(const RoomKey &room, std::optional<int> users, RoomWaits *waits, text **server)
{
	TimestampTz now = waits->now();
	Assignments assignments = Assignments::open(AccessShareLock, waits->deadline());
	bool absent;
	std::optional<Found> found = assignments.find(room, &absent);
	LookupResult result = LookupResult::answered;
	InTheWay in_the_way;
	bool is_expired = found && may_write() && expired(*found, now);

	if (!found)
		result = absent ? LookupResult::absent : look_closer(assignments, room, &in_the_way);
	else if (is_expired)
		result = renew_expired(&assignments, room, &found, now, users, &in_the_way);
	if (TransactionIdIsValid(in_the_way.holder) && (found || (server != nullptr && may_write())))
	{
		/* So that it can lock the table as a whole, as for a TRUNCATE, before it ends. */
		assignments.close_and_unlock();
		waits->wait_for_holder(in_the_way.holder, in_the_way.token);
		return LookupResult::again;
	}
	if (result == LookupResult::answered && server != nullptr)
		result = route(&assignments, &*found, now, server);
	if (result == LookupResult::answered && !is_expired && may_write() &&
		is_due(*found, now, users))
	{
		debug_pause();

		Change change = renew(&assignments, &*found, now, users);

		if (change == Change::outdated)
			result = LookupResult::again;
		if (change == Change::done)
			count(Counter::renewed);
	}
	/* Nothing was read or written that has to be protected: what follows may have to wait. */
	if (result == LookupResult::absent || result == LookupResult::again)
		assignments.close_and_unlock();
	else
		assignments.close();
	return result;
}

} // namespace

text *
get_or_assign(const RoomKey &room, std::string_view region, std::optional<int> expected_users)
{
	return retry(room, [&](RoomWaits *waits) -> std::optional<text *> {
		text *server = nullptr;

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
												.deadline = waits->deadline()},
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
		/* Row by row with others: wait until it is ours, then look at what became of it. */
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
	return where.moved ? text_of(current->servers[where.server].name) : found->server;
}

} // namespace gxy
