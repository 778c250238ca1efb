/*
 * hypothetical_pool.hpp: the pool as it would be after a change. Nothing here writes.
 *
 * The copies live in the current memory context and point into the pool that they are made of.
 */
#pragma once

#include "pg/compat.hpp"
#include "pg/lock_timeout.hpp"
#include "policy/placement_policy.hpp"
#include "servers/pool.hpp"

namespace gxy
{

/*
 * Returns the pool with a server in another state: online (set so, and healthy), draining (set so;
 * an unhealthy server stays offline) or offline. Failovers have ended and are declared as
 * reconcile_failovers() would do.
 */
Pool pool_with_state(const Pool &pool, int server, ServerState state, TimestampTz now,
					 Deadline deadline);

/* Returns the pool with one more server, the last. capacity 0: default_capacity. */
Pool pool_with_server(const Pool &pool, std::string_view name, int capacity);

} // namespace gxy
