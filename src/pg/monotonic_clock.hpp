/*
 * monotonic_clock.hpp: time that only goes forward, for what has to end after so long.
 *
 * The time of day, which timestamps are made of, may be set back. What is measured by it alone would then last longer by
 * as much.
 */
#pragma once

#include <cstdint>
#include <ctime>

namespace gxy
{

/* Milliseconds since some moment, by the cheapest clock there is: exact to a few milliseconds. */
inline std::int64_t
monotonic_milliseconds()
{
#ifdef CLOCK_MONOTONIC_COARSE
	constexpr clockid_t clock = CLOCK_MONOTONIC_COARSE;
#else
	constexpr clockid_t clock = CLOCK_MONOTONIC;
#endif
	timespec now = {};

	(void) clock_gettime(clock, &now);
	return static_cast<std::int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1000000;
}

} // namespace gxy
