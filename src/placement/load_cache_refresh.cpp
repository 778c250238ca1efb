/*
 * load_cache_refresh.cpp: counts the baseline of the load cache, and reserves places by it.
 *
 * The caller that finds the baseline too old counts a new one, while all others use the old one. It
 * counts in its own transaction, whose lock on the assignments excludes a TRUNCATE until the
 * transaction ends.
 */
#include "placement/load_cache_refresh.hpp"

#include "application/session_index.hpp"
#include "application/source_query.hpp"
#include "pg/array.hpp"
#include "pg/debug_delay.hpp"
#include "pg/lock_timeout.hpp"
#include "pg/settings.hpp"
#include "placement/server_load.hpp"
#include "policy/failure_detector.hpp"
#include "servers/heartbeats.hpp"
#include "shared/clock_watch.hpp"
#include "shared/header.hpp"
#include "shared/writable_since.hpp"
#include "tables/catalog.hpp"

namespace gxy
{
namespace
{

/*
 * Milliseconds to wait for the first baseline. After that the room is counted for, so this need not
 * be the deadline.
 */
constexpr int longest_wait = 1000;
/*
 * Attempts, one a millisecond. A transaction that has committed runs its callbacks within
 * microseconds.
 */
constexpr int install_attempts = 1000;

/*
 * Reads the rows of prepared transactions. Their slots are looked up after the scan, which holds
 * page pins. What they remove is not subtracted in advance: their commit makes the cache unusable,
 * as the commit of a TRUNCATE does.
 */
void
read_prepared_rows(const BaselineCount &count, const PlacementRequest &request,
				   const PlacementInput &input, const Assignments &assignments, LoadCache *cache,
				   BaselineResult *result)
{
	Array<PreparedRow> rows;
	Array<std::string_view> servers;
	TransactionId remover = InvalidTransactionId;

	if (max_prepared_xacts == 0)
		return;

	const LastBaseline as_of = {.at = request.now,
								.leases_count_from = result->leases_count_from,
								.has_sessions = result->has_sessions};

	assignments.for_each_prepared_row(count.snapshot, [&](const Assignment &row,
														  TransactionId transaction) {
		rows.push(PreparedRow{
			.transaction = transaction, .slot = -1, .load = load_by_row(row, as_of, input.rules)});
		servers.push(copy_of(row.server));
	});
	for (int i = 0; i < rows.count; i++)
	{
		rows[i].slot = server_slot(cache, name_hash(servers[i]));
		if (rows[i].slot >= 0)
			result->prepared.push(rows[i]);
		else
			result->is_incomplete = true;
	}
	/* Neighbouring rows mostly have the same remover. */
	assignments.for_each_prepared_removal(count.snapshot, [&](TransactionId transaction) {
		if (transaction != remover)
			result->prepared.push(PreparedRow{.transaction = transaction, .slot = -1, .load = {}});
		remover = transaction;
	});
}

/*
 * Stores the measurements of the rows: a restart has lost those in shared memory. Not in a
 * transaction that has written: its own rows may be rolled back.
 */
void
restore_measurements(const Pool &pool, const PoolLoadCache &cache, Deadline deadline)
{
	if (TransactionIdIsValid(GetTopTransactionIdIfAny()))
		return;

	const Measurement *measurements = read_measurements(pool, deadline);

	for (int i = 0; i < pool.servers.count; i++)
		restore_measurement(cache.cache, relations().health, cache.slots[i], measurements[i]);
}

BaselineResult
count_all(const BaselineCount &count, const PlacementRequest &request, const PlacementInput &input,
		  const Assignments &assignments, const PoolLoadCache &cache)
{
	const Pool &pool = *input.pool;
	auto count_users = [&](SessionColumns wanted) {
		return ServerLoads::count_for_cache(
			assignments, pool,
			SessionIndex::build(pool.sessions, wanted, request.now, request.deadline), input.rules,
			count.snapshot, request.now);
	};
	ServerLoads loads = count_users(SessionColumns::rooms_and_users);
	BaselineResult result;

	if (loads.lacks_servers())
		loads = count_users(SessionColumns::with_servers);
	for (int i = 0; i < pool.servers.count; i++)
		result.servers.push(BaselineServer{.slot = cache.slots[i],
										   .load = {.users = loads[i].users + loads[i].expected,
													.rooms = loads[i].rooms,
													.present = loads[i].users}});
	result.orphans = loads.unassigned();
	result.leases_count_from = ages_count_from();
	result.has_sessions = pool.sessions.exists();
	restore_measurements(pool, cache, request.deadline);
	if (count.wants_prepared)
		read_prepared_rows(count, request, input, assignments, cache.cache, &result);
	return result;
}

/* Counts a new baseline, in a memory context of its own because the count may need much. */
void
count_baseline(const BaselineCount &count, const PlacementRequest &request,
			   const PlacementInput &input, const Assignments &assignments,
			   const PoolLoadCache &cache)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "gxy_balancer count", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	BaselineResult result = count_all(count, request, input, assignments, cache);
	int attempt = 0;

