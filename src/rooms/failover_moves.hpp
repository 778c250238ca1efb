/*
 * failover_moves.hpp: carrying out the failovers that are due.
 */
#pragma once

#include "rooms/relocation.hpp"

namespace gxy
{

/* The earliest failover that falls due after now; 0 if none does. */
TimestampTz next_failover(const Pool &pool, TimestampTz now);

enum class Destination
{
	standby, /* that has claimed the rooms */
	policy
};

/*
 * Carries out the failovers that are due by now and of one kind: moves up to limit rooms of failed servers, the policy also
 * those of servers that are not in the pool, and notes in balancer_failovers what has been done.
 */
MoveResult carry_out_failovers(Destination destination, int limit, TimestampTz now,
							   Deadline deadline);

} // namespace gxy
