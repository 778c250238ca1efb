/*
 * arguments.hpp: reads and checks the arguments of the functions that SQL calls.
 */
#pragma once

#include "servers/pool.hpp"
#include "tables/assignments.hpp"

namespace gxy
{

[[noreturn]] inline void
report_null(const char *what)
{
	ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s must not be null", what)));
	pg_unreachable();
}

RoomKey text_room(FunctionCallInfo fcinfo);
RoomKey bigint_room(FunctionCallInfo fcinfo);

using RoomArgument = RoomKey (*)(FunctionCallInfo fcinfo);

/* A number of users or rooms, between least and max_expected_users; none if NULL. */
std::optional<int> users_argument(FunctionCallInfo fcinfo, int number, const char *name, int least);

/* A name that must be given. */
inline std::string_view
name_argument(FunctionCallInfo fcinfo, int number, const char *name)
{
	if (PG_ARGISNULL(number))
		report_null(name);
	return view_of(PG_GETARG_TEXT_PP(number));
}

inline Datum
text_or_null(FunctionCallInfo fcinfo, text *value)
{
	if (value == nullptr)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(value);
}

/* The region, at most max_name_length bytes, else 22023; empty for NULL and ''. */
std::string_view region_argument(FunctionCallInfo fcinfo, int number);

/* A grace period in microseconds, a month being 30 days; assignment_grace if NULL; raises 22023 if it is negative. */
std::int64_t grace_argument(FunctionCallInfo fcinfo, int number);

/* One of online, draining and offline, else 22023. */
ServerState state_argument(FunctionCallInfo fcinfo, int number);

} // namespace gxy
