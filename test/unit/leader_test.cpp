/* The choice by the leader of a tournament is that of decide(), which compares all servers. */
#include "policy/tournament.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "property.hpp"

namespace gxy
{

namespace
{

/* The scene as decide_by_leader() presumes it: no server is special for the room. */
Scene
without_special_servers(const Scene &scene)
{
	Scene plain = scene;

	for (Server &server : plain.pool)
	{
		server.room_sessions = 0;
		server.region = RegionFit::general;
		server.region_rank = 0;
		server.pinned = server.home = server.absent = server.held_back = false;
		server.measured = 0;
		server.recovery = Recovery::none;
	}
	return plain;
}

/* A tournament over the servers of a scene, and over some numbers that are no servers. */
class Leaders
{
	auto takes_part()
	{
		return [this](int server) {
			return server < static_cast<int>(scene_.pool.size()) &&
				   takes_new_rooms(scene_.pool[server]);
		};
	}
	auto beats()
	{
		return [this](int a, int b) { return leads(scene_.pool[a], scene_.pool[b], scene_.rules); };
	}

public:
	explicit Leaders(const Scene &scene)
		: scene_(scene), nodes_(16, -2), tournament_(nodes_.data(), 16)
	{
		tournament_.play_all(takes_part(), beats());
	}

	void replay(int server) { tournament_.replay(server, takes_part(), beats()); }
	int winner() const { return tournament_.winner(); }

private:
	const Scene &scene_;
	std::vector<int> nodes_;
	Tournament tournament_;
};

/* Compares with decide(); returns whether the leader alone decided. */
bool
agrees(const Scene &scene, int leader)
{
	const int count = static_cast<int>(scene.pool.size());
	const Decision all = decide(scene);

	if (leader == Tournament::nothing)
		return false;
	const Decision alone = decide_by_leader(
		scene.pool[leader], is_uniform(scene.pool.data(), count), scene.expected, scene.rules);
	if (alone.outcome == Outcome::no_server)
		return false;
	EXPECT_EQ(alone.outcome, all.outcome);
	if (all.outcome != Outcome::placed)
		return true;
	EXPECT_EQ(leader, all.server);
	EXPECT_EQ(alone.server, 0);
	EXPECT_EQ(alone.verdict.standing, all.verdict.standing);
	EXPECT_EQ(alone.verdict.fits, all.verdict.fits);
	return true;
}

TEST_F(Property, TheLeaderIsTheChoiceOfAllServers)
{
	int decided = 0, full = 0;

	for_scenes(many, [&](const Scene &random_scene, Random &random) {
		Scene scene = without_special_servers(random_scene);

		if (random.percent(50))
			for (Server &server : scene.pool)
			{
				server.capacity = scene.pool[0].capacity;
				server.priority = 0;
			}
		if (agrees(scene, Leaders(scene).winner()))
			(decide(scene).verdict.standing == Standing::general ? decided : full)++;
	});
	EXPECT_GT(decided, many / 10);
	EXPECT_GT(full, many / 50);
}

TEST_F(Property, TheLeaderStaysTheFirstWhileLoadsChange)
{
	for_scenes(some, [](const Scene &random_scene, Random &random) {
		Scene scene = without_special_servers(random_scene);
		const std::int64_t servers = static_cast<std::int64_t>(scene.pool.size());
		Leaders leaders(scene);

		for (int round = 0; round < 20 && servers > 0; round++)
		{
			std::vector<int> changed;

			for (std::int64_t i = random.between(0, 3); i >= 0; i--)
			{
				const int server = static_cast<int>(random.between(0, servers - 1));
				Server &changing = scene.pool[server];

				changing.load = std::max<std::int64_t>(0, changing.load + random.between(-5, 5));
				changing.rooms = random.between(0, 3);
				changed.push_back(server);
			}
			for (const int server : changed)
				leaders.replay(server);
			ASSERT_EQ(leaders.winner(), Leaders(scene).winner());
			(void) agrees(scene, leaders.winner());
		}
	});
}

TEST(Leader, AFullLeaderDecidesNothingWhereCapacitiesDiffer)
{
	Rules rules;
	const Server pool[] = {{.name = "small", .capacity = 10, .load = 5},
						   {.name = "large", .capacity = 1000, .load = 600}};

	ASSERT_TRUE(leads(pool[0], pool[1], rules));
	EXPECT_FALSE(is_uniform(pool, 2));
	EXPECT_EQ(decide_by_leader(pool[0], false, 100, rules).outcome, Outcome::no_server);
	EXPECT_EQ(decide(pool, 2, 100, rules).server, 1);
}

TEST(Leader, AServerThatTakesNoNewRoomsDoesNotLead)
{
	EXPECT_TRUE(takes_new_rooms({.name = "a"}));
	EXPECT_FALSE(takes_new_rooms({.name = "a", .state = ServerState::draining}));
	EXPECT_FALSE(takes_new_rooms({.name = "a", .pool = ServerPool::standby}));
	EXPECT_EQ(
		decide_by_leader({.name = "a", .state = ServerState::offline}, true, 1, Rules()).outcome,
		Outcome::no_server);
}

} // namespace

} // namespace gxy
