/*
 * heartbeats.cpp: reads balancer_health.
 *
 * Its times change every second and are not in the backends' copies of the pool. So the table is
 * read when they matter: by a placement, by a heartbeat and by the worker, and only if
 * heartbeat_timeout is not 0. Measured loads are read where a load is counted.
 */
#include "servers/heartbeats.hpp"

#include "pg/row.hpp"
#include "pg/rows.hpp"
#include "pg/settings.hpp"
#include "policy/time_arithmetic.hpp"
#include "shared/header.hpp"
#include "shared/load_cache.hpp"
#include "shared/status.hpp"
#include "shared/writable_since.hpp"
#include "tables/catalog.hpp"
#include "tables/columns.hpp"

namespace gxy
{

HeartbeatReports
read_reports(const Pool &pool, Deadline deadline)
{
	HeartbeatReports read;
	TimestampTz since = writable_since();
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz far_ahead = later(now, microseconds(setting::heartbeat_timeout));
	Oid table = lock_table(&Relations::health, AccessShareLock, deadline);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());

	/* Then the clock has been set back since. */
	if (since > now)
		since = DT_NOBEGIN;
	for_each_row_of(table, snapshot, [&](const Row &row) {
		const PoolServer *server = pool.server(row.text(health_server).value_or(""));

		if (server == nullptr)
			return;

		HeartbeatReport report = {.last_heartbeat = row.time(health_last_heartbeat).value_or(since),
								  .counts_from =
									  std::max(row.time(health_counts_from).value_or(since), since),
								  .healthy = row.boolean(health_healthy).value_or(true)};

		read.servers.push(server->name);
		read.reports.push(report);
		read.ahead = read.ahead || std::max(report.last_heartbeat, report.counts_from) > far_ahead;
	});
	UnregisterSnapshot(snapshot);
	return read;
}

const Measurement *
read_measurements(const Pool &pool, Deadline deadline, const HealthTimes **times)
{
	Size count = static_cast<Size>(pool.servers.count + 1);
	Measurement *read = static_cast<Measurement *>(palloc0(sizeof(Measurement) * count));
	HealthTimes *read_times = static_cast<HealthTimes *>(palloc0(sizeof(HealthTimes) * count));
	Oid table = lock_table(&Relations::health, AccessShareLock, deadline);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());

	for_each_row_of(table, snapshot, [&](const Row &row) {
		int at = pool.find(row.text(health_server).value_or(""));
		std::optional<float> load = row.real(health_load);
		std::optional<TimestampTz> since = row.time(health_load_at);

		if (at < 0)
			return;
		read_times[at].since = row.time(health_since).value_or(0);
		read_times[at].last_heartbeat = row.time(health_last_heartbeat).value_or(0);
		if (!load || !since)
			return;
		read[at] = {.load = in_millionths(*load), .at = *since};
		read_times[at].differs_since = row.time(health_differs_since).value_or(0);
	});
	if (times != nullptr)
		*times = read_times;
	UnregisterSnapshot(snapshot);
	/* A standby has only the rows. */
	LoadCache *cache = RecoveryInProgress() || has_other_layout() ? nullptr : load_cache();

	for (int i = 0; i < pool.servers.count && cache != nullptr; i++)
		take_newer_measurement(cache, table, pool.servers[i].hash, &read[i]);
	return read;
}

const bool *
silent_servers(const Pool &pool, TimestampTz now, Deadline deadline)
{
	TimestampTz timeout = microseconds(setting::heartbeat_timeout);

	if (timeout == 0)
		return nullptr;

	HeartbeatReports read = read_reports(pool, deadline);

	if (!summarize_heartbeats(read.reports.items, read.reports.count, now, timeout)
			 .should_mark_unhealthy())
		return nullptr;

	bool *silent = static_cast<bool *>(palloc0(static_cast<Size>(pool.servers.count)));

	for (int i = 0; i < read.reports.count; i++)
		silent[pool.find(read.servers[i])] = is_silent(read.reports[i], now, timeout);
	if (!RecoveryInProgress())
		request_run(MyDatabaseId);
	return silent;
}

void
note_load(std::string_view server, float load, Deadline deadline)
{
	if (pool(deadline).server(server) != nullptr)
		record_measurement(relations().health, server,
						   {.load = in_millionths(load), .at = GetCurrentTimestamp()});
}

} // namespace gxy
