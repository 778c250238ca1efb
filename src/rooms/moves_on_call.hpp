/*
 * moves_on_call.hpp: moves the room of a failed server for the call that asks for it.
 */
#pragma once

#include "pg/heap_access.hpp"
#include "pg/lock_timeout.hpp"
#include "servers/pool.hpp"
#include "tables/assignments.hpp"

namespace gxy
{

/*
 * Rewrites the row of a room that a standby has claimed, so that it names the standby. Waits for no
 * other transaction. Returns busy if one has locked the row, or a table that the move needs.
 */
Change move_to_claimant(Assignments *assignments, const RoomKey &room, Found *found,
						const Pool &pool, std::string_view standby, Deadline deadline);

/*
 * Moves a stranded room to a server that the policy chooses, unless it has moved since it was read.
 * Returns true if the call is to look up the room again; false if the room stays, because another
 * transaction has locked its row or no server can take it.
 */
bool reassign(const RoomKey &room, std::string_view from, Deadline deadline);

} // namespace gxy
