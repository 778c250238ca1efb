/*
 * assignments_insert.hpp: writing a new row of room_server_assignments.
 */
#pragma once

#include "pg/new_rows.hpp"
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

	/* False if another row of the room was there, or got in at the same moment. Raises the error of a constraint. */
	bool insert(const RoomKey &room, const Assignment &row);
	void finish();

private:
	EState *estate = nullptr;
	ResultRelInfo *target = nullptr;
	TupleTableSlot *slot = nullptr;
	DefaultRow defaults = {};
};

} // namespace gxy
