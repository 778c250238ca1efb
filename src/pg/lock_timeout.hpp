/*
 * lock_timeout.hpp: limits lock waits to gxy_balancer.assign_timeout, counted from a call's start.
 *
 * All waits happen in the server's lock manager, so the deadlock detector and pg_locks see them.
 * The limit is the server's own lock_timeout, which is set for the duration of the wait.
 */
#pragma once

#include "pg/compat.hpp"
#include "pg/monotonic_clock.hpp"
#include "pg/settings.hpp"

namespace gxy
{

/* A point in time, by the monotonic clock, until which a call may wait for locks. */
class Deadline
{
public:
	static Deadline in(std::int64_t milliseconds)
	{
		return Deadline(monotonic_milliseconds() + milliseconds);
	}
	/*
	 * A trigger that runs inside a wait of the extension's own SQL has no more time than that wait.
	 */
	static Deadline of_call_starting_now()
	{
		return Deadline(std::min(in(setting::assign_timeout).at, outer));
	}

	bool passed() const { return monotonic_milliseconds() >= at; }
	int milliseconds_left() const; /* at least 1 */

	/* Calls f(), which may run code that calls the extension again. */
	template <typename F> void enclose(F f) const;

private:
	explicit Deadline(std::int64_t at) : at(at) {}

	std::int64_t at; /* monotonic_milliseconds() */

	/* Of the innermost enclose() that is under way; INT64_MAX if there is none. */
	static inline std::int64_t outer = INT64_MAX;
};
static_assert(std::is_trivially_destructible_v<Deadline>);

template <typename F>
void
Deadline::enclose(F f) const
{
	std::int64_t before = outer;

	outer = std::min(before, at);
	PG_TRY();
	{
		f();
	}
	PG_FINALLY();
	{
		outer = before;
	}
	PG_END_TRY();
}

/*
 * Sets lock_timeout to the milliseconds left, unless it is already shorter, and returns the new GUC
 * nest level. end_lock_timeout() or an error undoes every setting changed since then.
 */
int begin_lock_timeout(Deadline deadline);
void end_lock_timeout(int guc_nest_level);

/*
 * Call in PG_CATCH. Returns true if the caught error is the server's own 55P03 after lock_timeout.
 * Returns false for a 55P03 of this extension, which names the lock and has a hint.
 */
bool is_plain_lock_timeout(MemoryContext context);

/* Calls wait(), which takes a lock. After a lock timeout calls report() to raise the error. */
template <typename W, typename R>
void
wait_or_report(Deadline deadline, W wait, R report)
{
	MemoryContext caller = CurrentMemoryContext;
	int level = begin_lock_timeout(deadline);

	PG_TRY();
	{
		wait();
	}
	PG_CATCH();
	{
		if (!is_plain_lock_timeout(caller))
			PG_RE_THROW();
		MemoryContextSwitchTo(caller);
		FlushErrorState();
		report();
	}
	PG_END_TRY();
	end_lock_timeout(level);
}

/*
 * Returns the tag of a second heavyweight lock of a relation, independent of the relation lock. In
 * pg_locks: locktype object, classid pg_class, objid the relation, objsubid 1.
 */
LOCKTAG side_lock_tag(Oid relation);

/* Locks a relation until the end of the transaction. Raises 55P03 after the deadline. */
void lock_relation(Oid relation, LOCKMODE mode, Deadline deadline);

} // namespace gxy
