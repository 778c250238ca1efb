/*
 * failure_detector.hpp: which servers are silent, and whether the servers or their monitor failed.
 *
 * Values in, verdict out, like the placement policy: no PostgreSQL, no clock. Times are
 * microseconds.
 *
 * A server is silent if it has reported at least once and its last heartbeat is older than the
 * timeout. If the monitor itself fails, all servers become silent one after the other. So silent
 * servers are marked unhealthy only if at least half of the reporting servers sent a heartbeat
 * within half the timeout, and at most half of them are silent.
 */
#pragma once

#include <cstdint>

namespace gxy
{

/* What is known of one server that has reported. */
struct HeartbeatReport
{
	std::int64_t last_heartbeat = 0;
	std::int64_t counts_from = 0; /* silence is counted from here, not from before */
	bool healthy = true;
};

/* A server's load as its monitor has measured it. */
struct Measurement
{
	std::int64_t load = 0; /* share of its capacity in use, in millionths */
	std::int64_t at = 0;   /* 0: none */
};

/* Converts a reported share, 0 to 10, to millionths. */
std::int64_t in_millionths(float share);

/*
 * Whether a measurement still counts, lifetime microseconds from its time. One that is further
 * ahead than that was made before the clock was set back.
 */
bool is_fresh(const Measurement &measurement, std::int64_t now, std::int64_t lifetime);

/*
 * Whether a measurement is more than 20% of the capacity away from what is counted: above the load,
 * or below the users who are there. Numbers are users. If that lasts, the capacity is wrong, or
 * sessions are missing.
 */
bool is_far_from_count(const Measurement &measurement, std::int64_t users, std::int64_t load,
					   std::int64_t capacity);

struct HeartbeatSummary
{
	int reporting = 0; /* servers that are healthy, or sent a heartbeat within the timeout */
	int fresh = 0;	   /* of those: sent a heartbeat within half the timeout */
	int silent = 0;	   /* of those: healthy and silent */

	/* Then the monitor has failed, not the servers. */
	bool most_are_silent() const { return 2 * silent > reporting; }
	/* Enough servers report to trust the monitor. */
	bool monitor_works() const { return 2 * fresh >= reporting; }
	/* Whether the silent servers are to be marked unhealthy. */
	bool should_mark_unhealthy() const
	{
		return silent > 0 && !most_are_silent() && monitor_works();
	}
};

bool is_silent(const HeartbeatReport &report, std::int64_t now, std::int64_t timeout);
HeartbeatSummary summarize_heartbeats(const HeartbeatReport *reports, int count, std::int64_t now,
									  std::int64_t timeout);

} // namespace gxy
