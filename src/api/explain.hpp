/*
 * explain.hpp: what get_or_assign() would do with a room, and why.
 */
#pragma once

#include "placement/assign.hpp"

namespace gxy
{

/*
 * Fills the result of a set-returning function with one row a server, the one that would be answered marked; raises what
 * get_or_assign() would.
 */
void report_explanation(FunctionCallInfo fcinfo, const RoomKey &room, std::string_view region,
						std::optional<int> expected_users);

} // namespace gxy
