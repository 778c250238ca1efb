/*
 * placement_locks.hpp: the locks under which a room gets its row, and how a call for a room waits.
 *
 * Room lock: one backend at a time places a room. It is held from before the look for the room's row until the row is
 * written, so that each room takes its place on a server once, however many callers it has at that moment.
 *
 * Placement lock: held from the choice of a server until the row is written. Exclusive for a backend that counts, so
 * that it sees every reservation made before its own; shared by those that choose by the load cache, because a count can
 * see their rooms only once the rows are written.
 *
 * Both are heavyweight locks, so that the deadlock detector and pg_locks see those who wait. A backend takes the room
 * lock first, then the placement lock, and gives both back before its transaction ends. While it holds one it does not
 * wait for the end of another transaction, nor read the application's tables. Hence it holds one room lock at a time,
 * however many rooms its transaction has assigned, and two backends cannot wait for each other's.
 */
#pragma once

#include "tables/locks.hpp"

namespace gxy
{

inline constexpr LOCKMODE placing_by_count = ExclusiveLock;
inline constexpr LOCKMODE placing_by_cache = ShareLock;

void release_room_lock(const RoomKey &room);
void release_placement_lock(LOCKMODE mode);

/* Waits for the placement lock; raises 55P03 at the deadline. */
void wait_for_placement_lock(const RoomKey &room, LOCKMODE mode, Deadline deadline);

/* Takes the placement lock if no other transaction has it in the way. */
bool try_placement_lock(LOCKMODE mode);

/* Waits for the placement lock, exclusive, and keeps it until the end of the transaction; raises 55P03 at the deadline. */
void keep_placement_lock(Deadline deadline);

/*
 * The rounds of one call for a room: it looks, and where another transaction is in the way it waits and looks again.
 *
 * A wait that is cut off by the deadline (or by a smaller lock_timeout) does not raise an error: one last round follows,
 * because the room may have a server by then. If that round has to wait as well, it raises 55P03.
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

	/* These take a lock, and return false if it was not to be had by the deadline. */
	bool lock_room();
	bool lock_placement(LOCKMODE mode);

	/* Waits until the transaction that is inserting or deleting the room's row has ended; token: see Probe. */
	void wait_for_holder(TransactionId holder, std::uint32_t token);

	/* Waits for the row, see Assignments::lock_row(); raises 55P03 at the deadline. */
	Change wait_for_row(Assignments *assignments, ItemPointer tid);

	/* Raises XX000 if too many rounds have gone by without a wait: such a call would never end. */
	void next_round();

private:
	template <typename W> bool wait(W wait);

	const RoomKey *room;
	TimestampTz round_start;
	Deadline until;
	bool waited = false;	/* in this round */
	bool timed_out = false; /* this is the last round */
	int rounds_without_wait = 0;
};
static_assert(std::is_trivially_destructible_v<RoomWaits>);

/* Calls attempt(&waits) round by round until it returns a value, and returns that. */
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
