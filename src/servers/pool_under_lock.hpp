/*
 * pool_under_lock.hpp: the placement lock together with a pool that is current.
 *
 * A row gets its server under the placement lock, in whichever mode, and by a copy of the pool that was current once the
 * lock was held. A transaction that removes a server holds the lock exclusively from its last look at the rooms until its
 * commit is visible (server_removal.cpp). So no room is committed onto a server that has been removed, and no server is
 * removed that has rooms.
 */
#pragma once

#include "servers/pool.hpp"
#include "tables/placement_locks.hpp"

namespace gxy
{

/*
 * Waits for the placement lock. False, without the lock: the servers are not as in this copy of the pool any more, so what
 * was decided by it has to be decided again. Raises 55P03, in the name of the room, at the deadline.
 */
bool lock_placement_with(const Pool &known, const RoomKey &room, LOCKMODE mode, Deadline deadline);

/* The same without waiting: false, too, if another transaction holds the lock, or one of the pool's tables. */
bool try_lock_placement_with(const Pool &known, LOCKMODE mode);

} // namespace gxy
