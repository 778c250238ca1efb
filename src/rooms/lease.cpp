/*
 * lease.cpp: sticky answers, first assignments, renewals and releases.
 *
 * A call goes round a loop: find the room's row; if it is there, renew it if need be and answer; if not, place the
 * room. Every step that meets another transaction either does without it (a renewal), or waits for it outside of the
 * placement lock, bounded by assign_timeout, and goes round again. So nobody waits while holding that lock, and
 * nobody waits for a transaction that has to do with another room only.
 *
 * A lease that has not run out is answered from its row whatever others are doing to it. One that has run out might
 * be on its way out: if its row is being deleted, only the end of the deleting transaction tells where the room is.
 */
#include "rooms/lease.hpp"

#include "placement/assign.hpp"
#include "tables/catalog.hpp"
#include "pg/debug_delay.hpp"
#include "rooms/relocation.hpp"
#include "shared/status.hpp"

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
	return now - found.leased_from >= microseconds(setting::assignment_grace);
}

/* Nobody can tell where the room is before the deleting transaction has ended. */
bool
is_ending(const Found &found, TimestampTz now)
{
	return TransactionIdIsValid(found.deleter) && expired(found, now);
}

bool
is_due(const Found &found, TimestampTz now, std::optional<int> users)
{
	return now - found.leased_from >= renewal_interval() ||
		   (users && users != found.reported_users && !IsolationIsSerializable());
}

/* Renews without waiting for anybody: busy if another transaction has the row, or has locked the table. */
Assignments::Change
renew(Assignments *assignments, Found *found, TimestampTz now, std::optional<int> users)
{
	if (!ConditionalLockRelationOid(RelationGetRelid(assignments->table()), RowExclusiveLock))
		return Assignments::Change::busy;
	return assignments->renew(&found->tid, now, users);
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

enum class Stick
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
Stick
route(Assignments *assignments, Found *found, TimestampTz now, text **server)
{
	const Pool *current = pool_at_hand();
	std::string_view named = view_of(found->server);

	*server = found->server;
	if (current == nullptr)
		return Stick::answered;

	Whereabouts where = current->whereabouts(named, found->assigned_at, now);

	if (where.stranded && may_write())
		return Stick::stranded;
	if (!where.moved)
		return Stick::answered;
	*server = text_of(current->servers[where.server].name);
	/* A SERIALIZABLE transaction may be owed an error for writing; the worker rewrites the row as well. */
	if (!may_write() || IsolationIsSerializable() ||
		!ConditionalLockRelationOid(RelationGetRelid(assignments->table()), RowExclusiveLock))
		return Stick::answered;
	if (send_to(assignments, found, view_of(*server), reason_of_move("failover", named)) ==
		Change::outdated)
		return Stick::again;
	return Stick::answered;
}

/*
 * Has the policy move a stranded room off its server, unless somebody else has done so since it was found there. False if
 * it stays: somebody has its row in hand, or there is nowhere to go.
 */
bool
rehouse(const RoomKey &room, std::string_view from, Deadline deadline)
{
	if (!ConditionalLockRelationOid(relations().assignments, RowExclusiveLock))
		return false;

	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context =
		AllocSetContextCreate(caller, "gxy_balancer move", ALLOCSET_DEFAULT_SIZES);

	MemoryContextSwitchTo(context);

	pause_here();

	Assignments assignments = open_assignments(RowExclusiveLock, deadline);
	std::optional<Found> found = assignments.find(room);
	std::optional<Assignment> row = found ? assignments.read(&found->tid) : std::nullopt;
	bool looks_again = true;

	if (row && row->server == from)
	{
		Array<Assignment> rooms;

		rooms.push(*row);

		Moved moved = move_rooms(&assignments, rooms, std::string_view(), "failover", deadline);

		looks_again = !moved.busy && !moved.stuck;
	}
	assignments.close();
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	return looks_again;
}

/*
 * Looks for the row of a room and renews its lease if that is due, or users are to be noted; finds out where its callers
 * are to be sent if server is given. again: something came in between, and has been waited for.
 */
Stick
stick(const RoomKey &room, TimestampTz now, std::optional<int> users, Deadline deadline,
	  text **server)
{
	Assignments assignments = Assignments::open(AccessShareLock, deadline);
	bool absent;
	std::optional<Found> found = assignments.find(room, &absent);
	Stick result = Stick::answered;

	if (!found)
		result = !absent && probe_now(assignments, room).committed ? Stick::again : Stick::absent;
	else if (server != nullptr && !(may_write() && is_ending(*found, now)))
		result = route(&assignments, &*found, now, server);
	if (found && result == Stick::answered && may_write() && is_due(*found, now, users) &&
		!is_ending(*found, now))
	{
		pause_here();

		Assignments::Change change = renew(&assignments, &*found, now, users);

		/* Whoever has the row may have begun to delete it since it was found. */
		if (change == Assignments::Change::busy && expired(*found, now))
			found = assignments.find(room);
		if (change == Assignments::Change::outdated || !found)
			result = Stick::again;
		if (change == Assignments::Change::done)
			count(Counter::renewed);
	}
	assignments.close();
	if (found && may_write() && is_ending(*found, now))
	{
		wait_for_holder(found->deleter, 0, room, deadline);
		result = Stick::again;
	}
	return result;
}

} // namespace

