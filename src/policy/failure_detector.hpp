/*
 * failure_detector.hpp: which servers have fallen silent, and whether it is they or their monitor.
 *
 * Values in, verdict out, like the policy: no PostgreSQL, no clock. Times are microseconds.
 *
 * A server is silent that has reported once and has not been heard of for longer than a timeout. When the monitor
 * itself dies all servers fall silent, one after the other: so nobody is judged unless at least half of them have been
 * heard within half the timeout, and not more than half are silent.
 */
#pragma once

#include <cstdint>

namespace gxy
{

/* What is known of one server that has reported. */
struct Report
{
	std::int64_t last_heartbeat = 0;
	std::int64_t counts_from = 0; /* silence is counted from here, not from before */
	bool healthy = true;
};

struct Vigil
{
	int reporting = 0; /* servers that are watched: healthy, or heard of lately */
	int fresh = 0;	   /* of them, heard of within half the timeout */
	int silent = 0;	   /* of them, healthy and silent */

	/* Nearly all at once is the monitor's failure. */
	bool most_are_silent() const { return 2 * silent > reporting; }
	/* Only a monitor that is evidently at work can tell that a server is not. */
	bool monitor_works() const { return 2 * fresh >= reporting; }
	/* Whether those who are silent are to be declared unhealthy. */
	bool condemns() const { return silent > 0 && !most_are_silent() && monitor_works(); }
};

bool is_silent(const Report &report, std::int64_t now, std::int64_t timeout);
Vigil keep_vigil(const Report *reports, int count, std::int64_t now, std::int64_t timeout);

} // namespace gxy
