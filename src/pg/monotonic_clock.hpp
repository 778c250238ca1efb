/*
 * monotonic_clock.hpp: a clock that never goes back, for timeouts.
 *
 * The system time, which timestamps use, may be set back. Example: if it is set back by an hour, a
 * timeout measured with it ends an hour late.
 */
#pragma once

#include <cstdint>
#include <ctime>

namespace gxy
{

/* Returns microseconds since an arbitrary start, the same one for all processes; never 0. */
inline std::int64_t
monotonic_microseconds()
{
	timespec now = {};

	(void) clock_gettime(CLOCK_MONOTONIC, &now);
	return static_cast<std::int64_t>(now.tv_sec) * 1000000 + now.tv_nsec / 1000 + 1;
}

/* Returns milliseconds since an arbitrary start, exact to a few milliseconds. */
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
