/*
 * server_state.cpp: changes of a server's state.
 *
 * The wanted state and the health are separate: operators write balancer_servers.state, monitors
 * write balancer_health, and the worse of the two is in force. So a heartbeat cannot undo a drain,
 * and a server that recovers gets the state that was last wanted. A heartbeat that does not change
 * the health updates one row, at most once in heartbeat_interval().
 */
#include "servers/server_state.hpp"

#include "pg/array.hpp"
#include "pg/debug_delay.hpp"
#include "pg/settings.hpp"
#include "policy/failure_detector.hpp"
#include "policy/time_arithmetic.hpp"
#include "servers/failover.hpp"
#include "servers/heartbeats.hpp"
#include "shared/load_cache.hpp"
#include "shared/status.hpp"
#include "tables/catalog.hpp"
#include "tables/notification.hpp"
#include "tables/owner_sql.hpp"

namespace gxy
{
namespace
{

/* Returns the time (microseconds) within which a second heartbeat of a server is not written. */
TimestampTz
heartbeat_interval()
{
	TimestampTz second = USECS_PER_SEC;

	if (setting::heartbeat_timeout == 0)
		return second;
	return std::min(second, microseconds(setting::heartbeat_timeout) / 10);
}

/* Updates the time of the last heartbeat. Skips the row if another transaction is updating it. */
void
refresh(std::string_view server, std::optional<float> load, TimestampTz now, Deadline deadline)
{
	/* One that is yet to come was written before the clock was set back. */
	const char *sql = "UPDATE %s SET last_heartbeat = $2, counts_from = $2, "
					  "load = coalesce($4, load), "
					  "load_at = CASE WHEN $4 IS NULL THEN load_at ELSE $2 END WHERE server = "
					  "(SELECT h.server FROM %s h WHERE h.server = $1 AND "
					  "(h.last_heartbeat <= $3 OR h.last_heartbeat > $2) FOR UPDATE SKIP LOCKED)";

	(void) run_as_owner(&Relations::health, deadline, sql,
						{Argument::of(server), Argument::of_time(now),
						 Argument::of_time(now - heartbeat_interval()), Argument::of(load)});
}

void
write_down(std::string_view server, bool healthy, std::optional<float> load, TimestampTz now,
		   Deadline deadline)
{
	(void) run_as_owner(
		&Relations::health, deadline,
		"INSERT INTO %s AS h (server, healthy, since, last_heartbeat, counts_from, load, load_at) "
		"VALUES ($1, $2, $3, $3, $3, $4, CASE WHEN $4 IS NOT NULL THEN $3 END) "
		"ON CONFLICT (server) DO UPDATE SET healthy = "
		"excluded.healthy, "
		"since = CASE WHEN h.healthy OPERATOR(pg_catalog.=) excluded.healthy THEN h.since "
		"ELSE excluded.since END, last_heartbeat = excluded.last_heartbeat, "
		"counts_from = excluded.counts_from, load = coalesce(excluded.load, h.load), "
		"load_at = coalesce(excluded.load_at, h.load_at), recovered_at = CASE WHEN "
		"excluded.healthy AND NOT h.healthy THEN excluded.since ELSE h.recovered_at END",
		{Argument::of(server), Argument::of(healthy), Argument::of_time(now), Argument::of(load)});
}

void
announce_health(std::string_view server, bool healthy, const char *cause, Deadline deadline)
{
	const PoolServer *known = pool(deadline).server(server);

	/*
	 * The server was deleted without this extension's triggers, which would have waited for this
	 * transaction.
	 */
	if (known == nullptr)
		return;
	Notification("server_health", deadline)
		.add("server", server)
		.add("health", std::string_view(healthy ? "healthy" : "unhealthy"))
		.add("cause", std::string_view(cause))
		.add("state", std::string_view(name_of(known->state)))
		.send();
	request_run_at_commit();
}

/*
 * After a time without any heartbeat, gives every server that has not reported yet a whole timeout.
 */
void
resume(const HeartbeatSummary &summary, TimestampTz now, Deadline deadline)
{
	if (summary.monitor_works())
		return;
	(void) run_as_owner(&Relations::health, deadline,
						"UPDATE %s SET counts_from = $1 WHERE server OPERATOR(pg_catalog.=) ANY "
						"(ARRAY(SELECT h.server FROM %s h WHERE h.healthy FOR UPDATE SKIP LOCKED))",
						{Argument::of_time(now)});
	if (summary.most_are_silent())
		ereport(
			WARNING,
			(errmsg("%d of %d servers had fallen silent at once, which was put down to their "
					"monitor",
					summary.silent, summary.reporting),
			 errhint("None of them was declared unhealthy; see that every server is reported at "
					 "least three times in gxy_balancer.heartbeat_timeout.")));
}

HeartbeatSummary
summary_of(const HeartbeatReports &read, TimestampTz now)
{
	return summarize_heartbeats(read.reports.items, read.reports.count, now,
								microseconds(setting::heartbeat_timeout));
}

/*
 * The reports, after those that are ahead of the clock have been brought back: their silence counts
 * from now.
 */
HeartbeatReports
reports_in_time(TimestampTz now, Deadline deadline)
{
	HeartbeatReports read = read_reports(pool(deadline), deadline);

	if (!read.ahead)
		return read;
	(void) run_as_owner(
		&Relations::health, deadline,
		"UPDATE %s SET counts_from = least(counts_from, $1), last_heartbeat = "
		"least(last_heartbeat, "
		"$1) WHERE server = ANY (ARRAY(SELECT h.server FROM %s h WHERE h.counts_from > $1 OR "
		"h.last_heartbeat > $1 FOR UPDATE SKIP LOCKED))",
		{Argument::of_time(now)});
	return read_reports(pool(deadline), deadline);
}

/*
 * Declares silent servers, unless another transaction is changing a state or has done so already.
 * Skips a server whose row another transaction has locked: a heartbeat of it may be under way.
 */
void
mark_unhealthy(TimestampTz now, Deadline deadline)
{
	debug_pause("silence");
	if (!try_lock_server_states())
		return;

	HeartbeatReports read = read_reports(pool(deadline), deadline);

	/* Servers that report may have left the pool meanwhile, so that now most are silent. */
	if (!summary_of(read, now).should_mark_unhealthy())
		return;
	for (int i = 0; i < read.reports.count; i++)
		if (is_silent(read.reports[i], now, microseconds(setting::heartbeat_timeout)) &&
			run_as_owner(&Relations::health, deadline,
						 "UPDATE %s SET healthy = false, since = $2 WHERE server = (SELECT "
						 "h.server FROM %s h WHERE h.server = $1 AND h.healthy "
						 "FOR UPDATE SKIP LOCKED)",
						 {Argument::of(read.servers[i]), Argument::of_time(now)}) > 0)
			announce_health(read.servers[i], false, cause_silent, deadline);
	reconcile_failovers(cause_silent, deadline);
}

/* Checks for silent servers at a heartbeat, at most once per heartbeat_interval(). */
void
look_around(TimestampTz now, Deadline deadline)
{
	static TimestampTz last_look = 0; /* time of the last check of this backend */

	if (setting::heartbeat_timeout == 0 ||
		(now >= last_look && now - last_look < heartbeat_interval()))
		return;
	last_look = now;

	HeartbeatSummary summary = summary_of(reports_in_time(now, deadline), now);

	resume(summary, now, deadline);
	if (summary.should_mark_unhealthy())
		mark_unhealthy(now, deadline);
}

/* Raises a NOTICE if a server's health keeps it in a worse state than the caller wants. */
void
notice_health(const PoolServer &server)
{
	const char *name = copy_of(server.name).data();

	if (server.state != server.wanted)
		ereport(NOTICE, (errmsg("server \"%s\" stays %s", name, name_of(server.state)),
						 server.silent ? errdetail("Its monitor has fallen silent.")
									   : errdetail("Its monitor reports it unhealthy."),
						 errhint("If that is a false alarm: SELECT server_heartbeat(%s).",
								 quote_literal_cstr(name))));
}

/*
 * A first report that is healthy sends no invalidation, so this backend's copy of the pool may not
 * have it.
 */
bool
has_reported(const PoolServer &server, Deadline deadline)
{
	return server.reported ||
		   !ask_as_owner(&Relations::health, deadline, "SELECT server FROM %s WHERE server = $1",
						 {Argument::of(server.name)})
				.empty();
}

/* Returns when a silence that has begun will count, if it goes on. */
TimestampTz
next_look(const HeartbeatReports &read, TimestampTz now)
{
	TimestampTz timeout = microseconds(setting::heartbeat_timeout);
	TimestampTz next = now + timeout;

	for (const HeartbeatReport &report : read.reports)
		if (report.healthy)
			next = std::min(next, later(report.counts_from, timeout));
	/* If the monitor has failed all servers are late: do not check all the time. */
	return std::max(next, now + std::max<TimestampTz>(timeout / 4, USECS_PER_SEC / 4));
}

} // namespace

const PoolServer &
find_server(const Pool &pool, std::string_view server)
{
	const PoolServer *found = pool.server(server);

	if (found == nullptr)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("server \"%s\" is not in the pool", copy_of(server).data()),
						errhint("balancer_load lists the servers of the pool.")));
	return *found;
}

