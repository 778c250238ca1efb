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

/*
 * Carries out the failovers of one kind that are due by now, and writes the progress to
 * balancer_failovers. Moves at most limit rooms of failed servers. Destination::policy also moves
 * the rooms of servers that are not in the pool.
 */
MoveResult carry_out_failovers(Destination destination, int limit, TimestampTz now,
							   Deadline deadline);

} // namespace gxy
