/* Measured loads: how they compare with counted ones. */
#include <gtest/gtest.h>

#include "policy_support.hpp"

namespace gxy
{

namespace
{

constexpr std::int64_t percent = full_measure / 100;

std::string
chosen(const Server &a, const Server &b, Strategy strategy = Strategy::least_loaded)
{
	return choice({.pool = {a, b}, .rules = {.strategy = strategy}});
}

TEST(Measured, TheGreaterOfBothDecides)
{
	const Server counted{.name = "counted", .capacity = 400, .load = 200};

	EXPECT_EQ(chosen(counted, {.name = "b", .capacity = 400, .measured = 49 * percent}), "b");
	EXPECT_EQ(chosen(counted, {.name = "b", .capacity = 400, .measured = 51 * percent}), "counted");
	EXPECT_EQ(chosen(counted, {.name = "b", .capacity = 400, .load = 201, .measured = percent}),
			  "counted")
		<< "a low measurement takes nothing away";
}

TEST(Measured, IsAShareOfTheServersOwnCapacity)
{
	EXPECT_EQ(chosen({.name = "small", .capacity = 100, .measured = 30 * percent},
					 {.name = "large", .capacity = 1000, .measured = 31 * percent}),
			  "small");
}

TEST(Measured, IsComparedExactlyWithALoad)
{
	const Server third{.name = "a third", .position = 1, .capacity = 300, .load = 100};

	EXPECT_EQ(chosen(third, {.name = "less", .position = 2, .capacity = 300, .measured = 333'333}),
			  "less");
	EXPECT_EQ(chosen(third, {.name = "more", .position = 0, .capacity = 300, .measured = 333'334}),
			  "a third");
	EXPECT_EQ(chosen({.name = "load", .position = 2, .capacity = 400, .load = 100},
					 {.name = "equal", .position = 1, .capacity = 70, .measured = 25 * percent}),
			  "equal")
		<< "a tie, so the position decides";
}

TEST(Measured, AFullServerHasNoRoomForExpectedUsers)
{
	const PoolFacts ten{.addition = 10};
	auto standing = [&](const Server &server) { return judge(server, ten).standing; };

	EXPECT_EQ(standing({.capacity = 100, .measured = 90 * percent}), Standing::general);
	EXPECT_EQ(standing({.capacity = 100, .measured = 90 * percent + 1}), Standing::over_capacity);
	EXPECT_EQ(standing({.capacity = 100, .load = 5, .awaited = 5, .measured = 85 * percent}),
			  Standing::general);
	EXPECT_EQ(standing({.capacity = 100, .load = 6, .awaited = 6, .measured = 85 * percent}),
			  Standing::over_capacity);
}

TEST(Measured, AFullServerIsNotEmptyForARoomLargerThanAll)
{
	const PoolFacts outsized{.addition = 200, .outsized = true};

	EXPECT_TRUE(judge({.capacity = 100, .measured = 99 * percent}, outsized).fits);
	EXPECT_FALSE(judge({.capacity = 100, .measured = 100 * percent}, outsized).fits);
}

TEST(Measured, SequentialSkipsAServerThatMeasuresFull)
{
	const Server first{.name = "gxy1", .position = 1, .capacity = 100, .measured = 95 * percent};
	const Server second{.name = "gxy2", .position = 2, .capacity = 100, .load = 80};

	EXPECT_EQ(chosen(first, second, Strategy::sequential), "gxy2");
}

/*
 * Between two measurements the users of new rooms come on top of what was measured. Otherwise the
 * server that measures least would get every room until the next measurement.
 */
TEST(Measured, ABurstBetweenTwoMeasurementsIsSpread)
{
	Scene scene;

	for (const std::string_view name : {"gxy1", "gxy2", "gxy3", "gxy4"})
		scene.pool.push_back({.name = name, .capacity = 400, .load = 40, .measured = 50 * percent});
	scene.pool[0].measured = 49 * percent;
	for (int room = 0; room < 40; room++)
	{
		const std::string name = choice(scene);
		for (Server &server : scene.pool)
			if (server.name == name)
			{
				take_room(server, scene);
				server.awaited += scene.expected;
			}
	}
	for (const Server &server : scene.pool)
		EXPECT_NEAR(server.rooms, 10, 1) << server;
}

TEST(Measured, TheLargestNumbersDoNotOverflow)
{
	constexpr std::int64_t most_capacity = 1'000'000'000;
	constexpr std::int64_t most_measured = 1000 * full_measure;
	const Server full{.name = "full",
					  .capacity = most_capacity,
					  .load = most_capacity,
					  .measured = most_measured};

	EXPECT_EQ(chosen(full, {.name = "b", .capacity = most_capacity, .measured = most_measured - 1}),
			  "b");
	EXPECT_EQ(users_in_force(full), 1000 * most_capacity);
}

TEST(Measured, UsersInForceAreRoundedUp)
{
	EXPECT_EQ(users_in_force({.capacity = 400, .load = 3}), 3);
	EXPECT_EQ(users_in_force({.capacity = 400, .measured = 1}), 1);
	EXPECT_EQ(users_in_force({.capacity = 400, .load = 90, .measured = 25 * percent}), 100);
	EXPECT_TRUE(is_measured_fuller({.capacity = 400, .load = 99, .measured = 25 * percent}));
	EXPECT_FALSE(is_measured_fuller({.capacity = 400, .load = 100, .measured = 25 * percent}));
}

} // namespace

} // namespace gxy
