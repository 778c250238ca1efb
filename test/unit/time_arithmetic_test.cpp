/*
 * time_arithmetic_test.cpp: times at the limits of 64 bits, such as
 * '-infinity' and 'infinity'.
 */
#include <gtest/gtest.h>

#include "policy/failure_detector.hpp"
#include "policy/room_size_model.hpp"
#include "policy/time_arithmetic.hpp"

namespace
{

using gxy::elapsed;
using gxy::later;

constexpr std::int64_t infinity = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t minus_infinity = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t now = 800'000'000'000'000;

TEST(TimeArithmetic, DifferencesThatFit)
{
	EXPECT_EQ(elapsed(now - 5, now), 5);
	EXPECT_EQ(elapsed(now + 5, now), -5);
	EXPECT_EQ(elapsed(infinity, now), now - infinity);
	EXPECT_EQ(elapsed(minus_infinity, minus_infinity), 0);
}

TEST(TimeArithmetic, DifferencesThatDoNot)
{
	EXPECT_EQ(elapsed(minus_infinity, now), infinity);
	EXPECT_EQ(elapsed(infinity, minus_infinity), minus_infinity);
	EXPECT_EQ(elapsed(infinity, -2), minus_infinity);
}

TEST(TimeArithmetic, Sums)
{
	EXPECT_EQ(later(now, 5), now + 5);
	EXPECT_EQ(later(now, -5), now - 5);
	EXPECT_EQ(later(infinity, 1), infinity);
	EXPECT_EQ(later(infinity, -1), infinity - 1);
	EXPECT_EQ(later(minus_infinity, -1), minus_infinity);
	EXPECT_EQ(later(minus_infinity, 1), minus_infinity + 1);
}

TEST(TimeArithmetic, AServerLastHeardOfAtMinusInfinityIsSilent)
{
	const gxy::HeartbeatReport report = {
		.last_heartbeat = minus_infinity, .counts_from = minus_infinity, .healthy = true};

	EXPECT_TRUE(gxy::is_silent(report, now, 10));
	EXPECT_EQ(gxy::summarize_heartbeats(&report, 1, now, 10).silent, 1);
	EXPECT_EQ(gxy::summarize_heartbeats(&report, 1, now, 10).fresh, 0);
}

TEST(TimeArithmetic, AnOccasionThatBeganAtMinusInfinityIsOver)
{
	gxy::RoomHistory history = {
		.size = 0, .occasions = 0, .peak = 7, .assigned_at = 1, .opened_at = minus_infinity};

	EXPECT_TRUE(gxy::observe(&history, 3, 1, now));
	EXPECT_EQ(history.occasions, 1);
	EXPECT_EQ(history.peak, 3);
}

} // namespace