void
hold_server(std::string_view server, Deadline deadline)
{
	(void) ask_as_owner(&Relations::servers, deadline,
						"SELECT name FROM %s WHERE name = $1 FOR KEY SHARE",
						{Argument::of(server)});
	(void) find_server(pool_without_pins(deadline), server);
}

void
require_write_to(const char *what)
{
	if (XactReadOnly)
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("cannot %s in a read-only transaction", what),
				 RecoveryInProgress() ? errhint("This server is a standby: call the primary.")
									  : errhint("Call it in a READ WRITE transaction.")));
}

ServerState
set_server_state(std::string_view server, ServerState state, Deadline deadline)
{
	require_write_to("change a server's state");
	(void) find_server(pool(deadline), server);
	write_pool_if_unwritten(deadline);

	const PoolServer &known = find_server(pool(deadline), server);

	if (known.wanted == state)
	{
		notice_health(known);
		return known.state;
	}
	lock_server_states(deadline);

	/* Updates no row if the server has been deleted meanwhile. */
	(void) run_as_owner(&Relations::servers, deadline,
						"UPDATE %s SET state = $2 WHERE name = $1 AND state <> $2",
						{Argument::of(server), Argument::of(std::string_view(name_of(state)))});
	return find_server(pool(deadline), server).state;
}

