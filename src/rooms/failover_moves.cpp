/*
 * failover_moves.cpp: moves the rooms of servers whose failover is due, and writes the progress to
 * balancer_failovers.
 *
 * The background worker runs this, one transaction per batch. A caller of get_or_assign_server()
 * moves the room that it asks for by itself (lease.cpp), to the same server.
 */
#include "rooms/failover_moves.hpp"

#include "application/room_reader.hpp"
#include "pg/array.hpp"
#include "placement/candidates.hpp"
#include "placement/planned_moves.hpp"
#include "rooms/move_events.hpp"
#include "rooms/room_existence.hpp"
#include "servers/failover.hpp"
#include "tables/assignments.hpp"
#include "tables/catalog.hpp"
#include "tables/locks.hpp"
#include "tables/notification.hpp"
#include "tables/owner_sql.hpp"

namespace gxy
{
namespace
{

/* Failovers that one transaction notes the progress of. */
constexpr int most_noted = 500;
/*
 * Milliseconds after which a transaction begins no other batch, so that it commits what it has
 * moved before the run is cancelled (worker/run.cpp).
 */
constexpr int time_to_move = 1000;

/* The rooms whose failover is due. */
struct DueRooms
{
	Array<Assignment> rooms_to_move;
	std::int64_t *rooms; /* by server: rooms that its failover has moved so far */
	std::int64_t *left;	 /* by server: rooms that are still on it */
	/* by server: those of them that wait for another destination, or exist on no server online */
	std::int64_t *held;
	bool more = false;
};

bool
has_claim_in_force(const Pool &pool, TimestampTz now)
{
	return std::any_of(pool.servers.begin(), pool.servers.end(), [&](const PoolServer &server) {
		return pool.locate(server.name, DT_NOEND, now, Viewpoint::worker).moved;
	});
}

/*
 * Returns the server whose failover has moved the room, -1 if none that is active has. Example: the
 * reason "failover from gxy3" gives the index of gxy3.
 */
int
origin_of(const Pool &pool, const Assignment &row)
{
	int server = pool.find(failed_server_of(row));

	if (server < 0 || !pool.servers[server].failover.active ||
		row.assigned_at < pool.servers[server].failover.declared_at)
		return -1;
	return server;
}

/* Where a room whose failover is due goes. */
enum class Way
{
	to_standby,
	by_policy,
	nowhere
};

/* where: by Pool::locate(), moved or stranded. */
Way
way_of(const Pool &pool, const RoomServersIndex &servers, const Assignment &room,
	   const RoomLocation &where)
{
	if (where.moved && servers.of(room.room).include(pool.servers[where.server].name))
		return Way::to_standby;
	return has_destination(pool, servers, room, {}) ? Way::by_policy : Way::nowhere;
}

/*
 * Takes from the rooms whose failover is due, of which rooms is a part, those that go to the
 * destination, at most limit. A room that cannot move is left out, so that it does not take the
 * place of one that can.
 */
void
choose_due(const Pool &pool, Array<Assignment> rooms, Destination destination, int limit,
		   TimestampTz now, Deadline deadline, DueRooms *due)
{
	RoomServersIndex servers = servers_of(pool, rooms.span(), false, deadline);
	Way ours = destination == Destination::standby ? Way::to_standby : Way::by_policy;

	for (const Assignment &room : rooms)
	{
		RoomLocation where = pool.locate(room.server, room.assigned_at, now, Viewpoint::worker);
		int named = pool.find(room.server);

		if (way_of(pool, servers, room, where) != ours)
		{
			if (named >= 0)
				due->held[named]++;
		}
		else if (due->rooms_to_move.count < limit)
			due->rooms_to_move.push(room);
		else
			due->more = true;
	}
}

DueRooms
find_due(const Assignments &assignments, const Pool &pool, Destination destination, int limit,
		 TimestampTz now, Deadline deadline, const MovePlan *plan)
{
	Size size = sizeof(std::int64_t) * static_cast<Size>(pool.servers.count + 1);
	DueRooms due;
	Array<Assignment> rooms;
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());

	due.rooms = static_cast<std::int64_t *>(palloc0(size));
	due.left = static_cast<std::int64_t *>(palloc0(size));
	due.held = static_cast<std::int64_t *>(palloc0(size));

	/* Otherwise every room exists everywhere. */
	bool rooms_differ = !servers_of(pool, {}, false, deadline).is_silent();

