/*
 * wait.hpp: waiting for other transactions, never for longer than assign_timeout.
 *
 * All waiting happens in the lock manager, so that the deadlock detector and pg_locks see it; the bound is the
 * server's own lock_timeout, set for the duration. Errors have SQLSTATE 55P03 and say who is being waited for.
 */
#pragma once

#include "insertion.hpp"

namespace gxy
{

/* When a call gives up; counted from its start, whatever it has waited for meanwhile. */
class Deadline
{
public:
	static Deadline of_this_call(TimestampTz start)
	{
		return Deadline(start + microseconds(setting::assign_timeout));
	}

	bool passed() const { return GetCurrentTimestamp() >= at; }
	int milliseconds_left() const; /* at least 1 */

private:
	explicit Deadline(TimestampTz at) : at(at) {}

	TimestampTz at;
};

/* Sets lock_timeout to what is left, unless a smaller one is in force; undone by end_lock_timeout() or an error. */
int begin_lock_timeout(Deadline deadline);
void end_lock_timeout(int guc_nest_level);

/* Runs f, whose lock waits end in 55P03 at the deadline. */
template <typename F>
void
with_lock_timeout(Deadline deadline, F f)
{
	int level = begin_lock_timeout(deadline);

	f();
	end_lock_timeout(level);
}

/* The table with a lock on it; waits only for those who have locked the whole table, as TRUNCATE does. */
Assignments open_assignments(LOCKMODE mode, Deadline deadline);

/* Waits until the transaction that is inserting, deleting or holding the room's row has ended. */
void wait_for_holder(TransactionId holder, std::uint32_t token, const RoomKey &room,
					 Deadline deadline);

/* Waits for this transaction's turn to have the row; see Assignments::lock_row(). */
Assignments::Change wait_for_row(Assignments *assignments, ItemPointer tid, const RoomKey &room,
								 Deadline deadline);

/* Waits for the turn to place a room. */
void wait_for_placement_lock(const RoomKey &room, Deadline deadline);

/* Raises 55P03 for a call that kept losing races until its deadline. */
[[noreturn]] void give_up(const RoomKey &room);

} // namespace gxy
