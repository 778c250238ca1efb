/*
 * functions.cpp: the C functions behind all SQL functions except triggers.
 *
 * SQL calls gxy_NAME, which calls call_NAME. call_NAME reads and checks the arguments and calls the
 * module that does the work. A function that takes a room exists for text and for bigint rooms;
 * both come from one template.
 */
#include "api/arguments.hpp"
#include "api/explain.hpp"
#include "api/install.hpp"
#include "api/memory_view.hpp"
#include "api/room_view.hpp"
#include "api/views.hpp"
#include "api/what_if.hpp"
#include "application/attach.hpp"
#include "application/source_columns.hpp"
#include "pg/compat.hpp"
#include "pg/lock_timeout.hpp"
#include "pg/settings.hpp"
#include "policy/rebalance_plan.hpp"
#include "rooms/cleanup.hpp"
#include "rooms/lease.hpp"
#include "rooms/operator_actions.hpp"
#include "servers/heartbeats.hpp"
#include "servers/pool.hpp"
#include "servers/server_state.hpp"
#include "shared/status.hpp"
#include "shared/writable_since.hpp"
#include "tables/assignments.hpp"

namespace gxy
{
namespace
{

template <RoomArgument room_argument>
Datum
call_get_or_assign_server(FunctionCallInfo fcinfo)
{
	RoomKey room = room_argument(fcinfo);
	std::string_view region = region_argument(fcinfo, 1);
	std::optional<int> expected = users_argument(fcinfo, 2, "expected_users", 1);

	PG_RETURN_TEXT_P(get_or_assign(room, region, expected));
}

template <RoomArgument room_argument>
Datum
call_touch_room(FunctionCallInfo fcinfo)
{
	RoomKey room = room_argument(fcinfo);

	PG_RETURN_BOOL(touch(room, users_argument(fcinfo, 1, "users", 0)));
}

template <RoomArgument room_argument>
Datum
call_room_server(FunctionCallInfo fcinfo)
{
	return text_or_null(fcinfo, look_up(room_argument(fcinfo)));
}

template <RoomArgument room_argument>
Datum
call_release_room(FunctionCallInfo fcinfo)
{
	PG_RETURN_BOOL(release(room_argument(fcinfo)));
}

template <RoomArgument room_argument>
Datum
call_explain_assignment(FunctionCallInfo fcinfo)
{
	RoomKey room = room_argument(fcinfo);
	std::string_view region = region_argument(fcinfo, 1);

	report_explanation(fcinfo, room, region, users_argument(fcinfo, 2, "expected_users", 1));
	return Datum(0);
}

Datum
call_attach(FunctionCallInfo fcinfo, Source source)
{
	attach(source, PG_ARGISNULL(0) ? std::nullopt : std::optional<Oid>(PG_GETARG_OID(0)));
	PG_RETURN_VOID();
}

Datum
call_init_servers(FunctionCallInfo fcinfo)
{
	const char *names =
		PG_ARGISNULL(0) ? setting::default_servers : text_to_cstring(PG_GETARG_TEXT_PP(0));
	const char *complaint = name_list_complaint(names);
	std::string_view first;

	if (complaint == nullptr && !NameList(names).next(&first))
		complaint = "It names no server.";
	if (complaint != nullptr)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid list of servers"),
						errdetail_internal("%s", complaint),
						errhint("Separate names of 1 to %d bytes, without control characters, by "
								"commas.",
								max_name_length)));
	require_write_to("write the pool of servers");
	PG_RETURN_INT32(write_servers(names, Deadline::of_call_starting_now()));
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

Datum
call_evacuate_server(FunctionCallInfo fcinfo)
{
	std::string_view server = name_argument(fcinfo, 0, "server");
	std::string_view target = PG_ARGISNULL(1) ? std::string_view() : view_of(PG_GETARG_TEXT_PP(1));

	if (!PG_ARGISNULL(1) && (target == server || target.empty()))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("a server cannot be evacuated to \"%s\"", copy_of(target).data()),
						errhint("Name another server, or none to have the rooms spread.")));
	if (!PG_ARGISNULL(2) && PG_GETARG_INT32(2) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("max_rooms must not be negative"),
				 errdetail("It is %d.", PG_GETARG_INT32(2)), errhint("NULL: all rooms.")));
	PG_RETURN_INT64(evacuate(
		server, target, PG_ARGISNULL(2) ? std::nullopt : std::optional<int>(PG_GETARG_INT32(2))));
}

