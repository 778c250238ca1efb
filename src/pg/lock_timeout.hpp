/*
 * lock_timeout.hpp: how long a call waits for locks: never past assign_timeout, counted from its start.
 *
 * All waiting happens in the lock manager, so that the deadlock detector and pg_locks see it; the bound is the
 * server's own lock_timeout, set for the duration.
 */
#pragma once

#include "pg/monotonic_clock.hpp"
#include "pg/settings.hpp"

namespace gxy
{

class Deadline
{
public:
	static Deadline in(std::int64_t milliseconds)
	{
		return Deadline(monotonic_milliseconds() + milliseconds);
	}
	static Deadline of_call_starting_now() { return in(setting::assign_timeout); }

	bool passed() const { return monotonic_milliseconds() >= at; }
	int milliseconds_left() const; /* at least 1 */

private:
	explicit Deadline(std::int64_t at) : at(at) {}

	std::int64_t at; /* monotonic_milliseconds() */
};

/*
 * Sets lock_timeout to what is left, unless a smaller one is in force. Everything that has been set since, by whatever
 * code, is undone by end_lock_timeout() or an error.
 */
int begin_lock_timeout(Deadline deadline);
void end_lock_timeout(int guc_nest_level);

/* In a PG_CATCH: whether the server's lock_timeout ended a wait; an error of ours that says so more exactly has a hint. */
bool is_plain_lock_timeout(MemoryContext context);

/* Runs wait under the deadline; if a lock timeout ends it, report raises the error instead. */
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

/* A lock that goes with a relation but is not its own: in pg_locks an object of pg_class with objsubid 1. */
LOCKTAG side_lock_tag(Oid relation);

/* Locks a relation until the end of the transaction; raises 55P03 if others hold it as a whole until the deadline. */
void lock_relation(Oid relation, LOCKMODE mode, Deadline deadline);

} // namespace gxy
