/*
 * operator_actions.cpp: pins, moves and evacuations.
 *
 * Moving an occupied room splits it until its users reconnect, so only these functions and a
 * failover do it. Moves and evacuations send a NOTIFY gxy_balancer in the same transaction.
 */
#include "rooms/operator_actions.hpp"

#include "application/room_reader.hpp"
#include "application/session_index.hpp"
#include "application/source_query.hpp"
#include "pg/array.hpp"
#include "pg/heap_access.hpp"
#include "pg/lock_timeout.hpp"
#include "pg/settings.hpp"
#include "placement/candidates.hpp"
#include "policy/placement_policy.hpp"
#include "rooms/lease.hpp"
#include "rooms/move_events.hpp"
#include "rooms/relocation.hpp"
#include "rooms/room_existence.hpp"
#include "servers/pool.hpp"
#include "servers/server_state.hpp"
#include "shared/status.hpp"
#include "tables/catalog.hpp"
#include "tables/locks.hpp"
#include "tables/notification.hpp"
#include "tables/owner_sql.hpp"
#include "tables/placement_locks.hpp"

namespace gxy
{
namespace
{

/* Raises 55000 if the server is offline, 42704 if it is not in the pool. */
void
require_usable(const Pool &pool, std::string_view server, const char *what)
{
	if (find_server(pool, server).state == ServerState::offline)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("cannot move %s to server \"%s\", which is offline", what,
							   copy_of(server).data()),
						errhint("Name one that is online; balancer_load shows them.")));
}

/* Raises 55000 if the room does not exist on the server. Reads the attached rooms. */
void
require_room_on(const Pool &pool, const RoomKey &room, std::string_view server, const char *what,
				Deadline deadline)
{
	std::string_view id = room.view();

	if (!RoomServersIndex::read(pool.rooms, {&id, 1}, deadline).of(id).include(server))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot %s room \"%s\" to server \"%s\", on which it does not exist", what,
						copy_of(id).data(), copy_of(server).data()),
				 errdetail("Column servers of %s does not name the server.", name_of(pool.rooms)),
				 errhint("Create the room there first, or name a server on which it exists; "
						 "explain_assignment() shows which.")));
}

/* require_usable() as the still_open of a MoveTarget. */
bool
still_usable(const Pool &pool, const Assignment &, std::string_view target)
{
	require_usable(pool, target, "rooms");
	return true;
}

/* Returns the server to which callers of the row's room are sent. */
std::string_view
answer_for(const Pool &pool, const RoomKey &room, const Found &found)
{
	std::string_view named = view_of(found.server);
	RoomLocation where = pool.locate(named, found.assigned_at, GetCurrentTimestamp());

	return where.moved && claim_holds(pool, where, room.view()) ? pool.servers[where.server].name
																: named;
}

/*
 * Returns the rooms of a server in the order in which they are to be moved, at most max_rooms.
 * Leaves out those that do not exist where they could go, and adds their number to *absent.
 */
Array<Assignment>
rooms_to_evacuate(const Assignments &assignments, const Pool &pool,
				  const SessionIndex &session_index, std::string_view server,
				  std::string_view target, std::optional<int> max_rooms, TimestampTz now,
				  Deadline deadline, std::int64_t *absent)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	Array<Assignment> rooms;

	assignments.for_each_row(snapshot, [&](const Assignment &row, ItemPointer) {
		if (row.server == server)
			rooms.push(copy_of(row));
	});
	UnregisterSnapshot(snapshot);

	RoomServersIndex exist_on = servers_of(pool, rooms.span(), true, deadline);
	Assignment *end = std::remove_if(rooms.begin(), rooms.end(), [&](const Assignment &room) {
		return !has_destination(pool, exist_on, room, target);
	});

	*absent += rooms.end() - end;
	rooms.count = static_cast<int>(end - rooms.begin());
	sort_for_moving(rooms.items, rooms.count, pool, session_index, current_rules(), now);
	if (max_rooms)
		rooms.count = std::min(rooms.count, *max_rooms);
	return rooms;
}

/* Tells listeners of one room that an operator has moved. */
void
announce_move(const RoomMove &move, Deadline deadline)
{
	Array<RoomMove> moves;

	moves.push(move);
	announce_moves(moves, why_moved, deadline);
}

/*
 * Takes the placement lock in shared mode while the server is usable. Raises 55000 if it has gone
 * offline, or if the room does not exist there.
 */
void
lock_placement_on(std::string_view server, const RoomKey &room, Deadline deadline)
{
	for (;;)
	{
		const Pool &current = pool(deadline);

		require_usable(current, server, "a room");
		if (lock_placement_after(
				[&] {
					require_room_on(current, room, server, "move", deadline);
					return current.rooms.exists();
				},
				current, room, placing_by_cache, deadline))
			return;
	}
}

/* Warns of rooms that an evacuation leaves on their server. */
void
warn_of_absent(std::string_view server, std::string_view target, std::int64_t rooms)
{
	if (rooms == 0)
		return;

	unsigned long number = static_cast<unsigned long>(rooms);

	ereport(
		WARNING,
		(errmsg_plural("%lld room stays on server \"%s\"", "%lld rooms stay on server \"%s\"",
					   number, static_cast<long long>(rooms), copy_of(server).data()),
		 target.empty()
			 ? errdetail_plural(
				   "By the attached rooms it exists on no other server that is online.",
				   "By the attached rooms they exist on no other server that is online.", number)
			 : errdetail_plural("By the attached rooms it does not exist on server \"%s\".",
								"By the attached rooms they do not exist on server \"%s\".", number,
								copy_of(target).data()),
		 errhint("Create the rooms on another server and name it in column servers, then evacuate "
				 "again.")));
}

} // namespace