	debug_pause("baseline");
	while (!finish_baseline(cache.cache, cache.key, result))
	{
		CHECK_FOR_INTERRUPTS();
		if (++attempt == install_attempts)
		{
			cancel_baseline(cache.cache);
			break;
		}
		pg_usleep(1000);
	}
	UnregisterSnapshot(count.snapshot);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}

/* Returns the hash of everything that a baseline depends on besides rooms, sessions and time. */
BaselineKey
baseline_key_of(const Pool &pool, const Rules &rules)
{
	auto name = [](const char *value) { return std::string_view(value != nullptr ? value : ""); };

	const std::uint64_t parts[] = {
		pool.servers_hash,
		relations().assignments,
		static_cast<std::uint64_t>(rules.avg_room_occupancy),
		static_cast<std::uint64_t>(rules.join_window),
		static_cast<std::uint64_t>(rules.strategy),
		static_cast<std::uint64_t>(setting::assignment_grace),
		static_cast<std::uint64_t>(setting::dead_session_timeout),
		name_hash(name(pool.sessions.schema)),
		name_hash(name(pool.sessions.relation)),
	};

	return name_hash({reinterpret_cast<const char *>(parts), sizeof(parts)});
}

/* Returns RankedPool::key. */
std::uint64_t
ranking_key_of(const Pool &pool, const Rules &rules)
{
	const std::uint64_t parts[] = {
		pool.servers_digest,
		static_cast<std::uint64_t>(rules.strategy),
		static_cast<std::uint64_t>(rules.metric),
		static_cast<std::uint64_t>(rules.avg_room_occupancy),
		static_cast<std::uint64_t>(setting::default_capacity),
	};

	return name_hash({reinterpret_cast<const char *>(parts), sizeof(parts)}) | 1;
}

/* Which slot each server of a pool has, and the reverse. */
struct PoolSlots
{
	Array<int> slots;		   /* by server */
	Array<int> server_of_slot; /* -1: not in the pool */
};

/* Returns false if there is no memory for the slot of a server. */
bool
find_slots(LoadCache *cache, const Pool &pool, PoolSlots *found)
{
	found->slots.count = 0;
	found->server_of_slot.count = 0;
	for (int i = 0; i < pool.servers.count; i++)
	{
		int slot = server_slot(cache, pool.servers[i].hash);

		if (slot < 0)
			return false;
		found->slots.push(slot);
		while (found->server_of_slot.count <= slot)
			found->server_of_slot.push(-1);
		found->server_of_slot[slot] = i;
	}
	return true;
}

/*
 * Returns the slots of a pool's servers, or std::nullopt if there is no memory for one. Those of
 * the last copy of the pool are remembered, because slots never change.
 */
std::optional<PoolSlots>
slots_of(LoadCache *cache, const Pool &pool)
{
	static PoolSlots known;
	static std::uint64_t known_copy = 0;

	if (known_copy != pool.number)
	{
		MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);

		known_copy = 0;

		bool found = find_slots(cache, pool, &known);

		MemoryContextSwitchTo(caller);
		/* There may be memory the next time. */
		if (!found)
			return std::nullopt;
		known_copy = pool.number;
	}

