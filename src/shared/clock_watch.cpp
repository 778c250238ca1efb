/*
 * clock_watch.cpp: compares the system clock with one that cannot be set.
 */
#include "shared/clock_watch.hpp"

#include "pg/monotonic_clock.hpp"
#include "pg/settings.hpp"
#include "shared/header.hpp"
#include "shared/segments.hpp"

namespace gxy
{
namespace
{

/* Smaller steps, such as a leap second, do not matter to ages of many seconds. */
constexpr std::int64_t smallest_step = USECS_PER_SEC;

/* How far apart two readings of the clock that cannot be set may be around one of the other. */
constexpr std::int64_t pair_limit = USECS_PER_SEC / 20;
constexpr int pair_attempts = 20;

struct Reading
{
	TimestampTz system;
	std::int64_t monotonic;
};

/* Reads both clocks at once: again, if the process was interrupted in between. */
Reading
read_clocks()
{
	for (int attempt = 1;; attempt++)
	{
		std::int64_t before = monotonic_microseconds();
		TimestampTz system = GetCurrentTimestamp();
		std::int64_t after = monotonic_microseconds();

		if (after - before <= pair_limit || attempt == pair_attempts)
			return {.system = system, .monotonic = after};
	}
}

bool
is_step(const ClockWatch &watch, const Reading &reading)
{
	std::int64_t by = reading.system - reading.monotonic - watch.difference;

	return !watch.begun || by > smallest_step || by < -smallest_step;
}

/* Notes a step. Returns by how much. The caller holds the header's lock. */
std::int64_t
note_step(ClockWatch *watch, const Reading &reading)
{
	TimestampTz expected = reading.monotonic + watch->difference;
	std::int64_t by = watch->begun ? reading.system - expected : 0;

	if (by > 0)
		watch->forward_at = reading.monotonic;
	if (by < 0)
		watch->old_times_until = std::max(watch->old_times_until, expected);
	if (by != 0)
	{
		watch->set_at = reading.system;
		watch->set_by = by;
	}
	watch->begun = true;
	watch->difference = reading.system - reading.monotonic;
	return by;
}

/* How long something in use may take to be renewed or seen again. */
std::int64_t
longest_silence()
{
	return std::max(microseconds(setting::assignment_grace),
					microseconds(setting::dead_session_timeout));
}

/* A client has nothing to do with it: then the WARNING goes to the log only. */
void
warn_of_step(std::int64_t by)
{
	int level = MyBackendType == B_BG_WORKER ? WARNING : LOG_SERVER_ONLY;
	double seconds = static_cast<double>(by) / USECS_PER_SEC;

	if (by > 0)
		ereport(level, (errmsg("gxy_balancer: the system clock was set forward by %.0f s", seconds),
						errdetail("For %.0f s no inactive room is freed, so that rooms in use "
								  "renew their leases first.",
								  static_cast<double>(longest_silence()) / USECS_PER_SEC)));
	else
		ereport(level, (errmsg("gxy_balancer: the system clock was set back by %.0f s", -seconds),
						errdetail("The next cleanup renews the leases that have later times.")));
}

} // namespace

ClockState
look_at_clock()
{
	SharedHeader *header = shared_header();
	ClockState state;

	if (header == nullptr)
	{
		state.now = GetCurrentTimestamp();
		return state;
	}

	Reading reading = read_clocks();
	ClockWatch watch = with_lock(&header->lock, LW_SHARED, [header] { return header->clock; });
	std::int64_t by = 0;

	if (is_step(watch, reading))
		watch = with_lock(&header->lock, LW_EXCLUSIVE, [header, &by, &reading] {
			/* Another process may have noted it, and the clock may have been set again. */
			reading = read_clocks();
			if (is_step(header->clock, reading))
				by = note_step(&header->clock, reading);
			return header->clock;
		});
	if (by != 0)
		warn_of_step(by);
	state.now = reading.system;
	if (watch.forward_at != 0)
		state.ages_unknown_for =
			std::max<std::int64_t>(watch.forward_at + longest_silence() - reading.monotonic, 0);
	state.old_times_until = watch.old_times_until;
	state.set_at = watch.set_at;
	state.set_by = watch.set_by;
	return state;
}

} // namespace gxy
