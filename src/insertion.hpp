/*
 * insertion.hpp: writing a new row of room_server_assignments, and the lock under which that is done.
 */
#pragma once

#include "storage.hpp"

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
 * error gives it back as well.
 */
void acquire_placement_lock();
bool try_placement_lock();
void release_placement_lock();

} // namespace gxy
