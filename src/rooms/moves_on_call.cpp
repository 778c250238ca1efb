/*
 * moves_on_call.cpp: moves the room of a failed server for the call that asks for it.
 *
 * The worker moves the rooms that are not called for, to the same place (failover_moves.cpp), and
 * tells listeners of those that calls have moved (move_events.cpp).
 */
#include "rooms/moves_on_call.hpp"

#include "pg/array.hpp"
#include "pg/compat.hpp"
#include "pg/debug_delay.hpp"
#include "rooms/move_events.hpp"
#include "rooms/relocation.hpp"
#include "servers/pool_under_lock.hpp"
#include "tables/catalog.hpp"
#include "tables/locks.hpp"
#include "tables/placement_locks.hpp"

namespace gxy
{

Change
move_to_claimant(Assignments *assignments, const RoomKey &room, Found *found, const Pool &pool,
				 std::string_view standby, Deadline deadline)
{
	std::string_view named = view_of(found->server);

	if (!ConditionalLockRelationOid(RelationGetRelid(assignments->table()), RowExclusiveLock) ||
		!may_leave_to_worker() || !try_lock_placement_with(pool, placing_by_cache))
		return Change::busy;
	debug_pause("claim");

	Change change = relocate_row(assignments, found, standby, reason_of_move(why_failover, named));

	release_placement_lock(placing_by_cache);
	if (change == Change::done)
		leave_to_worker({.room = room.view(), .from = named, .to = standby}, deadline);
	return change;
}

bool
reassign(const RoomKey &room, std::string_view from, Deadline deadline)
{
	if (!ConditionalLockRelationOid(relations().assignments, RowExclusiveLock) ||
		!may_leave_to_worker())
		return false;

	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "gxy_balancer move", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);

	debug_pause("reassign");

	Assignments assignments = open_assignments(RowExclusiveLock, deadline);
	std::optional<Found> found = assignments.find(room);
	std::optional<Assignment> row = found ? assignments.read(&found->tid) : std::nullopt;
	bool look_up_again = true;

	if (row && row->server == from)
	{
		Array<Assignment> rooms;

		rooms.push(*row);

		MoveResult moved =
			move_rooms(&assignments, rooms, MoveTarget{.why = why_failover}, deadline);

		for (const RoomMove &move : moved.moves)
			leave_to_worker(move, deadline);
		look_up_again = !moved.busy && !moved.stuck && moved.absent == 0;
	}
	assignments.close();
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	return look_up_again;
}

} // namespace gxy
