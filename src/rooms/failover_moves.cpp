/*
 * failover_moves.cpp: moves the rooms of servers whose failover is due, and notes it in balancer_failovers.
 *
 * Run by the background worker, one transaction a batch. Callers move the rooms they ask for by themselves (lease.cpp),
 * to the same servers.
 */
#include "rooms/failover_moves.hpp"

#include "tables/catalog.hpp"
#include "tables/notification.hpp"
#include "tables/owner_sql.hpp"

namespace gxy
{
namespace
{

/* The rooms of failed servers whose time has come. */
struct Due
{
	Array<Assignment> rooms_to_move;
	std::int64_t *rooms; /* by server: rooms that its failover has moved so far */
	std::int64_t *left;	 /* by server: rooms still on it */
	bool more = false;
};

bool
has_claim_in_force(const Pool &pool, TimestampTz now)
{
	return std::any_of(pool.servers.begin(), pool.servers.end(), [&](const PoolServer &server) {
		return pool.locate(server.name, DT_NOEND, now).moved;
	});
}

/* "failover from gxy3": the server whose failover brought a room where it is. */
int
origin_of(const Pool &pool, const Assignment &row)
{
	constexpr std::string_view prefix = "failover from ";

	if (!row.reason.starts_with(prefix))
		return -1;

	int server = pool.find(row.reason.substr(prefix.size()));

	if (server < 0 || !pool.servers[server].failover.active ||
		row.assigned_at < pool.servers[server].failover.declared_at)
		return -1;
	return server;
}

Due
find_due(const Assignments &assignments, const Pool &pool, Destination destination, int limit,
		 TimestampTz now)
{
	Size size = sizeof(std::int64_t) * static_cast<Size>(pool.servers.count + 1);
	Due due;
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());

