/* Which of two servers with the same standing is better. */
#include <gtest/gtest.h>

#include "policy_support.hpp"

namespace gxy
{

namespace
{

constexpr Rules least_loaded{.strategy = Strategy::least_loaded};
constexpr Rules sequential{.strategy = Strategy::sequential};

/* In every case below "best" must be chosen, for both orders of the array. */
struct Case
{
	const char *rule;
	Server best;
	Server other;
};

void
check(const Rules &rules, std::initializer_list<Case> cases)
{
	for (Case item : cases)
	{
		if (item.best.name.empty())
			item.best.name = "best";
		if (item.other.name.empty())
			item.other.name = "a"; /* before "best": the name alone must not decide */
		const std::string best(item.best.name);
		for (Scene scene : {Scene{.pool = {item.best, item.other}, .rules = rules},
							Scene{.pool = {item.other, item.best}, .rules = rules}})
		{
			EXPECT_EQ(choice(scene), best) << item.rule << '\n' << scene;
			EXPECT_EQ(ranking(scene).front(), best) << item.rule << '\n' << scene;
		}
	}
}

TEST(LeastLoaded, TheLowestShareOfCapacityWinsNotTheLowestLoad)
{
	check(least_loaded, {
							{"equal capacities",
							 {.position = 2, .capacity = 400, .load = 100},
							 {.position = 1, .capacity = 400, .load = 101}},
							{"more users, but a smaller share",
							 {.position = 2, .capacity = 400, .load = 100},
							 {.position = 1, .capacity = 100, .load = 50}},
						});
}

TEST(LeastLoaded, EqualSharesOfUnequalCapacitiesAreEqual)
{
	check(least_loaded, {
							{"a third",
							 {.position = 2, .capacity = 300, .load = 100, .rooms = 1},
							 {.position = 1, .capacity = 900, .load = 300, .rooms = 2}},
							{"a seventh",
							 {.position = 2, .capacity = 700, .load = 100, .rooms = 1},
							 {.position = 1, .capacity = 70, .load = 10, .rooms = 2}},
						});
}

TEST(LeastLoaded, SharesAreComparedExactlyAtTheLargestNumbers)
{
	constexpr std::int64_t most_capacity = 1'000'000'000;
	constexpr std::int64_t most_load = 1'000'000'000'000;

	check(least_loaded,
		  {
			  {"one user in 10^12, over capacity",
			   {.position = 2, .capacity = most_capacity, .load = most_load - 1},
			   {.position = 1, .capacity = most_capacity, .load = most_load}},
			  {"a difference below what a double can tell: 1 - 1/(10^9 - 1) and 1 - 1/10^9",
			   {.position = 2, .capacity = most_capacity - 1, .load = most_capacity - 2},
			   {.position = 1, .capacity = most_capacity, .load = most_capacity - 1}},
			  {"a product that would come out smaller in 64 bits",
			   {.position = 2, .capacity = most_capacity, .load = 9 * most_capacity},
			   {.position = 1, .capacity = most_capacity, .load = most_load}},
			  {"products beyond 64 bits",
			   {.position = 2, .capacity = most_capacity, .load = most_load},
			   {.position = 1, .capacity = 1, .load = most_load}},
		  });
}

TEST(LeastLoaded, FewestRoomsWinAtEqualLoad)
{
	check(least_loaded, {{"rooms",
						  {.position = 2, .capacity = 400, .load = 50, .rooms = 3},
						  {.position = 1, .capacity = 400, .load = 50, .rooms = 4}}});
}

TEST(LeastLoaded, PositionWinsAtEqualLoadAndRooms)
{
	check(least_loaded,
		  {{"position", {.position = 1, .capacity = 400}, {.position = 2, .capacity = 400}}});
}

TEST(LeastLoaded, TheNameDecidesAtEqualPosition)
{
	check(least_loaded, {{"bytes, not numbers",
						  {.name = "gxy10", .capacity = 400},
						  {.name = "gxy2", .capacity = 400}}});
}

TEST(Sequential, TheFirstByPositionThatHasRoomWinsWhateverItsLoad)
{
	check(sequential, {
						  {"loaded, but with room",
						   {.position = 1, .capacity = 400, .load = 390, .rooms = 39},
						   {.position = 2, .capacity = 400}},
						  {"the first is full",
						   {.position = 2, .capacity = 400, .load = 390},
						   {.position = 1, .capacity = 400, .load = 391}},
						  {"the name decides at equal position",
						   {.name = "gxy1", .position = 1, .capacity = 400, .load = 9},
						   {.name = "gxy2", .position = 1, .capacity = 400}},
					  });
}

TEST(Priority, TheHighestThatStillHasRoomComesBeforeStrategyAndPosition)
{
	for (const Rules &rules : {least_loaded, sequential})
		check(rules, {
						 {"fuller and later",
						  {.position = 2, .priority = 1, .capacity = 400, .load = 390, .rooms = 9},
						  {.position = 1, .priority = 0, .capacity = 400}},
						 {"below zero",
						  {.position = 2, .priority = 0, .capacity = 400, .load = 390, .rooms = 9},
						  {.position = 1, .priority = -1, .capacity = 400}},
						 {"full: the next priority has its turn",
						  {.position = 2, .priority = 0, .capacity = 400, .load = 100},
						  {.position = 1, .priority = 5, .capacity = 400, .load = 395}},
					 });
}

TEST(Priority, TheRegionComesFirst)
{
	check(least_loaded, {{"own region",
						  {.position = 2, .capacity = 400, .load = 300, .region = RegionFit::own},
						  {.position = 1, .priority = 9, .capacity = 400}}});
}

TEST(Region, APreferredOneComesBeforePriorityAndLoad)
{
	for (const Rules &rules : {least_loaded, sequential})
		check(rules,
			  {
				  {"priority",
				   {.position = 2, .capacity = 400, .load = 300, .region = RegionFit::own},
				   {.position = 1,
					.priority = 9,
					.capacity = 400,
					.region = RegionFit::own,
					.region_rank = 1}},
				  {"equal ranks: priority",
				   {.position = 2,
					.priority = 9,
					.capacity = 400,
					.load = 300,
					.region = RegionFit::own,
					.region_rank = 1},
				   {.position = 1, .capacity = 400, .region = RegionFit::own, .region_rank = 1}},
				  {"full: the next region has its turn",
				   {.position = 2,
					.capacity = 400,
					.load = 300,
					.region = RegionFit::own,
					.region_rank = 3},
				   {.position = 1, .capacity = 400, .load = 395, .region = RegionFit::own}},
			  });
}

TEST(OverCapacity, TheLeastLoadedIsTakenWhateverPriorityStrategyPositionAndRegion)
{
	for (const Rules &rules : {least_loaded, sequential})
		check(rules, {
						 {"priority",
						  {.position = 2, .priority = 0, .capacity = 400, .load = 400},
						  {.position = 1, .priority = 9, .capacity = 400, .load = 401}},
						 {"own region",
						  {.position = 2, .capacity = 400, .load = 400},
						  {.position = 1, .capacity = 400, .load = 401, .region = RegionFit::own}},
						 {"share, not users",
						  {.position = 2, .capacity = 400, .load = 440},
						  {.position = 1, .capacity = 100, .load = 120}},
						 {"rooms",
						  {.position = 2, .capacity = 400, .load = 400, .rooms = 3},
						  {.position = 1, .priority = 9, .capacity = 400, .load = 400, .rooms = 4}},
					 });
}

TEST(InProgress, TheServerWithMostSessionsWinsThenPositionThenName)
{
	check(least_loaded, {
							{"most sessions",
							 {.position = 2, .capacity = 400, .load = 900, .room_sessions = 3},
							 {.position = 1, .priority = 9, .capacity = 400, .room_sessions = 2}},
							{"position, not load",
							 {.position = 1, .capacity = 400, .load = 900, .room_sessions = 2},
							 {.position = 2, .priority = 9, .capacity = 400, .room_sessions = 2}},
							{"name",
							 {.name = "gxy1", .capacity = 400, .load = 900, .room_sessions = 2},
							 {.name = "gxy2", .priority = 9, .capacity = 400, .room_sessions = 2}},
						});
}

/* Servers that are taken only if there is no better one: those of one standing, made by `make`. */
template <typename Make>
void
check_last_resort(Make make)
{
	const Server fits = make({.position = 5, .capacity = 400, .load = 300, .rooms = 9});
	const Server full = make({.position = 1, .priority = 9, .capacity = 400, .load = 395});
	check(least_loaded, {{"one that has room before a full one", fits, full}});

	Server low = make({.position = 1, .capacity = 400});
	Server high = make({.position = 2, .priority = 1, .capacity = 400, .load = 300});
	check(least_loaded, {{"priority among those that have room", high, low}});
	check(sequential, {{"priority among those that have room", high, low}});

	const Server early = make({.position = 1, .capacity = 400, .load = 300});
	const Server idle = make({.position = 2, .capacity = 400});
	check(least_loaded, {{"the least loaded among those that have room", idle, early}});
	check(sequential, {{"the first among those that have room", early, idle}});

	low = make({.position = 2, .capacity = 400, .load = 400});
	high = make({.position = 1, .priority = 9, .capacity = 400, .load = 500});
	check(least_loaded, {{"the least loaded among full ones", low, high}});
	check(sequential, {{"the least loaded among full ones", low, high}});
}

void
check_standby_then_foreign_last(ServerState state)
{
	const Server standby{.position = 1,
						 .priority = 9,
						 .capacity = 400,
						 .pool = ServerPool::standby,
						 .state = state,
						 .region = RegionFit::own};
	const Server foreign{
		.position = 2, .capacity = 400, .load = 500, .state = state, .region = RegionFit::foreign};
	check(least_loaded, {{"the standby pool last, with room or without", foreign, standby}});

	Server own_standby = standby;
	own_standby.load = 500;
	own_standby.position = 3;
	Server foreign_standby = foreign;
	foreign_standby.pool = ServerPool::standby;
	foreign_standby.load = 0;
	check(least_loaded, {{"another region's after its own", own_standby, foreign_standby}});
}

TEST(Elsewhere, RoomThenPriorityThenStrategy)
{
	check_last_resort([](Server server) {
		server.region = RegionFit::foreign;
		return server;
	});
	check_last_resort([](Server server) {
		server.pool = ServerPool::standby;
		return server;
	});
}

TEST(Elsewhere, TheStandbyPoolComesLastAndOtherRegionsBeforeIt)
{
	check_standby_then_foreign_last(ServerState::online);
}

TEST(Draining, RoomThenPriorityThenStrategy)
{
	check_last_resort([](Server server) {
		server.state = ServerState::draining;
		return server;
	});
}

TEST(Draining, TheStandbyPoolComesLastAndOtherRegionsBeforeIt)
{
	check_standby_then_foreign_last(ServerState::draining);
	check(least_loaded,
		  {{"a full server of the own region before an idle one of another",
			{.position = 2,
			 .capacity = 400,
			 .load = 500,
			 .state = ServerState::draining,
			 .region = RegionFit::own},
			{.position = 1,
			 .capacity = 400,
			 .state = ServerState::draining,
			 .region = RegionFit::foreign}},
		   {"own region and general are alike",
			{.position = 2, .capacity = 400, .load = 5, .state = ServerState::draining},
			{.position = 1,
			 .capacity = 400,
			 .load = 6,
			 .state = ServerState::draining,
			 .region = RegionFit::own}}});
}

TEST(Offline, RoomThenPriorityThenStrategy)
{
	check_last_resort([](Server server) {
		server.state = ServerState::offline;
		return server;
	});
}

TEST(Offline, TheStandbyPoolComesLastAndOtherRegionsBeforeIt)
{
	check_standby_then_foreign_last(ServerState::offline);
}

TEST(Ranking, ListsExcludedServersLastByPosition)
{
	const Scene scene{
		.pool = {
			{.name = "held2", .position = 2, .capacity = 400, .pool = ServerPool::reserved},
			{.name = "held1",
			 .position = 1,
			 .priority = -1,
			 .capacity = 1,
			 .load = 7,
			 .pool = ServerPool::reserved},
			{.name = "gone", .position = 9, .capacity = 400, .state = ServerState::offline},
			{.name = "live", .position = 9, .capacity = 400, .load = 400},
		}};

	EXPECT_EQ(ranking(scene), (std::vector<std::string>{"live", "gone", "held1", "held2"}));
}

} // namespace

} // namespace gxy
