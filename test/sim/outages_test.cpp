/* Servers that come and go, for an hour each: prints the table of doc/balance.md, and checks it. */
#include <gtest/gtest.h>

#include "outages.hpp"

#include <cstdio>
#include <map>

namespace sim
{

namespace
{

constexpr Time default_delay = 10 * second;

const OutageFigures &
figures_of(Illness illness, Time delay, std::uint64_t seed)
{
	static std::map<std::tuple<Illness, Time, std::uint64_t>, OutageFigures> known;
	const auto key = std::tuple(illness, delay, seed);

	if (!known.contains(key))
		known.emplace(key, play_outages(illness, delay, seed));
	return known.at(key);
}

TEST(Outages, ARoomIsMovedAtMostOnceAnOutage)
{
	for (const Illness illness : illnesses)
		EXPECT_LE(figures_of(illness, default_delay, 1).most_moves_in_an_outage, 1)
			<< name_of(illness);
	EXPECT_GT(figures_of(Illness::flaps_slowly, default_delay, 1).moved, 1000);
}

TEST(Outages, AServerThatIsBackGetsNoRoomsAndThenAtMostTwiceItsShare)
{
	for (const Illness illness : illnesses)
		for (const std::uint64_t seed : {1, 2})
		{
			const OutageFigures &figures = figures_of(illness, default_delay, seed);
			EXPECT_EQ(figures.while_recovering, 0) << name_of(illness);
			EXPECT_LE(figures.first_minute, 1.2) << name_of(illness);
			EXPECT_LE(figures.worst_minute, 2) << name_of(illness);
		}
}

/* The simulation shows what the delay is for, and that the server gets rooms again after it. */
TEST(Outages, WithoutTheDelayItDrawsFarMoreThanItsShare)
{
	EXPECT_GT(figures_of(Illness::flaps_slowly, 0, 1).worst_minute, 3);
	EXPECT_GT(figures_of(Illness::flaps_at_random, 0, 1).worst_minute, 3);
	EXPECT_GT(figures_of(Illness::flaps_slowly, default_delay, 1).first_minute, 0.8);
	for (const Illness illness : {Illness::flaps_slowly, Illness::flaps_at_random, Illness::late})
		EXPECT_LT(figures_of(illness, default_delay, 1).moved, figures_of(illness, 0, 1).moved)
			<< name_of(illness);
}

TEST(Outages, PrintsItsTable)
{
	std::printf("%-28s %12s %24s %24s %20s\n", "three of twelve servers", "recoveries",
				"first minute / fair", "worst minute / fair", "rooms moved");
	for (const Illness illness : illnesses)
	{
		const OutageFigures &with = figures_of(illness, default_delay, 1);
		const OutageFigures &without = figures_of(illness, 0, 1);
		EXPECT_GT(with.placed, 15'000);
		std::printf("%-28s %12d %15.2f (%6.2f) %15.2f (%6.2f) %11d (%6d)\n", name_of(illness),
					with.recoveries, with.first_minute, without.first_minute, with.worst_minute,
					without.worst_minute, with.moved, without.moved);
	}
}

} // namespace

} // namespace sim
