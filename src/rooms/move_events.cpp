/*
 * move_events.cpp: the notifications that name the rooms that have moved.
 *
 * A service that forwards them can tell the clients of a room at once where to reconnect. The
 * worker and operators send them in the transaction that moves the rooms. Calls for rooms do not,
 * because a NOTIFY serialises commits and forbids PREPARE TRANSACTION. They insert a row into
 * _moved_on_call instead. The worker sends the notifications of the rows that are committed, and
 * deletes them in the same transaction, so each is sent once.
 */
#include "rooms/move_events.hpp"

#include "pg/compat.hpp"
#include "pg/heap_access.hpp"
#include "pg/row.hpp"
#include "shared/status.hpp"
#include "tables/catalog.hpp"
#include "tables/columns.hpp"
#include "tables/notification.hpp"
#include "tables/owner_sql.hpp"

namespace gxy
{
namespace
{

/* The rows of _moved_on_call that one transaction announces. */
struct MovesOnCall
{
	Array<ItemPointerData> tids;
	Array<RoomMove> moves;
	bool more = false;
};

MovesOnCall
read_moves_on_call(Relation table, int limit)
{
	MovesOnCall read;
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());

	for_each_visible_tuple(table, true, snapshot, [&](HeapTuple tuple) {
		if (read.moves.count == limit)
		{
			read.more = true;
			return;
		}

		TupleRow row(tuple, RelationGetDescr(table));

		read.tids.push(tuple->t_self);
		read.moves.push({.room = copy_of(row.text(moved_on_call_room).value_or("")),
						 .from = copy_of(row.text(moved_on_call_from).value_or("")),
						 .to = copy_of(row.text(moved_on_call_to).value_or(""))});
	});
	UnregisterSnapshot(snapshot);
	return read;
}

} // namespace

void
announce_moves(Array<RoomMove> moves, const char *why, Deadline deadline)
{
	std::sort(moves.begin(), moves.end(), [](const RoomMove &a, const RoomMove &b) {
		return a.from != b.from ? a.from < b.from : a.to != b.to ? a.to < b.to : a.room < b.room;
	});
	for (int next = 0; next < moves.count;)
	{
		const RoomMove &first = moves[next];
		Notification notification("rooms_moved", deadline);

		CHECK_FOR_INTERRUPTS();
		notification.add("server", first.from)
			.add("target", first.to)
			.add("why", std::string_view(why))
			.add_list("rooms");
		while (next < moves.count && moves[next].from == first.from && moves[next].to == first.to &&
			   notification.append(moves[next].room))
			next++;
		notification.send();
	}
}

bool
may_leave_to_worker()
{
	return try_lock_table(&Relations::moved_on_call, RowExclusiveLock);
}

void
leave_to_worker(const RoomMove &move, Deadline deadline)
{
	(void) run_as_owner(&Relations::moved_on_call, deadline,
						"INSERT INTO %s (room_id, from_server, to_server) VALUES ($1, $2, $3)",
						{Argument::of(move.room), Argument::of(move.from), Argument::of(move.to)});
	request_announcement_at_commit();
}

bool
announce_moves_on_call(int limit, Deadline deadline)
{
	/* Failovers must not wait for a session that has locked the table. */
	if (!may_leave_to_worker())
		return false;

	Relation table = table_open(relations().moved_on_call, NoLock);
	MovesOnCall read = read_moves_on_call(table, limit);
	Array<RoomMove> moves;

	/* A row that a user has locked is left for the next run. */
	for (int i = 0; i < read.moves.count; i++)
		if (delete_row(table, &read.tids[i], false) == Change::done)
			moves.push(read.moves[i]);
	table_close(table, NoLock);
	announce_moves(moves, why_failover, deadline);
	return read.more && moves.count > 0;
}

} // namespace gxy
