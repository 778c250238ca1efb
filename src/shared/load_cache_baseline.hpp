/*
 * load_cache_baseline.hpp: the count that a load cache rests on. Private to the load cache.
 */
#pragma once

#include <cstdint>

#include "pg/compat.hpp"
#include "shared/load_cache.hpp"
#include "shared/load_cache_layout.hpp"
#include "shared/load_delta.hpp"

namespace gxy
{

/* load_cache.hpp describes baseline_is_due() and wait_for_baseline(). */

/*
 * Begins a count if one is due and none is running. The returned snapshot is registered, or
 * nullptr. Raises what taking a snapshot raises, and has changed nothing then. Normal code, no lock
 * held.
 */
BaselineCount begin_baseline(LoadCache *cache, BaselineKey key, std::int64_t max_age,
							 TimestampTz now);

enum class Installed
{
	yes,
	not_yet,   /* a transaction that the count sees as ended is still in flight: try again */
	discarded, /* the count was void; another one is due */
};

/*
 * Makes the running count the baseline. *counted is set to LoadCache::counted, for
 * expire_baseline(). Normal code.
 */
Installed install_baseline(LoadCache *cache, BaselineKey key, const BaselineResult &result,
						   std::int64_t *counted);

/* Ends the running count, as if it had never begun. Also in a transaction callback. */
void abandon_baseline(LoadCache *cache);

/*
 * Makes the next count due at once if the baseline is still the given one, which has seen what is
 * being rolled back. Also in a transaction callback.
 */
void expire_baseline(LoadCache *cache, std::int64_t counted);

} // namespace gxy
