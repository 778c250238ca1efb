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
 * Moves one room, occupied or not. Returns the server it is on afterwards, nullptr if it has no assignment. Waits for
 * other transactions that have locked the row. Raises 42704 for a server that is not in the pool, 55000 for one that is offline.
 */
text *move_room(const RoomKey &room, std::string_view server);

/*
 * Moves the rooms of a server, largest first, at most max_rooms of them: to the target, or where the policy sends each if
 * that is empty. Without max_rooms an online server is set draining first. Returns how many rooms were moved; rooms that
 * other transactions have locked are left to another call. Raises 53000 if no other server is online.
 */
std::int64_t evacuate(std::string_view server, std::string_view target,
					  std::optional<int> max_rooms);

} // namespace gxy
