/*
 * failure_detector_test.cpp: which servers are silent, and whether they or their monitor has
 * failed. Times are in seconds here.
 */
#include <gtest/gtest.h>

#include <vector>

#include "policy/failure_detector.hpp"

namespace
{

using gxy::HeartbeatReport;
using gxy::HeartbeatSummary;
using gxy::in_millionths;
using gxy::is_far_from_count;
using gxy::is_fresh;

constexpr std::int64_t timeout = 10;

/* Servers last heard of at these times, all healthy. */
std::vector<HeartbeatReport>
heard_at(std::initializer_list<std::int64_t> times)
{
	std::vector<HeartbeatReport> reports;

	for (const std::int64_t time : times)
		reports.push_back({.last_heartbeat = time, .counts_from = time, .healthy = true});
	return reports;
}

HeartbeatSummary
summary(const std::vector<HeartbeatReport> &reports, std::int64_t now)
{
	return gxy::summarize_heartbeats(reports.data(), static_cast<int>(reports.size()), now,
									 timeout);
}

TEST(Silence, OneOfManyIsCondemned)
{
	const std::vector<HeartbeatReport> reports = heard_at({100, 100, 100, 89});

	EXPECT_EQ(summary(reports, 100).silent, 1);
	EXPECT_TRUE(summary(reports, 100).should_mark_unhealthy());
	EXPECT_TRUE(gxy::is_silent(reports[3], 100, timeout));
	EXPECT_FALSE(gxy::is_silent(reports[0], 100, timeout));
}

TEST(Silence, BeginsAfterTheTimeoutNotAtIt)
{
	EXPECT_FALSE(summary(heard_at({100, 90}), 100).should_mark_unhealthy());
	EXPECT_TRUE(summary(heard_at({101, 90}), 101).should_mark_unhealthy());
}

TEST(Silence, NobodyIsSilentWhoNeverReported)
{
	EXPECT_FALSE(summary({}, 100).should_mark_unhealthy());
	EXPECT_FALSE(summary({}, 100).most_are_silent());
}

TEST(Silence, HalfMayBeCondemnedMoreMayNot)
{
	EXPECT_TRUE(summary(heard_at({100, 100, 80, 80}), 100).should_mark_unhealthy());
	EXPECT_FALSE(summary(heard_at({100, 80, 80}), 100).should_mark_unhealthy());
	EXPECT_TRUE(summary(heard_at({100, 80, 80}), 100).most_are_silent());
	EXPECT_FALSE(summary(heard_at({80}), 100).should_mark_unhealthy());
}

/*
 * The monitor stops after a round of heartbeats that took a second: at no time is a server declared
 * failed.
 */
TEST(Silence, ADeadMonitorCondemnsNobodyAtAnyTime)
{
	const std::vector<HeartbeatReport> reports = heard_at({100, 100, 100, 101, 101, 101, 101, 101});

	for (std::int64_t now = 100; now < 200; now++)
		EXPECT_FALSE(summary(reports, now).should_mark_unhealthy()) << "at " << now;
	EXPECT_TRUE(summary(reports, 112).most_are_silent());
	EXPECT_FALSE(summary(reports, 112).monitor_works());
}

/* The monitor comes back: the first heartbeat gives the other servers a full timeout. */
TEST(Silence, TheResumptionCondemnsNobody)
{
	std::vector<HeartbeatReport> reports = heard_at(std::initializer_list<std::int64_t>{
		100, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100});

	ASSERT_FALSE(summary(reports, 150).monitor_works());
	for (HeartbeatReport &report : reports)
		report.counts_from = 150;
	for (int heard = 0; heard < 12; heard++)
	{
		reports[static_cast<std::size_t>(heard)].last_heartbeat = 150;
		EXPECT_FALSE(summary(reports, 150).should_mark_unhealthy()) << "after " << heard + 1;
	}
	/* A server that stays silent is declared failed a timeout later. */
	reports[0].last_heartbeat = 100;
	for (std::size_t i = 1; i < reports.size(); i++)
		reports[i].last_heartbeat = reports[i].counts_from = 161;
	EXPECT_TRUE(summary(reports, 161).should_mark_unhealthy());
}

/* Servers that failed before do not count as silent because of the monitor. */
TEST(Silence, TheCondemnedAreNoLongerWatched)
{
	std::vector<HeartbeatReport> reports = heard_at({100, 100, 100, 50, 50, 50, 50, 85});

	for (std::size_t i = 3; i < 7; i++)
		reports[i].healthy = false;
	EXPECT_EQ(summary(reports, 100).reporting, 4);
	EXPECT_TRUE(summary(reports, 100).should_mark_unhealthy());
}

/* A server that is reported unhealthy is not silent. */
TEST(Silence, UnhealthyIsNotSilent)
{
	std::vector<HeartbeatReport> reports = heard_at({100, 100});

	reports[1].healthy = false;
	EXPECT_EQ(summary(reports, 100).reporting, 2);
	EXPECT_EQ(summary(reports, 100).fresh, 2);
	EXPECT_FALSE(summary(reports, 100).should_mark_unhealthy());

	/* Not even while its silence counts from a time long ago. */
	reports[1].counts_from = 80;
	EXPECT_FALSE(gxy::is_silent(reports[1], 100, timeout));
	EXPECT_EQ(summary(reports, 100).silent, 0);
}

/* After a restart silence counts from the restart, whatever was received before. */
TEST(Silence, CountsFromTheLaterTime)
{
	std::vector<HeartbeatReport> reports = heard_at({100, 100, 50});

	reports[2].counts_from = 95;
	EXPECT_FALSE(summary(reports, 100).should_mark_unhealthy());
}

TEST(Measured, CountsForALifetime)
{
	EXPECT_TRUE(is_fresh({.load = 1, .at = 100}, 100, 30));
	EXPECT_TRUE(is_fresh({.load = 1, .at = 100}, 130, 30));
	EXPECT_FALSE(is_fresh({.load = 1, .at = 100}, 131, 30));
	EXPECT_FALSE(is_fresh({}, 0, 30)) << "there is none";
}

/* Made before the clock was set back, it would count until the clock is there again. */
TEST(Measured, DoesNotCountIfItIsFarAhead)
{
	EXPECT_TRUE(is_fresh({.load = 1, .at = 130}, 100, 30));
	EXPECT_FALSE(is_fresh({.load = 1, .at = 131}, 100, 30));
	EXPECT_FALSE(is_fresh({.load = 1, .at = std::numeric_limits<std::int64_t>::max()}, -1, 30));
}

TEST(Measured, IsExactToAMillionth)
{
	EXPECT_EQ(in_millionths(0), 0);
	EXPECT_EQ(in_millionths(0.9F), 900'000);
	EXPECT_EQ(in_millionths(0.000001F), 1);
	EXPECT_EQ(in_millionths(1000), 1'000'000'000);
}

/* 50% counted, and 20 points either way. */
TEST(Measured, IsFarFromTheCountBeyondAFifthOfTheCapacity)
{
	EXPECT_FALSE(is_far_from_count({.load = 700'000}, 200, 200, 400));
	EXPECT_TRUE(is_far_from_count({.load = 700'001}, 200, 200, 400));
	EXPECT_FALSE(is_far_from_count({.load = 300'000}, 200, 200, 400));
	EXPECT_TRUE(is_far_from_count({.load = 299'999}, 200, 200, 400));
}

/* Users who are expected may be there or not. */
TEST(Measured, IsNotFarFromTheCountBetweenTheUsersAndTheLoad)
{
	EXPECT_FALSE(is_far_from_count({.load = 0}, 0, 400, 400));
	EXPECT_FALSE(is_far_from_count({.load = 1'200'000}, 0, 400, 400));
	EXPECT_TRUE(is_far_from_count({.load = 1'200'001}, 0, 400, 400));
}

} // namespace
