/*
 * evacuation_test.cpp: the order in which the rooms of a server are moved, measured by the
 * resulting balance.
 *
 * In each of a thousand random pools a server fails: 3 to 11 others have some load already, and 5
 * to 200 rooms, most of them small and a few large, go where decide() sends them. The measure is
 * the fullest server's share of its capacity, relative to the mean: 1 is perfectly even.
 */
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "random_scene.hpp"

namespace gxy
{

namespace
{

struct Evacuation
{
	Pool pool;
	std::vector<std::string> ids;
	std::vector<LeavingRoom> rooms;
};

Evacuation
random_evacuation(Random &random)
{
	static const std::string names[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"};
	Evacuation evacuation;
	const bool mixed = random.percent(30);
	const std::int64_t servers = random.between(3, 11);
	const std::int64_t rooms = random.between(5, 200);

	for (std::int64_t i = 0; i < servers; i++)
		evacuation.pool.push_back({.name = names[i],
								   .position = i,
								   .capacity = mixed ? 200 * random.between(1, 3) : 400,
								   .load = random.between(0, 200),
								   .rooms = 10});
	evacuation.ids.reserve(static_cast<std::size_t>(rooms));
	for (std::int64_t i = 0; i < rooms; i++)
	{
		/* Half of the rooms have 1 to 5 users, one in 50 up to 150. */
		const std::int64_t most = random.percent(2)	   ? 150
								  : random.percent(10) ? 50
								  : random.percent(50) ? 15
													   : 5;

		evacuation.ids.push_back(std::to_string(i));
		evacuation.rooms.push_back({.id = evacuation.ids.back(), .load = random.between(1, most)});
	}
	random.shuffle(evacuation.rooms);
	return evacuation;
}

/* How much fuller than the mean the fullest server is after the rooms were moved one by one. */
double
imbalance_after(Pool pool, const std::vector<LeavingRoom> &rooms)
{
	double load = 0, capacity = 0, fullest = 0;

	for (const LeavingRoom &room : rooms)
	{
		const Decision decision =
			decide(pool.data(), static_cast<int>(pool.size()), room.load, Rules{});
		Server &server = pool[static_cast<std::size_t>(decision.server)];

		server.load += room.load;
		server.rooms++;
	}
	for (const Server &server : pool)
	{
		load += static_cast<double>(server.load);
		capacity += static_cast<double>(server.capacity);
		fullest = std::max(fullest,
						   static_cast<double>(server.load) / static_cast<double>(server.capacity));
	}
	return fullest / (load / capacity);
}

TEST(Evacuation, LargestFirstBalancesBest)
{
	constexpr int fleets = 1000;
	double ours = 0, reversed = 0, unsorted = 0;
	int better = 0, worse = 0;

	for (int seed = 1; seed <= fleets; seed++)
	{
		Random random(static_cast<std::uint64_t>(seed));
		Evacuation evacuation = random_evacuation(random);
		std::vector<LeavingRoom> rooms = evacuation.rooms;

		unsorted += imbalance_after(evacuation.pool, rooms);
		std::sort(rooms.begin(), rooms.end(), leaves_before);

		const double here = imbalance_after(evacuation.pool, rooms);

		std::reverse(rooms.begin(), rooms.end());

		const double there = imbalance_after(evacuation.pool, rooms);

		ours += here;
		reversed += there;
		better += here < there ? 1 : 0;
		worse += here > there ? 1 : 0;
	}
	RecordProperty("largest_first", std::to_string(ours / fleets));
	RecordProperty("smallest_first", std::to_string(reversed / fleets));
	RecordProperty("as_they_come", std::to_string(unsorted / fleets));
	EXPECT_LT(ours, unsorted);
	EXPECT_LT(unsorted, reversed);
	EXPECT_GT(better, 10 * worse) << better << " better, " << worse << " worse";
}

TEST(Evacuation, EqualRoomsGoByTheirIds)
{
	EXPECT_TRUE(leaves_before({"b", 2}, {"a", 1}));
	EXPECT_TRUE(leaves_before({"a", 1}, {"b", 1}));
	EXPECT_FALSE(leaves_before({"b", 1}, {"a", 1}));
	EXPECT_FALSE(leaves_before({"a", 1}, {"a", 1}));
}

} // namespace

} // namespace gxy
