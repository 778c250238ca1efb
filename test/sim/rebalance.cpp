/*
 * rebalance.cpp: the part of the world that moves rooms off crowded servers, by the plan that
 * rebalance() of the extension carries out.
 *
 * It plays an operator, or a job, that calls rebalance() each minute while a server has more users
 * than its capacity: max_users are the users above it.
 */
#include "policy/rebalance_plan.hpp"
#include "world.hpp"

#include <algorithm>

namespace sim
{

std::vector<gxy::RebalanceRoom>
World::movable_rooms(Time now) const
{
	std::vector<gxy::RebalanceRoom> movable;

	for (int number : assigned)
	{
		const Room &room = rooms[static_cast<std::size_t>(number)];
		gxy::RoomUse use = use_of(room, now);
		gxy::RebalanceRoom described = {.id = trace.rooms[static_cast<std::size_t>(number)].name,
										.server = room.server,
										.load = room_load(use, contender.rules),
										.users = use.active,
										.tag = number};

		use.age = 0;
		described.addition = room_load(use, contender.rules);
		movable.push_back(described);
	}
	return movable;
}

void
World::rebalance(Time now)
{
	std::int64_t above = 0;

	for (std::size_t i = 0; i < machines.size(); i++)
		if (machines[i].up)
			above += std::max<std::int64_t>(0, machines[i].users - trace.servers[i].capacity);
	if (above == 0 || assigned.empty())
		return;

	std::vector<gxy::RebalanceRoom> movable = movable_rooms(now);
	std::vector<gxy::RebalanceServer> servers;

	for (const gxy::Server &server : counted(assigned.front(), now))
	{
		const std::string &region = trace.servers[servers.size()].region;
		std::size_t group = 0;

		while (trace.servers[group].region != region)
			group++;
		servers.push_back({.server = server, .group = static_cast<int>(group)});
	}

	const auto fit_of = [](const void *world, const gxy::RebalanceRoom &room, int server) {
		return static_cast<const World *>(world)->fit(server, room.tag);
	};
	gxy::RebalancePlan plan(servers.data(), static_cast<int>(servers.size()), movable.data(),
							static_cast<int>(movable.size()),
							{.rooms = std::nullopt, .users = above}, contender.rules,
							{.function = fit_of, .context = this});

	while (const auto move = plan.next())
	{
		const int number = movable[static_cast<std::size_t>(move->room)].tag;

		move_room(number, move->to);
		rooms[static_cast<std::size_t>(number)].assigned_at = now;
		if (now >= trace.measure_from)
			result.split += movable[static_cast<std::size_t>(move->room)].users;
	}
}

} // namespace sim
