/*
 * rebalance_plan_test.cpp: the moves that even out the servers: examples, what always holds, and
 * how near they come to the best of all plans in small pools.
 */
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "policy/rebalance_plan.hpp"
#include "random_scene.hpp"

namespace gxy
{

namespace
{

/* fits[room.tag][server]; empty: every server fits every room. */
struct Scenery
{
	std::vector<RebalanceServer> servers;
	std::vector<RebalanceRoom> rooms;
	std::vector<std::vector<RegionFit>> fits;
	std::vector<std::string> ids;
	RebalanceLimits limits;
	Rules rules;
};

RegionFit
fit_in(const void *context, const RebalanceRoom &room, int server)
{
	const auto &fits = *static_cast<const std::vector<std::vector<RegionFit>> *>(context);

	return fits.empty()
			   ? RegionFit::general
			   : fits[static_cast<std::size_t>(room.tag)][static_cast<std::size_t>(server)];
}

std::vector<RebalanceMove>
plan(Scenery &scenery)
{
	RebalancePlan plan(scenery.servers.data(), static_cast<int>(scenery.servers.size()),
					   scenery.rooms.data(), static_cast<int>(scenery.rooms.size()), scenery.limits,
					   scenery.rules, {fit_in, &scenery.fits});
	std::vector<RebalanceMove> moves;

	while (const auto move = plan.next())
		moves.push_back(*move);
	return moves;
}

/* As "a>y b>z", in the order of the moves. */
std::string
told(Scenery &scenery)
{
	std::string text;

	for (const RebalanceMove &move : plan(scenery))
	{
		const auto at = [](auto &items, int i) -> auto &
		{
			return items[static_cast<std::size_t>(i)];
		};
		text += text.empty() ? "" : " ";
		text += at(scenery.rooms, move.room).id;
		text += ">";
		text += at(scenery.servers, move.to).server.name;
	}
	return text;
}

/* Servers x, y and z of 100, and the rooms of x, each with its users: "a" has the first. */
Scenery
on_the_first(std::int64_t x, std::int64_t y, std::int64_t z, std::vector<std::int64_t> users)
{
	static const std::string_view names[] = {"a", "b", "c", "d", "e", "f"};
	Scenery scenery;

	scenery.servers = {{.server = {.name = "x", .position = 1, .capacity = 100, .load = x}},
					   {.server = {.name = "y", .position = 2, .capacity = 100, .load = y}},
					   {.server = {.name = "z", .position = 3, .capacity = 100, .load = z}}};
	for (std::size_t i = 0; i < users.size(); i++)
		scenery.rooms.push_back({.id = names[i],
								 .load = users[i],
								 .addition = users[i],
								 .users = users[i],
								 .tag = static_cast<int>(i)});
	return scenery;
}

TEST(RebalancePlan, TakesTheLargestRoomsThatFitTheExcess)
{
	/* The mean is 50: 40 are too many on x, and y and z have space for 30 and 10. */
	Scenery scenery = on_the_first(90, 20, 40, {50, 25, 10, 5});

	EXPECT_EQ(told(scenery), "b>y c>z d>y");
}

TEST(RebalancePlan, MovesNothingAtBalance)
{
	Scenery scenery = on_the_first(50, 50, 50, {25, 25});

	EXPECT_EQ(told(scenery), "");
}

TEST(RebalancePlan, AnIdleStandbyDoesNotLowerTheMean)
{
	/* The mean of x and y is 55; with z it would be 37, and y had no space. */
	Scenery scenery = on_the_first(60, 50, 0, {10, 5});

	scenery.servers[2].server.pool = ServerPool::standby;
	EXPECT_EQ(told(scenery), "b>y");
}

TEST(RebalancePlan, MovesEmptyRoomsFirst)
{
	Scenery scenery = on_the_first(90, 20, 40, {10, 10, 10, 10});

	scenery.rooms[3].users = 0;
	scenery.limits.rooms = 1;
	EXPECT_EQ(told(scenery), "d>y");
}

TEST(RebalancePlan, MovesTheRoomWithMoreLoadPerUser)
{
	Scenery scenery = on_the_first(90, 20, 40, {10, 10});

	scenery.rooms[1].users = 4;
	scenery.limits.rooms = 1;
	EXPECT_EQ(told(scenery), "b>y");
}

TEST(RebalancePlan, KeepsToTheLimitOfUsers)
{
	Scenery scenery = on_the_first(90, 20, 40, {20, 15, 4, 3});

	scenery.limits.users = 18;
	EXPECT_EQ(told(scenery), "b>y d>y");
	scenery = on_the_first(90, 20, 40, {20, 15});
	scenery.limits.users = 0;
	EXPECT_EQ(told(scenery), "");
}

TEST(RebalancePlan, AMoveIsStillGoodOnlyIfItEvensOut)
{
	/* Planned when x had 90 and y 20; the mean of what is there now decides. */
	const auto is_still_good = [](Scenery scenery) {
		RebalancePlan later(scenery.servers.data(), 3, scenery.rooms.data(), 1, scenery.limits,
							scenery.rules, {fit_in, &scenery.fits});

		return later.is_still_good({.room = 0, .from = 0, .to = 1});
	};
	Scenery scenery = on_the_first(90, 20, 40, {20});

	EXPECT_TRUE(is_still_good(scenery));
	EXPECT_FALSE(is_still_good(on_the_first(90, 80, 40, {20}))) << "y would be fuller than x";
	EXPECT_FALSE(is_still_good(on_the_first(30, 0, 90, {20}))) << "x has nothing to give";
	EXPECT_FALSE(is_still_good(on_the_first(60, 45, 45, {20}))) << "more than y has space for";
	scenery.limits.users = 19;
	EXPECT_FALSE(is_still_good(scenery)) << "beyond the limit";
	scenery.limits.users = 20;
	EXPECT_TRUE(is_still_good(scenery));
	scenery.servers[1].server.state = ServerState::offline;
	EXPECT_FALSE(is_still_good(scenery)) << "y is offline";
	scenery.servers[1].server.state = ServerState::online;
	scenery.servers[0].server.state = ServerState::draining;
	EXPECT_FALSE(is_still_good(scenery)) << "x is being evacuated";
	scenery.servers[0].server.state = ServerState::online;
	scenery.rooms[0].server = 2;
	EXPECT_FALSE(is_still_good(scenery)) << "the room has left x";
}

TEST(RebalancePlan, LeavesARoomThatIsTooLarge)
{
	/* Moved, it would make y as full as x is now. */
	Scenery scenery = on_the_first(90, 10, 50, {90});

	EXPECT_EQ(told(scenery), "");
	/* 40 of 60 count, and y does not become fuller than x. */
	scenery = on_the_first(90, 0, 60, {45, 45});
	EXPECT_EQ(told(scenery), "a>y");
}

TEST(RebalancePlan, TargetsTakeNewRoomsOnly)
{
	for (int unfit = 0; unfit < 7; unfit++)
	{
		Scenery scenery = on_the_first(90, 0, 30, {10});
		Server &y = scenery.servers[1].server;

		switch (unfit)
		{
			case 0:
				y.state = ServerState::draining;
				break;
			case 1:
				y.state = ServerState::offline;
				break;
			case 2:
				y.pool = ServerPool::standby;
				break;
			case 3:
				y.pool = ServerPool::reserved;
				break;
			case 4:
				y.recovery = Recovery::recovering;
				break;
			case 5:
				y.recovery = Recovery::returning;
				break;
			default:
				scenery.fits = {{RegionFit::general, RegionFit::foreign, RegionFit::general}};
		}
		EXPECT_EQ(told(scenery), "a>z") << unfit;
	}
}

TEST(RebalancePlan, TakesNothingOffOtherServers)
{
	for (int unfit = 0; unfit < 3; unfit++)
	{
		Scenery scenery = on_the_first(90, 0, 30, {10});
		Server &x = scenery.servers[0].server;

		x.state = unfit == 0   ? ServerState::draining
				  : unfit == 1 ? ServerState::offline
							   : ServerState::online;
		x.pool = unfit == 2 ? ServerPool::reserved : ServerPool::primary;
		EXPECT_EQ(told(scenery), "") << unfit;
	}
}

TEST(RebalancePlan, AServerThatIsJustBackDoesNotLowerTheMean)
{
	for (const Recovery recovery : {Recovery::recovering, Recovery::returning})
	{
		/* The mean of the others is 84: 26 are too many on x, and y and z have space for 13 each. */
		Scenery scenery = on_the_first(110, 71, 71, {10, 10, 10});

		scenery.servers.push_back(
			{.server = {.name = "back", .position = 4, .capacity = 100, .recovery = recovery}});
		EXPECT_EQ(told(scenery), "a>y b>z") << static_cast<int>(recovery);
	}
}

TEST(RebalancePlan, AServerThatIsJustBackGivesRoomsIfItIsTooFull)
{
	for (const Recovery recovery : {Recovery::none, Recovery::recovering, Recovery::returning})
	{
		Scenery scenery = on_the_first(110, 50, 50, {20, 20, 20});

		scenery.servers[0].server.recovery = recovery;
		EXPECT_EQ(told(scenery), "a>y b>z") << static_cast<int>(recovery);
	}
}

TEST(RebalancePlan, KeepsPriorityAndRegionUnlessFull)
{
	Scenery lower = on_the_first(90, 0, 80, {10});

	lower.servers[0].server.priority = lower.servers[2].server.priority = 1;
	lower.servers[1].group = 1;
	EXPECT_EQ(told(lower), "");
	lower = on_the_first(120, 0, 80, {10});
	lower.servers[0].server.priority = lower.servers[2].server.priority = 1;
	lower.servers[1].group = 1;
	lower.servers[1].server.load = 0;
	EXPECT_EQ(told(lower), "a>z") << "as the policy would place it";

	Scenery region = on_the_first(90, 0, 70, {10, 20});
	region.fits = std::vector(2, std::vector{RegionFit::own, RegionFit::general, RegionFit::own});
	region.servers[1].group = 1;
	EXPECT_EQ(told(region), "a>z");
	region = on_the_first(120, 0, 100, {10});
	region.fits = {{RegionFit::own, RegionFit::general, RegionFit::own}};
	region.servers[1].group = 1;
	EXPECT_EQ(told(region), "a>y");
}

TEST(RebalancePlan, SequentialServersGiveOnlyWhatIsOverCapacity)
{
	Scenery scenery = on_the_first(90, 0, 0, {10, 10});

	scenery.rules.strategy = Strategy::sequential;
	EXPECT_EQ(told(scenery), "");
	scenery = on_the_first(110, 0, 0, {10, 10});
	scenery.rules.strategy = Strategy::sequential;
	EXPECT_EQ(told(scenery), "a>y");
}

/* Random pools of a few servers, whose loads are those of their rooms and some more. */
Scenery
random_scenery(Random &random, std::int64_t most_servers, std::int64_t most_rooms)
{
	static const std::string_view names[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
	Scenery scenery;
	const std::int64_t servers = random.between(1, most_servers);
	const std::int64_t rooms = random.between(0, most_rooms);

	for (std::int64_t i = 0; i < servers; i++)
		scenery.servers.push_back(
			{.server = {.name = names[i],
						.position = random.between(1, 3),
						.priority = random.percent(20) ? 1 : 0,
						.capacity = random.percent(50) ? 50 : random.between(1, 100),
						.load = random.percent(50) ? 0 : random.between(0, 40),
						.pool = random.percent(80)	 ? ServerPool::primary
								: random.percent(50) ? ServerPool::standby
													 : ServerPool::reserved,
						.state = random.percent(80)	  ? ServerState::online
								 : random.percent(50) ? ServerState::draining
													  : ServerState::offline,
						.recovery = random.percent(80)	 ? Recovery::none
									: random.percent(50) ? Recovery::recovering
														 : Recovery::returning},
			 .group = random.percent(80) ? 0 : 1});
	scenery.ids.reserve(static_cast<std::size_t>(rooms));
	for (std::int64_t i = 0; i < rooms; i++)
	{
		scenery.ids.push_back(std::to_string(i));

		RebalanceRoom room = {.id = scenery.ids.back(),
							  .server = static_cast<int>(random.between(0, servers - 1)),
							  .tag = static_cast<int>(i)};
		room.users = random.percent(20) ? 0 : random.between(1, 12);
		room.load = room.users + (random.percent(30) ? random.between(0, 8) : 0);
		room.addition = room.load + (random.percent(20) ? random.between(0, 8) : 0);
		scenery.servers[static_cast<std::size_t>(room.server)].server.load += room.load;
		scenery.servers[static_cast<std::size_t>(room.server)].server.rooms++;
		scenery.rooms.push_back(room);
		scenery.fits.emplace_back();
		for (std::int64_t server = 0; server < servers; server++)
			scenery.fits.back().push_back(random.percent(80)   ? RegionFit::general
										  : random.percent(50) ? RegionFit::own
															   : RegionFit::foreign);
	}
	if (random.percent(50))
		scenery.limits.rooms = random.between(0, 5);
	if (random.percent(50))
		scenery.limits.users = random.between(0, 30);
	scenery.rules.strategy = random.percent(20) ? Strategy::sequential : Strategy::least_loaded;
	return scenery;
}

double
fullness(const RebalanceServer &server)
{
	return static_cast<double>(server.server.load) / static_cast<double>(server.server.capacity);
}

double
highest(const Scenery &scenery)
{
	double most = 0;

	for (const RebalanceServer &server : scenery.servers)
		most = std::max(most, fullness(server));
	return most;
}

std::uint64_t
first_seed()
{
	const char *given = std::getenv("GXY_SEED");

	return given != nullptr ? std::strtoull(given, nullptr, 10) : 2171;
}

TEST(RebalancePlan, WhatAlwaysHolds)
{
	int moves = 0;

	for (std::uint64_t seed = first_seed(); seed < first_seed() + 20'000 && !HasFailure(); seed++)
	{
		SCOPED_TRACE("GXY_SEED=" + std::to_string(seed));
		Random random(seed);
		Scenery scenery = random_scenery(random, 6, 20);
		RebalancePlan plan(scenery.servers.data(), static_cast<int>(scenery.servers.size()),
						   scenery.rooms.data(), static_cast<int>(scenery.rooms.size()),
						   scenery.limits, scenery.rules, {fit_in, &scenery.fits});
		std::vector<bool> moved(scenery.rooms.size());
		std::vector<std::int64_t> loads;
		std::int64_t rooms = 0, users = 0;
		double before = highest(scenery);

		for (const RebalanceServer &server : scenery.servers)
			loads.push_back(server.server.load);
		while (const auto move = plan.next())
		{
			const RebalanceRoom &room = scenery.rooms[static_cast<std::size_t>(move->room)];
			const RebalanceServer &from = scenery.servers[static_cast<std::size_t>(move->from)];
			const RebalanceServer &to = scenery.servers[static_cast<std::size_t>(move->to)];

			moves++;
			rooms++;
			users += room.users;
			ASSERT_FALSE(moved[static_cast<std::size_t>(room.tag)]) << "twice";
			moved[static_cast<std::size_t>(room.tag)] = true;
			EXPECT_EQ(room.server, move->from);
			EXPECT_NE(move->from, move->to);
			EXPECT_LE(fullness(to), fullness(from)) << "fuller than the server that it left";
			EXPECT_EQ(to.server.state, ServerState::online);
			EXPECT_EQ(to.server.pool, ServerPool::primary);
			EXPECT_EQ(to.server.recovery, Recovery::none);
			EXPECT_NE(fit_in(&scenery.fits, room, move->to), RegionFit::foreign);
			EXPECT_EQ(from.server.state, ServerState::online);
			EXPECT_NE(from.server.pool, ServerPool::reserved);
			loads[static_cast<std::size_t>(move->from)] -= room.load;
			loads[static_cast<std::size_t>(move->to)] += room.addition;
			EXPECT_LE(highest(scenery), before);
			before = highest(scenery);
		}
		EXPECT_LE(rooms, scenery.limits.rooms.value_or(rooms));
		EXPECT_LE(users, scenery.limits.users.value_or(users));
		for (std::size_t i = 0; i < loads.size(); i++)
			EXPECT_EQ(loads[i], scenery.servers[i].server.load) << "a load that no move explains";
	}
	EXPECT_GT(moves, 10'000);
}

/* The load above the levels, where every group would be equally full. */
double
load_above(const Scenery &scenery)
{
	double load[2] = {}, capacity[2] = {}, above = 0;

	for (const RebalanceServer &server : scenery.servers)
	{
		load[server.group] += static_cast<double>(server.server.load);
		capacity[server.group] += static_cast<double>(server.server.capacity);
	}
	for (const RebalanceServer &server : scenery.servers)
		above += std::max(0.0, static_cast<double>(server.server.load) -
								   static_cast<double>(server.server.capacity) *
									   load[server.group] / capacity[server.group]);
	return above;
}

/* The least load above the levels that any plan within the limits leaves. */
double
best_possible(const Scenery &scenery, std::size_t room, std::int64_t users)
{
	if (room == scenery.rooms.size())
		return load_above(scenery);

	double best = best_possible(scenery, room + 1, users);
	const RebalanceRoom &moving = scenery.rooms[room];

	if (moving.users > users)
		return best;
	for (std::size_t to = 0; to < scenery.servers.size(); to++)
	{
		if (static_cast<int>(to) == moving.server)
			continue;

		Scenery moved = scenery;
		moved.servers[static_cast<std::size_t>(moving.server)].server.load -= moving.load;
		moved.servers[to].server.load += moving.addition;
		best = std::min(best, best_possible(moved, room + 1, users - moving.users));
	}
	return best;
}

TEST(RebalancePlan, ComesNearTheBestOfAllPlans)
{
	double there = 0, ours = 0, best = 0;

	for (std::uint64_t seed = 1; seed <= 300; seed++)
	{
		Random random(seed);
		Scenery scenery = random_scenery(random, 3, 6);

		for (RebalanceServer &server : scenery.servers)
		{
			server.server.state = ServerState::online;
			server.server.pool = ServerPool::primary;
			server.server.recovery = Recovery::none;
			server.server.priority = 0;
			server.group = 0;
		}
		for (RebalanceRoom &room : scenery.rooms)
			room.addition = room.load;
		scenery.fits.clear();
		scenery.rules.strategy = Strategy::least_loaded;
		scenery.limits.rooms = std::nullopt;
		scenery.limits.users = random.between(5, 30);
		there += load_above(scenery);

		const double here = best_possible(scenery, 0, *scenery.limits.users);

		(void) plan(scenery);
		ours += load_above(scenery);
		best += here;
		EXPECT_GE(load_above(scenery), here - 0.001);
	}
	RecordProperty("load_above_before", std::to_string(there));
	RecordProperty("load_above_after", std::to_string(ours));
	RecordProperty("load_above_best", std::to_string(best));
	std::cout << "load above the mean: " << there << " before, " << ours << " after, " << best
			  << " at best\n";
	/* Without moves that make another server fuller, and without large rooms for little gain. */
	EXPECT_GT(there - ours, 0.75 * (there - best));
}

TEST(RebalancePlan, ASecondCallSoonFindsNothing)
{
	for (std::uint64_t seed = first_seed(); seed < first_seed() + 5'000 && !HasFailure(); seed++)
	{
		SCOPED_TRACE("GXY_SEED=" + std::to_string(seed));
		Random random(seed);
		Scenery scenery = random_scenery(random, 6, 20);
		std::size_t moved = 1;

		scenery.limits = {};
		for (RebalanceRoom &room : scenery.rooms)
			room.addition = room.load;
		for (int call = 0; call < 4 && moved > 0; call++)
		{
			const std::vector<RebalanceMove> moves = plan(scenery);

			moved = moves.size();
			for (const RebalanceMove &move : moves)
				scenery.rooms[static_cast<std::size_t>(move.room)].server = move.to;
			for (RebalanceRoom &room : scenery.rooms)
				room.moved = false;
		}
		EXPECT_EQ(moved, 0U);
	}
}

/* Rooms of one kind share what was found for the first; the moves are those of unlike rooms. */
TEST(RebalancePlan, KindsOfRoomsChangeNoMove)
{
	for (std::uint64_t seed = 1; seed < 3'000 && !HasFailure(); seed++)
	{
		SCOPED_TRACE(std::to_string(seed));
		Random random(seed);
		Scenery unlike = random_scenery(random, 6, 20);

		for (std::size_t i = 1; i < unlike.fits.size(); i++)
			if (i % 4 != 0)
				unlike.fits[i] = unlike.fits[i - 1];

		Scenery alike = unlike;
		for (std::size_t i = 0; i < alike.rooms.size(); i++)
			alike.rooms[i].kind = static_cast<int>(i) / 4;

		const std::vector<RebalanceMove> expected = plan(unlike);
		const std::vector<RebalanceMove> moves = plan(alike);

		ASSERT_EQ(moves.size(), expected.size());
		for (std::size_t i = 0; i < moves.size(); i++)
		{
			EXPECT_EQ(moves[i].room, expected[i].room);
			EXPECT_EQ(moves[i].to, expected[i].to);
		}
	}
}

} // namespace

} // namespace gxy
