/*
 * rebalance.hpp: moves rooms off the fullest servers (policy/rebalance_plan.hpp).
 */
#pragma once

#include "pg/array.hpp"
#include "pg/lock_timeout.hpp"
#include "policy/rebalance_plan.hpp"
#include "rooms/relocation.hpp"

namespace gxy
{

struct RebalancedRoom
{
	std::string_view room;
	std::string_view from;
	std::string_view to;
	std::int64_t users; /* in the room; where they are unknown, its load */
};

/*
 * Moves rooms within the limits, and returns those that were moved; rooms that other transactions
 * have locked stay. A dry run returns the same rooms and moves none. Raises 25006 in a read-only
 * transaction, unless it is a dry run, and 55000 if the sessions cannot be read.
 */
Array<RebalancedRoom> rebalance(const RebalanceLimits &limits, bool dry_run);

/* Plans the moves, on the plan's pool. */
Array<RebalancedRoom> plan_rebalance(const RebalanceLimits &limits, Deadline deadline,
									 MovePlan *plan);

} // namespace gxy
