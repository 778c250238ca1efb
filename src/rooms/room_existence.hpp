/*
 * room_existence.hpp: on which servers assigned rooms exist, for the code that moves them.
 */
#pragma once

#include "application/room_reader.hpp"
#include "pg/compat.hpp"
#include "pg/lock_timeout.hpp"
#include "servers/pool.hpp"
#include "servers/pool_under_lock.hpp"
#include "tables/assignments.hpp"
#include "tables/placement_locks.hpp"

namespace gxy
{

/*
 * Returns on which servers rooms exist: by RoomServersIndex::read() if needs_rooms, else by
 * read_if_readable(), which waits for nothing.
 */
RoomServersIndex servers_of(const Pool &pool, std::span<const Assignment> rooms, bool needs_rooms,
							Deadline deadline);

/*
 * Returns whether a room may go to the target; if target is empty, to any server that is online,
 * other than the row's.
 */
bool has_destination(const Pool &pool, const RoomServersIndex &servers, const Assignment &room,
					 std::string_view target);

/*
 * Returns whether callers of a room are sent where Pool::locate() says. If not, a standby has
 * claimed a room that does not exist on it: then the room is stranded. Reads the attached rooms
 * by RoomServersIndex::read_if_readable().
 */
bool claim_holds(const Pool &pool, const RoomLocation &where, std::string_view room);

/*
 * lock_placement_with() after look(), which reads what the attached rooms say and returns false if
 * they say nothing that matters. After a wait for the lock it looks again, at most twice, because
 * the application may have changed its rooms during the wait.
 */
template <typename F>
bool
lock_placement_after(F look, const Pool &known, const RoomKey &room, LOCKMODE mode,
					 Deadline deadline)
{
	for (int looks = 1; look(); looks++)
	{
		if (try_lock_placement_with(known, mode))
			return true;
		if (!lock_placement_with(known, room, mode, deadline))
			return false;
		if (looks == 3)
			return true;
		release_placement_lock(mode);
	}
	return lock_placement_with(known, room, mode, deadline);
}

} // namespace gxy