Datum
call_what_if(FunctionCallInfo fcinfo)
{
	std::string_view server = name_argument(fcinfo, 0, "server");

	report_what_if(fcinfo, server, state_argument(fcinfo, 1));
	return Datum(0);
}

Datum
call_what_if_added(FunctionCallInfo fcinfo)
{
	std::string_view server = name_argument(fcinfo, 0, "server");
	int capacity = PG_ARGISNULL(1) ? 0 : PG_GETARG_INT32(1);

	if (const char *complaint = server_name_complaint(server))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("invalid name of a server"), errdetail_internal("%s", complaint)));
	if (!PG_ARGISNULL(1) && (capacity < 1 || capacity > max_capacity))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("capacity must be between 1 and %d", max_capacity),
						errdetail("It is %d.", capacity),
						errhint("NULL: gxy_balancer.default_capacity.")));
	report_what_if_added(fcinfo, server, capacity);
	return Datum(0);
}

/* Returns a limit, nullopt for NULL. Raises 22023 if it is negative. */
std::optional<std::int64_t>
limit_argument(FunctionCallInfo fcinfo, int number, const char *name)
{
	if (PG_ARGISNULL(number))
		return std::nullopt;
	if (PG_GETARG_INT32(number) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s must not be negative", name),
				 errdetail("It is %d.", PG_GETARG_INT32(number)), errhint("NULL: no limit.")));
	return PG_GETARG_INT32(number);
}

Datum
call_rebalance(FunctionCallInfo fcinfo)
{
	RebalanceLimits limits = {.rooms = limit_argument(fcinfo, 0, "max_rooms"),
							  .users = limit_argument(fcinfo, 1, "max_users")};

	if (PG_ARGISNULL(2))
		report_null("dry_run");
	report_rebalance(fcinfo, limits, PG_GETARG_BOOL(2));
	return Datum(0);
}

Datum
call_server_state(FunctionCallInfo fcinfo)
{
	const Pool &current = pool(Deadline::of_call_starting_now());
	const PoolServer &server = find_server(current, name_argument(fcinfo, 0, "server"));

	PG_RETURN_TEXT_P(cstring_to_text(name_of(server.state)));
}

Datum
call_set_server_state(FunctionCallInfo fcinfo)
{
	std::string_view server = name_argument(fcinfo, 0, "server");

	PG_RETURN_TEXT_P(cstring_to_text(name_of(
		set_server_state(server, state_argument(fcinfo, 1), Deadline::of_call_starting_now()))));
}

Datum
call_server_heartbeat(FunctionCallInfo fcinfo)
{
	std::string_view server = name_argument(fcinfo, 0, "server");
	std::optional<float> load = share_argument(fcinfo, 2, "load");

	if (!PG_ARGISNULL(1))
		PG_RETURN_BOOL(heartbeat(server, PG_GETARG_BOOL(1), load));
	if (!load)
		report_null("healthy");
	require_write_to("note a load");
	note_load(server, *load, Deadline::of_call_starting_now());
	PG_RETURN_BOOL(false);
}

Datum
call_clean_inactive_assignments(FunctionCallInfo fcinfo)
{
	PG_RETURN_INT64(clean(grace_argument(fcinfo, 0)));
}

Datum
call_attach_sessions(FunctionCallInfo fcinfo)
{
	return call_attach(fcinfo, Source::sessions);
}

Datum
call_attach_rooms(FunctionCallInfo fcinfo)
{
	return call_attach(fcinfo, Source::rooms);
}

