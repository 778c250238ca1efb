/*
 * choice.cpp: the part of the world that chooses a server: for "ours" by the extension's code, for
 * the others as their documentation describes it. All of them keep rooms of a region on that
 * region's servers.
 */
#include "peers.hpp"
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
	if (!shards.empty())
	{
		count_for_shard(room, now, &servers);
		return servers;
	}
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

/* What a peer does at each of its polls. */
void
World::poll(Time now)
{
	poll_due = now + poll_interval(contender.method);
	for (std::size_t i = 0; i < machines.size(); i++)
	{
		Machine &machine = machines[i];
		const std::int64_t capacity = trace.servers[i].capacity;
		if (contender.method == Method::b3lb)
			machine.polled = b3lb_load(machine.users, machine.rooms, capacity);
		else if (contender.method == Method::jicofo)
			machine.polled = jicofo_stress(machine.users, 0, capacity);
		else
			machine.polled = 0;
	}
	for (int number : assigned)
	{
		const Room &room = rooms[static_cast<std::size_t>(number)];
		const std::int64_t active = static_cast<std::int64_t>(room.users.size());
		double &polled = machines[static_cast<std::size_t>(room.server)].polled;
		if (contender.method == Method::scalelite)
			polled += scalelite_load(active, now - room.assigned_at);
		else if (contender.method == Method::bbblb)
			polled += bbblb_load(active, now - room.assigned_at);
	}
}

/* Users are sent to a server: they asked for its room, or the room has moved there. */
void
World::send(int server, std::int64_t users, Time now)
{
	Machine &machine = machines[static_cast<std::size_t>(server)];

	machine.polled += load_of_joining(contender.method) * static_cast<double>(users);
	if (contender.method == Method::jicofo)
		machine.added.push_back({now, users});
}

/* The users whom Jicofo still adds to what the server reports. */
std::int64_t
World::recently_added(Machine *machine, Time now)
{
	std::int64_t users = 0;

	std::erase_if(machine->added, [&](const Added &one) { return one.at <= now - jicofo_ramp_up; });
	for (const Added &one : machine->added)
		users += one.users;
	return users;
}

/* The server with the least load for a peer; B3LB takes one of those with the least at random. */
int
World::by_poll(const std::vector<int> &open, Time now)
{
	std::vector<int> best;
	double least = 0;

	for (int server : open)
	{
		const auto index = static_cast<std::size_t>(server);
		const double load =
			machines[index].polled +
			jicofo_stress(0, recently_added(&machines[index], now), trace.servers[index].capacity);
		if (best.empty() || load < least)
		{
			best.clear();
			least = load;
		}
		if (load == least)
			best.push_back(server);
	}
	const int server =
		contender.method == Method::b3lb
			? best[static_cast<std::size_t>(dice.below(static_cast<int>(best.size())))]
			: best.front();
	machines[static_cast<std::size_t>(server)].polled += load_of_creation(contender.method);
	return server;
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
		case Method::bbblb:
		case Method::b3lb:
		case Method::jicofo:
			return by_poll(open, now);
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
