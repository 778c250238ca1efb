/* Properties of every pool: the order, and how an answer may change when the pool does. */
#include <gtest/gtest.h>

#include <algorithm>

#include "property.hpp"

namespace gxy
{

namespace
{

/* A server and its verdict. */
struct Judged
{
	Server server;
	Verdict verdict;
};

bool
before(const Judged &a, const Judged &b, const Rules &rules)
{
	return precedes(a.server, a.verdict, b.server, b.verdict, rules);
}

bool
alike(const Judged &a, const Judged &b, const Rules &rules)
{
	return !before(a, b, rules) && !before(b, a, rules);
}

void
check_strict_weak_order(const std::vector<Judged> &all, const Rules &rules)
{
	for (const Judged &a : all)
		for (const Judged &b : all)
		{
			EXPECT_FALSE(before(a, b, rules) && before(b, a, rules));
			if (a.server.name != b.server.name)
			{
				EXPECT_FALSE(alike(a, b, rules)) << "total among names that differ";
			}
			for (const Judged &c : all)
			{
				EXPECT_TRUE(!before(a, b, rules) || !before(b, c, rules) || before(a, c, rules));
				EXPECT_TRUE(!alike(a, b, rules) || !alike(b, c, rules) || alike(a, c, rules));
			}
		}
}

TEST_F(Property, TheOrderIsStrictAndWeakAndTotalAmongNames)
{
	for_scenes(some, [](const Scene &scene, Random &) {
		std::vector<Judged> all;
		for (const Server &server : scene.pool)
			all.push_back({server, judge(server, gather_pool_facts(scene))});
		if (!all.empty())
			all.push_back(all.front()); /* itself once more */
		check_strict_weak_order(all, scene.rules);
	});
}

/* The order is defined for any verdicts, not only for those that judge() returns. */
TEST_F(Property, TheOrderIsStrictAndWeakForEveryVerdict)
{
	for_scenes(some, [](const Scene &scene, Random &random) {
		std::vector<Judged> all;
		const std::int64_t standing = random.between(0, 11);
		for (const Server &server : scene.pool)
		{
			const std::int64_t other = random.percent(80) ? standing : random.between(0, 11);
			all.push_back(
				{server, {.standing = static_cast<Standing>(other), .fits = random.percent(50)}});
		}
		check_strict_weak_order(all, scene.rules);
	});
}

TEST_F(Property, AServerThatWasNotChosenIsNotChosenWhenItGetsWorse)
{
	for_scenes(many, [](const Scene &scene, Random &random) {
		const std::string name = choice(scene);
		Scene worse = scene;
		for (Server &server : worse.pool)
		{
			if (server.name == name || random.percent(50))
				continue;
			server.load += random.between(0, 20);
			server.rooms += random.between(0, 2);
			server.position += random.between(0, 2);
			server.priority -= random.between(0, 2);
			server.region_rank += random.between(0, 2);
			server.room_sessions -= server.room_sessions > 1 ? 1 : 0;
		}
		EXPECT_EQ(choice(worse), name) << worse;
	});
}

TEST_F(Property, TheChosenServerStaysChosenWhenItGetsBetter)
{
	for_scenes(many, [](const Scene &scene, Random &random) {
		const std::string name = choice(scene);
		Scene better = scene;
		for (Server &server : better.pool)
		{
			if (server.name != name)
				continue;
			server.load -= random.between(0, server.load);
			server.rooms -= random.between(0, server.rooms);
			server.position -= random.between(0, 2);
			server.priority += random.between(0, 2);
			server.region_rank -= random.between(0, server.region_rank);
			server.room_sessions += server.room_sessions > 0 ? 1 : 0;
		}
		EXPECT_EQ(choice(better), name) << better;
	});
}

TEST_F(Property, TheChosenServerStaysChosenWhenOthersLeaveThePool)
{
	for_scenes(many, [](const Scene &scene, Random &random) {
		const std::string name = choice(scene);
		Scene fewer = scene;
		std::erase_if(fewer.pool, [&](const Server &server) {
			return server.name != name && random.percent(50);
		});
		/*
		 * Whether a room is larger than all servers is the only fact that depends on all servers
		 * together.
		 */
		if (chosen(scene) != nullptr &&
			gather_pool_facts(fewer).outsized == gather_pool_facts(scene).outsized)
		{
			EXPECT_EQ(choice(fewer), name) << fewer;
		}
	});
}

TEST_F(Property, UsersCountedInThousandsMakeNoDifference)
{
	for_scenes(many, [](const Scene &scene, Random &) {
		Scene scaled = scene;
		if (std::any_of(scene.pool.begin(), scene.pool.end(),
						[](const Server &s) { return s.capacity > 1'000'000; }))
			return; /* already at the limit */

		scaled.expected *= 1'000;
		scaled.rules.avg_room_occupancy *= 1'000;
		for (Server &server : scaled.pool)
		{
			server.capacity *= 1'000;
			server.load *= 1'000;
			server.awaited *= 1'000;
		}
		EXPECT_EQ(choice(scaled), choice(scene));
		EXPECT_EQ(ranking(scaled), ranking(scene));
	});
}

TEST_F(Property, EqualRoomsOverEqualServersDifferByAtMostOne)
{
	for_scenes(some, [](const Scene &scene, Random &random) {
		Scene equal = scene;
		const std::int64_t rooms = random.between(0, 100);
		equal.rules.strategy = Strategy::least_loaded;
		equal.rules.overflow = Overflow::overcommit;
		for (Server &server : equal.pool)
			server = {.name = server.name, .position = server.position, .capacity = 40};
		if (equal.pool.empty())
			return;

		for (std::int64_t room = 0; room < rooms; room++)
			take_room(equal.pool[decide(equal).server], equal);
		const auto [fewest, most] =
			std::minmax_element(equal.pool.begin(), equal.pool.end(),
								[](const Server &a, const Server &b) { return a.rooms < b.rooms; });
		EXPECT_LE(most->rooms - fewest->rooms, 1);
	});
}

TEST_F(Property, ABurstUnderOverflowErrorNeverExceedsACapacity)
{
	for_scenes(some, [](const Scene &scene, Random &random) {
		Scene burst = scene;
		burst.rules.overflow = Overflow::error;
		burst.rules.metric = LoadMetric::users;
		for (Server &server : burst.pool)
			server = {.name = server.name,
					  .position = server.position,
					  .priority = server.priority,
					  .capacity = 50 + random.between(0, 50)};

		for (int room = 0; room < 60 && !burst.pool.empty(); room++)
		{
			burst.expected = random.between(1, 30);
			const Decision decision = decide(burst);
			if (decision.outcome == Outcome::placed)
				take_room(burst.pool[decision.server], burst);
		}
		for (const Server &server : burst.pool)
			EXPECT_LE(server.load, server.capacity) << server;
	});
}

TEST_F(Property, ARoomWeighsAtLeastItsUsersAndMoreOnlyWhileMoreAreExpected)
{
	for_scenes(many, [](const Scene &, Random &random) {
		const Rules rules{.join_window = random.between(0, 5)};
		const RoomUse room{.active = random.between(0, 20),
						   .active_known = random.percent(50),
						   .expected = random.between(1, 20),
						   .age = random.between(-3, 8),
						   .pinned_size = random.percent(20),
						   .leased = random.percent(50)};
		const std::int64_t load = room_load(room, rules);

		if (room.active_known)
		{
			EXPECT_GE(load, room.active);
			EXPECT_LE(load, std::max(room.active, room.expected));
		}
		else
		{
			EXPECT_TRUE(load == 0 || load == room.expected);
		}
		RoomUse older = room;
		older.age++;
		EXPECT_LE(room_load(older, rules), load) << "weighs more with age";
	});
}

} // namespace

} // namespace gxy
