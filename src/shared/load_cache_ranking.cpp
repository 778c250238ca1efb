/*
 * load_cache_ranking.cpp: keeps the tournament of the slots.
 */
#include "shared/load_cache_ranking.hpp"

#include "pg/compat.hpp"
#include "policy/tournament.hpp"
#include "shared/header.hpp"
#include "shared/load_cache_state.hpp"
#include "shared/segments.hpp"

namespace gxy
{
namespace
{

Size
size_of_nodes(int leaves)
{
	return sizeof(int) * static_cast<Size>(leaves);
}

/* Returns the index of the server in a slot, -1 if it is not in the pool. */
int
server_of(const RankedPool &pool, int slot)
{
	std::size_t at = static_cast<std::size_t>(slot);

	return at < pool.server_of_slot.size() ? pool.server_of_slot[at] : -1;
}

} // namespace

void
set_load(Server *server, Load sum, const Rules &rules)
{
	server->rooms = std::max<std::int64_t>(sum.rooms, 0);
	server->load = rules.metric == LoadMetric::rooms ? server->rooms * rules.avg_room_occupancy
													 : std::max<std::int64_t>(sum.users, 0);
}

bool
prepare_ranking(LoadCache *cache)
{
	int leaves = slots_in(cache->chunk_count);

	if (cache->ranking.leaves == leaves)
		return leaves > 0;

	SharedPointer unused = allocate_in_cache(cache, size_of_nodes(leaves));
	int unused_leaves = leaves;

	if (unused == 0)
		return false;
	locked(cache, [&] {
		Ranking &ranking = cache->ranking;

		if (ranking.leaves >= leaves)
			return;
		ranking.key = 0;
		std::swap(ranking.nodes, unused);
		std::swap(ranking.leaves, unused_leaves);
	});
	free_in_cache(cache, unused, size_of_nodes(unused_leaves));
	return true;
}

int
leading_slot(LoadCache *cache, const RankedPool &pool, const Rules &rules)
{
	Ranking &ranking = cache->ranking;
	Tournament tournament(shared<int>(ranking.nodes), ranking.leaves);
	auto takes_part = [&](int slot) {
		int server = server_of(pool, slot);

		return server >= 0 && takes_new_rooms(pool.servers[server]);
	};
	auto beats = [&](int a, int b) {
		return leads(server_in_slot(cache, pool, a, rules), server_in_slot(cache, pool, b, rules),
					 rules);
	};

	assert_locked(cache);
	if (ranking.leaves < cache->slot_count)
		return -1;
	if (ranking.key != pool.key)
		tournament.play_all(takes_part, beats);
	else
		for (int i = 0; i < ranking.changed_count; i++)
			tournament.replay(ranking.changed[i], takes_part, beats);
	ranking.key = pool.key;
	ranking.changed_count = 0;
	return tournament.winner();
}

Server
server_in_slot(const LoadCache *cache, const RankedPool &pool, int slot, const Rules &rules)
{
	Server server = pool.servers[server_of(pool, slot)];

	if (server.capacity == 0)
		server.capacity = pool.default_capacity;
	set_load(&server, slot_at(cache, slot).sum(), rules);
	return server;
}

} // namespace gxy
