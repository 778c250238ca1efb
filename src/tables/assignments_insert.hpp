/*
 * assignments_insert.hpp: inserts a row into room_server_assignments.
 */
#pragma once

#include "pg/compat.hpp"
#include "pg/new_rows.hpp"
#include "tables/assignments.hpp"

namespace gxy
{

/*
 * An insertion prepared in advance. insert() runs under the placement lock, so it opens nothing and
 * waits for no other transaction.
 */
class Insertion
{
public:
	static Insertion prepare(const Assignments &assignments);

	/*
	 * Returns false if the room has another row, or gets one at the same moment. Raises the error
	 * of a violated constraint.
	 */
	bool insert(const RoomKey &room, const Assignment &row);
	void finish();

private:
	EState *estate = nullptr;
	ResultRelInfo *target = nullptr;
	TupleTableSlot *slot = nullptr;
	DefaultRow defaults = {};
};

} // namespace gxy
