/*
 * debug_delay.hpp: random pauses between a check and the action that depends on it.
 *
 * The stress run (test/stress) uses them to make races likely that otherwise need two transactions
 * within a microsecond. With -DGXY_DEBUG_DELAYS each debug_pause() sleeps for a random time of up
 * to gxy_balancer.debug_delay microseconds. Without it, debug_pause() does nothing.
 */
#pragma once

namespace gxy
{

#ifdef GXY_DEBUG_DELAYS

inline int debug_delay; /* microseconds */

inline void
debug_pause()
{
	if (debug_delay > 0)
		pg_usleep(static_cast<long>(pg_prng_uint64_range(&pg_global_prng_state, 0, debug_delay)));
}

inline void
define_debug_delay()
{
	DefineCustomIntVariable("gxy_balancer.debug_delay",
							"Longest pause inside a critical step, in microseconds.", nullptr,
							&debug_delay, 0, 0, 1000000, PGC_SUSET, 0, nullptr, nullptr, nullptr);
}

#else

inline void
debug_pause()
{
}

inline void
define_debug_delay()
{
}

#endif

} // namespace gxy
