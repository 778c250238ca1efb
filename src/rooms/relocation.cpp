/*
 * relocation.cpp: moves rooms off servers that have failed or are to be emptied.
 *
 * Every move is a compare-and-set on the room's row: it succeeds if the row is still the version that was looked at, and
 * waits for nobody. A row that somebody has in hand is passed over; whoever asks for many rooms to be moved asks again.
 * Rooms that the policy spreads are placed under the placement lock, a bounded number at a time, with the loads counted
 * once and kept up to date in memory.
 */
#include "rooms/relocation.hpp"

#include "tables/catalog.hpp"
#include "pg/debug_delay.hpp"
#include "tables/notification.hpp"
#include "servers/server_state.hpp"
#include "shared/load_cache_xact.hpp"
#include "shared/status.hpp"
#include "tables/owner_sql.hpp"

namespace gxy
{
namespace
{

/* A renewal gives the row a new version; a room that keeps changing is somebody else's for now. */
constexpr int attempts = 3;

Change
move_row(Assignments *assignments, const Assignment &row, std::string_view to, const char *why)
{
	RoomKey room;

	room.set(row.room);
	for (int attempt = 0; attempt < attempts; attempt++)
	{
		std::optional<Found> found = assignments->find(room);

		if (!found || view_of(found->server) != row.server)
			return Change::outdated;

		Change change = send_to(assignments, &*found, to, reason_of_move(why, row.server));

		if (change != Change::outdated)
			return change;
	}
	return Change::busy;
}

void
note(Moved *moved, Change change)
{
	moved->rooms += change == Change::done ? 1 : 0;
	moved->busy = moved->busy || change == Change::busy;
}

/* Everything a batch needs, read before the placement lock is taken. */
struct Spread
{
	Prospect prospect;
	Tally tally;
	Server *servers;
};

/* Under the placement lock. */
void
spread_room(Assignments *assignments, Spread *spread, const Assignment &room, const char *why,
			TimestampTz now, Deadline deadline, Moved *moved)
{
	const Pool &pool = *spread->prospect.pool;
	RoomKey key;

	key.set(room.room);

	PlacementRequest request = {.room = &key,
								.region = room.region,
								.expected_users = std::nullopt,
								.now = now,
								.deadline = deadline,
								.leaving = room.server};

	describe_servers(request, spread->prospect, spread->servers);
	for (int i = 0; i < pool.servers.count; i++)
	{
		spread->servers[i].load = spread->tally[i].load(spread->prospect.rules);
		spread->servers[i].rooms = spread->tally[i].rooms;
	}

	expect_what_it_holds(&spread->prospect, room, now);

	std::int64_t load = spread->prospect.expected();
	Decision decision = decide(spread->servers, pool.servers.count, load, spread->prospect.rules);

	if (!is_refuge(decision))
	{
		moved->stuck = true;
		return;
	}

	Change change = move_row(assignments, room, spread->servers[decision.server].name, why);

	if (change == Change::done)
		spread->tally.add(decision.server, load);
	note(moved, change);
}

void
spread_batch(Assignments *assignments, Assignment *rooms, int count, const char *why,
			 Deadline deadline, Moved *moved)
{
	TimestampTz now = GetCurrentTimestamp();
	RoomKey first;
	Spread spread;

	first.set(rooms[0].room);
	spread.prospect = look_ahead_for_move(now, deadline);
	spread.servers = static_cast<Server *>(
		palloc(sizeof(Server) * static_cast<Size>(spread.prospect.pool->servers.count + 1)));
	sort_for_moving(rooms, count, *spread.prospect.pool, spread.prospect.census,
					spread.prospect.rules, now);
	wait_for_placement_lock(first, placing_by_count, deadline);

	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());

