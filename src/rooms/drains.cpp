/*
 * drains.cpp: finds draining servers that have become empty, and tells listeners of it.
 *
 * Only the worker does this, after it has freed rooms. A row of _drained_servers says that
 * listeners have been told; a change of the wanted state deletes it (server_state.cpp). The rooms
 * and the sessions are read before the lock on server states is taken, because that may take
 * long. If the pool has changed meanwhile, the next run looks again.
 */
#include "rooms/drains.hpp"

#include "application/session_index.hpp"
#include "application/source_query.hpp"
#include "pg/array.hpp"
#include "pg/compat.hpp"
#include "pg/row.hpp"
#include "pg/rows.hpp"
#include "pg/settings.hpp"
#include "policy/placement_policy.hpp"
#include "servers/failover.hpp"
#include "tables/catalog.hpp"
#include "tables/columns.hpp"
#include "tables/notification.hpp"
#include "tables/owner_sql.hpp"

namespace gxy
{
namespace
{

/* Returns the indexes of the draining servers of which listeners have not been told. */
Array<int>
servers_to_watch(const Pool &pool, Deadline deadline)
{
	Array<int> watched;

	for (int i = 0; i < pool.servers.count; i++)
		if (pool.servers[i].state == ServerState::draining)
			watched.push(i);
	if (watched.count == 0)
		return watched;

	bool *told = static_cast<bool *>(palloc0(static_cast<Size>(pool.servers.count)));
	Oid table = lock_table(&Relations::drained_servers, AccessShareLock, deadline);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());

	for_each_row_of(table, snapshot, [&](const Row &row) {
		int server = pool.find(row.text(drained_servers_server).value_or(""));

		if (server >= 0)
			told[server] = true;
	});
	UnregisterSnapshot(snapshot);
	watched.count = static_cast<int>(std::remove_if(watched.begin(), watched.end(),
													[told](int server) { return told[server]; }) -
									 watched.begin());
	return watched;
}

bool
any_drained(const Pool &pool, const Array<int> &servers, const ServerLoads &loads)
{
	return std::any_of(servers.begin(), servers.end(),
					   [&](int server) { return is_drained(pool.servers[server], loads[server]); });
}

void
tell_once(std::string_view server, Deadline deadline)
{
	if (run_as_owner(&Relations::drained_servers, deadline,
					 "INSERT INTO %s (server) VALUES ($1) ON CONFLICT DO NOTHING",
					 {Argument::of(server)}) > 0)
		Notification("server_drained", deadline).add("server", server).send();
}

} // namespace

bool
is_drained(const PoolServer &server, const ServerLoad &load)
{
	return server.state == ServerState::draining && load.rooms == 0 && load.connected == 0;
}

void
tell_drained_servers(Deadline deadline)
{
	TimestampTz now = GetCurrentTimestamp();
	const Pool &current = pool(deadline);
	Array<int> watched = servers_to_watch(current, deadline);
	SessionIndex sessions;

	/* The sessions are read only if the rooms alone do not say that all watched are in use. */
	if (watched.count == 0 ||
		!any_drained(current, watched,
					 count_now(current, sessions, current_rules(), now, deadline)))
		return;

	/* Raises an error if the sessions cannot be read: users who are not seen may be there. */
	sessions = SessionIndex::build(current.sessions, SessionColumns::with_servers, now, deadline);

	ServerLoads loads = count_now(current, sessions, current_rules(), now, deadline);

	if (!any_drained(current, watched, loads) || !try_lock_server_states() ||
		!is_current_pool(current.number))
		return;
	for (int server : watched)
		if (is_drained(current.servers[server], loads[server]))
			tell_once(current.servers[server].name, deadline);
}

} // namespace gxy
