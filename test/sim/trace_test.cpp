/* Traces: made, read and sorted. */
#include <gtest/gtest.h>

#include "scenarios.hpp"

#include <map>
#include <set>
#include <sstream>

namespace sim
{

namespace
{

std::string
as_csv(const Trace &trace)
{
	std::ostringstream out;
	write_csv(trace, out);
	return out.str();
}

TEST(Scenarios, ASeedGivesOneTraceAndAnotherSeedAnother)
{
	for (const Scenario &scenario : scenarios())
	{
		EXPECT_EQ(as_csv(scenario.make(3)), as_csv(scenario.make(3))) << scenario.name;
		EXPECT_NE(as_csv(scenario.make(3)), as_csv(scenario.make(4))) << scenario.name;
	}
}

TEST(Scenarios, WhoeverJoinsHasAskedAndLeavesOnce)
{
	for (const Scenario &scenario : scenarios())
	{
		const Trace trace = scenario.make(1);
		std::map<std::pair<int, int>, int> asked;
		std::set<std::pair<int, int>> inside;
		Time last = trace.events.front().at;

		for (const Event &event : trace.events)
		{
			const std::pair who{event.room, event.user};
			ASSERT_LE(last, event.at) << scenario.name;
			last = event.at;
			if (event.kind == Kind::ask)
				asked[who]++;
			if (event.kind == Kind::join)
			{
				ASSERT_GT(asked[who], 0) << scenario.name;
				ASSERT_TRUE(inside.insert(who).second) << scenario.name;
			}
			if (event.kind == Kind::leave)
			{
				ASSERT_EQ(inside.erase(who), 1u) << scenario.name;
			}
		}
		EXPECT_TRUE(inside.empty()) << scenario.name;
	}
}

TEST(Arrange, ASecondSessionIsNoSecondUserAndOnlyTheLastToEndLeaves)
{
	Trace trace;

	trace.events = {{5, Kind::leave, 0, 7}, {1, Kind::join, 0, 7},	{2, Kind::join, 0, 7},
					{3, Kind::leave, 0, 7}, {4, Kind::leave, 0, 8}, {2, Kind::join, 1, 7}};
	arrange(&trace);
	ASSERT_EQ(trace.events.size(), 3u);
	EXPECT_EQ(trace.events[0].at, 1);
	EXPECT_EQ(trace.events[1].room, 1);
	EXPECT_EQ(trace.events[2].at, 5);
}

TEST(Csv, WhatIsWrittenReadsTheSame)
{
	const Trace trace = scenario_named("no-history")->make(1);
	std::istringstream in(as_csv(trace));
	Trace read;
	std::string complaint;

	ASSERT_TRUE(read_csv(in, 0, &read, &complaint)) << complaint;
	EXPECT_EQ(read.events.size(), trace.events.size());
	EXPECT_EQ(
		read.rooms.size(), trace.rooms.size() - [&] {
			std::set<int> used;
			for (const Event &event : trace.events)
				used.insert(event.room);
			return trace.rooms.size() - used.size();
		}());
}

TEST(Scenarios, CapacityMakesEachRegionAsFullAtItsPeak)
{
	Trace trace;

	/*
	 * By hand: 7 users of the region on two of its servers, and 14 others on one; a second one
	 * comes later. There were more users before the measured time.
	 */
	trace.servers = {{.name = "a", .region = "IL"},
					 {.name = "b", .region = "IL"},
					 {.name = "c"},
					 {.name = "d", .present = false}};
	trace.rooms = {{.name = "1", .region = "IL"}, {.name = "2"}, {.name = "3", .region = "none"}};
	const auto fill = [&](int room, int users, Time from) {
		for (int i = 0; i < users; i++, trace.users++)
		{
			trace.events.push_back({from, Kind::join, room, trace.users});
			trace.events.push_back({from + minute, Kind::leave, room, trace.users});
		}
	};
	fill(0, 70, 0);
	fill(0, 7, hour);
	fill(1, 10, hour);
	fill(2, 4, hour + second);
	trace.measure_from = hour;
	arrange(&trace);
	size_servers(&trace, 0.7);
	EXPECT_EQ(trace.servers[0].capacity, 5);
	EXPECT_EQ(trace.servers[1].capacity, 5);
	EXPECT_EQ(trace.servers[2].capacity, 20);
	EXPECT_EQ(trace.servers[3].capacity, 20);
}

TEST(Csv, WithoutAsksAUserAsksBeforeHeJoins)
{
	std::istringstream in("time,room,user,what\n# a comment\n"
						  "2026-03-01 08:00:30,a,u1,join\n2026-03-01 08:10:00.5,a,u1,leave\r\n");
	Trace trace;
	std::string complaint;

	ASSERT_TRUE(read_csv(in, 20 * second, &trace, &complaint)) << complaint;
	ASSERT_EQ(trace.events.size(), 3u);
	EXPECT_EQ(trace.events[0].kind, Kind::ask);
	EXPECT_EQ(trace.events[1].at - trace.events[0].at, 20 * second);
	EXPECT_EQ(trace.events[2].at - trace.events[1].at, 570 * second + second / 2);
}

TEST(Csv, ALineThatIsNoneIsNamed)
{
	for (const char *bad : {"1,a,u1", "1,a,u1,dance", "noon,a,u1,join", "1,a,u1,join,2"})
	{
		std::istringstream in(std::string("time,room,user,what\n") + bad + "\n");
		Trace trace;
		std::string complaint;

		EXPECT_FALSE(read_csv(in, 0, &trace, &complaint)) << bad;
		EXPECT_NE(complaint.find("line 2"), std::string::npos) << complaint;
	}
}

} // namespace

} // namespace sim
