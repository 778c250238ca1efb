/* judge(): the standing of one server, independent of the others. */
#include <gtest/gtest.h>

#include "policy_support.hpp"

namespace gxy
{

namespace
{

constexpr ServerState online = ServerState::online;
constexpr ServerState draining = ServerState::draining;
constexpr ServerState offline = ServerState::offline;
constexpr ServerPool primary = ServerPool::primary;
constexpr ServerPool standby = ServerPool::standby;
constexpr ServerPool reserved = ServerPool::reserved;
constexpr RegionFit own = RegionFit::own;
constexpr RegionFit general = RegionFit::general;
constexpr RegionFit foreign = RegionFit::foreign;

/* A server of capacity 100 that may take a room of 10. */
struct Case
{
	const char *rule;
	Server server;
	Standing standing;
};

void
check(std::initializer_list<Case> cases)
{
	for (Case item : cases)
	{
		item.server.name = "gxy1";
		item.server.capacity = 100;
		EXPECT_EQ(judge(item.server, {.addition = 10}).standing, item.standing)
			<< item.rule << "\n  " << item.server;
	}
}

TEST(Judge, AnOnlinePrimaryServerStandsByItsRegionAndItsRoom)
{
	check({
		{"own region, with room", {.region = own}, Standing::own_region},
		{"own region, exactly enough", {.load = 90, .region = own}, Standing::own_region},
		{"own region, full", {.load = 91, .region = own}, Standing::over_capacity},
		{"general, with room", {.region = general}, Standing::general},
		{"general, exactly enough", {.load = 90, .region = general}, Standing::general},
		{"general, full", {.load = 91, .region = general}, Standing::over_capacity},
		{"general, overcommitted", {.load = 500, .region = general}, Standing::over_capacity},
		{"another region's, with room", {.region = foreign}, Standing::elsewhere},
		{"another region's, full", {.load = 100, .region = foreign}, Standing::elsewhere},
	});
}

TEST(Judge, AStandbyIsElsewhereEvenInTheOwnRegion)
{
	check({
		{"own", {.pool = standby, .region = own}, Standing::elsewhere},
		{"general", {.pool = standby, .region = general}, Standing::elsewhere},
		{"full", {.load = 100, .pool = standby, .region = own}, Standing::elsewhere},
	});
}

TEST(Judge, DrainingAndOfflineServersStandBehindWhateverTheirRegionPoolAndRoom)
{
	for (const RegionFit region : {own, general, foreign})
		for (const ServerPool pool : {primary, standby})
			for (const std::int64_t load : {0, 100})
				check({
					{"draining",
					 {.load = load, .pool = pool, .state = draining, .region = region},
					 Standing::draining},
					{"offline",
					 {.load = load, .pool = pool, .state = offline, .region = region},
					 Standing::offline},
				});
}

TEST(Judge, AReservedServerIsExcludedInEveryState)
{
	for (const ServerState state : {online, draining, offline})
		for (const RegionFit region : {own, general, foreign})
			check({{"reserved",
					{.pool = reserved, .state = state, .region = region},
					Standing::excluded}});
}

TEST(Judge, APinHoldsInEveryPoolRegionAndLoadUnlessTheServerIsOffline)
{
	for (const ServerPool pool : {primary, standby, reserved})
		for (const RegionFit region : {own, general, foreign})
			for (const std::int64_t load : {0, 1000})
				for (const ServerState state : {online, draining})
					check({{"pinned",
							{.load = load,
							 .pool = pool,
							 .state = state,
							 .region = region,
							 .pinned = true},
							Standing::pinned}});
	check({
		{"an offline server", {.state = offline, .pinned = true}, Standing::offline},
		{"an offline reserved server",
		 {.pool = reserved, .state = offline, .pinned = true},
		 Standing::excluded},
	});
}

TEST(Judge, ARoomInProgressStaysInEveryPoolRegionAndLoadUnlessTheServerIsOffline)
{
	for (const ServerPool pool : {primary, standby, reserved})
		for (const RegionFit region : {own, general, foreign})
			for (const std::int64_t load : {0, 1000})
				for (const ServerState state : {online, draining})
					check({{"in progress",
							{.load = load,
							 .room_sessions = 1,
							 .pool = pool,
							 .state = state,
							 .region = region},
							Standing::in_progress}});
	check({
		{"an offline server", {.room_sessions = 7, .state = offline}, Standing::offline},
		{"an offline reserved server",
		 {.room_sessions = 7, .pool = reserved, .state = offline},
		 Standing::excluded},
	});
}

TEST(Judge, ARoomInProgressOnThePinnedServerIsInProgress)
{
	check({{"both", {.room_sessions = 1, .pinned = true}, Standing::in_progress}});
}

TEST(Judge, AServerOnWhichTheRoomDoesNotExistIsAbsentWhateverElseItIs)
{
	for (const ServerPool pool : {primary, standby, reserved})
		for (const ServerState state : {online, draining, offline})
			for (const RegionFit region : {own, general, foreign})
				for (const bool pinned : {false, true})
					check({{"absent",
							{.pool = pool,
							 .state = state,
							 .region = region,
							 .pinned = pinned,
							 .home = true,
							 .absent = true},
							Standing::absent}});
}

TEST(Judge, LiveSessionsProveThatTheRoomExists)
{
	check({
		{"online", {.room_sessions = 1, .absent = true}, Standing::in_progress},
		{"offline", {.room_sessions = 1, .state = offline, .absent = true}, Standing::offline},
	});
}

TEST(Judge, AnOnlineHomeIsTakenInEveryPoolRegionAndLoadUnderItsStrategyOnly)
{
	for (const ServerPool pool : {primary, standby, reserved})
		for (const RegionFit region : {own, general, foreign})
			for (const std::int64_t load : {0, 1000})
			{
				Server home{
					.capacity = 100, .load = load, .pool = pool, .region = region, .home = true};
				const PoolFacts by_home = {.addition = 10, .prefers_home = true};

				EXPECT_EQ(judge(home, by_home).standing, Standing::home) << home;
				EXPECT_NE(judge(home, {.addition = 10}).standing, Standing::home) << home;
				for (const ServerState state : {draining, offline})
				{
					home.state = state;
					EXPECT_NE(judge(home, by_home).standing, Standing::home) << home;
				}
				home.state = online;
				home.recovery = Recovery::recovering;
				EXPECT_NE(judge(home, by_home).standing, Standing::home) << home;
				home.recovery = Recovery::returning;
				EXPECT_EQ(judge(home, by_home).standing, Standing::home) << home;
				home.pinned = true;
				EXPECT_EQ(judge(home, by_home).standing, Standing::pinned) << home;
				home.room_sessions = 1;
				EXPECT_EQ(judge(home, by_home).standing, Standing::in_progress) << home;
			}
}

TEST(Judge, FitsSaysWhetherTheRoomIsUnderCapacityInEveryStanding)
{
	for (const ServerPool pool : {primary, standby, reserved})
		for (const ServerState state : {online, draining, offline})
			for (const bool pinned : {false, true})
			{
				Server server{
					.capacity = 100, .load = 90, .pool = pool, .state = state, .pinned = pinned};
				EXPECT_TRUE(judge(server, {.addition = 10}).fits) << server;
				server.load = 91;
				EXPECT_FALSE(judge(server, {.addition = 10}).fits) << server;
			}
}

TEST(Judge, AnEmptyServerFitsAnOutsizedRoomAndALoadedOneDoesNot)
{
	const PoolFacts outsized = {.addition = 500, .outsized = true};

	EXPECT_TRUE(judge({.capacity = 100, .load = 0}, outsized).fits);
	EXPECT_FALSE(judge({.capacity = 100, .load = 1}, outsized).fits);
	EXPECT_FALSE(judge({.capacity = 100, .load = 0}, {.addition = 500}).fits);
}

TEST(Judge, NumbersAtTheLimitsDoNotOverflow)
{
	const Server crowded{.capacity = 1'000'000'000, .load = INT64_MAX};
	EXPECT_FALSE(judge(crowded, {.addition = INT32_MAX}).fits);
}

TEST(Survey, UsersCountAsExpectedAndRoomsAsTheAverageOccupancy)
{
	const Server server{.capacity = 400};

	EXPECT_EQ(gather_pool_facts(&server, 1, 35, {.metric = LoadMetric::users}).addition, 35);
	EXPECT_EQ(
		gather_pool_facts(&server, 1, 35, {.metric = LoadMetric::rooms, .avg_room_occupancy = 8})
			.addition,
		8);
}

TEST(Survey, ARoomIsOutsizedOnlyIfLargerThanEveryServerThatMayTakeIt)
{
	const Server small{.capacity = 100, .region = own};
	const Server large{.capacity = 400, .region = general};
	const Server huge{.capacity = 9000};
	auto outsized = [](Pool pool, std::int64_t expected) {
		return gather_pool_facts(pool.data(), static_cast<int>(pool.size()), expected, {}).outsized;
	};

	EXPECT_FALSE(outsized({small, large}, 101)) << "the large one is large enough";
	EXPECT_FALSE(outsized({small, large}, 400)) << "exactly large enough";
	EXPECT_TRUE(outsized({small, large}, 401));

	Server full = large;
	full.load = 400;
	EXPECT_FALSE(outsized({small, full}, 400)) << "large enough, although full";

	for (const ServerState state : {draining, offline})
	{
		Server away = huge;
		away.state = state;
		EXPECT_TRUE(outsized({large, away}, 401)) << away;
	}
	for (const ServerPool pool : {standby, reserved})
	{
		Server spare = huge;
		spare.pool = pool;
		EXPECT_TRUE(outsized({large, spare}, 401)) << spare;
	}
	Server theirs = huge;
	theirs.region = foreign;
	EXPECT_TRUE(outsized({large, theirs}, 401)) << theirs;
	Server empty = huge;
	empty.absent = true;
	EXPECT_TRUE(outsized({large, empty}, 401)) << empty;
	EXPECT_FALSE(outsized({theirs}, 9001)) << "no server may take it, so none is too small";
	EXPECT_FALSE(outsized({}, 1));
}

TEST(Survey, ByRoomsTheAverageOccupancyDecidesWhatIsOutsized)
{
	const Server server{.capacity = 5};
	const Rules rules{.metric = LoadMetric::rooms, .avg_room_occupancy = 10};

	EXPECT_TRUE(gather_pool_facts(&server, 1, 1, rules).outsized);
}

TEST(Tier, IsTheNumberInTheContract)
{
	EXPECT_EQ(tier(Standing::in_progress), 0);
	EXPECT_EQ(tier(Standing::pinned), 0);
	EXPECT_EQ(tier(Standing::home), 0);
	EXPECT_EQ(tier(Standing::own_region), 1);
	EXPECT_EQ(tier(Standing::general), 2);
	EXPECT_EQ(tier(Standing::over_capacity), 3);
	EXPECT_EQ(tier(Standing::elsewhere), 4);
	EXPECT_EQ(tier(Standing::recovering), 4);
	EXPECT_EQ(tier(Standing::draining), 5);
	EXPECT_EQ(tier(Standing::offline), 6);
	EXPECT_EQ(tier(Standing::absent), -1);
	EXPECT_EQ(tier(Standing::excluded), -1);
}

} // namespace

} // namespace gxy
