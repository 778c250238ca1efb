/*
 * clock_watch.hpp: notices that the system clock was set.
 *
 * Leases and sessions are judged by their ages, which are differences of system times. If the clock
 * is set forward by an hour, all of them look an hour older, those of rooms in use too. Example: a
 * room was used 5 s ago, and by the new time 1 h 5 s ago; with a grace period of 90 s a cleanup
 * would free it. If the clock is set back, their times are in the future, and the leases of rooms
 * that nothing uses any more would last until then.
 *
 * The header has the difference between the system time and a clock that cannot be set. A call that
 * finds another difference, by more than a second, has noticed a step. After a step forward ages
 * say nothing for one grace period: whatever is in use is renewed within that time. After a step
 * back the times between the new time and the old one are known to be of the old clock.
 *
 * What is known does not survive a restart of the server.
 */
#pragma once

#include "pg/compat.hpp"

namespace gxy
{

struct ClockState
{
	TimestampTz now = 0;
	/* Microseconds for which ages still say nothing; 0: they count. */
	std::int64_t ages_unknown_for = 0;
	/* Times after now and up to this one are from before the clock was set back; 0: none are. */
	TimestampTz old_times_until = 0;
	/* The last step since the server's start. */
	TimestampTz set_at = 0;	 /* 0: there was none */
	std::int64_t set_by = 0; /* microseconds; negative: back */

	bool ages_count() const { return ages_unknown_for == 0; }
	bool is_old_time(TimestampTz time) const { return time > now && time <= old_times_until; }
};

/*
 * Returns the current time, and what the steps of the clock mean for ages and times. The process
 * that notices a step logs it. Without shared memory no step is known. Normal code, no lock held.
 */
ClockState look_at_clock();

} // namespace gxy
