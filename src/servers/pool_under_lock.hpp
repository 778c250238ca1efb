/*
 * pool_under_lock.hpp: takes the placement lock together with a current copy of the pool.
 *
 * A row gets its server under the placement lock, in either mode, by a copy of the pool that was
 * current after the lock was granted. A transaction that removes a server holds the lock
 * exclusively from its last check of the rooms until its commit is visible (server_removal.cpp). So
 * no room is committed on a removed server, and no server with rooms is removed.
 */
#pragma once

#include "pg/compat.hpp"
#include "pg/lock_timeout.hpp"
#include "servers/pool.hpp"
#include "tables/assignments.hpp"

namespace gxy
{

/*
 * Waits for the placement lock. Returns false, without the lock, if the servers differ from this
 * copy of the pool: then the caller must decide again. Raises 55P03, naming the room, at the
 * deadline.
 */
bool lock_placement_with(const Pool &known, const RoomKey &room, LOCKMODE mode, Deadline deadline);

/*
 * The same without waiting. Also returns false if another transaction holds the lock or has locked
 * one of the pool's tables.
 */
bool try_lock_placement_with(const Pool &known, LOCKMODE mode);

} // namespace gxy