	/* A copy, because a later call may change the lists while the caller still uses them. */
	return PoolSlots{.slots = known.slots.copy(), .server_of_slot = known.server_of_slot.copy()};
}

/* Returns by server which server has claimed its rooms; nullptr if no failover is in force. */
const int *
claims_in_force(const Pool &pool, TimestampTz now)
{
	if (!pool.has_failovers)
		return nullptr;

	int *claimed_by =
		static_cast<int *>(palloc(sizeof(int) * static_cast<Size>(pool.servers.count)));

	for (int i = 0; i < pool.servers.count; i++)
		claimed_by[i] = pool.locate(pool.servers[i].name, now, now).server;
	return claimed_by;
}

} // namespace

std::optional<PoolLoadCache>
load_cache_for(const Pool &pool, const Rules &rules, TimestampTz now)
{
	LoadCache *cache = load_cache();
	std::optional<PoolSlots> slots = cache != nullptr ? slots_of(cache, pool) : std::nullopt;

	if (!slots)
		return std::nullopt;

	RankedPool ranked = {.key = ranking_key_of(pool, rules),
						 .servers = pool.plain.items,
						 .uniform = pool.uniform,
						 .default_capacity = setting::default_capacity,
						 .server_of_slot = slots->server_of_slot.span()};

	return PoolLoadCache{.cache = cache,
						 .key = baseline_key_of(pool, rules),
						 .slots = slots->slots.items,
						 .claimed_by = claims_in_force(pool, now),
						 .ranked = ranked};
}

std::optional<PoolLoadCache>
fresh_load_cache(const PlacementRequest &request, const PlacementInput &input,
				 const Assignments &assignments, CountReason *reason)
{
	check_layout();
	if (setting::load_max_age == 0)
	{
		*reason = CountReason::setting;
		return std::nullopt;
	}
	if (has_truncated())
	{
		*reason = CountReason::emptied;
		return std::nullopt;
	}

	std::optional<PoolLoadCache> cache = load_cache_for(*input.pool, input.rules, request.now);
	std::int64_t max_age = microseconds(setting::load_max_age);

	*reason = cache ? CountReason::no_baseline : CountReason::no_memory;
	if (!cache || !baseline_is_due(cache->cache, cache->key, max_age))
		return cache;

	/* Often, but not for each call: a step of the clock is noticed soon. */
	(void) look_at_clock();

	BaselineCount count = start_baseline(cache->cache, cache->key, max_age, request.now);

	if (count.snapshot != nullptr)
		count_baseline(count, request, input, assignments, *cache);
	else
		wait_for_baseline(cache->cache, cache->key, longest_wait);
	return cache;
}

Reserved
reserve(const PoolLoadCache &cache, const PlacementRequest &request, const PlacementInput &input,
		Load load, bool examined, Server *chosen, Decision *decision)
{
	ReserveRequest reservation = {.key = cache.key,
								  .room = request.room->hash(),
								  .room_examined = examined,
								  .expected = input.expected(),
								  .now = request.now,
								  .measurement_table = relations().health,
								  .measured_lifetime = measured_lifetime(),
								  .load = load,
								  .rules = &input.rules,
								  .server_count = input.pool->servers.count,
								  .slots = cache.slots,
								  .claimed_by = cache.claimed_by,
								  .ranked = &cache.ranked};
	Reserved reserved = Reserved::undecided;

	if (!examined && cache.claimed_by == nullptr && treats_servers_alike(request, input))
		reserved = reserve(cache.cache, reservation, chosen, decision);
	if (reserved != Reserved::undecided)
		return reserved;

	Server *servers = list_servers(request, input);

	reservation.ranked = nullptr;
	reserved = reserve(cache.cache, reservation, servers, decision);
	if (reserved == Reserved::reserved)
		*chosen = servers[decision->server];
	return reserved;
}

} // namespace gxy
