/*
 * failure_detector.cpp: counts the reporting, fresh and silent servers.
 *
 * A server that is unhealthy and still silent is not counted. Otherwise each real failure would
 * make it more likely that the next one is taken for a failure of the monitor.
 */
#include "policy/failure_detector.hpp"

#include <cmath>

#include "policy/time_arithmetic.hpp"

namespace gxy
{

bool
is_silent(const HeartbeatReport &report, std::int64_t now, std::int64_t timeout)
{
	return report.healthy && elapsed(report.counts_from, now) > timeout;
}

std::int64_t
in_millionths(float share)
{
	return static_cast<std::int64_t>(std::llround(static_cast<double>(share) * 1e6));
}

bool
is_fresh(const Measurement &measurement, std::int64_t now, std::int64_t lifetime)
{
	const std::int64_t age = elapsed(measurement.at, now);

	return measurement.at != 0 && age <= lifetime && age >= -lifetime;
}

bool
is_far_from_count(const Measurement &measurement, std::int64_t users, std::int64_t load,
				  std::int64_t capacity)
{
	/* In millionths of a user; see in placement_policy.cpp what fits into 64 bits. */
	const __int128 million = 1'000'000;
	const __int128 measured = __int128{measurement.load} * capacity;
	const __int128 tolerance = million * capacity / 5;

	return measured > million * load + tolerance || measured < million * users - tolerance;
}

HeartbeatSummary
summarize_heartbeats(const HeartbeatReport *reports, int count, std::int64_t now,
					 std::int64_t timeout)
{
	HeartbeatSummary summary;

	for (int i = 0; i < count; i++)
	{
		const HeartbeatReport &report = reports[i];
		const std::int64_t unheard = elapsed(report.last_heartbeat, now);

		if (!report.healthy && unheard > timeout)
			continue;
		summary.reporting++;
		summary.fresh += unheard <= timeout / 2 ? 1 : 0;
		summary.silent += is_silent(report, now, timeout) ? 1 : 0;
	}
	return summary;
}

} // namespace gxy
