/*
 * views.cpp: computes the rows behind the views.
 *
 * Counts loads with the code that placement uses. If the attached sessions cannot be read, the
 * columns that depend on them are NULL and a text column says why.
 */
#include "api/views.hpp"

#include "api/memory_view.hpp"
#include "api/result_set.hpp"
#include "api/server_causes.hpp"
#include "application/room_reader.hpp"
#include "application/session_index.hpp"
#include "application/source_query.hpp"
#include "application/source_reader.hpp"
#include "pg/array.hpp"
#include "pg/lock_timeout.hpp"
#include "pg/settings.hpp"
#include "placement/load_cache_refresh.hpp"
#include "placement/server_load.hpp"
#include "policy/failure_detector.hpp"
#include "policy/placement_policy.hpp"
#include "policy/time_arithmetic.hpp"
#include "rooms/drains.hpp"
#include "servers/heartbeats.hpp"
#include "servers/pool.hpp"
#include "shared/clock_watch.hpp"
#include "shared/databases.hpp"
#include "shared/launcher_claim.hpp"
#include "shared/load_cache.hpp"
#include "shared/load_delta.hpp"
#include "shared/status.hpp"
#include "tables/assignments.hpp"
#include "tables/locks.hpp"

namespace gxy
{

/* Returns a measurement in percent, with one decimal. */
static Datum
percent_of(const Measurement &measurement)
{
	Datum percent =
		DirectFunctionCall2(numeric_div, NumericGetDatum(int64_to_numeric(measurement.load)),
							NumericGetDatum(int64_to_numeric(full_measure / 100)));

	return DirectFunctionCall2(numeric_round, percent, Int32GetDatum(1));
}

/* Adds the columns from rooms to load. known: the sessions can be read. */
static void
add_load(Row *row, const ServerLoad &load, const Rules &rules, bool known)
{
	row->add(load.rooms);
	row->add_if(known, load.users);
	row->add_if(known, load.connected);
	row->add_if(known, load.expected);
	row->add_if(known, load.load(rules));
}

/*
 * Returns for each server how many rooms a failover that is due has not moved yet, whatever callers
 * are answered; -1: no failover of it is due and pending.
 */
static const std::int64_t *
count_unmoved(const Pool &pool, TimestampTz now, Deadline deadline)
{
	int count = pool.servers.count;
	std::int64_t *unmoved =
		static_cast<std::int64_t *>(palloc(sizeof(std::int64_t) * static_cast<Size>(count + 1)));
	bool any = false;

	for (int i = 0; i < count; i++)
	{
		const Failover &failover = pool.servers[i].failover;
		bool due = failover.active && failover.pending && failover.counts(now, Viewpoint::worker);

		unmoved[i] = due ? 0 : -1;
		any = any || due;
	}
	if (!any)
		return unmoved;

	Assignments assignments = open_assignments(AccessShareLock, deadline);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());

	assignments.for_each_row(snapshot, [&](const Assignment &row, ItemPointer) {
		int server = pool.find(row.server);

		if (server >= 0 && unmoved[server] >= 0)
			unmoved[server]++;
	});
	UnregisterSnapshot(snapshot);
	assignments.close();
	return unmoved;
}

/* Adds the columns that only balancer_now and balancer_alerts show. in_pool: unmoved is known. */
static void
add_state(Row *row, const PoolServer &server, bool in_pool, const HealthTimes &times,
		  std::int64_t unmoved, TimestampTz now)
{
	const Failover &failover = server.failover;
	StringInfoData regions;

	initStringInfo(&regions);
	for (std::string_view region : server.regions)
		appendStringInfo(&regions, "%s%s", regions.len > 0 ? "," : "", copy_of(region).data());
	row->add(in_pool && server.recovery(now) != Recovery::none);
	row->add(name_of(server.wanted));
	row->add_optional(!in_pool || server.healthy ? "" : server.silent ? "silent" : "unhealthy");
	row->add_if(in_pool && times.since != 0, TimestampTzGetDatum(times.since));
	row->add_optional(failover.active ? failover.target : std::string_view());
	row->add_if(failover.active, TimestampTzGetDatum(failover.declared_at));
	row->add_if(failover.active, TimestampTzGetDatum(failover.due_at));
	row->add_if(in_pool && unmoved >= 0, unmoved);
	row->add(server.priority);
	row->add_optional(regions.data);
	row->add_if(in_pool && times.last_heartbeat != 0, TimestampTzGetDatum(times.last_heartbeat));
}

