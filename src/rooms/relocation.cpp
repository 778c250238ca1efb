/*
 * relocation.cpp: moves rooms off servers that have failed or are to be emptied.
 *
 * Every move is a compare-and-set on the room's row: it succeeds if the row is still the version
 * that was read, and waits for no other transaction. A row that another transaction has locked is
 * skipped; the caller may try again later. If the policy chooses the servers, rooms are placed
 * under the placement lock, at most move_batch at a time. The loads are counted once per batch and
 * kept up to date in memory.
 */
#include "rooms/relocation.hpp"

#include "application/room_reader.hpp"
#include "pg/debug_delay.hpp"
#include "pg/settings.hpp"
#include "placement/server_load.hpp"
#include "rooms/load_changes.hpp"
#include "rooms/room_existence.hpp"
#include "shared/databases.hpp"
#include "shared/status.hpp"
#include "tables/placement_locks.hpp"

namespace gxy
{
namespace
{

/*
 * A renewal writes a new version of the row. After this many new versions the room counts as busy.
 */
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
		debug_pause("row to move");

		Change change = relocate_row(assignments, &*found, to, reason_of_move(why, row.server));

		if (change != Change::outdated)
			return change;
	}
	return Change::busy;
}

/*
 * Moves a room, and adds what has become of it to the result. If there is a plan, adds the move to
 * that instead.
 */
Change
move_and_note(Assignments *assignments, const Assignment &row, std::string_view to, const char *why,
			  MovePlan *plan, MoveResult *moved)
{
	Change change = move_or_plan(assignments, row, to, why, plan);

	if (change == Change::done && plan == nullptr)
		moved->moves.push({.room = row.room, .from = row.server, .to = to});
	moved->rooms += change == Change::done ? 1 : 0;
	moved->busy = moved->busy || change == Change::busy;
	return change;
}

/* What a batch needs. The input is read before the placement lock is taken. */
struct Spread
{
	PlacementInput input;
	RoomServersIndex exist_on;
	ServerLoads loads;
	Server *servers;
};

/* Moves one room to the server that the policy chooses. The caller holds the placement lock. */
void
spread_room(Assignments *assignments, Spread *spread, const Assignment &room, const char *why,
			TimestampTz now, Deadline deadline, MovePlan *plan, MoveResult *moved)
{
	const Pool &pool = *spread->input.pool;
	RoomKey key;

	key.set(room.room);

	PlacementRequest request = {.room = &key,
								.region = {},
								.expected_users = std::nullopt,
								.now = now,
								.deadline = deadline,
								.leaving = room.server};

	spread->input.region = room.region;
	spread->input.exists_on = spread->exist_on.of(room.room);
	describe_servers(request, spread->input, spread->servers);
	spread->loads.fill_in(spread->servers, pool.servers.count, spread->input.rules);
	expect_current_users(&spread->input, room, now);

	std::int64_t load = spread->input.expected();
	Decision decision = decide(spread->servers, pool.servers.count, load, spread->input.rules);

	if (!is_acceptable(decision))
	{
		if (spread->input.exists_on.everywhere)
			moved->stuck = true;
		else
			moved->absent++;
		return;
	}

	if (move_and_note(assignments, room, pool.servers[decision.server].name, why, plan, moved) ==
		Change::done)
		spread->loads.add(decision.server, load);
}

/*
 * Sorts the rooms and reads the input by which they are placed. Takes the placement lock, but not
 * for a plan.
 */
void
begin_batch(Spread *spread, std::span<Assignment> rooms, bool needs_rooms, TimestampTz now,
			Deadline deadline, const MovePlan *plan)
{
	RoomKey first;
	PlacementInput *input = &spread->input;
	int count = static_cast<int>(rooms.size());
	auto look = [&] {
		spread->exist_on = servers_of(*input->pool, rooms, needs_rooms, deadline);
		return !spread->exist_on.is_silent();
	};

	first.set(rooms[0].room);
	do
	{
		*input =
			plan != nullptr ? plan->input : gather_input_for_move(pool(deadline), now, deadline);
		sort_for_moving(rooms.data(), count, *input->pool, input->session_index, input->rules, now);
		if (plan != nullptr)
			(void) look();
	} while (plan == nullptr &&
			 !lock_placement_after(look, *input->pool, first, placing_by_count, deadline));
}

void
spread_batch(Assignments *assignments, std::span<Assignment> rooms, const MoveTarget &destination,
			 Deadline deadline, MovePlan *plan, MoveResult *moved)
{
	TimestampTz now = GetCurrentTimestamp();
	Spread spread;

	begin_batch(&spread, rooms, destination.needs_rooms, now, deadline, plan);
	spread.servers = static_cast<Server *>(
		palloc(sizeof(Server) * static_cast<Size>(spread.input.pool->servers.count + 1)));

	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());

	spread.loads = ServerLoads::count(*assignments, *spread.input.pool, spread.input.session_index,
									  spread.input.rules, snapshot, now,
									  plan != nullptr ? &plan->moves : nullptr);
	UnregisterSnapshot(snapshot);
	if (plan == nullptr)
		debug_pause("spread");
	for (const Assignment &room : rooms)
		spread_room(assignments, &spread, room, destination.why, now, deadline, plan, moved);
	if (plan == nullptr)
		release_placement_lock(placing_by_count);
}

