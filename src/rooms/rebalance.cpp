/*
 * rebalance.cpp: see rebalance.hpp.
 *
 * Works in batches of up to move_batch rooms. The moves are chosen without a lock, because that may
 * take long. Then the rooms that were chosen are read again, the placement lock is taken, loads are
 * counted, and each move that is still good is done. A dry run only chooses, and counts its moves
 * as if they were done, so it finds the same rooms.
 */
#include "rooms/rebalance.hpp"

#include "application/room_reader.hpp"
#include "pg/compat.hpp"
#include "pg/heap_access.hpp"
#include "pg/interner.hpp"
#include "pg/settings.hpp"
#include "placement/candidates.hpp"
#include "placement/planned_moves.hpp"
#include "policy/placement_policy.hpp"
#include "rooms/move_events.hpp"
#include "rooms/rebalance_batch.hpp"
#include "rooms/room_existence.hpp"
#include "servers/pool.hpp"
#include "servers/server_state.hpp"
#include "tables/assignments.hpp"
#include "tables/locks.hpp"
#include "tables/placement_locks.hpp"

namespace gxy
{
namespace
{

/* One call. */
struct Rebalancing
{
	Assignments *assignments;
	MovePlan *plan; /* nullptr: the moves are done */
	MemoryContext context;
	RebalanceLimits left;
	NameInterner tried; /* rooms that were moved, or that another transaction has locked */
	Array<RebalancedRoom> moved;
};

RebalancePlan
plan_of(const Rebalancing &rebalancing, const RebalanceBatch &batch)
{
	return RebalancePlan(batch.servers, batch.input.pool->servers.count, batch.rooms.items,
						 batch.rooms.count, rebalancing.left, batch.input.rules, fit_in(batch));
}

void
note_tried(Rebalancing *rebalancing, std::string_view room)
{
	MemoryContext caller = MemoryContextSwitchTo(rebalancing->context);
	bool fresh;

	(void) rebalancing->tried.number(room, &fresh);
	MemoryContextSwitchTo(caller);
}

/* Moves a room, or plans to. Returns false if another transaction is in the way. */
bool
carry_out(Rebalancing *rebalancing, const RebalanceBatch &batch, const RebalanceMove &move)
{
	const RebalanceRoom &room = batch.rooms[move.room];
	const Assignment &row = batch.rows[room.tag];
	std::string_view to = batch.input.pool->servers[move.to].name;
	MemoryContext caller = MemoryContextSwitchTo(rebalancing->context);
	Change change =
		move_or_plan(rebalancing->assignments, row, to, why_rebalanced, rebalancing->plan);

	if (change == Change::done)
	{
		rebalancing->moved.push({.room = copy_of(row.room),
								 .from = copy_of(row.server),
								 .to = copy_of(to),
								 .users = room.users});
		if (rebalancing->left.rooms)
			--*rebalancing->left.rooms;
		if (rebalancing->left.users)
			*rebalancing->left.users -= room.users;
	}
	MemoryContextSwitchTo(caller);
	return change == Change::done;
}

/* Chooses the next moves, up to move_batch. Takes no placement lock, because it may take long. */
Array<RebalanceMove>
choose(const Rebalancing &rebalancing, RebalanceBatch *batch, Deadline deadline)
{
	const MovePlan *plan = rebalancing.plan;
	TimestampTz now = GetCurrentTimestamp();
	Array<RebalanceMove> moves;

	batch->input =
		plan != nullptr ? plan->input : gather_input_for_move(pool(deadline), now, deadline);
	/* Unlike rooms that must leave their server, these count by the strategy that is set. */
	batch->input.rules = current_rules();
	read_rooms(rebalancing.assignments, plan, nullptr, rebalancing.tried, batch, now);
	if (batch->rooms.count == 0)
		return moves;
	batch->exist_on = servers_of(*batch->input.pool, batch->rows.span(), true, deadline);
	read_servers(rebalancing.assignments, plan, batch, now, deadline);

	RebalancePlan next_moves = plan_of(rebalancing, *batch);

	while (moves.count < move_batch)
	{
		std::optional<RebalanceMove> move = next_moves.next();

		if (!move)
			break;
		moves.push(*move);
	}
	return moves;
}

/*
 * Reads the chosen rooms anew, takes the placement lock and counts the loads. Returns false,
 * without the lock, if none of the rooms may be moved any more.
 */
bool
lock_and_read(const Rebalancing &rebalancing, const NameInterner &chosen, RebalanceBatch *batch,
			  Deadline deadline)
{
	TimestampTz now = GetCurrentTimestamp();
	RoomKey first;
	auto look = [batch, deadline] {
		batch->exist_on = servers_of(*batch->input.pool, batch->rows.span(), true, deadline);
		return !batch->exist_on.is_silent();
	};

	do
	{
		batch->input = gather_input_for_move(pool(deadline), now, deadline);
		batch->input.rules = current_rules();
		batch->rows = Array<Assignment>();
		batch->rooms = Array<RebalanceRoom>();
		read_rooms(rebalancing.assignments, nullptr, &chosen, NameInterner(), batch, now);
		if (batch->rooms.count == 0)
			return false;
		first.set(batch->rows[0].room);
	} while (!lock_placement_after(look, *batch->input.pool, first, placing_by_count, deadline));
	read_servers(rebalancing.assignments, nullptr, batch, now, deadline);
	return true;
}

/*
 * Does the moves that are still good by what is read under the placement lock. The wait for it is
 * bounded by assign_timeout from now on: the choice may have taken longer. Returns whether all were
 * done; a room that was not moved is not chosen again.
 */
bool
do_moves(Rebalancing *rebalancing, const RebalanceBatch &planned, const Array<RebalanceMove> &moves)
{
	NameInterner chosen;
	RebalanceBatch batch;
	Array<int> found; /* by number of the room: index into the batch's rooms, -1: none */
	bool fresh;
	bool all_done = true;

	chosen.prepare();
	for (const RebalanceMove &move : moves)
	{
		(void) chosen.number(planned.rooms[move.room].id, &fresh);
		note_tried(rebalancing, planned.rooms[move.room].id);
		found.push(-1);
	}
	if (!lock_and_read(*rebalancing, chosen, &batch, Deadline::of_call_starting_now()))
		return false;

	RebalancePlan plan = plan_of(*rebalancing, batch);

	for (int i = 0; i < batch.rooms.count; i++)
		found[chosen.find(batch.rooms[i].id)] = i;
	for (const RebalanceMove &move : moves)
	{
		const Array<PoolServer> &servers = planned.input.pool->servers;
		RebalanceMove now = {.room = found[chosen.find(planned.rooms[move.room].id)],
							 .from = batch.input.pool->find(servers[move.from].name),
							 .to = batch.input.pool->find(servers[move.to].name)};

		if (now.room >= 0 && now.from >= 0 && now.to >= 0 && plan.is_still_good(now) &&
			carry_out(rebalancing, batch, now))
			plan.count(now);
		else
			all_done = false;
	}
	release_placement_lock(placing_by_count);
	return all_done;
}

/* Returns whether there may be more to move. */
bool
run_batch(Rebalancing *rebalancing, Deadline deadline)
{
	RebalanceBatch batch;
	Array<RebalanceMove> moves = choose(*rebalancing, &batch, deadline);
	bool all_done = true;

	if (moves.count == 0)
		return false;
	if (rebalancing->plan == nullptr)
		all_done = do_moves(rebalancing, batch, moves);
	else
		for (const RebalanceMove &move : moves)
		{
			note_tried(rebalancing, batch.rooms[move.room].id);
			(void) carry_out(rebalancing, batch, move);
		}
	/* The next batch moves other rooms instead of those that could not be moved. */
	return moves.count == move_batch || !all_done;
}

Array<RebalancedRoom>
run(Assignments *assignments, const RebalanceLimits &limits, Deadline deadline, MovePlan *plan)
{
	Rebalancing rebalancing = {.assignments = assignments,
							   .plan = plan,
							   .context = CurrentMemoryContext,
							   .left = limits,
							   .tried = {},
							   .moved = {}};
	MemoryContext batch =
		AllocSetContextCreate(CurrentMemoryContext, "gxy_balancer batch", ALLOCSET_DEFAULT_SIZES);
	bool more = true;

	rebalancing.tried.prepare();
	while (more)
	{
		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(batch);
		more = run_batch(&rebalancing, deadline);
		MemoryContextSwitchTo(rebalancing.context);
		MemoryContextReset(batch);
	}
	MemoryContextDelete(batch);
	return rebalancing.moved;
}

/* Tells listeners which rooms have moved. */
void
announce(const Array<RebalancedRoom> &moved, Deadline deadline)
{
	Array<RoomMove> moves;

	for (const RebalancedRoom &room : moved)
		moves.push({.room = room.room, .from = room.from, .to = room.to});
	announce_moves(moves, why_rebalanced, deadline);
}

} // namespace

Array<RebalancedRoom>
plan_rebalance(const RebalanceLimits &limits, Deadline deadline, MovePlan *plan)
{
	Assignments assignments = open_assignments(AccessShareLock, deadline);
	Array<RebalancedRoom> moved = run(&assignments, limits, deadline, plan);

	assignments.close();
	return moved;
}

Array<RebalancedRoom>
rebalance(const RebalanceLimits &limits, bool dry_run)
{
	Deadline deadline = Deadline::of_call_starting_now();

	if (dry_run)
	{
		TimestampTz now = GetCurrentTimestamp();
		MovePlan plan = {.input = gather_input_for_move(pool(deadline), now, deadline),
						 .moves = PlannedMoves(now)};

		return plan_rebalance(limits, deadline, &plan);
	}
	require_write_to("move rooms");
	write_pool_if_unwritten(deadline);

	Assignments assignments = open_assignments(RowExclusiveLock, deadline);
	Array<RebalancedRoom> moved = run(&assignments, limits, deadline, nullptr);

	assignments.close();
	announce(moved, deadline);
	return moved;
}

} // namespace gxy
