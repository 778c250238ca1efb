/*
 * assign.hpp: a room's first assignment.
 */
#pragma once

#include "placement/candidates.hpp"

namespace gxy
{

/* Which row of a room there is by now, or may yet be: find() can miss one, this cannot. */
Assignments::Probe probe_now(const Assignments &assignments, const RoomKey &room);

/*
 * One attempt to place a room that had no row; nullptr if somebody else was there first, after waiting for him. Raises
 * what get_or_assign() (rooms/lease.hpp) does.
 */
text *place(const PlacementRequest &request);

} // namespace gxy
