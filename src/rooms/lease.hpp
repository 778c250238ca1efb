/*
 * lease.hpp: an assignment's life, from the first call for a room to its release.
 */
#pragma once

#include "placement/candidates.hpp"

namespace gxy
{

/*
 * The server of a room, assigning one if it has none. expected_users: at least 1. Raises 25006 when a server would
 * have to be assigned in a read-only transaction, 53000, 53400, 55P03, P0002 or 55000 as the manual has them.
 */
text *get_or_assign(const RoomKey &room, std::string_view region,
					std::optional<int> expected_users);

/* Renews the lease of a room; false if it has none. users: how many are in it, where no sessions are attached. */
bool touch(const RoomKey &room, std::optional<int> users);

/* Frees a room at once; false if it has no assignment. */
bool release(const RoomKey &room);

/* Whether a room has a row for certain, after find() missed it. */
bool is_assigned(const Assignments &assignments, const RoomKey &room);

/* The server of a room as the active snapshot sees it; nullptr if it has none. */
text *look_up(const RoomKey &room);

} // namespace gxy
