/*
 * what_if.hpp: what a change of the pool would do to the load of each server.
 *
 * The moves are planned by the code that would do them (relocation.hpp). Writes nothing, and takes
 * no lock that a call for a room waits for, so it works in a READ ONLY transaction and on a hot
 * standby.
 */
#pragma once

#include "placement/server_load.hpp"
#include "policy/placement_policy.hpp"
#include "servers/pool.hpp"

namespace gxy
{

/* The servers of the changed pool, and those outside of it that have rooms, with their loads. */
struct Forecast
{
	Pool servers;
	Rules rules;
	ServerLoads after;
	int in_pool = 0;  /* servers of the pool; they come first */
	int subject = -1; /* index of the server that the question is about */

	/* Returns the load of a server before the change; none for a server that is added. */
	ServerLoad before(int server) const;

	Pool servers_before;
	ServerLoads loads_before;
};

/*
 * offline: the server fails, and all failovers that are due by then are carried out. draining: it
 * is set draining and evacuated. online: it comes back; no room is moved. Raises 42704 if the
 * server is not in the pool, 55000 if the sessions cannot be read.
 */
Forecast foresee_state(std::string_view server, ServerState state);

/*
 * A server is added and rebalance() is called without limits. capacity 0: default_capacity. Raises
 * 42710 if the server is in the pool, 55000 if the sessions cannot be read.
 */
Forecast foresee_added(std::string_view server, int capacity);

} // namespace gxy
