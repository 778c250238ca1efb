/* The world: its rules, and figures that can be checked by hand. */
#include <gtest/gtest.h>

#include "peers.hpp"
#include "report.hpp"

#include <sstream>

namespace sim
{

namespace
{

const Contender by_learning = {.name = default_name, .rules = default_rules()};
const Contender in_turn = {.name = "in turn", .method = Method::round_robin};

/* Users who ask and join at one time, and all leave at another. */
void
fill(Trace *trace, int room, int users, Time from, Time until)
{
	while (static_cast<int>(trace->rooms.size()) <= room)
		trace->rooms.push_back({.name = std::to_string(trace->rooms.size())});
	for (int i = 0; i < users; i++)
	{
		trace->events.push_back({from, Kind::ask, room, trace->users});
		trace->events.push_back({from, Kind::join, room, trace->users});
		trace->events.push_back({until, Kind::leave, room, trace->users++});
	}
}

Trace
with_servers(int count)
{
	return {.name = "by hand", .servers = equal_servers(count, 40), .rooms = {}, .events = {}};
}

TEST(World, ARebalanceTakesUsersOffACrowdedServer)
{
	Trace trace = with_servers(3);
	Contender rebalanced = in_turn;

	/* gxy1 gets the first, the fourth and the last room: 46 users, 6 over capacity. */
	for (const int users : {30, 1, 1, 12, 1, 1, 4})
		fill(&trace, static_cast<int>(trace.rooms.size()), users,
			 static_cast<Time>(trace.rooms.size()), 10 * minute);
	arrange(&trace);
	rebalanced.rebalanced = true;

	const Playback run = World(trace, rebalanced, nullptr, 1).run();

	EXPECT_EQ(run.joined, 50);
	EXPECT_EQ(run.split, 4) << "the only room with at most 6 users";
	EXPECT_DOUBLE_EQ(figures_of(run).split, 8);
	EXPECT_LT(figures_of(run).crowded,
			  figures_of(World(trace, in_turn, nullptr, 1).run()).crowded / 2);
}

TEST(World, TheFiguresOfATraceMadeByHand)
{
	Trace trace = with_servers(3);

	/* gxy1 gets 60 users, gxy2 none and gxy3 30: 60 to a mean of 30, and 20 over capacity. */
	fill(&trace, 0, 60, 0, 10 * minute);
	fill(&trace, 1, 0, 0, 0);
	trace.events.push_back({1, Kind::ask, 1, 0});
	fill(&trace, 2, 30, 2, 10 * minute);
	arrange(&trace);

	const Playback run = World(trace, in_turn, nullptr, 1).run();
	const Figures figures = figures_of(run);

	EXPECT_EQ(run.placed, 3);
	EXPECT_DOUBLE_EQ(figures.mean, 2);
	EXPECT_DOUBLE_EQ(figures.p99, 2);
	EXPECT_DOUBLE_EQ(figures.worst, 2);
	EXPECT_DOUBLE_EQ(figures.over, 20);
	EXPECT_DOUBLE_EQ(figures.crowded, 100 * 60 / 90.0);
	EXPECT_EQ(run.peaks[0].at(0), 60);
}

TEST(Figures, AServerIsCrowdedAbove110PercentOfItsCapacity)
{
	Trace trace = with_servers(2);

	/* 44 of 40 for ten minutes, then 45; the ten on the other server are in all the time. */
	fill(&trace, 0, 44, 0, 20 * minute);
	fill(&trace, 1, 10, 1, 20 * minute);
	fill(&trace, 0, 1, 10 * minute, 20 * minute);
	trace.measure_from = 30 * second; /* samples: 10 with 44, 10 with 45 users */
	arrange(&trace);

	const Figures figures = figures_of(World(trace, in_turn, nullptr, 1).run());
	EXPECT_DOUBLE_EQ(figures.crowded, 100 * 450.0 / (540 + 550));
}

TEST(World, NoUserIsLostOrInvented)
{
	for (const Scenario &scenario : scenarios())
	{
		Trace trace = scenario.make(1);
		std::int64_t inside = 0;
		Time until = trace.events[trace.events.size() * 9 / 10].at;

		/* The trace ends while rooms are in use. */
		std::erase_if(trace.events, [&](const Event &event) { return event.at > until; });
		for (const Event &event : trace.events)
			inside += (event.kind == Kind::join) - (event.kind == Kind::leave);
		for (const Contender &contender : contenders())
		{
			/* Users who stay keep their rooms until the trace ends. */
			const Playback run = World(trace, contender, nullptr, 1).run_until(until);
			EXPECT_EQ(run.users_at_end, inside) << scenario.name << ", " << contender.name;
		}
	}
}

TEST(World, ASeedGivesTheSameFiguresWithAnyNumberOfThreads)
{
	Study study{.scenarios = {*scenario_named("failure"), *scenario_named("no-history")},
				.contenders = contenders(),
				.seeds = 3,
				.threads = 1,
				.progress = false};
	std::ostringstream once;
	std::ostringstream again;

	print_table(study, carry_out(study), once);
	study.threads = 4;
	print_table(study, carry_out(study), again);
	EXPECT_EQ(once.str(), again.str());
}

TEST(World, ARoomIsFreedAfterTheGraceAndNotBefore)
{
	for (const auto &[pause, placed] : {std::pair{World::grace - second, 1}, {5 * minute, 2}})
	{
		Trace trace = with_servers(2);

		fill(&trace, 0, 5, 0, 10 * minute);
		fill(&trace, 0, 5, 10 * minute + pause, 30 * minute);
		arrange(&trace);
		EXPECT_EQ(World(trace, by_learning, nullptr, 1).run().placed, placed);
	}
}

TEST(World, ASecondMeetingIsExpectedToBeAsLargeAsTheFirst)
{
	Trace trace = with_servers(2);

	/*
	 * The first two rooms open before any user has joined: only a policy that knows their sizes
	 * separates the 35 from the rest.
	 */
	fill(&trace, 0, 35, 0, 10 * minute);
	fill(&trace, 1, 2, 0, 10 * minute);
	fill(&trace, 2, 2, 0, 10 * minute);
	for (int room = 0; room < 3; room++)
		trace.events.push_back({hour + room, Kind::ask, room, 0});
	fill(&trace, 0, 35, hour + minute, 2 * hour);
	fill(&trace, 1, 2, hour + minute, 2 * hour);
	fill(&trace, 2, 2, hour + minute, 2 * hour);
	trace.measure_from = hour + 2 * minute;
	arrange(&trace);

	Contender forgetful = by_learning;
	forgetful.expectation = Expectation::constant;
	EXPECT_DOUBLE_EQ(figures_of(World(trace, by_learning, nullptr, 1).run()).mean, 35 / 19.5);
	EXPECT_DOUBLE_EQ(figures_of(World(trace, forgetful, nullptr, 1).run()).mean, 37 / 19.5);
}

TEST(World, RoomsOfAFailedServerMoveAfterTheDelay)
{
	Trace trace = with_servers(2);

	fill(&trace, 0, 5, 0, hour);
	fill(&trace, 1, 5, 1, hour);
	trace.events.push_back({10 * minute, Kind::server_down, 0, 0});
	trace.events.push_back({20 * minute, Kind::server_up, 0, 0});
	trace.events.push_back({30 * minute, Kind::server_down, 1, 0});
	trace.events.push_back({30 * minute + World::failover_delay / 2, Kind::server_up, 1, 0});
	arrange(&trace);

	const Playback run = World(trace, by_learning, nullptr, 1).run();
	EXPECT_EQ(run.moved, 1);
	EXPECT_DOUBLE_EQ(run.samples.back().ratio, 2); /* moved rooms stay */
}

TEST(World, RoomsOfARegionStayOnItsServers)
{
	Trace trace = with_servers(4);

	trace.servers[3].region = "IL";
	for (int room = 0; room < 6; room++)
		fill(&trace, room, 5, room, hour);
	trace.rooms[0].region = trace.rooms[1].region = "IL";
	arrange(&trace);
	for (const Contender &contender : contenders())
		if (contender.method != Method::two_choices)
		{
			/* 10 users on one server, and 20 on three: the mean of both ratios, by users. */
			const double ratio = World(trace, contender, nullptr, 1).run().samples.back().ratio;
			EXPECT_GE(ratio, (10 + 3 * 10) / 30.0 - 1e-9) << contender.name;
		}
	EXPECT_DOUBLE_EQ(World(trace, by_learning, nullptr, 1).run().samples.back().ratio, 40 / 30.0);
}

TEST(Peers, LoadsComputedByHand)
{
	/* 15 until 15 minutes are over. */
	EXPECT_DOUBLE_EQ(scalelite_load(3, 15 * minute - 1), 15);
	EXPECT_DOUBLE_EQ(scalelite_load(16, 0), 16);
	EXPECT_DOUBLE_EQ(scalelite_load(3, 15 * minute), 3);

	/* A seat: 1 + 0.5 + 0.05. 5 + 4 x 1.55, and of 20 seats 20, 5 and none: 31, 7.75 and 0 more. */
	EXPECT_DOUBLE_EQ(bbblb_load(4, 0), 42.2);
	EXPECT_DOUBLE_EQ(bbblb_load(4, 22 * minute + 30 * second), 18.95);
	EXPECT_DOUBLE_EQ(bbblb_load(4, 30 * minute), 11.2);
	EXPECT_DOUBLE_EQ(bbblb_load(4, 2 * hour), 11.2);
	EXPECT_DOUBLE_EQ(load_of_creation(Method::bbblb), 40);

	/* CPU at a half: 1/2 + 1/4 + 1/8 + 1/16 + 1/32 = 0.96875, of 5000 / 6: 807.3; 50 + 60 more. */
	EXPECT_DOUBLE_EQ(b3lb_load(50, 2, 100), 917);
	EXPECT_DOUBLE_EQ(b3lb_load(0, 1, 100), 30);
	EXPECT_DOUBLE_EQ(b3lb_load(200, 0, 100), 200 + 4166); /* the CPU has no more than 100% */

	EXPECT_DOUBLE_EQ(jicofo_stress(40, 10, 200), 0.25);
}

constexpr Method polling[] = {Method::scalelite, Method::bbblb, Method::b3lb, Method::jicofo};

double
last_ratio(const Trace &trace, Method method)
{
	const Contender contender = {.name = "peer", .method = method};

	return World(trace, contender, nullptr, 1).run().samples.back().ratio;
}

TEST(Peers, RoomsCreatedBetweenTwoPollsAreSpread)
{
	for (Method method : polling)
	{
		Trace trace = with_servers(3);

		for (int room = 0; room < 3; room++)
		{
			trace.events.push_back({room * second, Kind::ask, room, 0});
			fill(&trace, room, 5, 80 * second, hour);
		}
		trace.measure_from = 2 * minute;
		arrange(&trace);
		EXPECT_DOUBLE_EQ(last_ratio(trace, method), 1) << static_cast<int>(method);
	}
}

TEST(Peers, APollTellsThemHowManyUsersThereAre)
{
	for (Method method : polling)
	{
		Trace trace = with_servers(2);

		/* 30 users on one server; both later rooms go to the other one. */
		fill(&trace, 0, 30, 0, hour);
		fill(&trace, 1, 10, 61 * second, hour);
		fill(&trace, 2, 10, 62 * second, hour);
		arrange(&trace);
		EXPECT_DOUBLE_EQ(last_ratio(trace, method), 30 / 25.0) << static_cast<int>(method);
	}
}

TEST(Peers, JicofoAddsParticipantsForTwentySeconds)
{
	for (const auto &[pause, ratio] : {std::pair{2 * second, 1.5}, {21 * second, 2.0}})
	{
		Trace trace = with_servers(2);

		/*
		 * 30 users ask for a room, and 10 for another. None has joined when they ask: the other
		 * server is the second one for 20 seconds, and then again the first.
		 */
		for (int user = 0; user < 30; user++)
			trace.events.push_back({0, Kind::ask, 0, user});
		trace.events.push_back({pause, Kind::ask, 1, 30});
		fill(&trace, 0, 30, minute, hour);
		fill(&trace, 1, 10, minute, hour);
		trace.measure_from = 2 * minute;
		arrange(&trace);
		EXPECT_DOUBLE_EQ(last_ratio(trace, Method::jicofo), ratio);
	}
}

TEST(Figures, TheIntervalOfAFewNumbers)
{
	const Estimate three = estimate({1, 2, 3});

	EXPECT_DOUBLE_EQ(three.mean, 2);
	EXPECT_NEAR(three.half, 4.30 / std::sqrt(3), 0.01);
	EXPECT_EQ(estimate({5}).half, 0);
	EXPECT_EQ(estimate({}).mean, 0);
}

/* Of one trace with a history and one without; "first" is the mean of a peer that is better there. */
Findings
made_up(const Study &study, double ours, double oracle, double peers, double first)
{
	Findings made(2);

	for (std::size_t i = 0; i < made.size(); i++)
		for (const Contender &contender : study.contenders)
		{
			const bool better = i == 1 && contender.best_at_first;
			const double mean = contender.name == default_name	? ours
								: contender.name == oracle_name ? oracle
								: better						? first
																: peers;
			made[i].push_back({{.mean = mean}, {.mean = mean}});
		}
	return made;
}

TEST(Verdicts, ADefaultThatLosesToAPeerOrStraysFromTheOracleIsNotOk)
{
	const Study study{.scenarios = {*scenario_named("rush-late"), *scenario_named("no-history")},
					  .contenders = contenders()};
	const auto verdicts = [&](double ours, double oracle, double peers, double first) {
		std::ostringstream out;
		return print_verdicts(study, made_up(study, ours, oracle, peers, first), out);
	};

	EXPECT_TRUE(verdicts(1.2, 1.2, 1.2, 1.1));
	EXPECT_TRUE(verdicts(1.22, 1.2, 1.3, 1.1));
	EXPECT_FALSE(verdicts(1.3, 1.3, 1.2, 1.1));
	EXPECT_FALSE(verdicts(1.3, 1.2, 1.4, 1.1));
	/* What the documentation says of the first day has to be so. */
	EXPECT_FALSE(verdicts(1.2, 1.2, 1.3, 1.2));
}

TEST(Verdicts, NoneIsNotOk)
{
	Study study{.scenarios = {*scenario_named("no-history")}, .contenders = contenders()};
	std::ostringstream out;

	std::erase_if(study.contenders, [](const Contender &one) { return one.peer; });
	study.seeds = 1;
	EXPECT_FALSE(print_verdicts(study, carry_out(study), out));
}

} // namespace

} // namespace sim
