/*
 * pool_under_lock.cpp: takes the placement lock and checks the pool again.
 *
 * A copy that is out of date is not read again under the lock, because that might wait for a lock
 * on a table; the placement lock is released first. If only pins, sources or reports have changed,
 * the older copy is still used.
 */
#include "servers/pool_under_lock.hpp"

#include "tables/locks.hpp"
#include "tables/placement_locks.hpp"

namespace gxy
{

bool
lock_placement_with(const Pool &known, const RoomKey &room, LOCKMODE mode, Deadline deadline)
{
	std::uint64_t compared = known.number;

	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		wait_for_placement_lock(room, mode, deadline);
		if (is_current_pool(compared))
			return true;
		release_placement_lock(mode);
		if (deadline.passed())
			raise_timeout(room);

		const Pool &current = pool(deadline);

		if (current.servers_digest != known.servers_digest)
			return false;
		compared = current.number;
	}
}

bool
try_lock_placement_with(const Pool &known, LOCKMODE mode)
{
	const Pool *current = pool_without_waiting();

	if (current == nullptr || current->servers_digest != known.servers_digest ||
		!try_placement_lock(mode))
		return false;
	if (is_current_pool(current->number))
		return true;
	release_placement_lock(mode);
	return false;
}

} // namespace gxy
