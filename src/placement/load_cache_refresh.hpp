/*
 * load_cache_refresh.hpp: keeps the board's count fresh, and the board comparable with the tables.
 */
#pragma once

#include "placement/candidates.hpp"

namespace gxy
{

/* What a count for this pool and these settings rests on. */
Basis basis_of(const Pool &pool, const Rules &rules);

/* Where the servers of a pool are on the board; nullptr if one has no place. */
int *places_of(Board *board, const Pool &pool);

/* Which server has claimed the rooms of each, for hand_over_claimed(). */
const int *claims_in_force(const Pool &pool, TimestampTz now);

/*
 * The board, if this transaction may place rooms by it: counts anew if that is due and nobody else does. Raises what
 * reading the sessions does. nullptr: count for the room, for
 * that reason.
 */
Board *fresh_board(const PlacementRequest &request, const PlacementInput &input,
				   const Assignments &assignments, Counted *reason);

} // namespace gxy
