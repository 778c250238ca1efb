/*
 * functions.cpp: the functions that SQL calls.
 *
 * Each reads and checks its arguments, so that nothing inside has to, and hands over. Every function that takes a room
 * has a text and a bigint form; a template makes both from one body.
 */
#include "api/arguments.hpp"
#include "rooms/cleanup.hpp"
#include "api/explain.hpp"
#include "application/attach.hpp"
#include "api/views.hpp"
#include "shared/status.hpp"
#include "worker/run.hpp"

namespace gxy
{
namespace
{

/* A region of '' is none. */
std::string_view
region_argument(FunctionCallInfo fcinfo, int number)
{
	std::string_view region =
		PG_ARGISNULL(number) ? std::string_view() : view_of(PG_GETARG_DATUM(number));

	if (region.size() > max_name_length)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("region is too long"),
						errdetail("It has %zu bytes.", region.size()),
						errhint("A region is text of at most %d bytes.", max_name_length)));
	return region;
}

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

/* Microseconds of an interval, a month being 30 days; raises 22023 if it is negative. */
std::int64_t
grace_argument(FunctionCallInfo fcinfo, int number)
{
	if (PG_ARGISNULL(number))
		return microseconds(setting::assignment_grace);

	const Interval *interval = PG_GETARG_INTERVAL_P(number);
	__int128 days = static_cast<__int128>(interval->month) * DAYS_PER_MONTH + interval->day;
	__int128 grace = days * USECS_PER_DAY + interval->time;

	if (grace < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("grace must not be negative"),
				 errhint("'0' frees every room without users now.")));
	return static_cast<std::int64_t>(std::min<__int128>(grace, PG_INT64_MAX));
}

Datum
call_attach(FunctionCallInfo fcinfo, Source source)
{
	attach(source, PG_ARGISNULL(0) ? InvalidOid : PG_GETARG_OID(0));
	PG_RETURN_VOID();
}

int
write_pool(FunctionCallInfo fcinfo)
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
						errhint("Separate names of 1 to %d bytes by commas.", max_name_length)));
	return write_servers(names);
}

/* Called in the install script, when the table of this name can only be the application's. */
void
refuse_existing_table()
{
	List *path = fetch_search_path(false);
	Oid schema = linitial_oid(path);
	const char *table = "room_server_assignments";

	if (!OidIsValid(get_relname_relid(table, schema)))
		return;
	ereport(
		ERROR,
		(errcode(ERRCODE_DUPLICATE_TABLE),
		 errmsg("table %s exists already",
				quote_qualified_identifier(get_namespace_name(schema), table)),
		 errdetail("The extension brings a table of this name, with the same first five columns."),
		 errhint("In one transaction: ALTER TABLE %s RENAME TO old_assignments; CREATE EXTENSION "
				 "gxy_balancer; INSERT INTO room_server_assignments SELECT ... FROM "
				 "old_assignments (timestamps AT TIME ZONE 'UTC'); DROP TABLE old_assignments. "
				 "The statements are in the README, under \"Taking over\".",
				 table)));
}

/*
 * Tells whoever runs CREATE EXTENSION what to add. The command keeps notices from its script to itself by raising
 * client_min_messages; this one is for the DBA, so the level that was in force before decides. Called in the script,
 * at the nest level of the command.
 */
void
notice_missing_preload()
{
	if (is_preloaded())
		return;

	int level = NewGUCNestLevel();
	const config_generic *setting = compat::find_setting("client_min_messages");
	const GucStack *saved = setting != nullptr ? setting->stack : nullptr;
	bool raised_by_command = saved != nullptr && saved->nest_level == level - 1;

	if (raised_by_command && saved->prior.val.enumval <= NOTICE)
		(void) set_config_option("client_min_messages", "notice", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	ereport(NOTICE,
			(errmsg("gxy_balancer is not preloaded, so no background worker frees inactive rooms"),
			 errhint("Add shared_preload_libraries = 'gxy_balancer' to postgresql.conf and restart "
					 "the server, or have clean_inactive_assignments() called every minute.")));
	AtEOXact_GUC(true, level);
}

} // namespace
} // namespace gxy

