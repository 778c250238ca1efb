/*
 * failure_detector.cpp: the rule of the two halves.
 *
 * A server that has been declared unhealthy and stays silent is no longer watched, else each real failure would bring
 * the rest closer to being taken for the monitor's.
 */
#include "policy/failure_detector.hpp"

#include "policy/time_arithmetic.hpp"

namespace gxy
{

bool
is_silent(const Report &report, std::int64_t now, std::int64_t timeout)
{
	return report.healthy && elapsed(report.counts_from, now) > timeout;
}

Vigil
keep_vigil(const Report *reports, int count, std::int64_t now, std::int64_t timeout)
{
	Vigil vigil;

	for (int i = 0; i < count; i++)
	{
		const Report &report = reports[i];
		const std::int64_t unheard = elapsed(report.last_heartbeat, now);

		if (!report.healthy && unheard > timeout)
			continue;
		vigil.reporting++;
		vigil.fresh += unheard <= timeout / 2 ? 1 : 0;
		vigil.silent += is_silent(report, now, timeout) ? 1 : 0;
	}
	return vigil;
}

} // namespace gxy
