/*
 * failover.hpp: which standby takes the rooms of a server that is offline, decided when that is declared.
 */
#pragma once

#include "servers/pool.hpp"

namespace gxy
{

inline constexpr const char *cause_reported = "reported unhealthy";
inline constexpr const char *cause_silent = "silent";

/*
 * The lock under which states change and standbys are claimed, held until the end of the transaction: two declarations
 * must not claim one standby. No caller for a room takes it.
 */
void lock_server_states(Deadline deadline);
bool try_lock_server_states();

/*
 * Makes balancer_failovers agree with the states in force, whatever changed them: declares the failovers that are
 * missing, ends those that are over, and finds another standby for claims that have lost theirs. Takes the lock if there
 * is anything to do. cause: what is written down of servers that are offline by their health.
 */
void reconcile_failovers(const char *cause, Deadline deadline);

} // namespace gxy
