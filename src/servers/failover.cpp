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

#include "pg/array.hpp"
#include "pg/compat.hpp"
#include "pg/interner.hpp"
#include "pg/settings.hpp"
#include "policy/placement_policy.hpp"
#include "policy/time_arithmetic.hpp"
#include "servers/failover_plan.hpp"
#include "servers/pool.hpp"
#include "shared/databases.hpp"
#include "shared/status.hpp"
#include "tables/catalog.hpp"
#include "tables/locks.hpp"
#include "tables/notification.hpp"
#include "tables/owner_sql.hpp"

namespace gxy
{
namespace
{

/* A flapping monitor ends a failover every few seconds. */
constexpr int most_ended_failovers = 2000;
constexpr std::int64_t kept_failovers = 1000;
constexpr std::int64_t failovers_forgotten_at_once = 10000;

bool
is_reconciled(const Pool &pool)
{
	return pool.stray_failovers.count == 0 &&
		   std::none_of(pool.servers.begin(), pool.servers.end(),
						[&pool](const PoolServer &server) {
							return needs_failover(server) || has_recovered(server) ||
								   has_lost_its_standby(pool, server);
						});
}

std::string_view
name_or_none(const Pool &pool, int server)
{
	return server >= 0 ? pool.servers[server].name : std::string_view();
}

/* Servers that have failed, and where their rooms go. */
struct Declarations
{
	Array<std::string_view> servers;
	Array<std::string_view> targets; /* empty: they are spread */
	Array<std::string_view> causes;
};

/* Writes the rows of the failovers and notifies listeners. */
void
declare(const Declarations &declared, Deadline deadline)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz due = later(now, microseconds(setting::failover_delay));

	if (declared.servers.count == 0)
		return;
	(void) run_as_owner(
		&Relations::failovers, deadline,
		"INSERT INTO %s (from_server, to_server, declared_at, due_at, cause, on_call) "
		"SELECT d.server, nullif(d.target, ''), $1, $2, d.cause, $3 "
		"FROM unnest($4, $5, $6) d(server, target, cause)",
		{Argument::of_time(now), Argument::of_time(due), Argument::of(setting::failover_on_call),
		 Argument::of(declared.servers.span()), Argument::of(declared.targets.span()),
		 Argument::of(declared.causes.span())});
	count(Counter::failovers, declared.servers.count);
	for (int i = 0; i < declared.servers.count; i++)
		Notification("failover_declared", deadline)
			.add("server", declared.servers[i])
			.add_name("target", declared.targets[i])
			.add_time("due_at", due)
			.add("cause", declared.causes[i])
			.send();
}

/*
 * Failovers that end because their servers are back, or gone from the pool. What has been moved
 * stays where it is.
 */
struct Endings
{
	struct Ending
	{
		std::string_view server;
		Failover failover;
		std::int64_t moved = 0; /* rooms */
		std::int64_t left = 0;
	};

	Array<Ending> endings;
	NameInterner numbers; /* of the servers; each has one ending */
};

Endings
list_endings(const Pool &pool)
{
	Endings found;
	bool fresh;
	auto add = [&](std::string_view server, const Failover &failover) {
		(void) found.numbers.number(server, &fresh);
		if (fresh)
			found.endings.push({.server = server, .failover = failover});
	};

	found.numbers.prepare();
	for (const PoolServer &server : pool.servers)
		if (has_recovered(server))
			add(server.name, server.failover);
	for (const StrayFailover &stray : pool.stray_failovers)
		add(stray.server, stray.failover);
	return found;
}

/* Sets the moved and left counts: how many rooms callers and the worker have moved, or not yet. */
void
count_rooms(Endings *endings, Deadline deadline)
{
	Assignments assignments = open_assignments(AccessShareLock, deadline);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());

	assignments.for_each_row(snapshot, [endings](const Assignment &row, ItemPointer) {
		int named = endings->numbers.find(row.server);
		int origin = endings->numbers.find(failed_server_of(row));

		if (named >= 0)
			endings->endings[named].left++;
		if (origin >= 0 && row.assigned_at >= endings->endings[origin].failover.declared_at)
			endings->endings[origin].moved++;
	});
	UnregisterSnapshot(snapshot);
	assignments.close();
}

