/*
 * Which server of a whole pool a room gets: the tiers, and what happens when all servers are full.
 */
#include <gtest/gtest.h>

#include "policy_support.hpp"

namespace gxy
{

namespace
{

/*
 * One server of every standing, each worse by load, priority and position than the less preferred
 * standings.
 */
Pool
one_of_each()
{
	return {
		{.name = "in progress",
		 .position = 9,
		 .priority = 0,
		 .capacity = 400,
		 .load = 900,
		 .room_sessions = 1},
		{.name = "pinned",
		 .position = 8,
		 .priority = 1,
		 .capacity = 400,
		 .load = 800,
		 .pinned = true},
		{.name = "home", .position = 7, .priority = 1, .capacity = 400, .load = 800, .home = true},
		{.name = "own",
		 .position = 7,
		 .priority = 2,
		 .capacity = 400,
		 .load = 390,
		 .region = RegionFit::own},
		{.name = "general", .position = 6, .priority = 3, .capacity = 400, .load = 380},
		{.name = "full", .position = 5, .priority = 4, .capacity = 400, .load = 395},
		{.name = "foreign",
		 .position = 4,
		 .priority = 5,
		 .capacity = 400,
		 .load = 300,
		 .region = RegionFit::foreign},
		{.name = "standby",
		 .position = 3,
		 .priority = 6,
		 .capacity = 400,
		 .load = 200,
		 .pool = ServerPool::standby},
		{.name = "draining",
		 .position = 2,
		 .priority = 7,
		 .capacity = 400,
		 .load = 100,
		 .state = ServerState::draining},
		{.name = "offline",
		 .position = 1,
		 .priority = 8,
		 .capacity = 400,
		 .state = ServerState::offline},
		{.name = "absent", .position = 0, .priority = 9, .capacity = 400, .absent = true},
		{.name = "reserved",
		 .position = 0,
		 .priority = 9,
		 .capacity = 400,
		 .pool = ServerPool::reserved},
	};
}

TEST(Decide, TheFirstTierThatHasAServerWins)
{
	const Pool pool = one_of_each();
	std::vector<std::string> names;
	for (const Server &server : pool)
		names.emplace_back(server.name);

	const Rules by_home{.strategy = Strategy::home};

	EXPECT_EQ(ranking({.pool = pool, .rules = by_home}), names);
	for (std::size_t first = 0; first + 2 < pool.size(); first++)
	{
		const Scene scene{.pool = {pool.begin() + first, pool.end()}, .rules = by_home};
		EXPECT_EQ(choice(scene), names[first]) << scene;
	}
}

TEST(Decide, TellsTheServerItsStandingAndWhetherItFits)
{
	const Pool pool = one_of_each();
	const Decision placed = decide(pool.data() + 3, 8, 10, {});

	EXPECT_EQ(placed.outcome, Outcome::placed);
	EXPECT_EQ(placed.server, 0);
	EXPECT_EQ(placed.verdict.standing, Standing::own_region);
	EXPECT_TRUE(placed.verdict.fits);

	const Decision over = decide(pool.data() + 5, 6, 10, {});
	EXPECT_EQ(over.verdict.standing, Standing::over_capacity);
	EXPECT_FALSE(over.verdict.fits);
}

TEST(Decide, AnEmptyPoolHasNoServer)
{
	const Decision decision = decide(nullptr, 0, 10, {});

	EXPECT_EQ(decision.outcome, Outcome::no_server);
	EXPECT_EQ(decision.server, -1);
}

TEST(Decide, APoolOfReservedServersHasNoServer)
{
	const Server pool[] = {
		{.name = "gxy1", .capacity = 400, .pool = ServerPool::reserved},
		{.name = "gxy2",
		 .capacity = 400,
		 .pool = ServerPool::reserved,
		 .state = ServerState::offline,
		 .pinned = true},
	};
	const Decision decision = decide(pool, 2, 10, {});

	EXPECT_EQ(decision.outcome, Outcome::no_server);
	EXPECT_EQ(decision.server, -1);
}

TEST(Decide, ANewRoomIsAnsweredAsLongAsThereIsAnOfflineServer)
{
	for (const Overflow overflow : {Overflow::overcommit, Overflow::error})
		EXPECT_EQ(choice({.pool = {{.name = "gxy1",
									.capacity = 10,
									.load = 99,
									.state = ServerState::offline}},
						  .rules = {.overflow = overflow}}),
				  "gxy1");
}

TEST(Decide, ARoomInProgressIsNotSplitForAPin)
{
	EXPECT_EQ(choice({.pool = {{.name = "pinned", .capacity = 400, .pinned = true},
							   {.name = "busy", .capacity = 400, .room_sessions = 1}}}),
			  "busy");
}

TEST(Decide, SessionsOnAnOfflineServerGiveWayToThoseElsewhereAndThenToThePin)
{
	const Server gone{
		.name = "gone", .capacity = 400, .room_sessions = 9, .state = ServerState::offline};
	const Server pinned{.name = "pinned", .capacity = 400, .pinned = true};
	const Server busy{.name = "busy", .capacity = 400, .load = 900, .room_sessions = 1};

	EXPECT_EQ(choice({.pool = {gone, pinned, busy}}), "busy");
	EXPECT_EQ(choice({.pool = {gone, pinned}}), "pinned");
}

TEST(Overflow, OvercommitsTheLeastLoadedByDefault)
{
	EXPECT_EQ(choice({.pool = {{.name = "gxy1", .position = 1, .capacity = 400, .load = 410},
							   {.name = "gxy2", .position = 2, .capacity = 400, .load = 405}}}),
			  "gxy2");
}

TEST(Overflow, ErrorRefusesWhileAServerThatMayTakeTheRoomIsOnlineButFull)
{
	for (const RegionFit region : {RegionFit::own, RegionFit::general})
	{
		const Scene scene{
			.pool = {{.name = "full", .capacity = 400, .load = 391, .region = region},
					 {.name = "foreign", .capacity = 400, .region = RegionFit::foreign},
					 {.name = "standby", .capacity = 400, .pool = ServerPool::standby},
					 {.name = "draining", .capacity = 400, .state = ServerState::draining}},
			.rules = {.overflow = Overflow::error}};
		const Decision decision = decide(scene.pool.data(), 4, scene.expected, scene.rules);

		EXPECT_EQ(decision.outcome, Outcome::full) << scene;
		EXPECT_EQ(decision.server, -1);
	}
}

TEST(Overflow, ErrorStillPlacesWhereThereIsRoom)
{
	EXPECT_EQ(
		choice({.pool = {{.name = "own", .capacity = 400, .load = 391, .region = RegionFit::own},
						 {.name = "general", .capacity = 400, .load = 390}},
				.rules = {.overflow = Overflow::error}}),
		"general");
}

TEST(Overflow, ErrorDoesNotConcernRoomsInProgressPinsOrLastResorts)
{
	const Rules rules{.overflow = Overflow::error};
	const Server full{.name = "full", .capacity = 400, .load = 400};

	EXPECT_EQ(
		choice({.pool = {full, {.name = "busy", .capacity = 400, .load = 900, .room_sessions = 1}},
				.rules = rules}),
		"busy");
	EXPECT_EQ(
		choice({.pool = {full, {.name = "pinned", .capacity = 400, .load = 900, .pinned = true}},
				.rules = rules}),
		"pinned");
	for (const Server &last :
		 {Server{.name = "last", .capacity = 400, .load = 900, .region = RegionFit::foreign},
		  Server{.name = "last", .capacity = 400, .load = 900, .pool = ServerPool::standby},
		  Server{.name = "last", .capacity = 400, .load = 900, .state = ServerState::draining}})
		EXPECT_EQ(choice({.pool = {last}, .rules = rules}), "last") << last;
}

TEST(Outsized, GoesToAnEmptyServerEvenUnderOverflowError)
{
	for (const Overflow overflow : {Overflow::overcommit, Overflow::error})
	{
		Scene scene{
			.pool = {{.name = "gxy1", .position = 1, .priority = 9, .capacity = 400, .load = 1},
					 {.name = "gxy2", .position = 2, .capacity = 100}},
			.expected = 5000,
			.rules = {.overflow = overflow}};
		EXPECT_EQ(choice(scene), "gxy2") << scene;

		scene.pool[1].load = 1;
		EXPECT_EQ(choice(scene), overflow == Overflow::error ? "full" : "gxy1") << scene;
	}
}

TEST(Outsized, ARoomThatOneServerCouldHoldIsNotOutsizedWhileThatServerIsFull)
{
	EXPECT_EQ(choice({.pool = {{.name = "large", .capacity = 1000, .load = 900},
							   {.name = "small", .capacity = 100}},
					  .expected = 500,
					  .rules = {.overflow = Overflow::error}}),
			  "full");
}

TEST(Outsized, AServerReservedForOtherRegionsIsNoReasonToRefuse)
{
	EXPECT_EQ(choice({.pool = {{.name = "theirs", .capacity = 9000, .region = RegionFit::foreign},
							   {.name = "small", .capacity = 100}},
					  .expected = 500,
					  .rules = {.overflow = Overflow::error}}),
			  "small");
}

} // namespace

} // namespace gxy
