/*
 * load_cache_sums.cpp: the steps that change or read the sums of a load cache. See the head of
 * shared/load_cache.cpp.
 *
 * The lock is held for a step per server, and while it is held a backend waits only for other short
 * locks.
 */
#include "shared/load_cache_sums.hpp"

#include "policy/failure_detector.hpp"
#include "policy/time_arithmetic.hpp"
#include "shared/load_cache_orphans.hpp"
#include "shared/load_cache_ranking.hpp"
#include "shared/load_cache_settlement.hpp"
#include "shared/load_cache_state.hpp"
#include "shared/segments.hpp"

namespace gxy
{
namespace
{

/* The caller holds the lock. */
void
undo_in_flight(LoadCache *cache, const LoadDelta *deltas, int count)
{
	for (int i = 0; i < count; i++)
		if (deltas[i].slot >= 0)
			changing_slot(cache, deltas[i].slot).in_flight += -deltas[i].added;
}

bool
removes(const LoadDelta &delta)
{
	return delta.slot >= 0 && !delta.at_commit.is_nothing();
}

/*
 * Returns what this transaction has removed from each of the slots, indexed by slot; nullptr if
 * nothing. Computed before the lock is taken, because a transaction may have changed thousands of
 * servers.
 */
const Load *
removed_by_slot(const LoadCache *cache, std::span<const int> slots, std::span<const LoadDelta> own)
{
	if (slots.empty() || std::none_of(own.begin(), own.end(), removes))
		return nullptr;

	int size = 1 + *std::max_element(slots.begin(), slots.end());
	Load *removed = static_cast<Load *>(palloc0(sizeof(Load) * static_cast<Size>(size)));

	for (const LoadDelta &delta : own)
		if (removes(delta) && delta.slot < size)
			removed[delta.slot] += delta.at_commit.for_count_at(cache->counted_at);
	return removed;
}

/*
 * Returns the load of a slot as this transaction sees it. removed: by removed_by_slot(). The caller
 * holds the lock.
 */
Load
sum_for_own(const LoadCache *cache, int slot, const Load *removed)
{
	Load sum = slot_at(cache, slot).sum();

	if (removed != nullptr)
		sum += removed[slot];
	return sum;
}

/* Returns Server::measured for the server. The caller holds the lock. */
std::int64_t
measured_now(const LoadCache *cache, const ReserveRequest &request, int server)
{
	const ServerSlot &slot = slot_at(cache, request.slots[server]);

	return slot.measurement_table == request.measurement_table &&
				   is_fresh(slot.measurement, request.now, request.measured_lifetime)
			   ? slot.measurement.load
			   : 0;
}

/*
 * Returns the entry of a server, or the free one where it belongs; nullptr if the table has no
 * memory yet. The caller holds the lock.
 */
NamedSlot *
entry_of(LoadCache *cache, std::uint64_t server)
{
	const Table &names = cache->names;

	return names.size > 0 ? &find_entry(shared<NamedSlot>(names.entries), names.size,
										&NamedSlot::server, server)
						  : nullptr;
}

} // namespace

int
find_server_slot(LoadCache *cache, std::uint64_t server)
{
	return locked(cache, [=] {
		const NamedSlot *known = entry_of(cache, server);

		return known != nullptr && known->server == server ? known->slot : -1;
	});
}

int
server_slot(LoadCache *cache, std::uint64_t server)
{
	enum class Lack
	{
		nothing,
		name_entries,
		slots
	};

	for (;;)
	{
		int slot = -1;
		Lack lack = locked(cache, [&] {
			Table &names = cache->names;
			NamedSlot *known = entry_of(cache, server);

			if (known != nullptr && known->server == server)
				slot = known->slot;
			else if (names.is_full())
				return Lack::name_entries;
			else if (cache->slot_count == slots_in(cache->chunk_count))
				return Lack::slots;
			else
			{
				*known = NamedSlot{.server = server, .slot = cache->slot_count++};
				names.count++;
				slot = known->slot;
			}
			return Lack::nothing;
		});

		if (lack == Lack::nothing)
			return slot;
		if (!(lack == Lack::name_entries
				  ? grow_table(cache, &LoadCache::names, &NamedSlot::server, cache->names.count + 1)
				  : add_chunk(cache)))
			return -1;
	}
}

void
add_in_flight(LoadCache *cache, TransactionId transaction, const LoadDelta &delta)
{
	locked(cache, [=] {
		my_transaction() = transaction;
		changing_slot(cache, delta.slot).in_flight += delta.added;
	});
}

void
remove_in_flight(LoadCache *cache, const LoadDelta *deltas, int count, bool transaction_ends)
{
	locked_in_callback(cache, [=] {
		undo_in_flight(cache, deltas, count);
		if (transaction_ends)
			my_transaction() = InvalidTransactionId;
	});
}

void
commit_deltas(LoadCache *cache, TransactionId transaction, const LoadDelta *deltas, int count)
{
	locked_in_callback(cache, [=] {
		undo_in_flight(cache, deltas, count);
		for (int i = 0; i < count; i++)
			apply_commit(cache, transaction, deltas[i].slot, deltas[i].added, deltas[i].at_commit);
		my_transaction() = InvalidTransactionId;
	});
}

void
prepare_deltas(LoadCache *cache, TransactionId transaction, const LoadDelta *deltas, int count,
			   SharedPointer block)
{
	if (block != 0)
		for (int i = 0; i < count; i++)
			shared<PreparedBlock>(block)->deltas[i] =
				PreparedDelta{.transaction = transaction,
							  .slot = deltas[i].slot,
							  .added = deltas[i].added,
							  .at_commit = deltas[i].at_commit};
	locked_in_callback(cache, [=] {
		if (block != 0)
		{
			shared<PreparedBlock>(block)->count = count;
			add_prepared_block(cache, block);
		}
		else if (count > 0)
		{
			undo_in_flight(cache, deltas, count);
			forget_prepared(cache);
		}
		my_transaction() = InvalidTransactionId;
	});
}

void
discard_prepared(LoadCache *cache, SharedPointer block)
{
	locked_in_callback(cache, [=] { add_prepared_block(cache, block); });
}

void
add_orphan(LoadCache *cache, TransactionId transaction, std::uint64_t room)
{
	for (;;)
	{
		bool listed = locked(cache, [=] { return list_orphan(cache, room, transaction); });

		if (listed)
			return;
		if (!grow_table(cache, &LoadCache::orphans, &Orphan::room, cache->orphans.count + 1))
			break;
	}
	locked(cache, [=] { treat_all_as_orphans(cache, transaction); });
}

/* Returns why a room cannot be placed by these sums, if so. The caller holds the lock. */
static std::optional<Reserved>
obstacle_to(LoadCache *cache, const ReserveRequest &request)
{
	resolve_prepared(cache);
	if (!cache->usable || cache->key != request.key)
		return Reserved::no_baseline;
	if (!request.room_examined && may_be_orphan(cache, request.room))
		return Reserved::needs_sessions;
	return std::nullopt;
}

Reserved
reserve_in_cache(LoadCache *cache, const ReserveRequest &request, std::span<const LoadDelta> own,
				 Server *servers, Decision *decision)
{
	const Load *removed = removed_by_slot(
		cache, {request.slots, static_cast<std::size_t>(request.server_count)}, own);
	TransactionId transaction = GetTopTransactionId();

	return locked(cache, [&] {
		if (std::optional<Reserved> obstacle = obstacle_to(cache, request))
			return *obstacle;
		for (int i = 0; i < request.server_count; i++)
		{
			set_load(&servers[i], sum_for_own(cache, request.slots[i], removed), *request.rules);
			servers[i].awaited = slot_at(cache, request.slots[i]).awaited();
			servers[i].measured = measured_now(cache, request, i);
		}
		hand_over_claimed(servers, &Server::load, request.claimed_by, request.server_count);
		hand_over_claimed(servers, &Server::awaited, request.claimed_by, request.server_count);
		*decision = decide(servers, request.server_count, request.expected, *request.rules);
		if (decision->outcome != Outcome::placed)
			return Reserved::refused;
		changing_slot(cache, request.slots[decision->server]).in_flight += request.load;
		my_transaction() = transaction;
		return Reserved::reserved;
	});
}

Reserved
reserve_leader_in_cache(LoadCache *cache, const ReserveRequest &request,
						std::span<const LoadDelta> own, Server *leader, Decision *decision)
{
	const RankedPool &pool = *request.ranked;
	TransactionId transaction = GetTopTransactionId();

	/* What this transaction has removed counts for itself only, so not in the shared ranking. */
	if (std::any_of(own.begin(), own.end(), removes) || !prepare_ranking(cache))
		return Reserved::undecided;
	return locked(cache, [&] {
		if (std::optional<Reserved> obstacle = obstacle_to(cache, request))
			return *obstacle;

		int slot = elapsed(cache->measured_at, request.now) <= request.measured_lifetime
					   ? -1
					   : leading_slot(cache, pool, *request.rules);

		if (slot < 0)
			return Reserved::undecided;
		*leader = server_in_slot(cache, pool, slot, *request.rules);
		*decision = decide_by_leader(*leader, pool.uniform, request.expected, *request.rules);
		if (decision->outcome == Outcome::no_server)
			return Reserved::undecided;
		if (decision->outcome == Outcome::full)
			return Reserved::refused;
		decision->server = pool.server_of_slot[static_cast<std::size_t>(slot)];
		changing_slot(cache, slot).in_flight += request.load;
		my_transaction() = transaction;
		return Reserved::reserved;
	});
}

bool
read_sums(LoadCache *cache, BaselineKey key, std::span<const int> slots,
		  std::span<const LoadDelta> own, Load *loads, TimestampTz *counted_at)
{
	const Load *removed = removed_by_slot(cache, slots, own);

	return locked(cache, [&] {
		resolve_prepared(cache);
		std::transform(slots.begin(), slots.end(), loads,
					   [=](int slot) { return sum_for_own(cache, slot, removed); });
		*counted_at = cache->counted != 0 ? cache->counted_at : 0;
		return cache->usable && cache->key == key;
	});
}

} // namespace gxy
