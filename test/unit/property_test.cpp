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

/* The room is in progress or pinned: the tiers do not apply. */
bool
claims_the_room(const Server &server)
{
	return server.state != ServerState::offline && (server.room_sessions > 0 || server.pinned);
}

/* Tiers 1 to 3. */
bool
may_take_it(const Server &server)
{
	return server.state == ServerState::online && server.pool == ServerPool::primary &&
		   server.region != RegionFit::foreign && server.recovery != Recovery::recovering;
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
		order.resize(expected.size()); /* the excluded ones follow */
		EXPECT_EQ(order, expected);
	});
}

TEST_F(Property, TheScenesReachEveryStandingAndOutcomeOften)
{
	std::array<int, 10> standings{};
	std::array<int, 3> outcomes{};

	for_scenes(many, [&](const Scene &scene, Random &) {
		const Decision decision = decide(scene);
		outcomes[static_cast<std::size_t>(decision.outcome)]++;
		if (decision.outcome == Outcome::placed)
			standings[static_cast<std::size_t>(decision.verdict.standing)]++;
	});
	for (const Standing standing : {Standing::in_progress, Standing::pinned, Standing::own_region,
									Standing::general, Standing::over_capacity, Standing::elsewhere,
									Standing::recovering, Standing::draining, Standing::offline})
		EXPECT_GT(standings[static_cast<std::size_t>(standing)], many / 100) << standing;
	EXPECT_EQ(standings[static_cast<std::size_t>(Standing::excluded)], 0);
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

		if (server != nullptr && (claims_the_room(*server) || has_room(*server)))
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
		if (server == nullptr || claims_the_room(*server) || may_take_it(*server))
			return;
		EXPECT_GE(tier(decide(scene).verdict.standing), 4);
		EXPECT_FALSE(any_server(scene, may_take_it));
	});
}

TEST_F(Property, AReservedServerIsTakenOnlyForAPinOrARoomInProgress)
{
	for_scenes(many, [](const Scene &scene, Random &) {
		const Server *server = chosen(scene);
		if (server != nullptr && server->pool == ServerPool::reserved)
		{
			EXPECT_TRUE(claims_the_room(*server));
		}
	});
}

TEST_F(Property, ThereIsAnAnswerWheneverTheContractPromisesOne)
{
	for_scenes(many, [](const Scene &scene, Random &) {
		const Outcome outcome = decide(scene).outcome;
		const bool claimed = any_server(scene, claims_the_room);
		const bool anyone =
			any_server(scene, [](const Server &s) { return s.pool != ServerPool::reserved; });

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
