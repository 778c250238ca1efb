/*
 * drains.hpp: finds draining servers that have become empty.
 */
#pragma once

#include "pg/lock_timeout.hpp"
#include "placement/server_load.hpp"
#include "servers/pool.hpp"

namespace gxy
{

/*
 * Returns whether a draining server is empty: it has no room, also none of a transaction that has
 * not ended, and no live session names it.
 */
bool is_drained(const PoolServer &server, const ServerLoad &load);

/*
 * Sends the notification "server_drained" of each server that is drained, once in each drain. A
 * drain begins when the state that is wanted becomes draining, and ends when that changes. For the
 * worker.
 */
void tell_drained_servers(Deadline deadline);

} // namespace gxy
