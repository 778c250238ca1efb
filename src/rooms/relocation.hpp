/*
 * relocation.hpp: taking assigned rooms to another server.
 */
#pragma once

#include "placement/candidates.hpp"

namespace gxy
{

struct MoveResult
{
	std::int64_t rooms = 0;
	bool busy = false;	/* others had some in hand */
	bool stuck = false; /* there was nowhere to go for some */
	bool more = false;	/* the limit was reached */
};

/* How many rooms at most one hold of the placement lock takes to other servers. */
inline constexpr int move_batch = 500;

/*
 * Sorts rooms in place by leaves_before(): the order that leaves the other servers evenly loaded.
 */
void sort_for_moving(Assignment *rooms, int count, const Pool &pool,
					 const SessionIndex &session_index, const Rules &rules, TimestampTz now);

/* Where rooms are moved, and why. */
struct Way
{
	std::string_view target = {}; /* empty: where the policy sends each */
	const char *why;			  /* "failover", "evacuated" */
	/*
	 * Whether a room may go to the target, by the pool as it is after a wait; false ends the move, and it may raise an
	 * error instead. Not asked for where the policy decides.
	 */
	bool (*still_open)(const Pool &pool, const Assignment &room, std::string_view target) = nullptr;
};

/*
 * Moves rooms; one that has left the server its row named is left alone, and so is one that other transactions have
 * locked. Those that the policy places are sorted, in place, batch by batch.
 */
MoveResult move_rooms(Assignments *assignments, Array<Assignment> rooms, const Way &way,
					  Deadline deadline);

/* How many users a room brings to where it is moved, at least 1. */
void expect_current_users(PlacementInput *input, const Assignment &row, TimestampTz now);

/*
 * Sends the room of a row to another server, if the row is as it was found and no other transaction has locked it. The caller
 * holds the placement lock (pool_under_lock.hpp).
 */
Change relocate_row(Assignments *assignments, Found *found, std::string_view server,
					const char *reason);

/* What a failover or a move writes down as a row's reason; palloc'd. */
const char *reason_of_move(const char *why, std::string_view from);

} // namespace gxy
