/*
 * load_cache_baseline.cpp: when a count is due, and how it becomes the baseline. See the head of
 * shared/load_cache.cpp.
 */
#include "shared/load_cache_baseline.hpp"

#include "pg/array.hpp"
#include "pg/compat.hpp"
#include "pg/monotonic_clock.hpp"
#include "shared/header.hpp"
#include "shared/load_cache_orphans.hpp"
#include "shared/load_cache_settlement.hpp"
#include "shared/load_cache_state.hpp"

namespace gxy
{
namespace
{

/*
 * The next count may begin when the last one is so many times as old as it took: counting then
 * takes at most 1/20 of the time. Callers with another key cannot use the last count at all, so for
 * them it may take 1/2 of the time.
 */
constexpr int pause_factor = 20;
constexpr int other_key_pause_factor = 2;

bool
is_due(const LoadCache *cache, BaselineKey key, std::int64_t max_age)
{
	if (!cache->usable || cache->counted == 0)
		return true;

	std::int64_t age = monotonic_microseconds() - cache->counted;

	return cache->key == key ? age >= std::max(max_age, cache->count_duration * pause_factor)
							 : age >= cache->count_duration * other_key_pause_factor;
}

/* The caller holds the lock. */
void
end_count(LoadCache *cache)
{
	cache->counting = false;
	cache->snapshot.in_progress_count = 0;
}

/*
 * Starts a new epoch. What a count that failed has left in the old one is merged before. The caller
 * holds the lock.
 */
void
flip_epoch(LoadCache *cache)
{
	for (int i = 0; i < cache->slot_count; i++)
	{
		ServerSlot &server = slot_at(cache, i);

		server.committed[cache->epoch] += std::exchange(server.committed[cache->epoch ^ 1], Load());
	}
	cache->epoch ^= 1;
}

/*
 * Returns a new table with the orphans that a count has found and space for those of the cache; an
 * empty one if there is no memory. No lock held.
 */
Table
make_orphans(LoadCache *cache, const Array<std::uint64_t> &counted)
{
	Table table = {};
	int size = 64;

	while (size < (counted.count + cache->orphans.count + 32) * 2)
		size *= 2;
	table.entries = allocate_in_cache(cache, sizeof(Orphan) * static_cast<Size>(size));
	if (table.entries == 0)
		return Table();
	table.size = size;
	fill_orphans(&table, counted);
	return table;
}

/* std::nullopt: the new table of orphans has become too small. The caller holds the lock. */
std::optional<Installed>
install_under_lock(LoadCache *cache, BaselineKey key, const BaselineResult &result, Table *orphans,
				   SharedPointer prepared)
{
	resolve_prepared(cache);
	if (snapshot_is_in_flight(cache))
		return Installed::not_yet;
	if (cache->is_void || result.is_incomplete)
	{
		end_count(cache);
		return Installed::discarded;
	}
	if (orphans->size == 0)
		treat_all_as_orphans(cache, InvalidTransactionId);
	else if (!replace_orphans(cache, orphans))
		return std::nullopt;
	for (int i = 0; i < cache->slot_count; i++)
	{
		ServerSlot &server = slot_at(cache, i);

		server.baseline = Load();
		server.committed[cache->epoch ^ 1] = Load();
	}
	cache->ranking.key = 0;
	for (const BaselineServer &server : result.servers)
		slot_at(cache, server.slot).baseline = server.load;
	cache->usable = true;
	if (!cache->prepared_known)
		add_prepared_rows(cache, result.prepared, prepared);
	else if (prepared != 0)
		add_prepared_block(cache, prepared);
	cache->usable = cache->usable && all_reported_before(cache->snapshot.oldest_in_progress);
	cache->key = key;
	cache->counted_at = cache->counting_at;
	cache->leases_count_from = result.leases_count_from;
	cache->has_sessions = result.has_sessions;
	cache->counted = cache->count_begun;
	cache->count_duration = monotonic_microseconds() - cache->count_begun;
	end_count(cache);
	return Installed::yes;
}

} // namespace

bool
baseline_is_due(const LoadCache *cache, BaselineKey key, std::int64_t max_age)
{
	return is_due(cache, key, max_age);
}

std::optional<LastBaseline>
last_baseline()
{
	const LoadCache *cache = load_cache();

	if (cache == nullptr || cache->counted_at == 0)
		return std::nullopt;
	return LastBaseline{.at = cache->counted_at,
						.leases_count_from = cache->leases_count_from,
						.has_sessions = cache->has_sessions};
}

BaselineCount
begin_baseline(LoadCache *cache, BaselineKey key, std::int64_t max_age, TimestampTz now)
{
	return locked(cache, [=] {
		BaselineCount count;

		if (cache->counting || !is_due(cache, key, max_age))
			return count;
		/* May fail, so it comes before any change. */
		count.snapshot = RegisterSnapshot(GetLatestSnapshot());
		if (!all_reported_before(count.snapshot->xmin))
		{
			UnregisterSnapshot(count.snapshot);
			count.snapshot = nullptr;
			return count;
		}
		count.wants_prepared = !cache->prepared_known;
		cache->is_void = false;
		cache->snapshot.oldest_in_progress = count.snapshot->xmin;
		cache->snapshot.next = count.snapshot->xmax;
		cache->snapshot.own = GetTopTransactionIdIfAny();
		cache->snapshot.in_progress_count = static_cast<int>(count.snapshot->xcnt);
		std::copy_n(count.snapshot->xip, count.snapshot->xcnt, cache->in_progress);
		cache->counting = true;
		cache->count_begun = monotonic_microseconds();
		cache->counting_at = now;
		flip_epoch(cache);
		return count;
	});
}

Installed
install_baseline(LoadCache *cache, BaselineKey key, const BaselineResult &result,
				 std::int64_t *counted)
{
	SharedPointer prepared = 0;
	std::optional<Installed> installed;

	/* Most often decided here, before memory is allocated. */
	if (locked(cache, [cache] { return snapshot_is_in_flight(cache); }))
		return Installed::not_yet;
	if (result.prepared.count > 0)
		prepared = allocate_prepared(cache, result.prepared.count);
	do
	{
		Table orphans = make_orphans(cache, result.orphans);

		installed = locked(cache, [&] {
			std::optional<Installed> outcome =
				install_under_lock(cache, key, result, &orphans, prepared);

			*counted = cache->counted;
			return outcome;
		});
		free_in_cache(cache, orphans.entries, sizeof(Orphan) * static_cast<Size>(orphans.size));
	} while (!installed);
	if (installed != Installed::yes && prepared != 0)
		locked(cache, [=] { add_prepared_block(cache, prepared); });
	if (installed != Installed::not_yet)
		ConditionVariableBroadcast(&cache->count_ended);
	return *installed;
}

void
abandon_baseline(LoadCache *cache)
{
	locked_in_callback(cache, [=] { end_count(cache); });
	ConditionVariableBroadcast(&cache->count_ended);
}

void
expire_baseline(LoadCache *cache, std::int64_t counted)
{
	locked_in_callback(cache, [=] {
		if (cache->counted == counted)
			cache->counted = 0;
	});
}

void
wait_for_baseline(LoadCache *cache, BaselineKey key, int milliseconds)
{
	auto is_missing = [cache, key] { return !cache->usable || cache->key != key; };

	if (!is_missing())
		return;

	TimestampTz end = GetCurrentTimestamp() + static_cast<std::int64_t>(milliseconds) * 1000;

	ConditionVariablePrepareToSleep(&cache->count_ended);
	while (cache->counting && is_missing())
	{
		std::int64_t left = (end - GetCurrentTimestamp()) / 1000;

		if (left <= 0 || ConditionVariableTimedSleep(&cache->count_ended, static_cast<long>(left),
													 PG_WAIT_EXTENSION))
			break;
	}
	ConditionVariableCancelSleep();
}

} // namespace gxy
