/*
 * operator_actions.hpp: functions by which an operator changes where rooms are.
 */
#pragma once

#include "pg/compat.hpp"
#include "pg/lock_timeout.hpp"
#include "rooms/relocation.hpp"
#include "tables/assignments.hpp"

namespace gxy
{

/*
 * Pins a room: its next assignment goes to this server. An occupied room is not moved. Returns the
 * current server of the room, nullptr if it has no assignment. Raises 42704 for a server that is
 * not in the pool.
 */
text *pin_room(const RoomKey &room, std::string_view server, std::optional<int> expected_users);

/* Returns false if the room was not pinned. */
bool unpin_room(const RoomKey &room);

/*
 * Moves one room, occupied or not. Returns the server it is on afterwards, nullptr if it has no
 * assignment. Waits for transactions that have locked the row. Raises 42704 for a server that is
 * not in the pool, 55000 for one that is offline.
 */
text *move_room(const RoomKey &room, std::string_view server);

/*
 * Moves the rooms of a server as evacuate() does, or plans the moves, without setting its state.
 * Needs the table locked ROW EXCLUSIVE, for a plan ACCESS SHARE.
 */
MoveResult evacuate_rooms(Assignments *assignments, std::string_view server,
						  std::string_view target, std::optional<int> max_rooms, Deadline deadline,
						  MovePlan *plan = nullptr);

/*
 * Moves the rooms of a server, largest first, at most max_rooms of them. target: the new server, or
 * empty if the policy chooses for each room. Without max_rooms an online server is set draining
 * first. Returns how many rooms were moved; rooms that other transactions have locked stay. Raises
 * 53000 if no other server is online.
 */
std::int64_t evacuate(std::string_view server, std::string_view target,
					  std::optional<int> max_rooms);

} // namespace gxy
