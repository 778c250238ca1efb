/*
 * operator_actions.hpp: what an operator has done to rooms.
 */
#pragma once

#include "rooms/lease.hpp"

namespace gxy
{

/*
 * Sends the room to a server when it is next assigned; an occupied room is not moved. Where it is now, nullptr if it has
 * no assignment. Raises 42704 for a server that is not in the pool.
 */
text *pin_room(const RoomKey &room, std::string_view server, std::optional<int> expected_users);

/* False if the room was not pinned. */
bool unpin_room(const RoomKey &room);

/*
 * Moves one room, occupied or not; the server it was on, nullptr if it has no assignment. Waits for whoever has the row
 * in hand. Raises 42704 for a server that is not in the pool, 55000 for one that is offline.
 */
text *move_room(const RoomKey &room, std::string_view server);

/*
 * Drains a server and moves its rooms, smallest first, at most max_rooms of them: to the target, or where the policy
 * sends each if that is empty. How many were moved; rooms that others have in hand are left to another call. Raises
 * 53000 if no other server is online.
 */
std::int64_t evacuate(std::string_view server, std::string_view target,
					  std::optional<int> max_rooms);

} // namespace gxy
