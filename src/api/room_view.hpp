/*
 * room_view.hpp: the rows behind balancer_rooms.
 */
#pragma once

#include "pg/compat.hpp"

namespace gxy
{

/* Returns a row for each assigned room. */
void report_room_loads(FunctionCallInfo fcinfo);

} // namespace gxy