	spread.tally = Tally::count(*assignments, *spread.prospect.pool, spread.prospect.census,
								spread.prospect.rules, snapshot, now);
	UnregisterSnapshot(snapshot);
	pause_here();
	for (int i = 0; i < count; i++)
		spread_room(assignments, &spread, rooms[i], why, now, deadline, moved);
	release_placement_lock(placing_by_count);
}

/* The rooms of failed servers whose time has come. */
struct Due
{
	Array<Assignment> travellers;
	std::int64_t *rooms; /* by server: rooms that its failover has moved so far */
	std::int64_t *left;	 /* by server: rooms still on it */
	bool more = false;
};

bool
has_claim_in_force(const Pool &pool, TimestampTz now)
{
	return std::any_of(pool.servers.begin(), pool.servers.end(), [&](const PoolServer &server) {
		return pool.whereabouts(server.name, DT_NOEND, now).moved;
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
		Whereabouts where = pool.whereabouts(row.server, row.assigned_at, now);
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
		if (due.travellers.count >= limit)
		{
			due.more = true;
			return;
		}
		due.travellers.push(copy_of(row));
	});
	UnregisterSnapshot(snapshot);
	return due;
}

/*
 * Has the failover's row for this transaction, so that the server does not recover half-way; false if somebody else has
 * it, or it is over.
 */
bool
hold_failover(const PoolServer &server)
{
	return !ask_as_owner(
				relations().failovers,
				"SELECT 'held' FROM %s WHERE from_server OPERATOR(pg_catalog.=) $1 AND "
				"declared_at OPERATOR(pg_catalog.=) $2 AND recovered_at IS NULL "
				"FOR UPDATE SKIP LOCKED",
				{Argument::of(server.name), Argument::of_time(server.failover.declared_at)})
				.empty();
}

void
note_progress(const PoolServer &server, std::int64_t rooms, bool finished)
{
	const Failover &failover = server.failover;
	bool finishes = finished && failover.pending;
	std::string_view outcome = failover.standby >= 0 ? "moved" : "spread";

	(void) run_as_owner(
		relations().failovers,
		"UPDATE %s SET rooms = greatest(rooms, $3), outcome = CASE WHEN $4 THEN $5 ELSE outcome "
		"END, "
		"finished_at = CASE WHEN $4 THEN $6 ELSE finished_at END "
		"WHERE from_server OPERATOR(pg_catalog.=) $1 AND declared_at OPERATOR(pg_catalog.=) $2",
		{Argument::of(server.name), Argument::of_time(failover.declared_at), Argument::of(rooms),
		 Argument::of(finishes), Argument::of(outcome), Argument::of_time(GetCurrentTimestamp())});
	if (finishes)
		Event("failover_finished")
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
add(Moved *sum, const Moved &part)
{
	sum->rooms += part.rooms;
	sum->busy = sum->busy || part.busy;
	sum->stuck = sum->stuck || part.stuck;
}

/* target: empty for the policy. */
Moved
carry_out_one(Assignments *assignments, const PoolServer &server, std::string_view target,
			  const Due &due, int index, Deadline deadline)
{
	Moved moved;

	if (server.failover.active && !hold_failover(server))
	{
		moved.busy = true;
		return moved;
	}
	moved = move_rooms(assignments, rooms_of(due.travellers, server.name), target, "failover",
					   deadline);
	/* Some have been freed or moved by others meanwhile: the next look tells. */
	moved.busy = moved.busy || (moved.rooms < due.left[index] && !moved.stuck && !due.more);
	if (server.failover.active && (server.failover.pending || moved.rooms > 0))
		note_progress(server, due.rooms[index] + moved.rooms, moved.rooms >= due.left[index]);
	return moved;
}

} // namespace

const char *
reason_of_move(const char *why, std::string_view from)
{
	return psprintf("%s from %s", why, copy_of(from).data());
}

void
expect_what_it_holds(Prospect *prospect, const Assignment &row, TimestampTz now)
{
	RoomUse use = room_use(row, *prospect->pool, prospect->census, prospect->rules, now);

	prospect->expected_from = ExpectedFrom::use;
	prospect->expected_users = static_cast<int>(
		std::clamp<std::int64_t>(room_load(use, prospect->rules), 1, max_expected_users));
}

Change
send_to(Assignments *assignments, Found *found, std::string_view server, const char *reason)
{
	TimestampTz now = GetCurrentTimestamp();
	Rules rules = current_rules();
	Change change = assignments->move(&found->tid, server, reason, now);
	Assignment row;

	if (change != Change::done)
		return change;
	row.assigned_at = found->assigned_at;
	row.expected_users = found->expected_users;
	note_loss(view_of(found->server), burden_of(row, rules, now), found->inserter);
	row.assigned_at = now;
	note_room(server, burden_of(row, rules, now));
	found->leased_from = now;
	count(Counter::moved);
	return change;
}

void
sort_for_moving(Assignment *rooms, int count, const Pool &pool, const Census &census,
				const Rules &rules, TimestampTz now)
{
	struct Leaving
	{
		LeavingRoom order;
		Assignment room;
	};
	Leaving *sorted = static_cast<Leaving *>(palloc(sizeof(Leaving) * static_cast<Size>(count)));

	for (int i = 0; i < count; i++)
		sorted[i] = {
			.order = {.id = rooms[i].room,
					  .load = room_load(room_use(rooms[i], pool, census, rules, now), rules)},
			.room = rooms[i]};
	std::sort(sorted, sorted + count,
			  [](const Leaving &a, const Leaving &b) { return leaves_before(a.order, b.order); });
	for (int i = 0; i < count; i++)
		rooms[i] = sorted[i].room;
	pfree(sorted);
}

Moved
move_rooms(Assignments *assignments, Array<Assignment> rooms, std::string_view target,
		   const char *why, Deadline deadline)
{
	Moved moved;

	for (int next = 0; next < rooms.count; next += move_batch)
	{
		int size = std::min(move_batch, rooms.count - next);

		CHECK_FOR_INTERRUPTS();
		if (target.empty())
		{
			spread_batch(assignments, rooms.items + next, size, why, deadline, &moved);
			continue;
		}
		for (int i = next; i < next + size; i++)
			note(&moved, move_row(assignments, rooms[i], target, why));
	}
	return moved;
}

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

Moved
carry_out_failovers(Destination destination, int limit, TimestampTz now, Deadline deadline)
{
	const Pool &current = pool(deadline);

	/* Nearly always: then nobody need look through the rooms. */
	if (destination == Destination::standby && !has_claim_in_force(current, now))
		return Moved();

	Assignments assignments = open_assignments(RowExclusiveLock, deadline);
	Due due = find_due(assignments, current, destination, limit, now);
	Array<Assignment> outside;
	Moved moved;

	for (int i = 0; i < current.servers.count; i++)
	{
		const PoolServer &server = current.servers[i];
		Whereabouts where = current.whereabouts(server.name, DT_NOEND, now);
		bool ours = destination == Destination::standby ? where.moved : where.stranded;

		if ((ours && server.failover.pending) || due.left[i] > 0)
			add(&moved, carry_out_one(&assignments, server,
									  where.moved ? server.failover.target : std::string_view(),
									  due, i, deadline));
	}
	for (const Assignment &room : due.travellers)
		if (current.find(room.server) < 0)
			outside.push(room);
	add(&moved, move_rooms(&assignments, outside, std::string_view(), "failover", deadline));
	assignments.close();
	/* Behind those that have nowhere to go are none that have. */
	moved.more = due.more && moved.rooms > 0;
	return moved;
}

} // namespace gxy