void
report_server_loads(FunctionCallInfo fcinfo)
{
	TimestampTz now = GetCurrentTimestamp();
	Deadline deadline = Deadline::of_call_starting_now();
	const Pool &current = pool(deadline);
	Rules rules = current_rules();
	SessionIndex session_index;
	Pool shown;

	InitMaterializedSRF(fcinfo, 0);

	std::optional<ReadFailure> failure = try_reading([&] {
		session_index =
			SessionIndex::build(current.sessions, SessionColumns::with_servers, now, deadline);
	});
	const HealthTimes *times;
	const Measurement *measurements = read_measurements(current, deadline, &times);
	const std::int64_t *unmoved = count_unmoved(current, now, deadline);
	ServerLoads loads = count_now(current, session_index, rules, now, deadline, &shown);
	int targets = count_targets(shown);
	Row row(fcinfo);

	loads.count_splits(shown, session_index);
	for (int i : shown.in_order())
	{
		const PoolServer &server = shown.servers[i];
		const ServerLoad &load = loads[i];
		bool in_pool = i < current.servers.count;
		bool measures = in_pool && is_fresh(measurements[i], now, measured_lifetime());
		bool differs = !failure && measures && has_lasted(times[i].differs_since, now) &&
					   is_far_from_count(measurements[i], load.users, load.load(rules),
										 server.capacity_in_force());
		const char *cause = in_pool ? cause_of(shown, i, targets, !failure, now)
									: cause_outside(shown, targets, !failure);

		const char *more = failure ? psprintf("sessions unreadable: %s", in_brief(*failure))
						   : server.state == ServerState::draining
							   ? progress_of_drain(shown, server, load, session_index)
							   : nullptr;

		if (more != nullptr)
			cause = psprintf("%s%s%s", cause, *cause != '\0' ? "; " : "", more);
		if (differs)
			cause = with_difference(cause, measurements[i], load.load(rules),
									server.capacity_in_force());
		row.add(server.name);
		row.add(!failure && is_drained(server, load) ? "drained" : name_of(server.state));
		row.add_optional(in_pool ? name_of(server.pool) : "");
		add_load(&row, load, rules, !failure);
		row.add_if(in_pool, server.capacity_in_force());
		row.add_optional(cause);
		row.add_if(measures, measures ? percent_of(measurements[i]) : Datum(0));
		row.add_if(!failure, load.split_rooms);
		row.add_if(!failure, load.split_users);
		row.add_optional(failure ? in_brief(*failure) : "");
		row.add_if(differs, differs ? TimestampTzGetDatum(times[i].differs_since) : Datum(0));
		add_state(&row, server, in_pool, in_pool ? times[i] : HealthTimes(),
				  in_pool ? unmoved[i] : -1, now);
		row.put();
	}
}

void
report_load_cache(FunctionCallInfo fcinfo)
{
	TimestampTz now = GetCurrentTimestamp();
	Deadline deadline = Deadline::of_call_starting_now();
	const Pool &current = pool(deadline);
	Rules rules = current_rules();
	std::optional<PoolLoadCache> cache = load_cache_for(current, rules, now);

	InitMaterializedSRF(fcinfo, 0);
	if (!cache)
		return;

	SessionIndex session_index =
		SessionIndex::build(current.sessions, SessionColumns::with_servers, now, deadline);
	ServerLoads loads = count_now(current, session_index, rules, now, deadline);
	int count = current.servers.count;
	Load *cached = static_cast<Load *>(palloc(sizeof(Load) * static_cast<Size>(count + 1)));
	TimestampTz counted_at;
	bool usable = read_loads(cache->cache, cache->key, cache->slots, cached, count, &counted_at);
	Row row(fcinfo);

	hand_over_claimed(cached, &Load::users, cache->claimed_by, count);
	for (int i = 0; i < count; i++)
	{
		row.add(current.servers[i].name);
		row.add(usable);
		row.add(cached[i].rooms);
		row.add(loads[i].rooms);
		row.add(cached[i].users);
		row.add(loads[i].users + loads[i].expected);
		row.add_if(counted_at != 0, counted_at);
		row.put();
	}
}

