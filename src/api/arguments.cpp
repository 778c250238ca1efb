/*
 * arguments.cpp: what a room may be.
 */
#include "api/arguments.hpp"

namespace gxy
{

RoomKey
text_room(FunctionCallInfo fcinfo)
{
	RoomKey room;

	if (PG_ARGISNULL(0))
		report_null("room");

	std::string_view id = view_of(PG_GETARG_DATUM(0));

	if (id.empty() || id.size() > max_name_length)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						id.empty() ? errmsg("room must not be empty") : errmsg("room is too long"),
						errdetail("It has %zu bytes.", id.size()),
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

} // namespace gxy
