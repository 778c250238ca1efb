/*
 * placement_fuzzer.cpp: the placement policy chooses as its oracle does (test/unit/oracle.hpp), for
 * every pool within the ranges of the extension's columns and settings.
 */
#include "input.hpp"
#include "oracle.hpp"
#include "policy/placement_policy.hpp"

namespace gxy
{
namespace
{

constexpr std::string_view names[] = {"gxy1", "gxy10", "gxy2", "\xd7\x90", "b", "a,", "gxy3", "z"};

Server
server_from(Input *input, std::string_view name)
{
	Server server{.name = name};

	server.position = input->between(INT32_MIN, INT32_MAX);
	server.priority = input->between(-1, 1) * input->between(0, INT32_MAX);
	server.capacity = input->between(1, 1'000'000'000);
	server.load = input->between(0, 1'000'000'000'000);
	server.rooms = input->between(0, 10'000'000);
	server.room_sessions = input->flag() ? input->between(0, 1'000'000) : 0;
	server.pool = static_cast<ServerPool>(input->number(1) % 3);
	server.state = static_cast<ServerState>(input->number(1) % 3);
	server.region = static_cast<RegionFit>(input->number(1) % 3);
	server.region_rank = server.region == RegionFit::own ? input->between(0, 127) : 0;
	server.pinned = input->number(1) % 8 == 1;
	server.home = input->number(1) % 8 == 1;
	server.absent = input->number(1) % 8 == 1;
	server.awaited = input->between(0, 1'000'000'000'000);
	server.measured = input->flag() ? input->between(0, 10 * full_measure) : 0;
	server.recovery =
		recovery_after(input->between(INT64_MIN, INT64_MAX), input->between(0, 86'400'000'000));
	return server;
}

void
check_order(const Scene &scene)
{
	const int count = static_cast<int>(scene.pool.size());
	const PoolFacts facts =
		gather_pool_facts(scene.pool.data(), count, scene.expected, scene.rules);

	for (const Server &a : scene.pool)
		for (const Server &b : scene.pool)
			require(!precedes(a, judge(a, facts), b, judge(b, facts), scene.rules) ||
						!precedes(b, judge(b, facts), a, judge(a, facts), scene.rules),
					"no two servers precede each other");
}

} // namespace

void
check_input(Input *input)
{
	Scene scene;

	scene.expected = input->between(1, 1'000'000);
	scene.rules.strategy = static_cast<Strategy>(input->number(1) % 3);
	scene.rules.metric = static_cast<LoadMetric>(input->number(1) % 2);
	scene.rules.overflow = static_cast<Overflow>(input->number(1) % 2);
	scene.rules.avg_room_occupancy = input->between(1, 1'000'000);
	scene.rules.join_window = input->between(0, 86'400'000'000);
	for (const std::string_view name : names)
		if (!input->empty())
			scene.pool.push_back(server_from(input, name));
	hold_back_returning(scene.pool.data(), static_cast<int>(scene.pool.size()), input->number());
	require(choice(scene) == oracle_choice(scene), "the choice is that of the oracle");
	check_order(scene);
}

} // namespace gxy
