/*
 * failover.hpp: decides, when a server goes offline, which standby takes its rooms.
 */
#pragma once

#include <string_view>

#include "pg/lock_timeout.hpp"
#include "tables/assignments.hpp"

namespace gxy
{

inline constexpr const char *cause_reported = "reported unhealthy";
inline constexpr const char *cause_silent = "silent";

/*
 * Takes the lock under which states change and standbys are claimed, until the end of the
 * transaction, so that two declarations do not claim one standby. A call for a room does not take
 * it. Raises 55P03 at the deadline.
 */
void lock_server_states(Deadline deadline);
bool try_lock_server_states();

/*
 * Makes balancer_failovers agree with the states in force: declares missing failovers, ends those
 * that are over, and finds another standby for claims that have lost theirs. Takes the lock if
 * there is work. cause: written for servers that are offline because of their health.
 */
void reconcile_failovers(const char *cause, Deadline deadline);

/*
 * Deletes the oldest failovers that have ended, once there are many: each backend reads all of them
 * after every change of the pool. Those that ended last stay, as a history. Raises 55P03 at the
 * deadline.
 */
void forget_old_failovers(Deadline deadline);

/*
 * The server whose failure brought a room where it is, as the row's reason names it; empty if none
 * did.
 */
std::string_view failed_server_of(const Assignment &row);

} // namespace gxy