extern "C"
{

	PG_FUNCTION_INFO_V1(gxy_get_or_assign_server);
	Datum gxy_get_or_assign_server(PG_FUNCTION_ARGS)
	{
		return gxy::call_get_or_assign_server<gxy::text_room>(fcinfo);
	}

	PG_FUNCTION_INFO_V1(gxy_get_or_assign_server_bigint);
	Datum gxy_get_or_assign_server_bigint(PG_FUNCTION_ARGS)
	{
		return gxy::call_get_or_assign_server<gxy::bigint_room>(fcinfo);
	}

	PG_FUNCTION_INFO_V1(gxy_touch_room);
	Datum gxy_touch_room(PG_FUNCTION_ARGS)
	{
		return gxy::call_touch_room<gxy::text_room>(fcinfo);
	}

	PG_FUNCTION_INFO_V1(gxy_touch_room_bigint);
	Datum gxy_touch_room_bigint(PG_FUNCTION_ARGS)
	{
		return gxy::call_touch_room<gxy::bigint_room>(fcinfo);
	}

	PG_FUNCTION_INFO_V1(gxy_room_server);
	Datum gxy_room_server(PG_FUNCTION_ARGS)
	{
		return gxy::call_room_server<gxy::text_room>(fcinfo);
	}

	PG_FUNCTION_INFO_V1(gxy_room_server_bigint);
	Datum gxy_room_server_bigint(PG_FUNCTION_ARGS)
	{
		return gxy::call_room_server<gxy::bigint_room>(fcinfo);
	}

	PG_FUNCTION_INFO_V1(gxy_release_room);
	Datum gxy_release_room(PG_FUNCTION_ARGS)
	{
		return gxy::call_release_room<gxy::text_room>(fcinfo);
	}

	PG_FUNCTION_INFO_V1(gxy_release_room_bigint);
	Datum gxy_release_room_bigint(PG_FUNCTION_ARGS)
	{
		return gxy::call_release_room<gxy::bigint_room>(fcinfo);
	}

	PG_FUNCTION_INFO_V1(gxy_explain_assignment);
	Datum gxy_explain_assignment(PG_FUNCTION_ARGS)
	{
		return gxy::call_explain_assignment<gxy::text_room>(fcinfo);
	}

	PG_FUNCTION_INFO_V1(gxy_explain_assignment_bigint);
	Datum gxy_explain_assignment_bigint(PG_FUNCTION_ARGS)
	{
		return gxy::call_explain_assignment<gxy::bigint_room>(fcinfo);
	}

	PG_FUNCTION_INFO_V1(gxy_clean_inactive_assignments);
	Datum gxy_clean_inactive_assignments(PG_FUNCTION_ARGS)
	{
		PG_RETURN_INT64(gxy::clean(gxy::grace_argument(fcinfo, 0)));
	}

	PG_FUNCTION_INFO_V1(gxy_attach_sessions);
	Datum gxy_attach_sessions(PG_FUNCTION_ARGS)
	{
		return gxy::call_attach(fcinfo, gxy::Source::sessions);
	}

	PG_FUNCTION_INFO_V1(gxy_attach_rooms);
	Datum gxy_attach_rooms(PG_FUNCTION_ARGS)
	{
		return gxy::call_attach(fcinfo, gxy::Source::rooms);
	}

	PG_FUNCTION_INFO_V1(gxy_init_servers);
	Datum gxy_init_servers(PG_FUNCTION_ARGS)
	{
		PG_RETURN_INT32(gxy::write_pool(fcinfo));
	}

	PG_FUNCTION_INFO_V1(gxy_server_loads);
	Datum gxy_server_loads(PG_FUNCTION_ARGS)
	{
		gxy::report_server_loads(fcinfo);
		return Datum(0);
	}

	PG_FUNCTION_INFO_V1(gxy_check_board);
	Datum gxy_check_board(PG_FUNCTION_ARGS)
	{
		gxy::report_board(fcinfo);
		return Datum(0);
	}

	PG_FUNCTION_INFO_V1(gxy_room_loads);
	Datum gxy_room_loads(PG_FUNCTION_ARGS)
	{
		gxy::report_room_loads(fcinfo);
		return Datum(0);
	}

	PG_FUNCTION_INFO_V1(gxy_stats);
	Datum gxy_stats(PG_FUNCTION_ARGS)
	{
		gxy::report_stats(fcinfo);
		return Datum(0);
	}

	PG_FUNCTION_INFO_V1(gxy_reset_stats);
	Datum gxy_reset_stats(PG_FUNCTION_ARGS)
	{
		(void) fcinfo;
		gxy::reset_counts();
		PG_RETURN_VOID();
	}

	PG_FUNCTION_INFO_V1(gxy_refuse_existing_table);
	Datum gxy_refuse_existing_table(PG_FUNCTION_ARGS)
	{
		(void) fcinfo;
		gxy::refuse_existing_table();
		PG_RETURN_VOID();
	}

	PG_FUNCTION_INFO_V1(gxy_extension_created);
	Datum gxy_extension_created(PG_FUNCTION_ARGS)
	{
		(void) fcinfo;
		gxy::call_for_run_at_commit();
		gxy::notice_missing_preload();
		PG_RETURN_VOID();
	}
}
