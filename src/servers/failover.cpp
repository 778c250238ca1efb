/*
 * failover.cpp: declares and ends failovers.
 *
 * A failover is a row that says: from due_at on, the rooms of this server are on that standby. It
 * is written in the transaction that takes the server out of service, so it rolls back with it, and
 * callers only read it. The row fixes the decision; moving the rooms' own rows
 * (rooms/relocation.cpp) can take longer.
 *
 * The functions compare the states in force with the failovers that exist. So it does not matter
 * which transaction changed what, running them twice changes nothing, and they repair a table that
 * was truncated or half restored.
 */
#include "servers/failover.hpp"

#include "tables/catalog.hpp"
#include "tables/notification.hpp"
#include "shared/status.hpp"
#include "tables/owner_sql.hpp"
#include "tables/locks.hpp"

namespace gxy
{
namespace
{

bool
is_missing(const PoolServer &server)
{
	return server.state == ServerState::offline && !server.failover.active;
}

bool
is_over(const PoolServer &server)
{
	return server.state != ServerState::offline && server.failover.active;
}

bool
has_lost_its_standby(const Pool &pool, const PoolServer &server)
{
	const Failover &failover = server.failover;

	return server.state == ServerState::offline && failover.active && failover.pending &&
		   !failover.target.empty() &&
		   (failover.standby < 0 || pool.servers[failover.standby].state != ServerState::online);
}

bool
is_settled(const Pool &pool)
{
	return !pool.has_orphans && std::none_of(pool.servers.begin(), pool.servers.end(),
											 [&pool](const PoolServer &server) {
												 return is_missing(server) || is_over(server) ||
														has_lost_its_standby(pool, server);
											 });
}

/* Which standbys are taken, and which failed servers still have rooms. */
struct Occupancy
{
	bool *taken;
	bool *has_rooms;
};

/* Returns true if a claim is due and its server has no rooms left: it takes nothing more. */
bool
is_spent(const PoolServer &server, bool has_rooms, TimestampTz now)
{
	return server.failover.due_at <= now && !has_rooms;
}

/*
 * Reads the rooms, including those of transactions that have not ended: they may be committed after
 * the standby was claimed.
 */
Occupancy
look_at_standbys(const Pool &pool, TimestampTz now, Deadline deadline)
{
	Size size = static_cast<Size>(pool.servers.count) + 1;
	Occupancy found = {.taken = static_cast<bool *>(palloc0(size)),
					   .has_rooms = static_cast<bool *>(palloc0(size))};
	Assignments assignments = open_assignments(AccessShareLock, deadline);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());

	assignments.for_each_room(snapshot, [&](const Assignment &row) {
		int named = pool.find(row.server);
		int carrier = pool.locate(row.server, row.assigned_at, now).server;

		if (named >= 0)
			found.has_rooms[named] = true;
		if (carrier >= 0)
			found.taken[carrier] = true;
	});
	UnregisterSnapshot(snapshot);
	assignments.close();
	for (int i = 0; i < pool.servers.count; i++)
	{
		const Failover &failover = pool.servers[i].failover;

		if (failover.active && failover.pending && failover.standby >= 0 &&
			!is_spent(pool.servers[i], found.has_rooms[i], now))
			found.taken[failover.standby] = true;
	}
	return found;
}

/* Standbys that are online and have no rooms, in the order in which they are claimed. */
struct FreeStandbys
{
	Array<int> servers;
	int next = 0;

	/* Returns the next standby; -1 if there is none left. */
	int claim() { return next < servers.count ? servers[next++] : -1; }
};

FreeStandbys
free_standbys(const Pool &pool, const Occupancy &occupancy)
{
	FreeStandbys free;

	for (int i = 0; i < pool.servers.count; i++)
		if (pool.servers[i].pool == ServerPool::standby &&
			pool.servers[i].state == ServerState::online && !occupancy.taken[i])
			free.servers.push(i);
	std::sort(free.servers.begin(), free.servers.end(), [&pool](int a, int b) {
		const PoolServer &left = pool.servers[a];
		const PoolServer &right = pool.servers[b];

		return left.priority != right.priority	 ? left.priority > right.priority
			   : left.position != right.position ? left.position < right.position
												 : left.name < right.name;
	});
	return free;
}

std::string_view
name_or_none(const Pool &pool, int server)
{
	return server >= 0 ? pool.servers[server].name : std::string_view();
}

void
declare(const PoolServer &server, std::string_view target, const char *cause, Deadline deadline)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz due = now + microseconds(setting::failover_delay);
	const char *why = server.wanted == ServerState::offline ? "set offline" : cause;