/* Returns the outcome of a failover that ends before the worker has finished it. */
std::string_view
outcome_of(const Endings::Ending &ending, TimestampTz now)
{
	if (ending.moved == 0 && !ending.failover.counts(now, Viewpoint::worker))
		return "cancelled";
	if (ending.left > 0)
		return "interrupted";
	return ending.failover.target.empty() ? "spread" : "moved";
}

/* Marks failovers as ended, with their outcomes, and notifies listeners. */
void
end_failovers(Endings endings, Deadline deadline)
{
	TimestampTz now = GetCurrentTimestamp();
	Array<std::string_view> servers;
	Array<std::string_view> rooms;
	Array<std::string_view> outcomes;

	if (endings.endings.count == 0)
		return;
	count_rooms(&endings, deadline);
	for (const Endings::Ending &ending : endings.endings)
	{
		servers.push(ending.server);
		rooms.push(psprintf(INT64_FORMAT, ending.moved));
		outcomes.push(outcome_of(ending, now));
	}
	(void) run_as_owner(
		&Relations::failovers, deadline,
		"UPDATE %s f SET recovered_at = $1, finished_at = coalesce(f.finished_at, $1), "
		"rooms = greatest(f.rooms, e.rooms::bigint), "
		"outcome = CASE f.outcome WHEN 'pending' THEN e.outcome ELSE f.outcome END "
		"FROM unnest($2, $3, $4) e(server, rooms, outcome) "
		"WHERE f.from_server = e.server AND f.recovered_at IS NULL",
		{Argument::of_time(now), Argument::of(servers.span()), Argument::of(rooms.span()),
		 Argument::of(outcomes.span())});
	for (std::string_view server : servers)
		Notification("failover_ended", deadline).add("server", server).send();
}

/* Changes the target of a failover and notifies listeners. Empty: its rooms are spread. */
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

/* Declares and redirects failovers as planned. The caller holds the lock on server states. */
void
declare_failovers(const Pool &pool, const char *cause, Deadline deadline)
{
	FailoverPlan plan = plan_failovers(pool, GetCurrentTimestamp(), deadline);
	Declarations declared;

	for (const Claim &claim : plan.declared)
	{
		const PoolServer &server = pool.servers[claim.server];

		declared.servers.push(server.name);
		declared.targets.push(name_or_none(pool, claim.standby));
		declared.causes.push(server.wanted == ServerState::offline ? "set offline" : cause);
	}
	declare(declared, deadline);
	for (const Claim &claim : plan.redirected)
		redirect(pool.servers[claim.server], name_or_none(pool, claim.standby), deadline);
}

} // namespace

std::string_view
failed_server_of(const Assignment &row)
{
	constexpr std::string_view prefix = "failover from ";

	return row.reason.starts_with(prefix) ? row.reason.substr(prefix.size()) : std::string_view();
}

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
forget_old_failovers(Deadline deadline)
{
	if (pool(deadline).ended_failovers <= most_ended_failovers)
		return;

	/* Of another look at the table: it may have changed. After a restore there may be very many. */
	(void) run_as_owner(
		&Relations::failovers, deadline,
		"DELETE FROM %s WHERE ctid OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT ctid FROM %s WHERE "
		"ctid OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT ctid FROM %s WHERE recovered_at IS NOT NULL "
		"ORDER BY recovered_at LIMIT (SELECT greatest(0, least($2, count(*) "
		"OPERATOR(pg_catalog.-) $1)) FROM %s WHERE recovered_at IS NOT NULL))) "
		"FOR UPDATE SKIP LOCKED))",
		{Argument::of(kept_failovers), Argument::of(failovers_forgotten_at_once)});
}

void
reconcile_failovers(const char *cause, Deadline deadline)
{
	if (is_reconciled(pool(deadline)))
		return;
	lock_server_states(deadline);

	/*
	 * Another transaction may have declared the failover, or claimed a standby, before this one got
	 * the lock.
	 */
	const Pool &current = pool(deadline);

	end_failovers(list_endings(current), deadline);
	declare_failovers(current, cause, deadline);
	request_run_at_commit();
}

} // namespace gxy
