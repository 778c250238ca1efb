/*
 * sharding.cpp: the part of the world that plays several shards with common media servers.
 *
 * A room belongs to one of 64 partitions, as with the proxy of examples/plproxy, and those to the
 * shards. A shard counts the rooms of its partitions only. share_loads() tells each of them what
 * all have on each server, less what it expects itself; placement counts that as a measured load.
 *
 * Users who are in rooms of two shards count in both. In the traces each user is in one room only.
 */
#include "world.hpp"

#include <algorithm>

namespace sim
{

namespace
{

constexpr int partitions = 64;

} // namespace

/* Pools that overlap: the first shard has the first servers, the last shard the last ones. */
void
World::found_shards(std::uint64_t seed)
{
	const int count = contender.sharding.shards;
	const int servers = static_cast<int>(machines.size());
	const int others = contender.sharding.partly ? servers / 3 : 0; /* not in a shard's pool */
	Dice lots(seed, 6);

	for (std::size_t i = 0; i < rooms.size(); i++)
		shard_of.push_back(lots.below(partitions) * count / partitions);
	for (int shard = 0; shard < count; shard++)
	{
		const int first = others * shard / (count - 1);
		Shares shares(machines.size());

		for (int i = 0; i < servers; i++)
			shares[static_cast<std::size_t>(i)].in_pool =
				i >= first && i < first + servers - others;
		shards.push_back(std::move(shares));
	}
}

/* What a shard's balancer_load says. */
World::Shares
World::counted_by(int shard, Time now) const
{
	Shares shares = shards[static_cast<std::size_t>(shard)];

	for (int number : assigned)
	{
		const Room &room = rooms[static_cast<std::size_t>(number)];
		if (shard_of[static_cast<std::size_t>(number)] != shard)
			continue;
		const gxy::RoomUse use = use_of(room, now);
		const std::int64_t load = std::max(room_load(use, contender.rules), use.active);
		Share &share = shares[static_cast<std::size_t>(room.server)];
		share.rooms++;
		share.load += load;
		share.awaited += load - use.active;
	}
	return shares;
}

/* Does what the function of examples/plproxy/shards.sql does. */
void
World::share_loads(Time now)
{
	std::vector<Shares> counted;

	for (std::size_t shard = 0; shard < shards.size(); shard++)
		counted.push_back(counted_by(static_cast<int>(shard), now));
	for (std::size_t i = 0; i < machines.size(); i++)
	{
		const auto capacity = static_cast<double>(trace.servers[i].capacity);
		std::int64_t all = 0;

		for (const Shares &shares : counted)
			all += shares[i].load;
		for (std::size_t shard = 0; shard < shards.size(); shard++)
		{
			const auto told = static_cast<double>(all - counted[shard][i].awaited);
			shards[shard][i].told = {
				.load = gxy::in_millionths(static_cast<float>(std::min(10.0, told / capacity))),
				.at = std::max<Time>(now, 1)};
		}
	}
}

/* What shards were told at an earlier time that was due does not count any more. */
void
World::share_loads_until(Time now)
{
	const Time due = now - now % contender.sharding.told_every;

	if (due <= told_at)
		return;
	told_at = due;
	share_loads(due);
}

void
World::count_for_shard(int room, Time now, std::vector<gxy::Server> *servers) const
{
	const Shares shares = counted_by(shard_of[static_cast<std::size_t>(room)], now);

	for (std::size_t i = 0; i < servers->size(); i++)
	{
		const Share &share = shares[i];
		gxy::Server &server = (*servers)[i];
		server.rooms = share.rooms;
		server.load = share.load;
		server.awaited = share.awaited;
		if (gxy::is_fresh(share.told, now, report_lifetime))
			server.measured = share.told.load;
		if (!share.in_pool)
			server.pool = gxy::ServerPool::reserved;
	}
}

} // namespace sim
