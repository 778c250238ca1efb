/*
 * lease.hpp: the life of an assignment, from the first call for a room to its release.
 */
#pragma once

#include "pg/compat.hpp"
#include "tables/assignments.hpp"

namespace gxy
{

/*
 * Returns the server of a room; assigns one if the room has none. expected_users: at least 1.
 * Raises 25006 if a server would have to be assigned in a read-only transaction, and 53000, 53400,
 * 55P03, P0002 or 55000 as the README describes.
 */
text *get_or_assign(const RoomKey &room, std::string_view region,
					std::optional<int> expected_users);

/*
 * Renews the lease of a room. Returns false if the room has no assignment. users: how many users
 * are in it, for installations without attached sessions.
 */
bool touch(const RoomKey &room, std::optional<int> users);

/* Frees a room at once. Returns false if it has no assignment. */
bool release(const RoomKey &room);

/*
 * Returns whether the room has a row. For use after find() returned none, which alone proves
 * nothing.
 */
bool is_assigned(const Assignments &assignments, const RoomKey &room);

/* Returns the server of a room as the active snapshot sees it; nullptr if it has none. */
text *look_up(const RoomKey &room);

} // namespace gxy
