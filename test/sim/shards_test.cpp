/* Shards that share media servers: what each counts, what it is told, and the verdicts. */
#include <gtest/gtest.h>

#include "shards.hpp"

#include <sstream>

namespace sim
{

namespace
{

/* One room after the other, each with its users at once; all stay. */
Trace
rooms_in_a_row(int rooms, Time apart)
{
	Trace trace{.name = "by hand", .servers = equal_servers(12, 400), .rooms = {}, .events = {}};

	for (int room = 0; room < rooms; room++)
	{
		trace.rooms.push_back({.name = std::to_string(room)});
		for (int i = 0; i < 5; i++)
		{
			trace.events.push_back({room * apart, Kind::ask, room, trace.users});
			trace.events.push_back({room * apart, Kind::join, room, trace.users});
			trace.events.push_back({rooms * apart + hour, Kind::leave, room, trace.users++});
		}
	}
	trace.measure_from = rooms * apart;
	arrange(&trace);
	return trace;
}

double
last_ratio(const Trace &trace, const Sharding &sharding)
{
	const Contender contender{.name = "shards", .rules = default_rules(), .sharding = sharding};

	return World(trace, contender, nullptr, 1).run().samples.front().ratio;
}

TEST(Shards, ServersOfAllShardsFillFromEachUnlessShardsAreTold)
{
	const Trace trace = rooms_in_a_row(480, 2 * second);

	for (const int shards : {2, 4})
	{
		EXPECT_GT(last_ratio(trace, {.shards = shards, .partly = true}), 1.35) << shards;
		EXPECT_LT(last_ratio(trace, {.shards = shards, .partly = true, .told_every = second}), 1.05)
			<< shards;
		EXPECT_LT(last_ratio(trace, {.shards = shards, .partly = true, .told_of_rooms = true}),
				  1.05)
			<< shards;
	}
}

TEST(Shards, EachCountsItsOwnRoomsOnly)
{
	const Trace trace = rooms_in_a_row(60, second);

	EXPECT_DOUBLE_EQ(last_ratio(trace, {}), 1) << "60 rooms on 12 servers";
	EXPECT_GT(last_ratio(trace, {.shards = 8}), 1.3) << "some seven rooms a shard";
	EXPECT_LT(last_ratio(trace, {.shards = 8, .told_every = second}), 1.1);
}

/* 20 rooms open between two reports: all shards take the same servers for the emptiest. */
TEST(Shards, AReportThatIsOldMisleads)
{
	const Trace trace = rooms_in_a_row(480, second / 4);
	const double soon = last_ratio(trace, {.shards = 8, .partly = true, .told_every = second});
	const double late = last_ratio(trace, {.shards = 8, .partly = true, .told_every = 20 * second});

	EXPECT_GT(late, soon + 0.1) << soon;
}

Findings
made_up(const Study &study, double alone, double told)
{
	Findings made(1);

	for (const Contender &contender : study.contenders)
	{
		const Sharding &sharding = contender.sharding;
		const double mean = sharding.shards == 1			? 1
							: sharding.told_every == 0		? alone
							: sharding.told_of_rooms		? 9
							: sharding.told_every == second ? told
															: 9;
		made[0].push_back({{.mean = mean}, {.mean = mean}});
	}
	return made;
}

TEST(ShardVerdicts, ShardsThatStrayFromOneAreNotOk)
{
	const auto verdicts = [](const std::vector<Contender> &contenders, double alone, double told) {
		const Study study{.scenarios = {*scenario_named("rush-late")}, .contenders = contenders};
		std::ostringstream out;
		return print_shard_verdicts(study, made_up(study, alone, told), out);
	};

	for (const auto &contenders : {shard_contenders(), judged_shard_contenders()})
	{
		EXPECT_TRUE(verdicts(contenders, 1.2, 1.04));
		EXPECT_FALSE(verdicts(contenders, 1.2, 1.06));
		/* What the documentation says of shards by themselves has to be so. */
		EXPECT_FALSE(verdicts(contenders, 1.1, 1.04));
	}
	EXPECT_FALSE(verdicts({shard_contenders().front()}, 1.2, 1.04)) << "nothing was judged";
}

TEST(Shards, TheTableSaysWhichContenderAFigureIsOf)
{
	const Study study{.scenarios = {*scenario_named("rush-late")},
					  .contenders = shard_contenders()};
	Findings made(1);
	std::ostringstream text;
	std::ostringstream data;

	/* Each figure is the contender's place in the list. */
	for (std::size_t i = 0; i < study.contenders.size(); i++)
		made[0].push_back({{.mean = static_cast<double>(i == 0 ? 1 : i)}});
	print_shards(study, made, text);
	print_shard_data(study, made, data);
	for (std::size_t i = 1; i < study.contenders.size(); i += 3)
	{
		const std::string &name = study.contenders[i].name; /* "2 part: told each second" */
		const std::size_t at = text.str().find('\n' + name.substr(2));
		ASSERT_NE(at, std::string::npos) << name;
		EXPECT_EQ(std::atof(text.str().substr(at + 29).c_str()), static_cast<double>(i)) << name;
	}
	EXPECT_NE(data.str().find("\n2\t1\t7\t13\t19\t4\t10\t16\t22\n"), std::string::npos)
		<< data.str();
}

} // namespace

} // namespace sim
