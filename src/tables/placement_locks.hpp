/*
 * placement_locks.hpp: the locks under which a room gets its row, and how a call for a room waits.
 *
 * Room lock: one backend at a time places a room. It is held from before the search for the room's
 * row until the row is written, so each room is placed once, however many sessions ask for it at
 * the same moment.
 *
 * Placement lock: held from the choice of a server until the row is written. A backend that counts
 * holds it exclusively, so that it sees every reservation made before. Backends that choose by the
 * load cache share it, because a count can see their rooms only after the rows are written.
 *
 * Both are heavyweight locks, so the deadlock detector and pg_locks see the waits. A backend takes
 * the room lock first, then the placement lock, and releases both before its transaction ends.
 * While it holds one it does not wait for the end of another transaction, and does not read the
 * application's tables. So a backend holds at most one room lock, however many rooms its
 * transaction has assigned, and two backends cannot deadlock on room locks.
 */
#pragma once

#include "pg/compat.hpp"
#include "pg/heap_access.hpp"
#include "pg/lock_timeout.hpp"
#include "tables/assignments.hpp"

namespace gxy
{

inline constexpr LOCKMODE placing_by_count = ExclusiveLock;
inline constexpr LOCKMODE placing_by_cache = ShareLock;

void release_room_lock(const RoomKey &room);
void release_placement_lock(LOCKMODE mode);

/* Waits for the placement lock. Raises 55P03, naming the room, at the deadline. */
void wait_for_placement_lock(const RoomKey &room, LOCKMODE mode, Deadline deadline);

/*
 * Takes the placement lock without waiting. Returns false if another transaction holds a
 * conflicting lock.
 */
bool try_placement_lock(LOCKMODE mode);

/*
 * Takes the placement lock exclusively and keeps it until the end of the transaction. Raises 55P03
 * at the deadline.
 */
void keep_placement_lock(Deadline deadline);

/*
 * The rounds of one call for a room. Each round looks for the row; if another transaction is in the
 * way, the call waits for it and starts the next round.
 *
 * A wait that the deadline (or a smaller lock_timeout) ends raises no error: one last round
 * follows, because the room may have a server by then. If that round has to wait as well, it raises
 * 55P03.
 */
class RoomWaits
{
public:
	explicit RoomWaits(const RoomKey &room)
		: room(&room), round_start(GetCurrentTimestamp()), until(Deadline::of_call_starting_now())
	{
	}

	Deadline deadline() const { return until; }
	TimestampTz now() const { return round_start; } /* when this round began */

	bool has_waited() const { return waited; } /* in this round */

	/* Take a lock. Return false if the lock could not be taken by the deadline. */
	bool lock_room();
	bool lock_placement(LOCKMODE mode);

	/*
	 * Waits until the transaction that is inserting or deleting the room's row has ended. token:
	 * see Probe.
	 */
	void wait_for_holder(TransactionId holder, std::uint32_t token);

	/* Waits until this transaction has locked the row. Raises 55P03 at the deadline. */
	Change wait_for_row(Assignments *assignments, ItemPointer tid);

	/* The room's row could not be written, though no other row of the room was in the way. */
	void note_refused_row() { row_refused = true; }

	/*
	 * Starts the next round. Raises an error after too many rounds without a wait: such a call
	 * would never end.
	 */
	void next_round();

private:
	template <typename W> bool wait(W wait);

	const RoomKey *room;
	TimestampTz round_start;
	Deadline until;
	bool waited = false;	/* this round has waited */
	bool timed_out = false; /* a wait has timed out: this is the last round */
	bool row_refused = false;
	int rounds_without_wait = 0;
};
static_assert(std::is_trivially_destructible_v<RoomWaits>);

/* Calls attempt(&waits) round by round until it returns a value, and returns that value. */
template <typename F>
auto
retry(const RoomKey &room, F attempt)
{
	RoomWaits waits(room);

	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		if (auto result = attempt(&waits))
			return *result;
		waits.next_round();
	}
}

} // namespace gxy
