/*
 * views.hpp: the rows of balancer_load, balancer_stats, _conditions() and _check_load_cache().
 *
 * Read-only. Lock room_server_assignments and the attached relations ACCESS SHARE.
 */
#pragma once

#include "pg/compat.hpp"

namespace gxy
{

/* Each returns its rows as the result of a set-returning function. */
void report_server_loads(FunctionCallInfo fcinfo);
/* Compares the load cache with a new count; no rows if there is no load cache. */
void report_load_cache(FunctionCallInfo fcinfo);
/* The conditions besides those of one server that balancer_alerts looks at. */
void report_conditions(FunctionCallInfo fcinfo);
void report_stats(FunctionCallInfo fcinfo);

} // namespace gxy
