/*
 * arguments.cpp: reads and checks the arguments of the SQL functions.
 */
#include "api/arguments.hpp"

#include "pg/settings.hpp"
#include "servers/pool.hpp"

namespace gxy
{

RoomKey
text_room(FunctionCallInfo fcinfo)
{
	RoomKey room;

	if (PG_ARGISNULL(0))
		report_null("room");

	std::string_view id = view_of(PG_GETARG_TEXT_PP(0));

	if (id.empty())
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("room must not be empty"),
						errdetail("It has 0 bytes."),
						errhint("A room's id is text of 1 to %d bytes.", max_name_length)));
	room.set(id);
	return room;
}

RoomKey
bigint_room(FunctionCallInfo fcinfo)
{
	RoomKey room;

	if (PG_ARGISNULL(0))
		report_null("room");
	room.set(PG_GETARG_INT64(0));
	return room;
}

std::optional<int>
users_argument(FunctionCallInfo fcinfo, int number, const char *name, int least)
{
	if (PG_ARGISNULL(number))
		return std::nullopt;

	int users = PG_GETARG_INT32(number);

	if (users < least || users > max_expected_users)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must be between %d and %d", name, least, max_expected_users),
						errdetail("It is %d.", users), errhint("Pass NULL if it is not known.")));
	return users;
}

std::optional<float>
share_argument(FunctionCallInfo fcinfo, int number, const char *name)
{
	constexpr int most = 10;

	if (PG_ARGISNULL(number))
		return std::nullopt;

	float share = PG_GETARG_FLOAT4(number);

	/* Also if it is not a number. */
	if (!(share >= 0 && share <= most))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be between 0 and %d", name, most), errdetail("It is %g.", share),
				 errhint("It is the share of the capacity in use: 0.42 is 42%%. Pass NULL if it is "
						 "not known.")));
	return share;
}

std::string_view
region_argument(FunctionCallInfo fcinfo, int number)
{
	std::string_view region =
		PG_ARGISNULL(number) ? std::string_view() : view_of(PG_GETARG_TEXT_PP(number));

	if (region.size() > max_name_length)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("region is too long"),
						errdetail("It has %zu bytes.", region.size()),
						errhint("A region is text of at most %d bytes.", max_name_length)));
	return region;
}

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

} // namespace gxy
