/*
 * silence_test.cpp: who has fallen silent, and whether it is they or their monitor. Times are seconds here.
 */
#include <gtest/gtest.h>

#include <vector>

#include "policy/failure_detector.hpp"

namespace
{

using gxy::Report;
using gxy::Vigil;

constexpr std::int64_t timeout = 10;

/* Servers last heard of at these times, all healthy. */
std::vector<Report>
heard_at(std::initializer_list<std::int64_t> times)
{
	std::vector<Report> reports;

	for (const std::int64_t time : times)
		reports.push_back({.last_heartbeat = time, .counts_from = time, .healthy = true});
	return reports;
}

Vigil
vigil(const std::vector<Report> &reports, std::int64_t now)
{
	return gxy::keep_vigil(reports.data(), static_cast<int>(reports.size()), now, timeout);
}

TEST(Silence, OneOfManyIsCondemned)
{
	const std::vector<Report> reports = heard_at({100, 100, 100, 89});

	EXPECT_EQ(vigil(reports, 100).silent, 1);
	EXPECT_TRUE(vigil(reports, 100).condemns());
	EXPECT_TRUE(gxy::is_silent(reports[3], 100, timeout));
	EXPECT_FALSE(gxy::is_silent(reports[0], 100, timeout));
}

TEST(Silence, BeginsAfterTheTimeoutNotAtIt)
{
	EXPECT_FALSE(vigil(heard_at({100, 90}), 100).condemns());
	EXPECT_TRUE(vigil(heard_at({101, 90}), 101).condemns());
}

TEST(Silence, NobodyIsSilentWhoNeverReported)
{
	EXPECT_FALSE(vigil({}, 100).condemns());
	EXPECT_FALSE(vigil({}, 100).most_are_silent());
}

TEST(Silence, HalfMayBeCondemnedMoreMayNot)
{
	EXPECT_TRUE(vigil(heard_at({100, 100, 80, 80}), 100).condemns());
	EXPECT_FALSE(vigil(heard_at({100, 80, 80}), 100).condemns());
	EXPECT_TRUE(vigil(heard_at({100, 80, 80}), 100).most_are_silent());
	EXPECT_FALSE(vigil(heard_at({80}), 100).condemns());
}

/* The monitor dies after a round of heartbeats that took a second: at no time is anybody condemned. */
TEST(Silence, ADeadMonitorCondemnsNobodyAtAnyTime)
{
	const std::vector<Report> reports = heard_at({100, 100, 100, 101, 101, 101, 101, 101});

	for (std::int64_t now = 100; now < 200; now++)
		EXPECT_FALSE(vigil(reports, now).condemns()) << "at " << now;
	EXPECT_TRUE(vigil(reports, 112).most_are_silent());
	EXPECT_FALSE(vigil(reports, 112).monitor_works());
}

/* It comes back: the first heartbeat gives the others a timeout of their own. */
TEST(Silence, TheResumptionCondemnsNobody)
{
	std::vector<Report> reports = heard_at(std::initializer_list<std::int64_t>{
		100, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100});

	ASSERT_FALSE(vigil(reports, 150).monitor_works());
	for (Report &report : reports)
		report.counts_from = 150;
	for (int heard = 0; heard < 12; heard++)
	{
		reports[static_cast<std::size_t>(heard)].last_heartbeat = 150;
		EXPECT_FALSE(vigil(reports, 150).condemns()) << "after " << heard + 1;
	}
	/* One that stays away is condemned a timeout later. */
	reports[0].last_heartbeat = 100;
	for (std::size_t i = 1; i < reports.size(); i++)
		reports[i].last_heartbeat = reports[i].counts_from = 161;
	EXPECT_TRUE(vigil(reports, 161).condemns());
}

/* Those who failed before are not the monitor's failure now. */
TEST(Silence, TheCondemnedAreNoLongerWatched)
{
	std::vector<Report> reports = heard_at({100, 100, 100, 50, 50, 50, 50, 85});

	for (std::size_t i = 3; i < 7; i++)
		reports[i].healthy = false;
	EXPECT_EQ(vigil(reports, 100).reporting, 4);
	EXPECT_TRUE(vigil(reports, 100).condemns());
}

/* One that is reported unhealthy is heard of all the same. */
TEST(Silence, UnhealthyIsNotSilent)
{
	std::vector<Report> reports = heard_at({100, 100});

	reports[1].healthy = false;
	EXPECT_EQ(vigil(reports, 100).reporting, 2);
	EXPECT_EQ(vigil(reports, 100).fresh, 2);
	EXPECT_FALSE(vigil(reports, 100).condemns());
}

/* After a restart silence counts from there, whatever was heard before. */
TEST(Silence, CountsFromTheLaterTime)
{
	std::vector<Report> reports = heard_at({100, 100, 50});

	reports[2].counts_from = 95;
	EXPECT_FALSE(vigil(reports, 100).condemns());
}

} // namespace