	(void) run_as_owner(&Relations::failovers, deadline,
						"INSERT INTO %s (from_server, to_server, declared_at, due_at, cause) "
						"VALUES ($1, $2, $3, $4, $5)",
						{Argument::of(server.name), Argument::of_name(target),
						 Argument::of_time(now), Argument::of_time(due),
						 Argument::of(std::string_view(why))});
	Notification("failover_declared", deadline)
		.add("server", server.name)
		.add_name("target", target)
		.add_time("due_at", due)
		.add("cause", std::string_view(why))
		.send();
}

/*
 * Ends the failovers of a server that is online again or has left the pool. Moved rooms stay where
 * they are.
 */
void
end_failovers(std::string_view server, Deadline deadline)
{
	if (run_as_owner(
			&Relations::failovers, deadline,
			"UPDATE %s SET recovered_at = $2, finished_at = coalesce(finished_at, $2), outcome = "
			"CASE WHEN outcome OPERATOR(pg_catalog.<>) 'pending' THEN outcome "
			"WHEN due_at OPERATOR(pg_catalog.>) $2 THEN 'cancelled' ELSE 'interrupted' END "
			"WHERE from_server OPERATOR(pg_catalog.=) $1 AND recovered_at IS NULL",
			{Argument::of(server), Argument::of_time(GetCurrentTimestamp())}) > 0)
		Notification("failover_ended", deadline).add("server", server).send();
}

/* Ends the failovers whose server has left the pool. */
void
end_orphans(const Pool &pool, Deadline deadline)
{
	(void) run_as_owner(
		&Relations::failovers, deadline,
		"UPDATE %s SET recovered_at = $1, finished_at = coalesce(finished_at, $1), outcome = "
		"CASE WHEN outcome <> 'pending' THEN outcome ELSE 'cancelled' END WHERE recovered_at IS "
		"NULL "
		"AND NOT EXISTS (SELECT FROM unnest($2) s(name) WHERE s.name = from_server)",
		{Argument::of_time(GetCurrentTimestamp()), Argument::of(pool.written_names())});
}

void
redirect(const PoolServer &server, std::string_view target, Deadline deadline)
{
	(void) run_as_owner(&Relations::failovers, deadline,
						"UPDATE %s SET to_server = $3 WHERE from_server OPERATOR(pg_catalog.=) $1 "
						"AND declared_at OPERATOR(pg_catalog.=) $2",
						{Argument::of(server.name), Argument::of_time(server.failover.declared_at),
						 Argument::of_name(target)});
	Notification("failover_redirected", deadline)
		.add("server", server.name)
		.add_name("target", target)
		.send();
}

/*
 * Claims standbys for failed servers. If a standby has failed, its own rooms and the rooms it was
 * to take go to the same new standby.
 */
void
find_standbys(const Pool &pool, const char *cause, Deadline deadline)
{
	FreeStandbys free =
		free_standbys(pool, look_at_standbys(pool, GetCurrentTimestamp(), deadline));
	int *target_of =
		static_cast<int *>(palloc(sizeof(int) * static_cast<Size>(pool.servers.count)));

	for (int i = 0; i < pool.servers.count; i++)
	{
		const PoolServer &server = pool.servers[i];

		target_of[i] = server.failover.standby;
		if (is_missing(server))
		{
			target_of[i] = free.claim();
			declare(server, name_or_none(pool, target_of[i]), cause, deadline);
		}
	}
	for (const PoolServer &server : pool.servers)
		if (has_lost_its_standby(pool, server))
		{
			int lost = server.failover.standby;
			bool failed = lost >= 0 && pool.servers[lost].state == ServerState::offline;
			int target = failed ? target_of[lost] : free.claim();

			redirect(server, name_or_none(pool, target), deadline);
		}
}

} // namespace

void
lock_server_states(Deadline deadline)
{
	wait_or_report(
		deadline,
		[] {
			LOCKTAG tag = side_lock_tag(relations().failovers);

			(void) LockAcquire(&tag, ExclusiveLock, false, false);
		},
		[] {
			ereport(ERROR, (errcode(ERRCODE_LOCK_NOT_AVAILABLE),
							errmsg("timed out waiting for another change of a server's state"),
							errdetail("Another transaction has changed one and has not ended yet."),
							errhint("Retry; pg_locks shows it as the holder of an object lock on "
									"balancer_failovers.")));
		});
}

bool
try_lock_server_states()
{
	LOCKTAG tag = side_lock_tag(relations().failovers);

	return LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
}

void
reconcile_failovers(const char *cause, Deadline deadline)
{
	if (is_settled(pool(deadline)))
		return;
	lock_server_states(deadline);

	/*
	 * Another transaction may have declared the failover, or claimed a standby, before this one got
	 * the lock.
	 */
	const Pool &current = pool(deadline);

	for (const PoolServer &server : current.servers)
		if (is_over(server))
			end_failovers(server.name, deadline);
	if (current.has_orphans && current.written)
		end_orphans(current, deadline);
	find_standbys(current, cause, deadline);
	call_for_run_at_commit();
}

} // namespace gxy
