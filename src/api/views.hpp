/*
 * views.hpp: what the operator sees: the rows behind the views.
 */
#pragma once

#include "rooms/lease.hpp"

namespace gxy
{

/* Each fills the result of a set-returning function. */
void report_server_loads(FunctionCallInfo fcinfo);
void report_room_loads(FunctionCallInfo fcinfo);
/* The board beside a count made now; no rows without a board. */
void report_board(FunctionCallInfo fcinfo);
void report_stats(FunctionCallInfo fcinfo);

} // namespace gxy