Datum
call_server_loads(FunctionCallInfo fcinfo)
{
	report_server_loads(fcinfo);
	return Datum(0);
}

Datum
call_check_load_cache(FunctionCallInfo fcinfo)
{
	report_load_cache(fcinfo);
	return Datum(0);
}

Datum
call_room_loads(FunctionCallInfo fcinfo)
{
	report_room_loads(fcinfo);
	return Datum(0);
}

Datum
call_conditions(FunctionCallInfo fcinfo)
{
	report_conditions(fcinfo);
	return Datum(0);
}

Datum
call_stats(FunctionCallInfo fcinfo)
{
	report_stats(fcinfo);
	return Datum(0);
}

Datum
call_memory(FunctionCallInfo fcinfo)
{
	report_memory(fcinfo);
	return Datum(0);
}

Datum
call_reset_stats(FunctionCallInfo)
{
	reset_counts();
	PG_RETURN_VOID();
}

Datum
call_refuse_existing_table(FunctionCallInfo)
{
	refuse_existing_table();
	PG_RETURN_VOID();
}

Datum
call_extension_created(FunctionCallInfo)
{
	note_extension_created();
	request_run_at_commit();
	notice_default_pool();
	PG_RETURN_VOID();
}

} // namespace
} // namespace gxy

/* Defines gxy_NAME with C linkage and the version 1 calling convention. */
#define SQL_FUNCTION(name)                                                                         \
	PG_FUNCTION_INFO_V1(gxy_##name);                                                               \
	Datum gxy_##name(PG_FUNCTION_ARGS)                                                             \
	{                                                                                              \
		return gxy::as_call([fcinfo] { return gxy::call_##name(fcinfo); });                        \
	}

/* Defines gxy_NAME for text rooms and gxy_NAME_bigint for bigint rooms. */
#define SQL_ROOM_FUNCTION(name)                                                                    \
	PG_FUNCTION_INFO_V1(gxy_##name);                                                               \
	Datum gxy_##name(PG_FUNCTION_ARGS)                                                             \
	{                                                                                              \
		return gxy::as_call([fcinfo] { return gxy::call_##name<gxy::text_room>(fcinfo); });        \
	}                                                                                              \
	PG_FUNCTION_INFO_V1(gxy_##name##_bigint);                                                      \
	Datum gxy_##name##_bigint(PG_FUNCTION_ARGS)                                                    \
	{                                                                                              \
		return gxy::as_call([fcinfo] { return gxy::call_##name<gxy::bigint_room>(fcinfo); });      \
	}

extern "C"
{
	SQL_ROOM_FUNCTION(get_or_assign_server)
	SQL_ROOM_FUNCTION(touch_room)
	SQL_ROOM_FUNCTION(room_server)
	SQL_ROOM_FUNCTION(release_room)
	SQL_ROOM_FUNCTION(pin_room)
	SQL_ROOM_FUNCTION(unpin_room)
	SQL_ROOM_FUNCTION(move_room)
	SQL_ROOM_FUNCTION(explain_assignment)

	SQL_FUNCTION(clean_inactive_assignments)
	SQL_FUNCTION(evacuate_server)
	SQL_FUNCTION(set_server_state)
	SQL_FUNCTION(what_if)
	SQL_FUNCTION(what_if_added)
	SQL_FUNCTION(rebalance)
	SQL_FUNCTION(server_state)
	SQL_FUNCTION(server_heartbeat)
	SQL_FUNCTION(attach_sessions)
	SQL_FUNCTION(attach_rooms)
	SQL_FUNCTION(init_servers)
	SQL_FUNCTION(server_loads)
	SQL_FUNCTION(room_loads)
	SQL_FUNCTION(conditions)
	SQL_FUNCTION(stats)
	SQL_FUNCTION(memory)
	SQL_FUNCTION(reset_stats)
	SQL_FUNCTION(check_load_cache)
	SQL_FUNCTION(refuse_existing_table)
	SQL_FUNCTION(extension_created)
}
