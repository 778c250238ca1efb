/*
 * assignment.hpp: a row of room_server_assignments, and the id of its room.
 */
#pragma once

#include "pg/compat.hpp"
#include "pg/settings.hpp"

namespace gxy
{

/* A room's id as the tables store it: 1 to 255 bytes of text. Lives on the stack. */
class RoomKey
{
public:
	void set(std::string_view id);
	void set(std::int64_t id);

	std::string_view view() const { return {datum.bytes, static_cast<std::size_t>(length)}; }
	Datum as_datum() const { return PointerGetDatum(&datum); }
	std::uint64_t hash() const { return hashed; } /* name_hash() */

private:
	void finish();

	int length = 0;
	std::uint64_t hashed = 0;
	/* A text value with a four-byte header. */
	struct
	{
		std::int32_t header;
		char bytes[max_name_length + 1];
	} datum;
};

/* A row of the table. Its text points into palloc'd memory, or during a scan into the page. */
struct Assignment
{
	std::string_view room;
	std::string_view server;
	std::string_view region; /* empty: none */
	std::string_view reason; /* empty: none */
	TimestampTz assigned_at = 0;
	TimestampTz last_used_at = 0;
	std::optional<int> expected_users;
	std::optional<int> reported_users;

	/* The application's own statements may set either time, so the later one counts. */
	TimestampTz leased_from() const { return std::max(assigned_at, last_used_at); }
};

/* Returns a copy whose text is palloc'd. */
Assignment copy_of(const Assignment &row);

/* The committed row of a room, as a sticky call needs it. */
struct Found
{
	ItemPointerData tid;
	text *server = nullptr; /* palloc'd */
	TimestampTz assigned_at = 0;
	TimestampTz leased_from = 0;
	std::optional<int> expected_users;
	std::optional<int> reported_users;
	/* invalid if this is not the first version of the row */
	TransactionId inserter = InvalidTransactionId;
	/*
	 * The transaction that is deleting the row, or has just deleted it; only find_with_deleter()
	 * sets it.
	 */
	TransactionId deleter = InvalidTransactionId;
};

/*
 * Returns the transaction that inserted a row, if this is its first version; invalid for a later
 * version.
 */
inline TransactionId
first_inserter(HeapTuple tuple)
{
	return tuple->t_data->t_infomask & HEAP_UPDATED ? InvalidTransactionId
													: HeapTupleHeaderGetXmin(tuple->t_data);
}

/*
 * Returns the row that a tuple holds; its text points into the tuple. NULL in a NOT NULL column,
 * which only a trigger can produce, reads as an empty name or as a time in the distant past.
 */
Assignment assignment_of(HeapTuple tuple, TupleDesc descriptor);

/* Makes a Found of a tuple and the row in it. The tuple's page is pinned. */
Found found_in(HeapTuple tuple, const Assignment &row);

} // namespace gxy
