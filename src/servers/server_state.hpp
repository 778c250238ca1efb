/*
 * server_state.hpp: the servers' states, as people set them and as monitors report them.
 */
#pragma once

#include "servers/failover.hpp"
#include "servers/heartbeats.hpp"

namespace gxy
{

/* A server of the pool; raises 42704 if it is not there. */
const PoolServer &find_server(const Pool &pool, std::string_view server);

/*
 * Locks a server's row against a DELETE and a change of its name until the end of the transaction, and waits for those that
 * are in progress. Raises 42704 if it is not in the pool then.
 */
void hold_server(std::string_view server, Deadline deadline);

/* Raises 25006 in a read-only transaction; what: "change a server", "move rooms". */
void require_write_to(const char *what);

/*
 * Sets what people want of a server. Returns the state in force afterwards; a NOTICE tells the caller where the server's
 * health keeps that worse than wanted.
 */
ServerState set_server_state(std::string_view server, ServerState state, Deadline deadline);

/* What a monitor reports of a server; whether that is news. False for a server that is not in the pool. */
bool heartbeat(std::string_view server, bool healthy);

struct Watch
{
	TimestampTz next = 0; /* when to look again; 0: silence says nothing */
	bool monitor_lost = false;
};

/*
 * What the worker does first: declares servers that have fallen silent, and failovers that are missing. Leaves both to
 * the next run if somebody is changing a state just now.
 */
Watch watch_servers(Deadline deadline);

/* Tells of a change of state: listeners, and the worker. was: what people wanted before. */
void announce_state(std::string_view server, std::string_view was, std::string_view wanted);

/* Forgets what was reported of servers that have left the pool, and settles their failovers. */
void reconcile_pool_change(Deadline deadline);

} // namespace gxy
