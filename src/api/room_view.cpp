/*
 * room_view.cpp: computes the rows behind balancer_rooms.
 *
 * If the attached sessions cannot be read, the columns that depend on them are NULL and a text
 * column says why.
 */
#include "api/room_view.hpp"

#include "api/result_set.hpp"
#include "application/room_reader.hpp"
#include "application/session_index.hpp"
#include "application/source_query.hpp"
#include "application/source_reader.hpp"
#include "pg/array.hpp"
#include "pg/lock_timeout.hpp"
#include "pg/settings.hpp"
#include "placement/server_load.hpp"
#include "policy/placement_policy.hpp"
#include "rooms/room_existence.hpp"
#include "servers/pool.hpp"
#include "tables/assignments.hpp"
#include "tables/locks.hpp"

namespace gxy
{
namespace
{

/* Returns where those rooms exist that a standby has claimed. */
RoomServersIndex
servers_of_claimed(const Pool &pool, const Array<Assignment> &rooms, TimestampTz now,
				   Deadline deadline)
{
	Array<Assignment> claimed;

	for (const Assignment &room : rooms)
		if (pool.has_failovers && pool.locate(room.server, room.assigned_at, now).moved)
			claimed.push(room);
	return claimed.count > 0 ? servers_of(pool, claimed.span(), false, deadline)
							 : RoomServersIndex();
}

} // namespace

void
report_room_loads(FunctionCallInfo fcinfo)
{
	TimestampTz now = GetCurrentTimestamp();
	Deadline deadline = Deadline::of_call_starting_now();
	const Pool &current = pool(deadline);
	Rules rules = current_rules();
	Array<Assignment> rooms;

	InitMaterializedSRF(fcinfo, 0);

	SessionIndex session_index;
	std::optional<ReadFailure> failure = try_reading([&] {
		session_index =
			SessionIndex::build(current.sessions, SessionColumns::with_servers, now, deadline);
	});
	Assignments assignments = open_assignments(AccessShareLock, deadline);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());

	assignments.for_each_row(
		snapshot, [&rooms](const Assignment &row, ItemPointer) { rooms.push(copy_of(row)); });
	UnregisterSnapshot(snapshot);
	assignments.close();

	Row row(fcinfo);
	RoomServersIndex exist_on = servers_of_claimed(current, rooms, now, deadline);

	for (const Assignment &room : rooms)
	{
		RoomUse use = room_use(room, current, session_index, rules, now);
		const Pin *pin = current.pin_of(room.room);

		RoomLocation where = current.locate(room.server, room.assigned_at, now);
		std::string_view server = room.server;

		if (where.moved && exist_on.of(room.room).include(current.servers[where.server].name))
			server = current.servers[where.server].name;

		row.add(room.room);
		row.add(server);
		row.add_if(use.active_known && !failure, use.active);
		row.add_if(!failure, session_index.users_elsewhere(room.room, server));
		row.add(static_cast<int>(use.expected));
		row.add_optional(pin != nullptr ? pin->server : std::string_view());
		row.add_optional(room.reason);
		row.add(TimestampTzGetDatum(room.assigned_at));
		row.add(TimestampTzGetDatum(room.last_used_at));
		row.add_optional(failure ? in_words(*failure) : "");
		row.put();
	}
}

} // namespace gxy