bool
heartbeat(std::string_view server, bool healthy, std::optional<float> load)
{
	TimestampTz now = GetCurrentTimestamp();
	Deadline deadline = Deadline::of_call_starting_now();

	require_write_to("note a heartbeat");
	if (pool(deadline).server(server) == nullptr)
		return false;
	write_pool_if_unwritten(deadline);
	look_around(now, deadline);

	/* A server that is deleted during a wait, here or below, is no longer in the pool. */
	const PoolServer *known = pool(deadline).server(server);

	if (known == nullptr)
		return false;
	if (known->healthy == healthy && has_reported(*known, deadline))
	{
		refresh(server, load, now, deadline);
		if (load)
			record_measurement(relations().health, server,
							   {.load = in_millionths(*load), .at = now});
		return false;
	}
	lock_server_states(deadline);
	known = pool(deadline).server(server);
	if (known == nullptr)
		return false;

	/* A server that was never reported counts as healthy. */
	bool news = known->healthy != healthy;

	write_down(server, healthy, load, now, deadline);
	if (load)
		record_measurement(relations().health, server, {.load = in_millionths(*load), .at = now});
	if (news)
	{
		announce_health(server, healthy, "reported", deadline);
		reconcile_failovers(cause_reported, deadline);
	}
	return news;
}

Watch
watch_servers(Deadline deadline)
{
	Watch watch;
	TimestampTz now = GetCurrentTimestamp();

	if (setting::heartbeat_timeout > 0)
	{
		HeartbeatReports read = reports_in_time(now, deadline);
		HeartbeatSummary summary = summary_of(read, now);

		watch.monitor_lost = summary.most_are_silent();
		watch.next = read.reports.count > 0 ? next_look(read, now) : 0;
		if (summary.should_mark_unhealthy())
			mark_unhealthy(now, deadline);
	}
	/*
	 * While a dump is restored its failovers may exist before its servers: no server has recovered.
	 */
	if (pool(deadline).written && try_lock_server_states())
		reconcile_failovers(cause_reported, deadline);
	return watch;
}

/*
 * Runs once per changed server, so it does not read the pool again each time. The health is as of
 * the time when the statement got the lock.
 */
void
announce_state(std::string_view server, std::string_view was, std::string_view wanted)
{
	Deadline deadline = Deadline::of_call_starting_now();
	const Pool *last = last_pool();
	const PoolServer *known = last != nullptr ? last->server(server) : nullptr;
	PoolServer changed = known != nullptr ? *known : PoolServer();

	changed.name = server;
	changed.wanted = state_named(wanted);
	changed.state = changed.healthy ? changed.wanted : ServerState::offline;
	notice_health(changed);
	/* Another drain of the server is told of again. */
	if (state_named(was) == ServerState::draining)
		(void) run_as_owner(&Relations::drained_servers, deadline,
							"DELETE FROM %s WHERE server = $1", {Argument::of(server)});
	Notification("server_state", deadline)
		.add("server", server)
		.add("was", was)
		.add("wanted", wanted)
		.add("state", std::string_view(name_of(changed.state)))
		.send();
	request_run_at_commit();
}

void
reconcile_pool_change(Deadline deadline)
{
	(void) run_as_owner(&Relations::health, deadline,
						"DELETE FROM %s h WHERE NOT EXISTS (SELECT FROM unnest($1) s(name) "
						"WHERE s.name = h.server)",
						{Argument::of(pool(deadline).written_names())});
	(void) run_as_owner(&Relations::drained_servers, deadline,
						"DELETE FROM %s d WHERE NOT EXISTS (SELECT FROM unnest($1) s(name) "
						"WHERE s.name = d.server)",
						{Argument::of(pool(deadline).written_names())});
	reconcile_failovers(cause_reported, deadline);
}

} // namespace gxy
