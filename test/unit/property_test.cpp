/* Properties of the answer in every pool. */
#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "oracle.hpp"
#include "property.hpp"

namespace gxy
{

namespace
{

bool
room_exists_on(const Server &server)
{
	return !server.absent || server.room_sessions > 0;
}

/* Tier 0 without homes: the room is in progress or pinned. */
bool
claims_the_room(const Server &server)
{
	return server.state != ServerState::offline && room_exists_on(server) &&
		   (server.room_sessions > 0 || server.pinned);
}

bool
is_home(const Scene &scene, const Server &server)
{
	return scene.rules.strategy == Strategy::home && server.home &&
		   server.state == ServerState::online && server.recovery != Recovery::recovering &&
		   room_exists_on(server);
}

/* Tier 0: the other tiers do not apply. */
bool
is_tier_0(const Scene &scene, const Server &server)
{
	return claims_the_room(server) || is_home(scene, server);
}

/* Tiers 1 to 3. */
bool
may_take_it(const Server &server)
{
	return server.state == ServerState::online && server.pool == ServerPool::primary &&
		   server.region != RegionFit::foreign && server.recovery != Recovery::recovering &&
		   room_exists_on(server);
}

template <typename Test>
bool
any_server(const Scene &scene, Test test)
{
	return std::any_of(scene.pool.begin(), scene.pool.end(), test);
}

TEST_F(Property, TheChoiceIsThatOfTheOracle)
{
	for_scenes(
		many, [](const Scene &scene, Random &) { EXPECT_EQ(choice(scene), oracle_choice(scene)); });
}

TEST_F(Property, TheWholeOrderIsThatOfTheOracle)
{
	for_scenes(some, [](const Scene &scene, Random &) {
		std::vector<std::string> order = ranking(scene);
		const std::vector<std::string> expected = oracle_ranking(scene);
		ASSERT_LE(expected.size(), order.size());
		order.resize(expected.size()); /* those that cannot be chosen follow */
		EXPECT_EQ(order, expected);
	});
}

TEST_F(Property, TheScenesReachEveryStandingAndOutcomeOften)
{
	std::array<int, 12> standings{};
	std::array<int, 3> outcomes{};

	for_scenes(many, [&](const Scene &scene, Random &) {
		const Decision decision = decide(scene);
		outcomes[static_cast<std::size_t>(decision.outcome)]++;
		if (decision.outcome == Outcome::placed)
			standings[static_cast<std::size_t>(decision.verdict.standing)]++;
	});
	for (const Standing standing :
		 {Standing::in_progress, Standing::pinned, Standing::home, Standing::own_region,
		  Standing::general, Standing::over_capacity, Standing::elsewhere, Standing::recovering,
		  Standing::draining, Standing::offline})
		EXPECT_GT(standings[static_cast<std::size_t>(standing)], many / 100) << standing;
	for (const Standing standing : {Standing::absent, Standing::excluded})
		EXPECT_EQ(standings[static_cast<std::size_t>(standing)], 0) << standing;
	for (const Outcome outcome : {Outcome::placed, Outcome::full, Outcome::no_server})
		EXPECT_GT(outcomes[static_cast<std::size_t>(outcome)], many / 100) << outcome;
}

TEST_F(Property, AFullServerIsNeverTakenWhileAnotherThatMayTakeTheRoomHasRoom)
{
	for_scenes(many, [](const Scene &scene, Random &) {
		const Server *server = chosen(scene);
		const std::int64_t added = gather_pool_facts(scene).addition;
		const auto has_room = [&](const Server &s) {
			return users_in_force(s) + added <= s.capacity;
		};

		if (server != nullptr && (is_tier_0(scene, *server) || has_room(*server)))
			return;
		if (server != nullptr && server->load == 0 && added > server->capacity)
			return; /* larger than all: the oracle knows more of this */
		EXPECT_FALSE(
			any_server(scene, [&](const Server &s) { return may_take_it(s) && has_room(s); }));
	});
}

TEST_F(Property, OtherRegionsStandbysAndServersLeavingStayOutWhileAnyOtherIsOnline)
{
	for_scenes(many, [](const Scene &scene, Random &) {
		const Server *server = chosen(scene);
		if (server == nullptr || is_tier_0(scene, *server) || may_take_it(*server))
			return;
		EXPECT_GE(tier(decide(scene).verdict.standing), 4);
		EXPECT_FALSE(any_server(scene, may_take_it));
	});
}

TEST_F(Property, AServerOnWhichTheRoomDoesNotExistIsNeverTaken)
{
	for_scenes(many, [](const Scene &scene, Random &) {
		const Server *server = chosen(scene);
		EXPECT_TRUE(server == nullptr || room_exists_on(*server));
	});
}

TEST_F(Property, ServersOnWhichTheRoomDoesNotExistMightAsWellNotBeThere)
{
	for_scenes(many, [](const Scene &scene, Random &) {
		Scene without = scene;
		std::erase_if(without.pool, [](const Server &server) { return !room_exists_on(server); });
		EXPECT_EQ(choice(scene), choice(without));
	});
}

TEST_F(Property, AHomeIsTakenUnderItsStrategyUnlessTheRoomIsInProgressOrPinned)
{
	for_scenes(many, [](const Scene &scene, Random &) {
		if (any_server(scene, claims_the_room) ||
			!any_server(scene, [&](const Server &server) { return is_home(scene, server); }))
			return;
		ASSERT_NE(chosen(scene), nullptr);
		EXPECT_TRUE(chosen(scene)->home);
	});
}

TEST_F(Property, UnderOtherStrategiesAHomeMakesNoDifference)
{
	for_scenes(many, [](const Scene &scene, Random &random) {
		Scene moved = scene;
		if (scene.rules.strategy == Strategy::home)
			return;
		for (Server &server : moved.pool)
			server.home = random.percent(50);
		EXPECT_EQ(ranking(moved), ranking(scene));
	});
}

TEST_F(Property, AReservedServerIsTakenOnlyForAPinAHomeOrARoomInProgress)
{
	for_scenes(many, [](const Scene &scene, Random &) {
		const Server *server = chosen(scene);
		if (server != nullptr && server->pool == ServerPool::reserved)
		{
			EXPECT_TRUE(is_tier_0(scene, *server));
		}
	});
}

TEST_F(Property, ThereIsAnAnswerWheneverTheContractPromisesOne)
{
	for_scenes(many, [](const Scene &scene, Random &) {
		const Outcome outcome = decide(scene).outcome;
		const bool claimed =
			any_server(scene, [&](const Server &server) { return is_tier_0(scene, server); });
		const bool anyone = any_server(scene, [](const Server &s) {
			return s.pool != ServerPool::reserved && room_exists_on(s);
		});

		EXPECT_EQ(outcome == Outcome::no_server, !anyone && !claimed);
		if (outcome == Outcome::full)
		{
			EXPECT_EQ(scene.rules.overflow, Overflow::error);
			EXPECT_FALSE(claimed);
			EXPECT_TRUE(any_server(scene, may_take_it));
		}
	});
}

TEST_F(Property, OverflowErrorRefusesOrChoosesAsOvercommitDoes)
{
	for_scenes(many, [](const Scene &scene, Random &) {
		Scene strict = scene;
		Scene lenient = scene;
		strict.rules.overflow = Overflow::error;
		lenient.rules.overflow = Overflow::overcommit;

		EXPECT_NE(choice(lenient), "full");
		if (choice(strict) == "full")
		{
			EXPECT_EQ(decide(lenient).verdict.standing, Standing::over_capacity);
		}
		else
		{
			EXPECT_EQ(choice(strict), choice(lenient));
		}
	});
}

TEST_F(Property, TheOrderOfTheArrayMakesNoDifferenceNorDoesAskingTwice)
{
	for_scenes(some, [](const Scene &scene, Random &random) {
		const std::string name = choice(scene);
		const std::vector<std::string> order = ranking(scene);
		Scene shuffled = scene;

		EXPECT_EQ(choice(scene), name);
		for (int i = 0; i < 10; i++)
		{
			random.shuffle(shuffled.pool);
			EXPECT_EQ(choice(shuffled), name);
			EXPECT_EQ(ranking(shuffled), order);
		}
	});
}

TEST_F(Property, TheChoiceIsTheFirstOfTheOrder)
{
	for_scenes(many, [](const Scene &scene, Random &) {
		if (const Server *server = chosen(scene))
		{
			EXPECT_EQ(ranking(scene).front(), server->name);
		}
	});
}

} // namespace

} // namespace gxy
