/*
 * failover_moves.hpp: carries out the failovers that are due.
 */
#pragma once

#include "pg/compat.hpp"
#include "pg/lock_timeout.hpp"
#include "rooms/relocation.hpp"
#include "servers/pool.hpp"

namespace gxy
{

/* Returns the time of the earliest failover that becomes due after now; 0 if there is none. */
TimestampTz next_failover(const Pool &pool, TimestampTz now);

enum class Destination
{
	standby, /* the standby that has claimed the rooms */
	policy
};

/* The most rooms that one transaction of the worker moves. */
inline constexpr int failover_batch = 5000;

/*
 * Carries out the failovers of one kind that are due by now, and writes the progress to
 * balancer_failovers. Moves at most limit rooms of failed servers. Destination::policy also moves
 * the rooms of servers that are not in the pool. If there is a plan, adds the moves to it instead
 * and writes nothing.
 */
MoveResult carry_out_failovers(Destination destination, int limit, TimestampTz now,
							   Deadline deadline, MovePlan *plan = nullptr);

/* Plans the moves of all failovers that are due at a time, in the order of the worker. */
void plan_due_failovers(MovePlan *plan, TimestampTz at, Deadline deadline);

} // namespace gxy
