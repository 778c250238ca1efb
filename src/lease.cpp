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
#include "lease.hpp"

#include "catalog.hpp"
#include "delays.hpp"
#include "move.hpp"
#include "recount.hpp"
#include "shmem.hpp"

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

/* Whether the room has a row for certain, after find() missed it: then it is worth another look. */
Assignments::Probe
probe_now(const Assignments &assignments, const RoomKey &room)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	Assignments::Probe probe = assignments.probe(room, snapshot);

	UnregisterSnapshot(snapshot);
	return probe;
}

[[noreturn]] void
refuse(const Decision &decision, const PlacementRequest &request, const Prospect &prospect)
{
	const char *room = copy_of(request.room->view()).data();

	count(Counter::refused);
	if (decision.outcome == Outcome::full)
		ereport(
			ERROR,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("every server that may take room \"%s\" is full", room),
			 errdetail("It is expected to bring %lld users; explain_assignment() shows what each "
					   "server carries.",
					   static_cast<long long>(prospect.expected())),
			 errhint("Add a server or raise a capacity in balancer_servers, or set "
					 "gxy_balancer.overflow to overcommit.")));
	ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_RESOURCES),
					errmsg("no server can take room \"%s\"", room),
					errdetail("The pool has %d servers, none of which takes new rooms.",
							  prospect.pool->servers.count),
					errhint("Add one: INSERT INTO balancer_servers (name) VALUES ('...').")));
	pg_unreachable();
}

struct Placing
{
	text *server = nullptr; /* set if the room was placed */
	Assignments::Probe in_the_way;
};

/* The users the room adds to its server's load, as far as they are not there yet. */
Burden
burden_of(const PlacementRequest &request, const Prospect &prospect)
{
	const Pin *pin = prospect.pool->pin_of(request.room->view());
	RoomUse use;

	use.active = prospect.census.users_in(request.room->view());
	use.active_known = prospect.pool->sessions.exists();
	use.expected = prospect.expected();
	use.pinned_size = pin != nullptr && pin->expected_users;
	use.leased = true;
	return gxy::burden_of(use, prospect.rules);
}

/* False if another row of the room got in first. */
bool
insert_room(const PlacementRequest &request, const Prospect &prospect, const Decision &decision,
			const Server &chosen, Insertion *insertion)
{
	TimestampTz now = GetCurrentTimestamp();
	Assignment row = {.room = request.room->view(),
					  .server = chosen.name,
					  .region = request.region,
					  .reason = reason_of(decision, chosen, request, prospect.rules),
					  .assigned_at = now,
					  .last_used_at = now,
					  .expected_users = prospect.expected_users,
					  .reported_users = std::nullopt};

	pause_here();
	if (!insertion->insert(*request.room, row))
		return false;
	count(static_cast<Counter>(tier(decision.verdict.standing)));
	return true;
}

/*
 * Reserves by the board, which is one step; the row follows, and should somebody else have been first, the reservation
 * is taken back. False if the board has no count to go by.
 */
bool
reserve_by_board(const PlacementRequest &request, Prospect *prospect, Board *board,
				 const Assignments &assignments, Insertion *insertion, Placing *placing)
{
	const int *places = places_of(board, *prospect->pool);
	Server *servers = list_servers(request, *prospect);
	Decision decision;
	Reserved reserved = Reserved::suspect;

	for (bool examined = false; reserved == Reserved::suspect; examined = true)
	{
		if (examined)
		{
			take_census(request, prospect);
			servers = list_servers(request, *prospect);
		}
		reserved = places == nullptr
					   ? Reserved::no_count
					   : reserve(board,
								 ReserveRequest{.basis = basis_of(*prospect->pool, prospect->rules),
												.room = name_hash(request.room->view()),
												.room_examined = examined,
												.expected = prospect->expected(),
												.burden = burden_of(request, *prospect),
												.rules = &prospect->rules,
												.own = {}},
								 servers, places, prospect->pool->servers.count, &decision);
	}
	if (reserved == Reserved::no_count)
		return false;
	if (reserved == Reserved::refused)
		refuse(decision, request, *prospect);
	if (insert_room(request, *prospect, decision, servers[decision.server], insertion))
		placing->server = text_of(servers[decision.server].name);
	else
	{
		take_back_reservation();
		placing->in_the_way = probe_now(assignments, *request.room);
	}
	return true;
}

