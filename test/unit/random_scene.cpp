#include "random_scene.hpp"

namespace gxy
{

Random::Random(std::uint64_t seed) : engine_(seed) {}

std::int64_t
Random::between(std::int64_t low, std::int64_t high)
{
	return low + static_cast<std::int64_t>(engine_() % static_cast<std::uint64_t>(high - low + 1));
}

bool
Random::percent(std::int64_t chance)
{
	return between(1, 100) <= chance;
}

namespace
{

/* Shares that most servers of a pool have in common, in percent. */
struct Climate
{
	std::int64_t online = 80;
	std::int64_t primary = 80;
	std::int64_t near = 80; /* of the room's regions or general */
	std::int64_t home = 0;
	std::int64_t absent = 0;
	std::int64_t in_progress = 0;
	std::int64_t pinned = 0;
	std::int64_t measured = 0;	 /* have a fresh measurement */
	std::int64_t outages = 0;	 /* have been down a moment ago */
	std::int64_t crowding = 100; /* greatest load, in percent of capacity */
	bool huge = false;			 /* numbers at the limits of the contract */
};

Climate
random_climate(Random &random)
{
	static constexpr std::int64_t shares[] = {0, 50, 90, 100, 100};
	Climate climate;

	climate.online = shares[random.between(0, 4)];
	climate.primary = shares[random.between(0, 4)];
	climate.near = shares[random.between(0, 4)];
	climate.home = random.percent(25) ? 20 : 0;
	climate.absent = random.percent(30) ? random.between(10, 100) : 0;
	climate.in_progress = random.percent(15) ? 30 : 0;
	climate.pinned = random.percent(15) ? 20 : 0;
	climate.measured = shares[random.between(0, 4)] * random.between(0, 1);
	climate.outages = random.percent(30) ? random.between(10, 100) : 0;
	climate.crowding = random.between(0, 150);
	climate.huge = random.percent(10);
	return climate;
}

Server
server_in(const Climate &climate, Random &random, std::string_view name)
{
	Server server{.name = name};

	server.position = random.between(0, 5);
	server.priority = random.percent(70) ? 0 : random.between(-1, 2);
	server.capacity = random.between(1, 4) * 10;
	server.load = random.between(0, server.capacity * climate.crowding / 100);
	if (climate.huge)
	{
		server.capacity = 1'000'000'000 - random.between(0, 3);
		server.load = random.percent(50) ? server.capacity - random.between(0, 20)
										 : 1'000'000'000'000 - random.between(0, 3);
	}
	if (random.percent(20))
		server.load = 0;
	if (random.percent(climate.measured))
		server.measured =
			random.between(0, climate.huge ? 1'000'000'000 : 15) * (climate.huge ? 1 : 100'000);
	server.awaited = random.percent(50) ? 0 : random.between(0, server.load + 5);
	if (random.percent(climate.outages))
		server.recovery = random.percent(50) ? Recovery::recovering : Recovery::returning;
	server.held_back = server.recovery == Recovery::returning && random.percent(70);
	server.rooms = random.between(0, 3);
	server.room_sessions = random.percent(climate.in_progress) ? random.between(1, 3) : 0;
	server.pinned = random.percent(climate.pinned);

	if (!random.percent(climate.online))
		server.state = random.percent(50) ? ServerState::draining : ServerState::offline;
	if (!random.percent(climate.primary))
		server.pool = random.percent(50) ? ServerPool::standby : ServerPool::reserved;
	server.home = random.percent(climate.home);
	server.absent = random.percent(climate.absent);
	if (!random.percent(climate.near))
		server.region = RegionFit::foreign;
	else
		server.region = random.percent(40) ? RegionFit::own : RegionFit::general;
	if (server.region == RegionFit::own)
		server.region_rank = random.between(0, 2);
	return server;
}

} // namespace

Scene
random_scene(Random &random)
{
	static constexpr std::string_view all_names[] = {"gxy1", "gxy2",  "gxy3",  "gxy4",
													 "gxy5", "gxy6",  "gxy7",  "gxy8",
													 "gxy9", "gxy10", "gxy11", "gxy12"};
	std::vector<std::string_view> names(std::begin(all_names), std::end(all_names));
	const Climate climate = random_climate(random);
	const std::int64_t count = random.percent(2) ? 0 : random.between(1, 12);
	Scene scene;

	random.shuffle(names);
	for (std::int64_t i = 0; i < count; i++)
		scene.pool.push_back(server_in(climate, random, names[i]));

	scene.expected = random.percent(15) ? random.between(11, 60) : random.between(1, 10);
	scene.rules.strategy = static_cast<Strategy>(random.between(0, 2));
	scene.rules.metric = random.percent(30) ? LoadMetric::rooms : LoadMetric::users;
	scene.rules.overflow = random.percent(50) ? Overflow::error : Overflow::overcommit;
	scene.rules.avg_room_occupancy = random.between(1, 15);
	return scene;
}

} // namespace gxy
