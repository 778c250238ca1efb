/*
 * assignments_insert.hpp: writing a new row of room_server_assignments, and the lock under which that is done.
 */
#pragma once

#include "tables/assignments.hpp"

namespace gxy
{

/*
 * An insertion prepared in advance, so that insert() itself, which runs under the placement lock, opens nothing and
 * waits for nobody.
 */
class Insertion
{
public:
	static Insertion prepare(const Assignments &assignments);

	/* False if another row of the room was there, or got in at the same moment. */
	bool insert(const RoomKey &room, const Assignment &row);
	void finish();

private:
	EState *estate = nullptr;
	ResultRelInfo *target = nullptr;
	TupleTableSlot *slot = nullptr;
};

/*
 * The lock under which a server is counted out and reserved. Exact because whoever has it sees every reservation
 * before; harmless because it is given back before the transaction ends and nothing is waited for while it is held. An
 * error gives it back as well. Those who place by the board share it, from their reservation there until the row is
 * written, which is when a count can see it.
 */
constexpr LOCKMODE placing_by_count = ExclusiveLock;
constexpr LOCKMODE placing_by_board = ShareLock;

void acquire_placement_lock(LOCKMODE mode);
bool try_placement_lock(LOCKMODE mode);
void release_placement_lock(LOCKMODE mode);

} // namespace gxy