text *
pin_room(const RoomKey &room, std::string_view server, std::optional<int> expected_users)
{
	Deadline deadline = Deadline::of_call_starting_now();

	require_write_to("pin a room");
	(void) find_server(pool_without_pins(deadline), server);
	require_room_on(pool_without_pins(deadline), room, server, "pin", deadline);
	write_pool_if_unwritten(deadline);
	(void) run_as_owner(
		&Relations::pins, deadline,
		"INSERT INTO %s AS p (room_id, server, expected_users) VALUES ($1, $2, $3) "
		"ON CONFLICT (room_id) DO UPDATE SET server = excluded.server, "
		"expected_users = excluded.expected_users, pinned_at = excluded.pinned_at "
		"WHERE (p.server, p.expected_users) IS DISTINCT FROM "
		"(excluded.server, excluded.expected_users)",
		{Argument::of(room.view()), Argument::of(server), Argument::of(expected_users)});

	Assignments assignments = open_assignments(AccessShareLock, deadline);
	std::optional<Found> found = assignments.find(room);

	assignments.close();
	return found ? text_of(answer_for(pool_without_pins(deadline), room, *found)) : nullptr;
}

bool
unpin_room(const RoomKey &room)
{
	require_write_to("unpin a room");
	return run_as_owner(&Relations::pins, Deadline::of_call_starting_now(),
						"DELETE FROM %s WHERE room_id = $1", {Argument::of(room.view())}) > 0;
}

text *
move_room(const RoomKey &room, std::string_view server)
{
	Deadline deadline = Deadline::of_call_starting_now();

	require_write_to("move a room");
	require_usable(pool(deadline), server, "a room");
	write_pool_if_unwritten(deadline);

	Assignments assignments = open_assignments(RowExclusiveLock, deadline);
	text *answer = nullptr;

	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		if (deadline.passed())
			raise_timeout(room);

		std::optional<Found> found = assignments.find(room);

		answer = nullptr;
		if (!found && is_assigned(assignments, room))
			continue;
		if (!found)
			break;

		std::string_view before = answer_for(pool(deadline), room, *found);

		answer = text_of(server);
		if (view_of(found->server) == server)
			break;
		if (wait_for_row(&assignments, &found->tid, room, deadline) != Change::done)
			continue;
		/* A move writes the indexes, and is refused while another transaction has locked one. */
		IndexLocks::wait_for_all(assignments.table(), deadline).release();
		lock_placement_on(server, room, deadline);

		Change change =
			relocate_row(&assignments, &*found, server, reason_of_move(why_moved, before));

		release_placement_lock(placing_by_cache);
		if (change != Change::done)
			continue;
		Notification("room_moved", deadline)
			.add("room", room.view())
			.add("server", before)
			.add("target", server)
			.send();
		request_run_at_commit();
		announce_move({.room = room.view(), .from = before, .to = server}, deadline);
		break;
	}
	assignments.close();
	return answer;
}

MoveResult
evacuate_rooms(Assignments *assignments, std::string_view server, std::string_view target,
			   std::optional<int> max_rooms, Deadline deadline, MovePlan *plan)
{
	TimestampTz now = GetCurrentTimestamp();
	const Pool &current = plan != nullptr ? *plan->input.pool : pool(deadline);
	SessionIndex session_index =
		plan != nullptr
			? plan->input.session_index
			: SessionIndex::build(current.sessions, SessionColumns::with_servers, now, deadline);

	std::int64_t absent = 0;
	Array<Assignment> rooms = rooms_to_evacuate(*assignments, current, session_index, server,
												target, max_rooms, now, deadline, &absent);
	MoveResult moved = move_rooms(assignments, rooms,
								  MoveTarget{.target = target,
											 .why = why_evacuated,
											 .still_open = still_usable,
											 .needs_rooms = true},
								  deadline, plan);

	moved.absent += absent;
	return moved;
}

std::int64_t
evacuate(std::string_view server, std::string_view target, std::optional<int> max_rooms)
{
	Deadline deadline = Deadline::of_call_starting_now();

	require_write_to("evacuate a server");

	const Pool &before = pool(deadline);
	ServerState wanted = find_server(before, server).wanted;

	if (!target.empty())
		require_usable(before, target, "rooms");
	write_pool_if_unwritten(deadline);
	if (!max_rooms && wanted == ServerState::online)
		(void) set_server_state(server, ServerState::draining, deadline);

	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context =
		AllocSetContextCreate(caller, "gxy_balancer evacuation", ALLOCSET_DEFAULT_SIZES);

	MemoryContextSwitchTo(context);

	Assignments assignments = open_assignments(RowExclusiveLock, deadline);
	MoveResult moved = evacuate_rooms(&assignments, server, target, max_rooms, deadline);

	assignments.close();
	if (moved.stuck)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("no server can take the rooms of server \"%s\"", copy_of(server).data()),
				 errdetail("No other server of the pool is online."),
				 errhint("Set one online, or name a target that is draining.")));
	announce_moves(moved.moves, why_evacuated, deadline);
	/* The server may be drained now. */
	request_run_at_commit();
	warn_of_absent(server, target, moved.absent);
	if (moved.rooms > 0)
		Notification("evacuation", deadline)
			.add("server", server)
			.add_name("target", target)
			.add("rooms", moved.rooms)
			.send();
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	return moved.rooms;
}

} // namespace gxy
