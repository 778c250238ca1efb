/*
 * explain.hpp: implements explain_assignment().
 */
#pragma once

#include "pg/compat.hpp"
#include "tables/assignments.hpp"

namespace gxy
{

/*
 * Returns one row per server as the result of a set-returning function, and marks the server that
 * get_or_assign_server() would return. Changes nothing. If an attached relation cannot be read, the
 * rows say so. Other errors, such as P0002 for an unknown room, are raised.
 */
void report_explanation(FunctionCallInfo fcinfo, const RoomKey &room, std::string_view region,
						std::optional<int> expected_users);

} // namespace gxy
