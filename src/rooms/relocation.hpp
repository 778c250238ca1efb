/*
 * relocation.hpp: moves assigned rooms to another server.
 */
#pragma once

#include "application/session_index.hpp"
#include "pg/array.hpp"
#include "pg/compat.hpp"
#include "pg/heap_access.hpp"
#include "pg/lock_timeout.hpp"
#include "placement/candidates.hpp"
#include "placement/planned_moves.hpp"
#include "policy/placement_policy.hpp"
#include "rooms/move_events.hpp"
#include "servers/pool.hpp"
#include "tables/assignments.hpp"

namespace gxy
{

struct MoveResult
{
	std::int64_t rooms = 0;
	Array<RoomMove> moves;	 /* of these rooms, for listeners: the caller announces them */
	std::int64_t absent = 0; /* rooms that stay: they do not exist where they could go */
	bool busy = false;		 /* other transactions have locked some rooms */
	bool stuck = false;		 /* no server could take some rooms */
	bool more = false;		 /* the limit or the end was reached */
};

/* The most rooms that are moved while the placement lock is held once. */
inline constexpr int move_batch = 500;

/*
 * Sorts rooms in place by leaves_before(): the order that leaves the other servers evenly loaded.
 */
void sort_for_moving(Assignment *rooms, int count, const Pool &pool,
					 const SessionIndex &session_index, const Rules &rules, TimestampTz now);

/* Where rooms are moved, and why. */
struct MoveTarget
{
	std::string_view target = {}; /* empty: the policy chooses for each room */
	const char *why;			  /* one of rooms/move_events.hpp */
	/*
	 * Returns whether the room may still go to the target, by the pool as it is after a wait. If
	 * false the move ends; the function may raise an error instead. Not called if the policy
	 * chooses.
	 */
	bool (*still_open)(const Pool &pool, const Assignment &room, std::string_view target) = nullptr;
	/* Attached rooms that cannot be read stop the move. Otherwise rooms then exist everywhere. */
	bool needs_rooms = false;
	/* After this time no other batch begins once a room has moved; MoveResult::more tells so. */
	std::optional<Deadline> end = std::nullopt;
};

/*
 * Moves that are planned instead of done. The functions that move rooms then take the decisions
 * that they would take, by the plan's input and as if the moves planned so far were done, but take
 * no placement lock and write nothing.
 */
struct MovePlan
{
	PlacementInput input; /* its pool may be one that does not exist */
	PlannedMoves moves;
};
static_assert(std::is_trivially_destructible_v<MovePlan>);

/*
 * Moves rooms. Skips a room that is no longer on the server that its row named, and one whose row
 * another transaction has locked. If the policy chooses, each batch of the array is sorted in
 * place. If there is a plan, adds the moves to it.
 */
MoveResult move_rooms(Assignments *assignments, Array<Assignment> rooms,
					  const MoveTarget &destination, Deadline deadline, MovePlan *plan = nullptr);

/*
 * Moves one room, or adds the move to the plan if there is one. The caller holds the placement
 * lock, unless it only plans. Returns outdated if the room is no longer on the server that its row
 * named, busy if another transaction has locked the row. why: as in MoveTarget.
 */
Change move_or_plan(Assignments *assignments, const Assignment &row, std::string_view to,
					const char *why, MovePlan *plan);

/* Sets the expected users of a room that is moved to those it has now, at least 1. */
void expect_current_users(PlacementInput *input, const Assignment &row, TimestampTz now);

/*
 * Moves a room to another server, if its row is still the version that was found and no other
 * transaction has locked it. The caller holds the placement lock (pool_under_lock.hpp).
 */
Change relocate_row(Assignments *assignments, Found *found, std::string_view server,
					const char *reason);

/*
 * Returns the text that a failover or a move writes as the row's reason, such as "failover from
 * gxy3"; palloc'd.
 */
const char *reason_of_move(const char *why, std::string_view from);

} // namespace gxy
