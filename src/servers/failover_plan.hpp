/*
 * failover_plan.hpp: decides which failovers are missing, and which standbys they claim.
 *
 * reconcile_failovers() writes the plan down; what_if() only looks at it. Nothing here writes.
 */
#pragma once

#include "pg/array.hpp"
#include "pg/compat.hpp"
#include "pg/lock_timeout.hpp"
#include "servers/pool.hpp"

namespace gxy
{

/* The server is offline and no failover is declared. */
bool needs_failover(const PoolServer &server);
/* A failover is declared and the server is back. */
bool has_recovered(const PoolServer &server);
/* The standby that claims the server's rooms cannot take them any more. */
bool has_lost_its_standby(const Pool &pool, const PoolServer &server);

/* Which standby takes the rooms of a failed server. Both are indexes into the pool. */
struct Claim
{
	int server;
	int standby; /* -1: none is free, the rooms are spread */
};

struct FailoverPlan
{
	Array<Claim> declared;	 /* failovers that are missing */
	Array<Claim> redirected; /* failovers that have lost their standby */
};

/*
 * Gives each missing failover a free standby, and each one that has lost its standby another. If a
 * standby has failed, its own rooms and the rooms it was to take go to the same new standby.
 */
FailoverPlan plan_failovers(const Pool &pool, TimestampTz now, Deadline deadline);

} // namespace gxy
