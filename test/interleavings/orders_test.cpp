/*
 * orders_test.cpp: every order is walked through once, or left out.
 */
#include "orders.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

namespace interleavings
{
namespace
{

TEST(Orders, AreCounted)
{
	EXPECT_EQ(number_of_orders({4, 4, 4}), 34650u);
	EXPECT_EQ(number_of_orders({2, 1}), 3u);
	EXPECT_EQ(number_of_orders({4}), 1u);
	EXPECT_EQ(number_of_orders({0, 0}), 1u);
}

/* All beginnings together lead to each order once. */
TEST(Orders, AreWalkedThroughOnce)
{
	for (std::size_t length : {0u, 1u, 4u, 9u})
	{
		std::set<Order> seen;
		std::size_t walked = 0;

		for (const Order &beginning : beginnings({4, 4, 4}, length))
			for (Walk walk({4, 4, 4}, beginning); !walk.finished(); walk.next(), walked++)
			{
				EXPECT_TRUE(std::equal(beginning.begin(), beginning.end(), walk.current().begin()));
				seen.insert(walk.current());
			}
		EXPECT_EQ(seen.size(), 34650u);
		EXPECT_EQ(walked, 34650u);
	}
}

TEST(Orders, HaveEachSessionAsOftenAsItHasStatements)
{
	for (Walk walk({1, 3, 2}, {1}); !walk.finished(); walk.next())
		for (int session = 0; session < 3; session++)
			EXPECT_EQ(std::count(walk.current().begin(), walk.current().end(), session),
					  Counts({1, 3, 2})[static_cast<std::size_t>(session)]);
}

/* Those with a beginning are left out; the others, before and behind, are walked through. */
TEST(Orders, AreLeftOutByTheirBeginning)
{
	for (const std::string out : {"0", "01", "0110", "2", "22", "120120120120"})
	{
		std::uint64_t walked = 0, left_out = 0;
		std::set<Order> seen;

		for (Walk walk({4, 4, 4}, {}); !walk.finished();)
		{
			const Order current = walk.current();

			EXPECT_TRUE(seen.insert(current).second);
			if (digits_of(current).starts_with(out))
				left_out += walk.leave_out(out.size());
			else
			{
				walk.next();
				walked++;
			}
		}
		EXPECT_EQ(walked + left_out, 34650u) << out;
		EXPECT_GT(left_out, 0u);
	}
}

/* If an earlier order with the same first places was played, only the rest is left out. */
TEST(Orders, AreLeftOutFromTheCurrentOne)
{
	Walk walk({4, 4, 4}, {});
	std::uint64_t walked = 0;

	for (; walked < 1000; walked++)
		walk.next();

	std::uint64_t left_out = walk.leave_out(0);

	EXPECT_TRUE(walk.finished());
	EXPECT_EQ(walked + left_out, 34650u);
}

TEST(Orders, OfAPartAreNotLeftOutInOthers)
{
	Walk walk({2, 2}, {0, 1});

	EXPECT_EQ(walk.leave_out(1), 2u);
	EXPECT_TRUE(walk.finished());
}

TEST(Orders, AreDrawnEvenly)
{
	std::map<Order, int> drawn;
	Dice dice(7);

	for (int i = 0; i < 6000; i++)
		drawn[random_order({2, 2}, &dice)]++;
	EXPECT_EQ(drawn.size(), 6u);
	for (const auto &[order, times] : drawn)
		EXPECT_NEAR(times, 1000, 150) << digits_of(order);
}

TEST(Orders, OfOneSeedAreTheSame)
{
	Dice one(5), same(5), other(6);
	Order first = random_order({4, 4, 4}, &one);

	EXPECT_EQ(random_order({4, 4, 4}, &same), first);
	EXPECT_NE(random_order({4, 4, 4}, &other), first);
}

TEST(Orders, AreWrittenAsDigits)
{
	EXPECT_EQ(digits_of(order_of("0120")), "0120");
	EXPECT_EQ(order_of("201"), Order({2, 0, 1}));
}

TEST(Orders, AnOrderHasEachStatementOnce)
{
	EXPECT_TRUE(is_order_of(order_of("0120"), {2, 1, 1}));
	EXPECT_FALSE(is_order_of(order_of("0121"), {2, 1, 1})) << "one session too often";
	EXPECT_FALSE(is_order_of(order_of("012"), {2, 1, 1})) << "too short";
	EXPECT_FALSE(is_order_of(order_of("0123"), {2, 1, 1})) << "a session that there is not";
	EXPECT_FALSE(is_order_of(order_of("01x0"), {2, 1, 1})) << "not a digit";
}

} // namespace
} // namespace interleavings
