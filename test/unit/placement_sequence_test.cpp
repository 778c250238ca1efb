/* Rooms placed one after another, each adding to the load that the next one meets. */
#include <gtest/gtest.h>

#include <map>

#include "policy_support.hpp"

namespace gxy
{

namespace
{

/* A pool gxy1..gxyN of equal servers. */
Pool
equal_servers(int count, std::int64_t capacity)
{
	static constexpr std::string_view names[] = {"gxy1", "gxy2", "gxy3", "gxy4",  "gxy5",  "gxy6",
												 "gxy7", "gxy8", "gxy9", "gxy10", "gxy11", "gxy12"};
	Pool pool;

	for (int i = 0; i < count; i++)
		pool.push_back({.name = names[i], .position = i + 1, .capacity = capacity});
	return pool;
}

/*
 * Places a room and adds its load to the server. Returns the server's name, or why there is none.
 */
std::string
place(Scene &scene)
{
	const std::string name = choice(scene);

	for (Server &server : scene.pool)
	{
		if (server.name == name)
			take_room(server, scene);
	}
	return name;
}

TEST(Filling, SequentialFillsThreeServersOf400InOrderWith40RoomsOf10Each)
{
	for (const LoadMetric metric : {LoadMetric::users, LoadMetric::rooms})
		for (const Overflow overflow : {Overflow::overcommit, Overflow::error})
		{
			Scene scene{.pool = equal_servers(3, 400),
						.rules = {.strategy = Strategy::sequential,
								  .metric = metric,
								  .overflow = overflow}};

			for (int room = 0; room < 120; room++)
				ASSERT_EQ(place(scene), room < 40 ? "gxy1" : room < 80 ? "gxy2" : "gxy3") << room;

			if (overflow == Overflow::error)
			{
				EXPECT_EQ(place(scene), "full");
				continue;
			}
			/* All servers are equal now; one user fewer makes the last the least loaded. */
			EXPECT_EQ(choice(scene), "gxy1");
			scene.pool[2].load--;
			EXPECT_EQ(choice(scene), "gxy3");
		}
}

TEST(Filling, SequentialReturnsToAnEarlierServerThatHasRoomAgain)
{
	Scene scene{.pool = equal_servers(3, 400), .rules = {.strategy = Strategy::sequential}};

	for (int room = 0; room < 50; room++)
		place(scene);
	scene.pool[0].load -= 10;
	scene.pool[0].rooms--;
	EXPECT_EQ(place(scene), "gxy1");
	EXPECT_EQ(place(scene), "gxy2");
}

TEST(Filling, LeastLoadedGivesTwelveServersTenRoomsEachInRounds)
{
	for (const LoadMetric metric : {LoadMetric::users, LoadMetric::rooms})
	{
		Scene scene{.pool = equal_servers(12, 400), .rules = {.metric = metric}};

		for (int room = 0; room < 120; room++)
			ASSERT_EQ(place(scene), scene.pool[room % 12].name) << room;
		for (const Server &server : scene.pool)
			EXPECT_EQ(server.rooms, 10) << server;
	}
}

TEST(Filling, LeastLoadedGivesEachServerAShareInProportionToItsCapacity)
{
	Scene scene{.pool = equal_servers(3, 400)};
	scene.pool[1].capacity = 800;
	scene.pool[2].capacity = 1600;

	for (int room = 0; room < 70; room++)
		place(scene);
	EXPECT_EQ(scene.pool[0].rooms, 10);
	EXPECT_EQ(scene.pool[1].rooms, 20);
	EXPECT_EQ(scene.pool[2].rooms, 40);
}

TEST(Filling, AHigherPriorityIsFilledBeforeALowerOneGetsAnything)
{
	Scene scene{.pool = equal_servers(3, 100)};
	scene.pool[1].priority = 1;
	scene.pool[2].priority = 1;
	std::map<std::string, int> rooms;

	for (int room = 0; room < 20; room++)
		rooms[place(scene)]++;
	EXPECT_EQ(rooms, (std::map<std::string, int>{{"gxy2", 10}, {"gxy3", 10}}));
	EXPECT_EQ(place(scene), "gxy1");
}

TEST(Filling, ByRoomsTheUsersExpectedMakeNoDifference)
{
	Scene small{.pool = equal_servers(2, 20), .expected = 1};
	small.rules.metric = LoadMetric::rooms;
	small.rules.overflow = Overflow::error;
	Scene large = small;
	large.expected = 500;

	for (const char *name : {"gxy1", "gxy2", "gxy1", "gxy2", "full"})
	{
		EXPECT_EQ(place(small), name);
		EXPECT_EQ(place(large), name);
	}
}

} // namespace

} // namespace gxy
