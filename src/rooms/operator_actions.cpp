/*
 * operator_actions.cpp: pins, moves and evacuations, with their SQL functions.
 *
 * Moving an occupied room splits it until its users reconnect, so only these functions and a failover do it. They write
 * to the listeners of NOTIFY gxy_balancer what they did, in the same transaction.
 */
#include "rooms/operator_actions.hpp"

#include "api/arguments.hpp"
#include "tables/catalog.hpp"
#include "tables/notification.hpp"
#include "servers/server_state.hpp"
#include "rooms/relocation.hpp"
#include "shared/status.hpp"
#include "tables/owner_sql.hpp"

namespace gxy
{
namespace
{

/* The server a room or its callers are to be sent to. */
void
require_usable(const Pool &pool, std::string_view server, const char *what)
{
	if (pool.servers[find_server(pool, server)].state == ServerState::offline)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("cannot move %s to server \"%s\", which is offline", what,
							   copy_of(server).data()),
						errhint("Name one that is online; balancer_load shows them.")));
}

/* Where callers for the row's room are sent. */
std::string_view
answer_for(const Pool &pool, const Found &found)
{
	std::string_view named = view_of(found.server);
	Whereabouts where = pool.whereabouts(named, found.assigned_at, GetCurrentTimestamp());

	return where.moved ? pool.servers[where.server].name : named;
}

struct Weighed
{
	Assignment room;
	std::int64_t load;
};

/* The rooms of a server, those with the fewest users first. */
Array<Assignment>
rooms_to_evacuate(const Assignments &assignments, const Pool &pool, std::string_view server,
				  std::optional<int> max_rooms, Deadline deadline)
{
	TimestampTz now = GetCurrentTimestamp();
	Rules rules = current_rules();
	Census census = Census::take(pool.sessions, Reading::servers_too, now, deadline);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	Array<Weighed> weighed;
	Array<Assignment> rooms;

	assignments.for_each_row(snapshot, [&](const Assignment &row, ItemPointer) {
		if (row.server == server)
			weighed.push({.room = copy_of(row),
						  .load = room_load(room_use(row, pool, census, rules, now), rules)});
	});
	UnregisterSnapshot(snapshot);
	std::sort(weighed.begin(), weighed.end(), [](const Weighed &a, const Weighed &b) {
		return a.load != b.load ? a.load < b.load : a.room.room < b.room.room;
	});
	for (const Weighed &each : weighed)
		if (!max_rooms || rooms.count < *max_rooms)
			rooms.push(each.room);
	return rooms;
}

} // namespace

text *
pin_room(const RoomKey &room, std::string_view server, std::optional<int> expected_users)
{
	Deadline deadline = Deadline::of_call_starting_now();

	require_write_to("pin a room");
	(void) find_server(pool(deadline), server);
	write_pool_if_unwritten(deadline);

	int level = begin_lock_timeout(deadline);

	(void) run_as_owner(
		relations().pins,
		"INSERT INTO %s AS p (room_id, server, expected_users) VALUES ($1, $2, $3) "
		"ON CONFLICT (room_id) DO UPDATE SET server = excluded.server, "
		"expected_users = excluded.expected_users, pinned_at = excluded.pinned_at "
		"WHERE (p.server, p.expected_users) IS DISTINCT FROM "
		"(excluded.server, excluded.expected_users)",
		{Argument::of(room.view()), Argument::of(server), Argument::of(expected_users)});
	end_lock_timeout(level);

	Assignments assignments = open_assignments(AccessShareLock, deadline);
	std::optional<Found> found = assignments.find(room);

	assignments.close();
	return found ? text_of(answer_for(pool(deadline), *found)) : nullptr;
}