text *
get_or_assign(const RoomKey &room, std::string_view region, std::optional<int> expected_users)
{
	TimestampTz start = GetCurrentTimestamp();
	Deadline deadline = Deadline::of_call_starting_now();

	for (bool first = true;; first = false)
	{
		text *server = nullptr;
		TimestampTz now = first ? start : GetCurrentTimestamp();

		CHECK_FOR_INTERRUPTS();
		if (!first && deadline.passed())
			give_up(room);
		switch (stick(room, now, std::nullopt, deadline, &server))
		{
			case Stick::answered:
				count(Counter::sticky);
				return server;
			case Stick::stranded:
				if (rehouse(room, view_of(server), deadline))
					continue;
				count(Counter::sticky);
				return server;
			case Stick::again:
				continue;
			case Stick::absent:
				break;
		}
		require_write(room, "assign a server to");
		server = place(PlacementRequest{.room = &room,
										.region = region,
										.expected_users = expected_users,
										.now = now,
										.deadline = deadline});
		if (server != nullptr)
			return server;
	}
}

bool
is_assigned(const Assignments &assignments, const RoomKey &room)
{
	return probe_now(assignments, room).committed;
}

bool
touch(const RoomKey &room, std::optional<int> users)
{
	TimestampTz start = GetCurrentTimestamp();
	Deadline deadline = Deadline::of_call_starting_now();

	require_write(room, "touch");
	for (bool first = true;; first = false)
	{
		CHECK_FOR_INTERRUPTS();
		if (!first && deadline.passed())
			give_up(room);

		Stick result = stick(room, first ? start : GetCurrentTimestamp(), users, deadline, nullptr);

		if (result != Stick::again)
			return result == Stick::answered;
	}
}

bool
release(const RoomKey &room)
{
	Deadline deadline = Deadline::of_call_starting_now();

	require_write(room, "release");

	Assignments assignments = open_assignments(RowExclusiveLock, deadline);
	bool released = false;

	for (bool first = true;; first = false)
	{
		CHECK_FOR_INTERRUPTS();
		if (!first && deadline.passed())
			give_up(room);

		std::optional<Found> found = assignments.find(room);

		if (!found && !probe_now(assignments, room).committed)
			break;
		if (!found)
			continue;
		/* Row by row with others: wait until it is ours, then look at what became of it. */
		Assignments::Change locked = wait_for_row(&assignments, &found->tid, room, deadline);

		if (locked == Assignments::Change::busy)
			ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
							errmsg("cannot release a room in the statement that assigns it"),
							errhint("Release it in a statement of its own.")));
		if (locked != Assignments::Change::done)
			continue;
		if (assignments.remove_locked(&found->tid) == Change::done)
		{
			note_freed(room, *found);
			released = true;
			CommandCounterIncrement();
			break;
		}
	}
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

	const Pool *current = pool_at_hand();
	Whereabouts where;

	if (current != nullptr)
		where =
			current->whereabouts(view_of(found->server), found->assigned_at, GetCurrentTimestamp());
	return where.moved ? text_of(current->servers[where.server].name) : found->server;
}

} // namespace gxy