/* Counts and reserves as one step. Holds the placement lock, and waits for nothing meanwhile. */
Placing
reserve_by_count(const PlacementRequest &request, const Prospect &prospect,
				 const Assignments &assignments, Insertion *insertion)
{
	Placing placing;
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());

	pause_here();
	placing.in_the_way = assignments.probe(*request.room, snapshot);
	if (placing.in_the_way.committed || TransactionIdIsValid(placing.in_the_way.holder))
	{
		UnregisterSnapshot(snapshot);
		return placing;
	}

	Server *servers = count_servers(request, prospect, assignments, snapshot);
	Decision decision =
		decide(servers, prospect.pool->servers.count, prospect.expected(), prospect.rules);

	UnregisterSnapshot(snapshot);
	if (decision.outcome != Outcome::placed)
	{
		release_placement_lock();
		refuse(decision, request, prospect);
	}

	const Server &chosen = servers[decision.server];

	if (insert_room(request, prospect, decision, chosen, insertion))
	{
		placing.server = text_of(chosen.name);
		note_room(chosen.name, burden_of(request, prospect));
	}
	return placing;
}

/* One attempt to place a room; nullptr if somebody else was there first, after waiting for him. */
text *
place(const PlacementRequest &request)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context =
		AllocSetContextCreate(caller, "gxy_balancer placement", ALLOCSET_DEFAULT_SIZES);

	MemoryContextSwitchTo(context);

	Prospect prospect = look_ahead(request);
	Assignments assignments = open_assignments(RowExclusiveLock, request.deadline);
	Board *board = fresh_board(request, prospect, assignments);
	Insertion insertion = prepare_insertion(assignments, request.deadline);
	Placing placing;

	if (board == nullptr ||
		!reserve_by_board(request, &prospect, board, assignments, &insertion, &placing))
	{
		take_census(request, &prospect);
		wait_for_placement_lock(*request.room, request.deadline);
		placing = reserve_by_count(request, prospect, assignments, &insertion);
		pause_here();
		release_placement_lock();
	}
	insertion.finish();
	assignments.close();
	MemoryContextSwitchTo(caller);
	if (placing.server != nullptr)
	{
		placing.server = text_of(view_of(placing.server));
		CommandCounterIncrement();
	}
	MemoryContextDelete(context);
	if (TransactionIdIsValid(placing.in_the_way.holder) && !placing.in_the_way.committed)
		wait_for_holder(placing.in_the_way.holder, placing.in_the_way.token, *request.room,
						request.deadline);
	return placing.server;
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

/* Has the policy move a stranded room. False if it stays: somebody has its row in hand, or there is nowhere to go. */
bool
rehouse(const RoomKey &room, Deadline deadline)
{
	if (!ConditionalLockRelationOid(relations().assignments, RowExclusiveLock))
		return false;

	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context =
		AllocSetContextCreate(caller, "gxy_balancer move", ALLOCSET_DEFAULT_SIZES);

	MemoryContextSwitchTo(context);

	Assignments assignments = open_assignments(RowExclusiveLock, deadline);
	std::optional<Found> found = assignments.find(room);
	std::optional<Assignment> row = found ? assignments.read(&found->tid) : std::nullopt;
	bool looks_again = true;

	if (row)
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
	Assignments assignments = open_assignments(AccessShareLock, deadline);
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
	Deadline deadline = Deadline::of_call(start);

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
				if (rehouse(room, deadline))
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
	Deadline deadline = Deadline::of_call(start);

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
	Assignments assignments = open_assignments(AccessShareLock, deadline);
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