bool
unpin_room(const RoomKey &room)
{
	require_write_to("unpin a room");

	int level = begin_lock_timeout(Deadline::of_call_starting_now());
	bool unpinned =
		run_as_owner(relations().pins, "DELETE FROM %s WHERE room_id OPERATOR(pg_catalog.=) $1",
					 {Argument::of(room.view())}) > 0;

	end_lock_timeout(level);
	return unpinned;
}

text *
move_room(const RoomKey &room, std::string_view server)
{
	Deadline deadline = Deadline::of_call_starting_now();

	require_write_to("move a room");
	require_usable(pool(deadline), server, "a room");

	Assignments assignments = open_assignments(RowExclusiveLock, deadline);
	text *previous = nullptr;

	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		if (deadline.passed())
			give_up(room);

		std::optional<Found> found = assignments.find(room);

		previous = nullptr;
		if (!found && is_assigned(assignments, room))
			continue;
		if (!found)
			break;

		std::string_view before = answer_for(pool(deadline), *found);

		previous = text_of(before);
		if (view_of(found->server) == server)
			break;
		if (wait_for_row(&assignments, &found->tid, room, deadline) != Change::done ||
			send_to(&assignments, &*found, server, reason_of_move("moved", before)) != Change::done)
			continue;
		Event("room_moved")
			.add("room", room.view())
			.add("server", before)
			.add("target", server)
			.send();
		break;
	}
	assignments.close();
	return previous;
}

std::int64_t
evacuate(std::string_view server, std::string_view target, std::optional<int> max_rooms)
{
	Deadline deadline = Deadline::of_call_starting_now();

	require_write_to("evacuate a server");

	const Pool &before = pool(deadline);
	ServerState wanted = before.servers[find_server(before, server)].wanted;

	if (!target.empty())
		require_usable(before, target, "rooms");
	if (wanted == ServerState::online)
		(void) set_server_state(server, ServerState::draining);

	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context =
		AllocSetContextCreate(caller, "gxy_balancer evacuation", ALLOCSET_DEFAULT_SIZES);

	MemoryContextSwitchTo(context);

	Assignments assignments = open_assignments(RowExclusiveLock, deadline);
	Array<Assignment> rooms =
		rooms_to_evacuate(assignments, pool(deadline), server, max_rooms, deadline);
	Moved moved = move_rooms(&assignments, rooms, target, "evacuated", deadline);

	assignments.close();
	if (moved.stuck)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("no server can take the rooms of server \"%s\"", copy_of(server).data()),
				 errdetail("No other server of the pool is online."),
				 errhint("Set one online, or name a target that is draining.")));
	if (moved.rooms > 0)
		Event("evacuation")
			.add("server", server)
			.add_name("target", target)
			.add("rooms", moved.rooms)
			.send();
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	return moved.rooms;
}

namespace
{

ServerState
state_argument(FunctionCallInfo fcinfo, int number)
{
	std::string_view name = name_argument(fcinfo, number, "state");

	for (ServerState state : {ServerState::online, ServerState::draining, ServerState::offline})
		if (name == name_of(state))
			return state;
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("invalid state \"%s\"", copy_of(name).data()),
					errhint("A state is online, draining or offline.")));
	pg_unreachable();
}

template <RoomArgument room_argument>
Datum
call_pin_room(FunctionCallInfo fcinfo)
{
	RoomKey room = room_argument(fcinfo);
	std::string_view server = name_argument(fcinfo, 1, "server");

	return text_or_null(fcinfo,
						pin_room(room, server, users_argument(fcinfo, 2, "expected_users", 1)));
}

template <RoomArgument room_argument>
Datum
call_unpin_room(FunctionCallInfo fcinfo)
{
	PG_RETURN_BOOL(unpin_room(room_argument(fcinfo)));
}

template <RoomArgument room_argument>
Datum
call_move_room(FunctionCallInfo fcinfo)
{
	RoomKey room = room_argument(fcinfo);

	return text_or_null(fcinfo, move_room(room, name_argument(fcinfo, 1, "server")));
}

