/*
 * choice.cpp: the part of the world that chooses a server: for "ours" by the extension's code, for
 * the others as their documentation describes it. All of them keep rooms of a region on that
 * region's servers.
 */
#include "world.hpp"

#include <algorithm>

namespace sim
{

gxy::RegionFit
World::fit(int server, int room) const
{
	const std::string &reserved = trace.servers[static_cast<std::size_t>(server)].region;

	if (reserved.empty())
		return gxy::RegionFit::general;
	return reserved == trace.rooms[static_cast<std::size_t>(room)].region ? gxy::RegionFit::own
																		  : gxy::RegionFit::foreign;
}

gxy::RoomUse
World::use_of(const Room &room, Time now) const
{
	return {.active = static_cast<std::int64_t>(room.users.size()),
			.active_known = true,
			.expected = room.expected,
			.age = now - room.assigned_at,
			.leased = now - room.used_at < grace};
}

/* Counts like load.cpp of the extension. */
std::vector<gxy::Server>
World::counted(int room, Time now) const
{
	std::vector<gxy::Server> servers(machines.size());

	for (std::size_t i = 0; i < servers.size(); i++)
		servers[i] = {.name = trace.servers[i].name,
					  .position = static_cast<std::int64_t>(i),
					  .capacity = trace.servers[i].capacity,
					  .load = machines[i].users,
					  .rooms = machines[i].rooms,
					  .state =
						  machines[i].up ? gxy::ServerState::online : gxy::ServerState::offline,
					  .region = fit(static_cast<int>(i), room)};
	if (contender.rules.metric == gxy::LoadMetric::rooms)
	{
		for (gxy::Server &server : servers)
			server.load = server.rooms * contender.rules.avg_room_occupancy;
		return servers;
	}
	for (int number : assigned)
	{
		const Room &other = rooms[static_cast<std::size_t>(number)];
		const gxy::RoomUse use = use_of(other, now);
		servers[static_cast<std::size_t>(other.server)].load +=
			std::max<std::int64_t>(0, room_load(use, contender.rules) - use.active);
	}
	return servers;
}

int
World::ours(int room, Time now)
{
	const std::vector<gxy::Server> servers = counted(room, now);
	const gxy::Decision decision =
		decide(servers.data(), static_cast<int>(servers.size()),
			   rooms[static_cast<std::size_t>(room)].expected, contender.rules);

	return decision.server;
}

/* The servers in use that take this room's region. */
std::vector<int>
World::takers(int room) const
{
	std::vector<int> own;
	std::vector<int> general;

	for (int i = 0; i < static_cast<int>(machines.size()); i++)
	{
		if (!machines[static_cast<std::size_t>(i)].up)
			continue;
		if (fit(i, room) == gxy::RegionFit::own)
			own.push_back(i);
		else if (fit(i, room) == gxy::RegionFit::general)
			general.push_back(i);
	}
	return own.empty() ? general : own;
}

int
World::choose(int room, Time now)
{
	const std::vector<int> open = takers(room);
	const int count = static_cast<int>(open.size());
	const auto least = [&](auto load) {
		return *std::min_element(open.begin(), open.end(), [&](int a, int b) {
			return load(machines[static_cast<std::size_t>(a)]) <
				   load(machines[static_cast<std::size_t>(b)]);
		});
	};

	switch (contender.method)
	{
		case Method::ours:
			break;
		case Method::users_only:
			return least([](const Machine &machine) { return machine.users; });
		case Method::scalelite:
		{
			const int server = least([](const Machine &machine) { return machine.polled; });
			machines[static_cast<std::size_t>(server)].polled++;
			return server;
		}
		case Method::two_choices:
		{
			const int a = open[static_cast<std::size_t>(dice.below(count))];
			const int b = open[static_cast<std::size_t>(dice.below(count))];
			return machines[static_cast<std::size_t>(b)].users <
						   machines[static_cast<std::size_t>(a)].users
					   ? b
					   : a;
		}
		case Method::round_robin:
			return open[turn++ % open.size()];
	}
	return ours(room, now);
}

} // namespace sim
