/*
 * assign.hpp: a room's first assignment.
 */
#pragma once

#include "placement/candidates.hpp"
#include "tables/placement_locks.hpp"

namespace gxy
{

/*
 * Which row of a room there is, or may yet be, everything included that this transaction has done so far, also in the
 * statement that calls. find() can miss a row, this cannot.
 */
Assignments::Probe probe_now(const Assignments &assignments, const RoomKey &room);

/*
 * Places a room that had no row, and returns its server; nullptr if another transaction came first, after waiting for
 * it, or if the deadline came first. Raises what get_or_assign() (rooms/lease.hpp) does.
 */
text *place(const PlacementRequest &request, RoomWaits *waits);

} // namespace gxy