	due.rooms = static_cast<std::int64_t *>(palloc0(size));
	due.left = static_cast<std::int64_t *>(palloc0(size));
	assignments.for_each_row(snapshot, [&](const Assignment &row, ItemPointer) {
		RoomLocation where = pool.locate(row.server, row.assigned_at, now);
		int named = pool.find(row.server);
		int origin = origin_of(pool, row);

		if (origin >= 0)
			due.rooms[origin]++;
		/* Half of a restored dump may be there: no pool yet, but rooms. */
		bool stranded = where.stranded && (named >= 0 || pool.written);

		if (destination == Destination::standby ? !where.moved : !stranded)
			return;
		if (named >= 0)
			due.left[named]++;
		if (due.rooms_to_move.count >= limit)
		{
			due.more = true;
			return;
		}
		due.rooms_to_move.push(copy_of(row));
	});
	UnregisterSnapshot(snapshot);
	return due;
}

/*
 * Locks the failover's row, so that the server does not recover, and the rooms are not redirected, half-way; false if
 * another transaction has locked it, or it is not as it was any more.
 */
bool
hold_failover(const PoolServer &server, Deadline deadline)
{
	return !ask_as_owner(&Relations::failovers, deadline,
						 "SELECT 'held' FROM %s WHERE from_server = $1 AND declared_at = $2 AND "
						 "to_server IS NOT DISTINCT FROM $3 AND recovered_at IS NULL "
						 "FOR UPDATE SKIP LOCKED",
						 {Argument::of(server.name), Argument::of_time(server.failover.declared_at),
						  Argument::of_name(server.failover.target)})
				.empty();
}

/* Whether a room's server has failed and the target has claimed its rooms, as before. */
bool
is_still_claimed(const Pool &pool, const Assignment &room, std::string_view target)
{
	RoomLocation where = pool.locate(room.server, room.assigned_at, GetCurrentTimestamp());

	return where.moved && pool.servers[where.server].name == target;
}

void
note_progress(const PoolServer &server, std::int64_t rooms, bool finished, Deadline deadline)
{
	const Failover &failover = server.failover;
	bool finishes = finished && failover.pending;
	std::string_view outcome = failover.standby >= 0 ? "moved" : "spread";

	(void) run_as_owner(
		&Relations::failovers, deadline,
		"UPDATE %s SET rooms = greatest(rooms, $3), outcome = CASE WHEN $4 THEN $5 ELSE outcome "
		"END, "
		"finished_at = CASE WHEN $4 THEN $6 ELSE finished_at END "
		"WHERE from_server OPERATOR(pg_catalog.=) $1 AND declared_at OPERATOR(pg_catalog.=) $2",
		{Argument::of(server.name), Argument::of_time(failover.declared_at), Argument::of(rooms),
		 Argument::of(finishes), Argument::of(outcome), Argument::of_time(GetCurrentTimestamp())});
	if (finishes)
		Notification("failover_finished", deadline)
			.add("server", server.name)
			.add_name("target", failover.target)
			.add("rooms", rooms)
			.send();
}

/* The rooms that were on one server, out of several servers' rooms. */
Array<Assignment>
rooms_of(const Array<Assignment> &rooms, std::string_view server)
{
	Array<Assignment> found;

	for (const Assignment &room : rooms)
		if (room.server == server)
			found.push(room);
	return found;
}

void
add(MoveResult *sum, const MoveResult &part)
{
	sum->rooms += part.rooms;
	sum->busy = sum->busy || part.busy;
	sum->stuck = sum->stuck || part.stuck;
}

/* target: empty for the policy. */
MoveResult
carry_out_one(Assignments *assignments, const PoolServer &server, std::string_view target,
			  const Due &due, int index, Deadline deadline)
{
	MoveResult moved;

	if (server.failover.active && !hold_failover(server, deadline))
	{
		moved.busy = true;
		return moved;
	}
	moved = move_rooms(assignments, rooms_of(due.rooms_to_move, server.name),
					   Way{.target = target, .why = "failover", .still_open = is_still_claimed},
					   deadline);
	/* Some have been freed or moved by others meanwhile: the next look tells. */
	moved.busy = moved.busy || (moved.rooms < due.left[index] && !moved.stuck && !due.more);
	if (server.failover.active && (server.failover.pending || moved.rooms > 0))
		note_progress(server, due.rooms[index] + moved.rooms, moved.rooms >= due.left[index],
					  deadline);
	return moved;
}

} // namespace

TimestampTz
next_failover(const Pool &pool, TimestampTz now)
{
	TimestampTz next = 0;

	for (const PoolServer &server : pool.servers)
		if (server.failover.active && server.failover.pending && server.failover.due_at > now &&
			(next == 0 || server.failover.due_at < next))
			next = server.failover.due_at;
	return next;
}

MoveResult
carry_out_failovers(Destination destination, int limit, TimestampTz now, Deadline deadline)
{
	const Pool &current = pool(deadline);

	/* Nearly always: then nobody need look through the rooms. */
	if (destination == Destination::standby && !has_claim_in_force(current, now))
		return MoveResult();

	Assignments assignments = open_assignments(RowExclusiveLock, deadline);
	Due due = find_due(assignments, current, destination, limit, now);
	Array<Assignment> outside;
	MoveResult moved;

	for (int i = 0; i < current.servers.count; i++)
	{
		const PoolServer &server = current.servers[i];
		RoomLocation where = current.locate(server.name, DT_NOEND, now);
		bool ours = destination == Destination::standby ? where.moved : where.stranded;

		if ((ours && server.failover.pending) || due.left[i] > 0)
			add(&moved, carry_out_one(&assignments, server,
									  where.moved ? server.failover.target : std::string_view(),
									  due, i, deadline));
	}
	for (const Assignment &room : due.rooms_to_move)
		if (current.find(room.server) < 0)
			outside.push(room);
	add(&moved, move_rooms(&assignments, outside, Way{.why = "failover"}, deadline));
	assignments.close();
	/* Behind those that have nowhere to go are none that have. */
	moved.more = due.more && moved.rooms > 0;
	return moved;
}

} // namespace gxy
