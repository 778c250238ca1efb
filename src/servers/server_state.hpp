/*
 * server_state.hpp: the servers' states, as operators set them and as monitors report them.
 */
#pragma once

#include "pg/compat.hpp"
#include "pg/lock_timeout.hpp"
#include "policy/placement_policy.hpp"
#include "servers/pool.hpp"

namespace gxy
{

/* Returns a server of the pool. Raises 42704 if it is not in the pool. */
const PoolServer &find_server(const Pool &pool, std::string_view server);

/*
 * Locks a server's row against DELETE and renaming until the end of the transaction, and waits for
 * such statements in progress. Raises 42704 if the server is then not in the pool.
 */
void hold_server(std::string_view server, Deadline deadline);

/* Raises 25006 in a read-only transaction; what: "change a server", "move rooms". */
void require_write_to(const char *what);

/*
 * Sets the wanted state of a server. Returns the state in force afterwards. A NOTICE tells if the
 * server's health keeps that worse than wanted.
 */
ServerState set_server_state(std::string_view server, ServerState state, Deadline deadline);

/*
 * Records a monitor's report. load: the share of its capacity in use, 0 to 10, if the monitor has
 * measured it. Returns true if it changes the health, false if not or if the server is not in the
 * pool.
 */
bool heartbeat(std::string_view server, bool healthy, std::optional<float> load);

struct Watch
{
	TimestampTz next = 0; /* when to check again; 0: missing heartbeats are ignored */
	bool monitor_lost = false;
};

/*
 * The first step of a worker run: declares servers that have fallen silent, and missing failovers.
 * Leaves both to the next run if another transaction is changing a state.
 */
Watch watch_servers(Deadline deadline);

/* Tells listeners and the worker about a change of state. was: the state wanted before. */
void announce_state(std::string_view server, std::string_view was, std::string_view wanted);

/* Deletes the reports about servers that have left the pool, and ends their failovers. */
void reconcile_pool_change(Deadline deadline);

} // namespace gxy
