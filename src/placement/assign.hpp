/*
 * assign.hpp: the first assignment of a room.
 */
#pragma once

#include "pg/compat.hpp"
#include "placement/candidates.hpp"
#include "tables/assignments.hpp"
#include "tables/placement_locks.hpp"

namespace gxy
{

/*
 * Returns what row a room has, or may get from a transaction in progress. Sees all changes of this
 * transaction, also those of the calling statement. Unlike find(), it never misses a row.
 */
Assignments::Probe probe_now(const Assignments &assignments, const RoomKey &room);

/*
 * Places a room that had no row, and returns its server. Returns nullptr if another transaction has
 * inserted a row first, after waiting for it, or if the deadline has passed. Raises the errors of
 * get_or_assign() (rooms/lease.hpp).
 */
text *place(const PlacementRequest &request, RoomWaits *waits);

} // namespace gxy