	assignments.for_each_row(snapshot, [&](const Assignment &written, ItemPointer) {
		Assignment row = plan != nullptr ? plan->moves.after(written) : written;
		RoomLocation where = pool.locate(row.server, row.assigned_at, now, Viewpoint::worker);
		int named = pool.find(row.server);
		int origin = origin_of(pool, row);

		if (origin >= 0)
			due.rooms[origin]++;
		/*
		 * While a dump is restored there may be rooms but no pool yet: such rooms are not stranded.
		 */
		bool stranded = where.stranded && (named >= 0 || pool.written);

		bool is_due = destination == Destination::standby
						  ? where.moved
						  : stranded || (where.moved && rooms_differ);

		if (!is_due)
			return;
		if (named >= 0)
			due.left[named]++;
		if (rooms_differ || rooms.count < limit)
			rooms.push(copy_of(row));
		else
			due.more = true;
	});
	UnregisterSnapshot(snapshot);
	choose_due(pool, rooms, destination, limit, now, deadline, &due);
	return due;
}

/*
 * Locks the failover's row, so that the server does not recover and the rooms are not redirected
 * during the move. Returns false if another transaction has locked the row, or if the failover has
 * changed.
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

/* Returns true if the room's server is still failed and the target still claims its rooms. */
bool
is_still_claimed(const Pool &pool, const Assignment &room, std::string_view target)
{
	RoomLocation where =
		pool.locate(room.server, room.assigned_at, GetCurrentTimestamp(), Viewpoint::worker);

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

/* Returns those of the rooms whose row names the server. */
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
	sum->more = sum->more || part.more;
}

/* Carries out the failover of one server. target: empty if the policy chooses. */
MoveResult
carry_out_one(Assignments *assignments, const PoolServer &server, std::string_view target,
			  const DueRooms &due, int index, std::optional<Deadline> end, Deadline deadline,
			  MovePlan *plan)
{
	MoveResult moved;

	if (plan == nullptr && server.failover.active && !hold_failover(server, deadline))
	{
		moved.busy = true;
		return moved;
	}

	std::int64_t ours = due.left[index] - due.held[index];

	moved = move_rooms(
		assignments, ours > 0 ? rooms_of(due.rooms_to_move, server.name) : Array<Assignment>(),
		MoveTarget{
			.target = target, .why = why_failover, .still_open = is_still_claimed, .end = end},
		deadline, plan);
	if (plan != nullptr)
		return moved;
	announce_moves(moved.moves, why_failover, deadline);
	/* If other transactions have freed or moved some of the rooms, the next run finds out. */
	moved.busy = moved.busy ||
				 (moved.rooms + moved.absent < ours && !moved.stuck && !due.more && !moved.more);
	if (server.failover.active && (server.failover.pending || moved.rooms > 0))
		note_progress(server, due.rooms[index] + moved.rooms, moved.rooms >= due.left[index],
					  deadline);
	return moved;
}

void
move_outside(Assignments *assignments, const Pool &pool, const DueRooms &due,
			 std::optional<Deadline> end, Deadline deadline, MovePlan *plan, MoveResult *sum)
{
	Array<Assignment> outside;

	for (const Assignment &room : due.rooms_to_move)
		if (pool.find(room.server) < 0)
			outside.push(room);

	MoveResult moved = move_rooms(assignments, outside, MoveTarget{.why = why_failover, .end = end},
								  deadline, plan);

	announce_moves(moved.moves, why_failover, deadline);
	add(sum, moved);
}

/* Carries out the failovers that are due, one by one, until the time for that is over. */
MoveResult
carry_out_each(Assignments *assignments, const Pool &pool, Destination destination,
			   const DueRooms &due, TimestampTz now, Deadline deadline, MovePlan *plan)
{
	std::optional<Deadline> end;
	int noted = 0;
	MoveResult moved;

	/* A plan is to have all moves. */
	if (plan == nullptr)
		end = Deadline::in(time_to_move);
	for (int i = 0; i < pool.servers.count; i++)
	{
		const PoolServer &server = pool.servers[i];
		RoomLocation where = pool.locate(server.name, DT_NOEND, now, Viewpoint::worker);
		bool ours = destination == Destination::standby ? where.moved : where.stranded;

		if (!(ours && server.failover.pending && plan == nullptr) && due.left[i] <= due.held[i])
			continue;

		/* The next transaction then has less to do than this one. */
		bool progress = moved.rooms > 0 || (noted > 0 && !moved.busy && !moved.stuck);

		/* Each failover is noted by a statement, and a run has not much time. */
		if (noted == most_noted || (progress && end && end->passed()))
		{
			moved.more = moved.more || progress;
			return moved;
		}
		noted++;
		add(&moved, carry_out_one(assignments, server,
								  destination == Destination::standby ? server.failover.target
																	  : std::string_view(),
								  due, i, end, deadline, plan));
	}
	move_outside(assignments, pool, due, end, deadline, plan, &moved);
	return moved;
}

} // namespace

TimestampTz
next_failover(const Pool &pool, TimestampTz now)
{
	TimestampTz next = 0;

	for (const PoolServer &server : pool.servers)
		if (server.failover.active && server.failover.pending &&
			!server.failover.counts(now, Viewpoint::worker) &&
			(next == 0 || server.failover.due_at < next))
			next = server.failover.due_at;
	return next;
}

MoveResult
carry_out_failovers(Destination destination, int limit, TimestampTz now, Deadline deadline,
					MovePlan *plan)
{
	const Pool &current = plan != nullptr ? *plan->input.pool : pool(deadline);

	/* The usual case: no failover is in force, so the rooms need not be read. */
	if (destination == Destination::standby && !has_claim_in_force(current, now))
		return MoveResult();

	Assignments assignments =
		open_assignments(plan != nullptr ? AccessShareLock : RowExclusiveLock, deadline);
	DueRooms due = find_due(assignments, current, destination, limit, now, deadline, plan);
	MoveResult moved = carry_out_each(&assignments, current, destination, due, now, deadline, plan);

	assignments.close();
	/* If no room of a full batch could move, the next batch would be the same rooms: stop. */
	moved.more = moved.more || (due.more && moved.rooms > 0);
	return moved;
}

void
plan_due_failovers(MovePlan *plan, TimestampTz at, Deadline deadline)
{
	for (Destination destination : {Destination::standby, Destination::policy})
	{
		MoveResult moved;

		do
		{
			CHECK_FOR_INTERRUPTS();
			moved = carry_out_failovers(destination, failover_batch, at, deadline, plan);
		} while (moved.more && moved.rooms > 0);
	}
}

} // namespace gxy
