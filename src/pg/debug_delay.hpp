/*
 * debug_delay.hpp: pauses between a check and the action that depends on it.
 *
 * Tests use them for races that otherwise need two transactions within a microsecond. With
 * -DGXY_DEBUG_DELAYS each debug_pause() sleeps for a random time of up to gxy_balancer.debug_delay
 * microseconds (test/stress). The one that gxy_balancer.debug_stop names stops until another
 * session opens this session's gate, an advisory lock (test/interleavings). Without
 * -DGXY_DEBUG_DELAYS, debug_pause() does nothing.
 */
#pragma once

namespace gxy
{

#ifdef GXY_DEBUG_DELAYS

inline int debug_delay; /* microseconds */
inline char *debug_stop;

/* A session lock, because one pause is in the callback at the end of a transaction. */
inline void
wait_at_gate()
{
	const char *gate = GetConfigOption("interleavings.gate", true, false);
	LOCKTAG tag;

	if (gate == nullptr || atoi(gate) < 0)
		return;
	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, 4711, static_cast<uint32>(atoi(gate)), 2);
	(void) LockAcquire(&tag, ShareLock, true, false);
	LockRelease(&tag, ShareLock, true);
}

inline void
debug_pause(const char *place)
{
	if (debug_stop != nullptr && strcmp(debug_stop, place) == 0)
		wait_at_gate();
	if (debug_delay > 0)
		pg_usleep(static_cast<long>(pg_prng_uint64_range(&pg_global_prng_state, 0, debug_delay)));
}

inline void
define_debug_delay()
{
	DefineCustomIntVariable("gxy_balancer.debug_delay",
							"Longest pause inside a critical step, in microseconds.", nullptr,
							&debug_delay, 0, 0, 1000000, PGC_SUSET, 0, nullptr, nullptr, nullptr);
	DefineCustomStringVariable("gxy_balancer.debug_stop",
							   "Pause that waits until another session opens the gate.", nullptr,
							   &debug_stop, "", PGC_SUSET, 0, nullptr, nullptr, nullptr);
}

#else

inline void
debug_pause(const char *)
{
}

inline void
define_debug_delay()
{
}

#endif

} // namespace gxy