static const char *
worker_in_words(const std::optional<DatabaseStatus> &status)
{
	LauncherState launcher = launcher_state();

	if (status && (status->state == WorkerState::running || status->state == WorkerState::starting))
		return "running";
	if (launcher == LauncherState::running_without_workers)
		return "no worker slot";
	if (launcher != LauncherState::running && RecoveryInProgress())
		return "standby";
	if (launcher == LauncherState::requested)
		return "starting";
	if (launcher != LauncherState::running)
		return "no launcher";
	if (status && status->state == WorkerState::failed)
		return psprintf("backing off: %s", status->error);
	return "idle";
}

static const char *
in_words(CountReason reason)
{
	switch (reason)
	{
		case CountReason::no_reason:
			break;
		case CountReason::setting:
			return "gxy_balancer.load_max_age is 0";
		case CountReason::emptied:
			return "the transaction had emptied the table";
		case CountReason::no_memory:
			return "there was no shared memory for the load cache";
		case CountReason::no_baseline:
			return "no count by these settings was ready";
	}
	return "";
}

/* Returns whether the load cache has a count to place new rooms by; true if that is unknown. */
static bool
has_baseline(const Pool &pool, TimestampTz now)
{
	std::optional<PoolLoadCache> cache = load_cache_for(pool, current_rules(), now);
	TimestampTz counted_at;

	if (!cache)
		return true;

	Load *loads =
		static_cast<Load *>(palloc(sizeof(Load) * static_cast<Size>(pool.servers.count + 1)));

	return read_loads(cache->cache, cache->key, cache->slots, loads, pool.servers.count,
					  &counted_at);
}

/* Returns a length of time as an interval without days. */
static Datum
interval_of(std::int64_t microseconds)
{
	Interval *interval = static_cast<Interval *>(palloc0(sizeof(Interval)));

	interval->time = microseconds;
	return PointerGetDatum(interval);
}

void
report_conditions(FunctionCallInfo fcinfo)
{
	TimestampTz now = GetCurrentTimestamp();
	Deadline deadline = Deadline::of_call_starting_now();
	const Pool &current = pool(deadline);
	std::optional<ReadFailure> failure = try_reading([&] {
		RoomKey any;

		any.set(std::int64_t(0));
		if (current.rooms.exists())
			(void) look_up_room(current.rooms, any, deadline);
	});

	InitMaterializedSRF(fcinfo, 0);

	Row row(fcinfo);

	row.add(current.is_default);
	row.add_optional(current.sessions.exists() ? name_of(current.sessions) : "");
	row.add_optional(current.rooms.exists() ? name_of(current.rooms) : "");
	row.add_optional(failure ? in_brief(*failure) : "");
	row.add(setting::load_max_age == 0);
	row.add(has_baseline(current, now));
	row.add(interval_of(microseconds(setting::cleanup_interval)));
	row.add(current_rules().strategy == Strategy::sequential);
	row.put();
}

void
report_stats(FunctionCallInfo fcinfo)
{
	/* Like every call: a server that is only looked at after a restart has a launcher, too. */
	request_launcher();

	std::optional<Counts> counts = read_counts();
	std::optional<DatabaseStatus> status = status_of(MyDatabaseId);
	bool has_run = status && status->last_start != 0;
	const char *memory = memory_trouble();
	ClockState clock = look_at_clock();
	bool was_set = clock.set_at != 0;

	InitMaterializedSRF(fcinfo, 0);

	Row row(fcinfo);
	auto add_count = [&row, &counts](Counter counter) {
		row.add_if(counts.has_value(), counts ? counts->value[static_cast<int>(counter)] : 0);
	};

	for (int i = 0; i <= static_cast<int>(Counter::refused); i++)
		add_count(static_cast<Counter>(i));
	row.add_if(counts.has_value(), counts ? counts->since : 0);
	row.add(worker_in_words(status));
	row.add_if(has_run, has_run ? status->last_start : 0);
	if (has_run)
	{
		row.add(interval_of(status->duration));
		row.add(status->freed);
		row.add_optional(status->error);
	}
	else
		for (int i = 0; i < 3; i++)
			row.add_null();
	row.add_if(status && status->next_due != 0, status ? status->next_due : 0);
	add_count(Counter::placed_by_cache);
	add_count(Counter::placed_by_count);
	row.add_optional(counts ? in_words(counts->counted) : "");
	row.add_optional(memory != nullptr ? memory : "");
	row.add_if(was_set, clock.set_at);
	row.add_if(was_set, interval_of(clock.set_by));
	row.add_if(!clock.ages_count(), later(clock.now, clock.ages_unknown_for));
	add_count(Counter::failovers);
	row.put();
}

} // namespace gxy
