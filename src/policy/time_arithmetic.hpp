/*
 * time_arithmetic.hpp: differences and sums of times that do not overflow.
 *
 * Times are microseconds, and 64 bits hold every one of them, but not every difference: tables may
 * hold '-infinity' and 'infinity', the least and the greatest value. Whatever is computed with a
 * time from a table is computed here.
 */
#pragma once

#include <cstdint>
#include <limits>

namespace gxy
{

/*
 * How long ago a time was; negative if it is yet to come. The greatest or least number if it does
 * not fit.
 */
constexpr std::int64_t
elapsed(std::int64_t since, std::int64_t now)
{
	std::int64_t difference = 0;

	if (!__builtin_sub_overflow(now, since, &difference))
		return difference;
	return now > since ? std::numeric_limits<std::int64_t>::max()
					   : std::numeric_limits<std::int64_t>::min();
}

/*
 * A time that is later by a duration, or earlier by a negative one; 'infinity' or '-infinity' if it
 * does not fit.
 */
constexpr std::int64_t
later(std::int64_t time, std::int64_t duration)
{
	std::int64_t sum = 0;

	if (!__builtin_add_overflow(time, duration, &sum))
		return sum;
	return duration > 0 ? std::numeric_limits<std::int64_t>::max()
						: std::numeric_limits<std::int64_t>::min();
}

} // namespace gxy
