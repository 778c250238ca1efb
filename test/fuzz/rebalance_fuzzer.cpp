/*
 * rebalance_fuzzer.cpp: a plan of moves ends, keeps to its limits, moves no room twice nor to where
 * it may not be, and never makes the fullest server fuller.
 */
#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "input.hpp"
#include "policy/rebalance_plan.hpp"

namespace gxy
{
namespace
{

constexpr std::string_view names[] = {"gxy1", "gxy2", "gxy3", "gxy4", "gxy5", "gxy6"};

RegionFit
fit_of(const void *context, const RebalanceRoom &room, int server)
{
	const std::uint64_t seed = *static_cast<const std::uint64_t *>(context);

	return static_cast<RegionFit>((seed >> (2 * ((room.tag + server) % 30))) % 3);
}

double
greatest_share(const std::vector<RebalanceServer> &servers)
{
	double greatest = 0;

	for (const RebalanceServer &at : servers)
		greatest = std::max(greatest, static_cast<double>(at.server.load) /
										  static_cast<double>(at.server.capacity));
	return greatest;
}

std::vector<RebalanceServer>
servers_from(Input *input)
{
	std::vector<RebalanceServer> servers(1 + input->number(1) % std::size(names));

	for (std::size_t i = 0; i < servers.size(); i++)
	{
		servers[i].server.name = names[i];
		servers[i].server.position = static_cast<std::int64_t>(i);
		servers[i].server.capacity = input->between(1, input->flag() ? 100 : 1'000'000'000);
		servers[i].server.state = static_cast<ServerState>(input->number(1) % 3);
		servers[i].server.pool = static_cast<ServerPool>(input->number(1) % 3);
		servers[i].server.recovery = static_cast<Recovery>(input->number(1) % 3);
		servers[i].group = static_cast<int>(input->number(1) % 3);
	}
	return servers;
}

void
check_moves(RebalancePlan *plan, const std::vector<RebalanceRoom> &rooms,
			const std::vector<RebalanceServer> &servers, const RebalanceLimits &limits)
{
	std::set<int> moved;
	std::int64_t users = 0;

	while (const auto move = plan->next())
	{
		const RebalanceRoom &room = rooms[static_cast<std::size_t>(move->room)];

		require(move->from != move->to, "a move has a target");
		require(move->to >= 0 && move->to < static_cast<int>(servers.size()),
				"a server of the pool");
		require(moved.insert(room.tag).second, "no room moves twice");
		users += room.users;
	}
	require(!limits.rooms || static_cast<std::int64_t>(moved.size()) <= *limits.rooms,
			"no more rooms than allowed");
	require(!limits.users || users <= *limits.users, "no more users than allowed");
}

} // namespace

void
check_input(Input *input)
{
	const std::uint64_t fits = input->number();
	RebalanceLimits limits;
	Rules rules;
	std::vector<RebalanceServer> servers = servers_from(input);
	std::vector<RebalanceRoom> rooms;
	std::vector<std::string> ids;

	if (input->flag())
		limits.rooms = input->between(0, 50);
	if (input->flag())
		limits.users = input->between(0, 1000);
	rules.metric = static_cast<LoadMetric>(input->number(1) % 2);
	for (int i = 0; i < 40; i++)
		ids.push_back("r" + std::to_string(i));
	for (int i = 0; i < 40 && !input->empty(); i++)
	{
		RebalanceRoom room{.id = ids[static_cast<std::size_t>(i)], .tag = i};

		room.server = static_cast<int>(input->number(1) % servers.size());
		room.load = input->between(0, 1'000'000);
		room.addition = std::max<std::int64_t>(room.load, input->between(0, 1'000'000));
		room.users = input->flag() ? input->between(0, room.load) : 0;
		servers[static_cast<std::size_t>(room.server)].server.load += room.load;
		servers[static_cast<std::size_t>(room.server)].server.rooms++;
		rooms.push_back(room);
	}

	const double before = greatest_share(servers);
	RebalancePlan plan(servers.data(), static_cast<int>(servers.size()), rooms.data(),
					   static_cast<int>(rooms.size()), limits, rules, {fit_of, &fits});

	check_moves(&plan, rooms, servers, limits);
	require(greatest_share(servers) <= before + 1e-9, "the fullest server gets no fuller");
}

} // namespace gxy
