/*
 * server_causes.hpp: why a server is in its state, in words.
 */
#pragma once

#include "application/session_index.hpp"
#include "pg/compat.hpp"
#include "placement/server_load.hpp"
#include "policy/failure_detector.hpp"
#include "servers/pool.hpp"

namespace gxy
{

/* Returns the number of servers to which a failover may move rooms. */
int count_targets(const Pool &pool);

/*
 * Returns why a server is in its state, which failovers concern it, and whether it has recovered a
 * moment ago; empty if nothing. targets: by count_targets(). loads_known: the sessions can be read.
 */
const char *cause_of(const Pool &pool, int index, int targets, bool loads_known, TimestampTz now);

/* Says whether a draining server may be stopped; nullptr while it has rooms. */
const char *progress_of_drain(const Pool &pool, const PoolServer &server, const ServerLoad &load,
							  const SessionIndex &session_index);

/* Why a server outside of the pool is offline. If the pool is written its rooms move. */
const char *cause_outside(const Pool &pool, int targets, bool loads_known);

/* Whether a difference between measured and counted load, found then (0: none), is a fault. */
bool has_lasted(TimestampTz differs_since, TimestampTz now);

/* Adds the difference to a cause. load, capacity: users. */
const char *with_difference(const char *cause, const Measurement &measurement, std::int64_t load,
							std::int64_t capacity);

} // namespace gxy
