/*
 * load_cache_ranking.hpp: which server of a pool leads by the sums. Private to the load cache.
 *
 * With 1,000 servers a comparison of all for each room would be most of the work of a call. So the
 * slots play a Tournament whose nodes are in shared memory. Every change of a sum notes its slot
 * (changing_slot()); before the winner is asked for, the noted slots are played again. All play
 * again after a count, after many changes, and if another pool or other settings are asked for.
 */
#pragma once

#include "policy/placement_policy.hpp"
#include "shared/load_cache.hpp"
#include "shared/load_cache_layout.hpp"
#include "shared/load_delta.hpp"

namespace gxy
{

/* Sets the rooms and the load of a server by the sum of its slot. */
void set_load(Server *server, Load sum, const Rules &rules);

/*
 * Gives the ranking memory for all slots. Returns false if there is none. Normal code, no lock
 * held.
 */
bool prepare_ranking(LoadCache *cache);

/*
 * Returns the slot that leads, -1 if no server of the pool may lead or slots have been added since
 * prepare_ranking(). The caller holds the lock.
 */
int leading_slot(LoadCache *cache, const RankedPool &pool, const Rules &rules);

/* Returns the server in a slot of the pool with its load. The caller holds the lock. */
Server server_in_slot(const LoadCache *cache, const RankedPool &pool, int slot, const Rules &rules);

} // namespace gxy
