/* Servers that are back from an outage. */
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "policy_support.hpp"

namespace gxy
{

namespace
{

constexpr std::int64_t second = 1'000'000;

TEST(Recovery, IsAMatterOfTime)
{
	EXPECT_EQ(recovery_after(0, 10 * second), Recovery::recovering);
	EXPECT_EQ(recovery_after(10 * second - 1, 10 * second), Recovery::recovering);
	EXPECT_EQ(recovery_after(10 * second, 10 * second), Recovery::returning);
	EXPECT_EQ(recovery_after(310 * second - 1, 10 * second), Recovery::returning);
	EXPECT_EQ(recovery_after(310 * second, 10 * second), Recovery::none);
	EXPECT_EQ(recovery_after(std::numeric_limits<std::int64_t>::max(), 10 * second), Recovery::none)
		<< "it has never been down";
}

TEST(Recovery, ADelayOfNothingMeansAtOnceAndInFull)
{
	EXPECT_EQ(recovery_after(0, 0), Recovery::none);
	EXPECT_EQ(recovery_after(second, 0), Recovery::none);
}

TEST(Recovery, AClockSetBackProlongsItAtMostOnce)
{
	EXPECT_EQ(recovery_after(-10 * second, 10 * second), Recovery::recovering);
	EXPECT_EQ(recovery_after(-10 * second - 1, 10 * second), Recovery::none);
}

TEST(Recovery, ARecoveringServerComesAfterStandbysAndBeforeDrainingOnes)
{
	const Server recovering{.name = "a", .recovery = Recovery::recovering};
	Server standby{.name = "b", .load = 5, .pool = ServerPool::standby};
	Server draining{.name = "c", .state = ServerState::draining};

	EXPECT_EQ(ranking({.pool = {draining, recovering, standby}}),
			  (std::vector<std::string>{"b", "a", "c"}));
	EXPECT_EQ(choice({.pool = {draining, recovering}}), "a") << "it is the only one";
}

TEST(Recovery, ARecoveringServerDoesNotReplaceFullOnes)
{
	const Server recovering{.name = "a", .capacity = 400, .recovery = Recovery::recovering};
	const Server full{.name = "b", .capacity = 400, .load = 400};
	Scene scene{.pool = {recovering, full}};

	EXPECT_EQ(choice(scene), "b");
	scene.rules.overflow = Overflow::error;
	EXPECT_EQ(choice(scene), "full");
}

/* Nor is a room that only the recovering server could hold refused: it goes to an empty server. */
TEST(Recovery, ARecoveringServerIsNoReasonToRefuse)
{
	const Server recovering{.name = "a", .capacity = 400, .recovery = Recovery::recovering};
	const Server small{.name = "b", .capacity = 100};
	Scene scene{.pool = {recovering, small}, .expected = 200};

	scene.rules.overflow = Overflow::error;
	EXPECT_EQ(choice(scene), "b");
}

TEST(Recovery, ARecoveringServerKeepsItsPinsAndItsUsers)
{
	const Server other{.name = "a"};

	EXPECT_EQ(
		choice({.pool = {other, {.name = "b", .pinned = true, .recovery = Recovery::recovering}}}),
		"b");
	EXPECT_EQ(
		choice(
			{.pool = {other, {.name = "b", .room_sessions = 1, .recovery = Recovery::recovering}}}),
		"b");
}

TEST(Recovery, DrainingAndOfflineAreWorse)
{
	EXPECT_EQ(
		judge({.state = ServerState::draining, .recovery = Recovery::recovering}, {}).standing,
		Standing::draining);
	EXPECT_EQ(judge({.state = ServerState::offline, .recovery = Recovery::recovering}, {}).standing,
			  Standing::offline);
}

/* Places rooms one after the other. Returns how many each server got. */
std::map<std::string, int>
place(Scene scene, int rooms)
{
	std::map<std::string, int> placed;

	for (int room = 0; room < rooms; room++)
	{
		for (Server &server : scene.pool)
			server.held_back = false;
		hold_back_returning(scene.pool.data(), static_cast<int>(scene.pool.size()),
							static_cast<std::uint64_t>(room) * 7919 + 2171);
		const std::string name = choice(scene);
		placed[name]++;
		for (Server &server : scene.pool)
			if (server.name == name)
				take_room(server, scene);
	}
	return placed;
}

/* Twelve busy servers, the first of which are empty: they are back from an outage. */
Scene
after_outage(int returning)
{
	static constexpr std::string_view names[] = {"gxy1", "gxy2", "gxy3", "gxy4",  "gxy5",  "gxy6",
												 "gxy7", "gxy8", "gxy9", "gxy10", "gxy11", "gxy12"};
	Scene scene;

	for (const std::string_view name : names)
	{
		const bool back = static_cast<int>(scene.pool.size()) < returning;
		scene.pool.push_back({.name = name,
							  .capacity = 100'000,
							  .load = back ? 0 : 50'000,
							  .recovery = back ? Recovery::returning : Recovery::none});
	}
	return scene;
}

TEST(Returning, AnEmptyServerGetsAboutItsShareNotEveryRoom)
{
	const int rooms = 12'000;

	EXPECT_NEAR(place(after_outage(1), rooms)["gxy1"], rooms / 12, rooms / 120);
}

/* Also the others: one server must not get what all that are returning leave. */
TEST(Returning, HoweverManyAreReturningEachGetsItsShare)
{
	const int rooms = 12'000;

	for (int returning = 0; returning <= 12; returning++)
		for (const auto &[name, got] : place(after_outage(returning), rooms))
			EXPECT_NEAR(got, rooms / 12, rooms / 60) << name << " of " << returning;
}

TEST(Returning, TheSameRoomGetsTheSameAnswerInAnyOrderOfTheServers)
{
	Scene scene = after_outage(6);

	for (std::uint64_t room = 0; room < 100; room++)
	{
		Scene reversed = scene;
		std::reverse(reversed.pool.begin(), reversed.pool.end());
		hold_back_returning(scene.pool.data(), 12, room);
		hold_back_returning(reversed.pool.data(), 12, room);
		EXPECT_EQ(choice(scene), choice(reversed));
	}
}

TEST(Returning, OneThatIsAloneGetsEveryRoom)
{
	Scene scene = after_outage(1);

	for (Server &server : scene.pool)
		if (server.recovery == Recovery::none)
			server.state = ServerState::draining;
	EXPECT_EQ(place(scene, 100)["gxy1"], 100);
}

TEST(Returning, OneThatIsHeldBackComesBeforeFullOnes)
{
	Server back{.name = "a", .recovery = Recovery::returning, .held_back = true};
	Server full{.name = "b", .capacity = 400, .load = 400};

	back.capacity = 400;
	EXPECT_EQ(choice({.pool = {back, full}}), "a");
	EXPECT_EQ(choice({.pool = {back, {.name = "b", .capacity = 400, .load = 390}}}), "b");
}

TEST(Returning, PriorityDoesNotOverrideIt)
{
	Scene scene = after_outage(1);

	scene.pool[0].priority = 1;
	EXPECT_NEAR(place(scene, 12'000)["gxy1"], 1000, 100);
}

/* Servers of another region, standbys and those leaving are not among those that share. */
TEST(Returning, SharesWithTheServersOfItsRegion)
{
	Scene scene = after_outage(1);

	for (Server &server : scene.pool)
		server.region = RegionFit::foreign;
	for (int i : {0, 1, 2, 3})
		scene.pool[static_cast<std::size_t>(i)].region = RegionFit::own;
	EXPECT_NEAR(place(scene, 12'000)["gxy1"], 3000, 150);
}

/* Those of a region that the room prefers less do not share either, nor do those without it. */
TEST(Returning, SharesWithTheServersOfItsRank)
{
	Scene scene = after_outage(1);

	for (std::size_t i = 0; i < scene.pool.size(); i++)
	{
		scene.pool[i].region = RegionFit::own;
		scene.pool[i].region_rank = i < 6 ? 1 : 2;
		scene.pool[i].absent = i == 4 || i == 5;
	}
	EXPECT_NEAR(place(scene, 12'000)["gxy1"], 3000, 150);
}

} // namespace

} // namespace gxy
