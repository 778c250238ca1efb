/*
 * what_if.hpp: the rows of what_if(), what_if_added() and rebalance().
 */
#pragma once

#include "pg/compat.hpp"
#include "policy/placement_policy.hpp"
#include "policy/rebalance_plan.hpp"

namespace gxy
{

void report_what_if(FunctionCallInfo fcinfo, std::string_view server, ServerState state);
/* capacity 0: default_capacity. */
void report_what_if_added(FunctionCallInfo fcinfo, std::string_view server, int capacity);
void report_rebalance(FunctionCallInfo fcinfo, const RebalanceLimits &limits, bool dry_run);

} // namespace gxy