/*
 * Takes the placement lock in shared mode. Sets *exist_on to where the rooms exist. Returns false,
 * without the lock, if the target takes no more rooms.
 */
bool
lock_placement_for_move(const MoveTarget &destination, std::span<const Assignment> rooms,
						Deadline deadline, RoomServersIndex *exist_on)
{
	RoomKey key;

	key.set(rooms[0].room);
	for (;;)
	{
		const Pool &current = pool(deadline);
		auto look = [&] {
			*exist_on = servers_of(current, rooms, destination.needs_rooms, deadline);
			return !exist_on->is_silent();
		};

		if (!destination.still_open(current, rooms[0], destination.target))
			return false;
		if (lock_placement_after(look, current, key, placing_by_cache, deadline))
			return true;
	}
}

/* Moves a batch of rooms to the target. Returns false if the target takes no more rooms. */
bool
move_batch_to_target(Assignments *assignments, std::span<const Assignment> rooms,
					 const MoveTarget &destination, Deadline deadline, MovePlan *plan,
					 MoveResult *moved)
{
	RoomServersIndex exist_on;

	if (plan != nullptr)
		exist_on = servers_of(*plan->input.pool, rooms, destination.needs_rooms, deadline);
	else if (!lock_placement_for_move(destination, rooms, deadline, &exist_on))
		return false;
	for (const Assignment &room : rooms)
		if (exist_on.of(room.room).include(destination.target))
			(void) move_and_note(assignments, room, destination.target, destination.why, plan,
								 moved);
		else
			moved->absent++;
	if (plan == nullptr)
		release_placement_lock(placing_by_cache);
	return true;
}

} // namespace

Change
move_or_plan(Assignments *assignments, const Assignment &row, std::string_view to, const char *why,
			 MovePlan *plan)
{
	if (plan == nullptr)
		return move_row(assignments, row, to, why);
	plan->moves.add(row.room, to);
	return Change::done;
}

const char *
reason_of_move(const char *why, std::string_view from)
{
	return psprintf("%s from %s", why, copy_of(from).data());
}

void
expect_current_users(PlacementInput *input, const Assignment &row, TimestampTz now)
{
	RoomUse use = room_use(row, *input->pool, input->session_index, input->rules, now);

	input->expected_from = ExpectedFrom::use;
	input->expected_users = static_cast<int>(
		std::clamp<std::int64_t>(room_load(use, input->rules), 1, max_expected_users));
}

Change
relocate_row(Assignments *assignments, Found *found, std::string_view server, const char *reason)
{
	TimestampTz now = GetCurrentTimestamp();
	Change change = assignments->move(&found->tid, server, reason, now);

	if (change != Change::done)
		return change;
	note_moved(*found, server, now);
	found->leased_from = now;
	count(Counter::moved);
	return change;
}

void
sort_for_moving(Assignment *rooms, int count, const Pool &pool, const SessionIndex &session_index,
				const Rules &rules, TimestampTz now)
{
	struct Leaving
	{
		LeavingRoom order;
		Assignment room;
	};
	Leaving *sorted = static_cast<Leaving *>(palloc(sizeof(Leaving) * static_cast<Size>(count)));

	for (int i = 0; i < count; i++)
		sorted[i] = {.order = {.id = rooms[i].room,
							   .load = room_load(
								   room_use(rooms[i], pool, session_index, rules, now), rules)},
					 .room = rooms[i]};
	std::sort(sorted, sorted + count,
			  [](const Leaving &a, const Leaving &b) { return leaves_before(a.order, b.order); });
	for (int i = 0; i < count; i++)
		rooms[i] = sorted[i].room;
	pfree(sorted);
}

MoveResult
move_rooms(Assignments *assignments, Array<Assignment> rooms, const MoveTarget &destination,
		   Deadline deadline, MovePlan *plan)
{
	MoveResult moved;

	for (int next = 0; next < rooms.count; next += move_batch)
	{
		std::size_t size = static_cast<std::size_t>(std::min(move_batch, rooms.count - next));
		std::span<Assignment> batch = {rooms.items + next, size};

		CHECK_FOR_INTERRUPTS();
		if (destination.end && destination.end->passed() && moved.rooms > 0)
		{
			moved.more = true;
			break;
		}
		if (destination.target.empty())
		{
			spread_batch(assignments, batch, destination, deadline, plan, &moved);
			continue;
		}
		if (!move_batch_to_target(assignments, batch, destination, deadline, plan, &moved))
		{
			moved.busy = true;
			break;
		}
	}
	return moved;
}

} // namespace gxy