std::int64_t
call_evacuate(FunctionCallInfo fcinfo)
{
	std::string_view server = name_argument(fcinfo, 0, "server");
	std::string_view target = PG_ARGISNULL(1) ? std::string_view() : view_of(PG_GETARG_DATUM(1));

	if (!PG_ARGISNULL(1) && (target == server || target.empty()))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("a server cannot be evacuated to \"%s\"", copy_of(target).data()),
						errhint("Name another server, or none to have the rooms spread.")));
	if (!PG_ARGISNULL(2) && PG_GETARG_INT32(2) < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("max_rooms must not be negative"), errhint("NULL: all rooms.")));
	return evacuate(server, target,
					PG_ARGISNULL(2) ? std::nullopt : std::optional<int>(PG_GETARG_INT32(2)));
}

} // namespace
} // namespace gxy

extern "C"
{
	PG_FUNCTION_INFO_V1(gxy_server_state);
	Datum gxy_server_state(PG_FUNCTION_ARGS)
	{
		const gxy::Pool &current = gxy::pool(gxy::Deadline::of_call_starting_now());
		int server = gxy::find_server(current, gxy::name_argument(fcinfo, 0, "server"));

		PG_RETURN_TEXT_P(cstring_to_text(gxy::name_of(current.servers[server].state)));
	}

	PG_FUNCTION_INFO_V1(gxy_set_server_state);
	Datum gxy_set_server_state(PG_FUNCTION_ARGS)
	{
		std::string_view server = gxy::name_argument(fcinfo, 0, "server");
		gxy::ServerState before = gxy::set_server_state(server, gxy::state_argument(fcinfo, 1));

		PG_RETURN_TEXT_P(cstring_to_text(gxy::name_of(before)));
	}

	PG_FUNCTION_INFO_V1(gxy_server_heartbeat);
	Datum gxy_server_heartbeat(PG_FUNCTION_ARGS)
	{
		std::string_view server = gxy::name_argument(fcinfo, 0, "server");

		if (PG_ARGISNULL(1))
			gxy::report_null("healthy");
		PG_RETURN_BOOL(gxy::heartbeat(server, PG_GETARG_BOOL(1)));
	}

	PG_FUNCTION_INFO_V1(gxy_pin_room);
	Datum gxy_pin_room(PG_FUNCTION_ARGS)
	{
		return gxy::call_pin_room<gxy::text_room>(fcinfo);
	}

	PG_FUNCTION_INFO_V1(gxy_pin_room_bigint);
	Datum gxy_pin_room_bigint(PG_FUNCTION_ARGS)
	{
		return gxy::call_pin_room<gxy::bigint_room>(fcinfo);
	}

	PG_FUNCTION_INFO_V1(gxy_unpin_room);
	Datum gxy_unpin_room(PG_FUNCTION_ARGS)
	{
		return gxy::call_unpin_room<gxy::text_room>(fcinfo);
	}

	PG_FUNCTION_INFO_V1(gxy_unpin_room_bigint);
	Datum gxy_unpin_room_bigint(PG_FUNCTION_ARGS)
	{
		return gxy::call_unpin_room<gxy::bigint_room>(fcinfo);
	}

	PG_FUNCTION_INFO_V1(gxy_move_room);
	Datum gxy_move_room(PG_FUNCTION_ARGS)
	{
		return gxy::call_move_room<gxy::text_room>(fcinfo);
	}

	PG_FUNCTION_INFO_V1(gxy_move_room_bigint);
	Datum gxy_move_room_bigint(PG_FUNCTION_ARGS)
	{
		return gxy::call_move_room<gxy::bigint_room>(fcinfo);
	}

	PG_FUNCTION_INFO_V1(gxy_evacuate_server);
	Datum gxy_evacuate_server(PG_FUNCTION_ARGS)
	{
		PG_RETURN_INT64(gxy::call_evacuate(fcinfo));
	}
}
