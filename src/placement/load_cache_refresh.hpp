/*
 * load_cache_refresh.hpp: the load cache as placement uses it: for a pool and the settings in
 * force, with a baseline that is new enough.
 */
#pragma once

#include "pg/compat.hpp"
#include "placement/candidates.hpp"
#include "policy/placement_policy.hpp"
#include "servers/pool.hpp"
#include "shared/databases.hpp"
#include "shared/load_cache.hpp"
#include "shared/load_delta.hpp"
#include "tables/assignments.hpp"

namespace gxy
{

/* The load cache for the servers of one copy of the pool. In memory of the caller's context. */
struct PoolLoadCache
{
	LoadCache *cache;
	BaselineKey key;
	const int *slots; /* by server */
	const int
		*claimed_by; /* by server, see hand_over_claimed(); nullptr: no failover is in force */
	RankedPool ranked;
};

/* Returns std::nullopt if there is no memory for the cache or for the slot of a server. */
std::optional<PoolLoadCache> load_cache_for(const Pool &pool, const Rules &rules, TimestampTz now);

/*
 * Returns the load cache, if this transaction may place a room by it: counts a new baseline if one
 * is due and no other backend is counting, and waits a second at most for the first one. Raises
 * what reading the sessions raises. std::nullopt: the room needs a count of its own, for *reason.
 */
std::optional<PoolLoadCache> fresh_load_cache(const PlacementRequest &request,
											  const PlacementInput &input,
											  const Assignments &assignments, CountReason *reason);

/*
 * Chooses a server by the load cache and reserves the room's place there, in one step. load: what
 * the room adds. examined: the room's sessions are in the input. Sets *chosen to the server with
 * its load if it returns reserved.
 */
Reserved reserve(const PoolLoadCache &cache, const PlacementRequest &request,
				 const PlacementInput &input, Load load, bool examined, Server *chosen,
				 Decision *decision);

} // namespace gxy
