/*
 * assignment.cpp: makes rooms' ids and rows of room_server_assignments from what the server gives.
 */
#include "tables/assignment.hpp"

#include "pg/row.hpp"
#include "tables/columns.hpp"

namespace gxy
{

Found
found_in(HeapTuple tuple, const Assignment &row)
{
	Found found;

	found.tid = tuple->t_self;
	found.server = text_of(row.server);
	found.assigned_at = row.assigned_at;
	found.leased_from = row.leased_from();
	found.expected_users = row.expected_users;
	found.reported_users = row.reported_users;
	found.inserter = first_inserter(tuple);
	return found;
}

void
RoomKey::set(std::string_view id)
{
	if (id.size() > max_name_length)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("room is too long"),
						errdetail("It has %zu bytes.", id.size()),
						errhint("A room's id is text of 1 to %d bytes.", max_name_length)));
	length = static_cast<int>(id.size());
	copy_bytes(id, datum.bytes);
	finish();
}

void
RoomKey::set(std::int64_t id)
{
	length = pg_lltoa(id, datum.bytes);
	finish();
}

void
RoomKey::finish()
{
	SET_VARSIZE(&datum, VARHDRSZ + length);
	hashed = name_hash(view());
}

Assignment
copy_of(const Assignment &row)
{
	Assignment copy = row;

	copy.room = copy_of(row.room);
	copy.server = copy_of(row.server);
	copy.region = copy_of(row.region);
	copy.reason = copy_of(row.reason);
	return copy;
}

Assignment
assignment_of(HeapTuple tuple, TupleDesc descriptor)
{
	TupleRow row(tuple, descriptor);

	return Assignment{.room = row.text(assignments_room).value_or(""),
					  .server = row.text(assignments_server).value_or(""),
					  .region = row.text(assignments_region).value_or(""),
					  .reason = row.text(assignments_reason).value_or(""),
					  .assigned_at = row.time(assignments_assigned_at).value_or(DT_NOBEGIN),
					  .last_used_at = row.time(assignments_last_used_at).value_or(DT_NOBEGIN),
					  .expected_users = row.integer(assignments_expected_users),
					  .reported_users = row.integer(assignments_reported_users)};
}

} // namespace gxy
