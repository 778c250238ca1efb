/*
 * arguments.hpp: reads and checks the arguments of the SQL functions.
 *
 * The code below src/api does not check them again. Each function raises 22004 or 22023 for an
 * argument that is not allowed.
 */
#pragma once

#include "pg/compat.hpp"
#include "policy/placement_policy.hpp"
#include "tables/assignments.hpp"

namespace gxy
{

/* Raises 22004. */
[[noreturn]] inline void
report_null(const char *what)
{
	ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s must not be null", what)));
	pg_unreachable();
}

/* Return the room in argument 0. Raise 22004 for NULL, 22023 unless it has 1 to 255 bytes. */
RoomKey text_room(FunctionCallInfo fcinfo);
RoomKey bigint_room(FunctionCallInfo fcinfo);

using RoomArgument = RoomKey (*)(FunctionCallInfo fcinfo);

/* Returns a number of users, nullopt for NULL. Raises 22023 below least or above a million. */
std::optional<int> users_argument(FunctionCallInfo fcinfo, int number, const char *name, int least);

/* Returns a share, nullopt for NULL. Raises 22023 unless it is 0 to 10. */
std::optional<float> share_argument(FunctionCallInfo fcinfo, int number, const char *name);

/* Returns a name. Raises 22004 for NULL. */
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

/* Returns the region, empty for NULL. Raises 22023 above 255 bytes. */
std::string_view region_argument(FunctionCallInfo fcinfo, int number);

/*
 * Returns a grace period in microseconds; a month counts as 30 days. NULL means assignment_grace.
 * Raises 22023 if it is negative.
 */
std::int64_t grace_argument(FunctionCallInfo fcinfo, int number);

/* Returns online, draining or offline. Raises 22023 for another text, 22004 for NULL. */
ServerState state_argument(FunctionCallInfo fcinfo, int number);

} // namespace gxy
