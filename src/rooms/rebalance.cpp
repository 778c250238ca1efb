/*
 * rebalance.cpp: see rebalance.hpp.
 *
 * Works in batches, like an evacuation (relocation.cpp): rooms and sessions are read, the placement
 * lock is taken, loads are counted, and up to move_batch rooms are planned and moved before the
 * lock is released. A dry run does the same without the lock and counts its moves as if they were
 * done, so it finds the same rooms.
 */
#include "rooms/rebalance.hpp"

#include "application/room_reader.hpp"
#include "pg/compat.hpp"
#include "pg/heap_access.hpp"
#include "pg/interner.hpp"
#include "pg/settings.hpp"
#include "placement/candidates.hpp"
#include "placement/planned_moves.hpp"
#include "placement/server_load.hpp"
#include "policy/placement_policy.hpp"
#include "policy/region_list.hpp"
#include "rooms/move_events.hpp"
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

/* What one batch reads. */
struct Batch
{
	PlacementInput input;
	Array<Assignment> rows;
	Array<RebalanceRoom> rooms; /* tag: index into rows */
	RoomServersIndex exist_on;
	RebalanceServer *servers;
};

RebalanceRoom
describe_room(const Batch &batch, const Assignment &row, int server, TimestampTz now)
{
	const Rules &rules = batch.input.rules;
	RoomUse use = room_use(row, *batch.input.pool, batch.input.session_index, rules, now);
	RebalanceRoom room;

	room.id = row.room;
	room.server = server;
	room.load = room_load(use, rules);
	room.users = use.active_known ? use.active : room.load;
	use.age = 0;
	use.leased = true;
	room.addition = room_load(use, rules);
	if (rules.metric == LoadMetric::rooms)
		room.load = room.addition = rules.avg_room_occupancy;
	return room;
}

/* Reads the rooms that may be moved: not pinned, and on a server that has not failed. */
void
read_rooms(const Rebalancing &rebalancing, Batch *batch, TimestampTz now)
{
	const Pool &pool = *batch->input.pool;
	const MovePlan *plan = rebalancing.plan;
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());

	rebalancing.assignments->for_each_row(snapshot, [&](const Assignment &written, ItemPointer) {
		Assignment row = plan != nullptr ? plan->moves.after(written) : written;
		RoomLocation where = pool.locate(row.server, row.assigned_at, now);

		if (where.server < 0 || where.moved || where.stranded || pool.pin_of(row.room) != nullptr ||
			rebalancing.tried.find(row.room) >= 0)
			return;

		Assignment kept = copy_of(row);
		RebalanceRoom room = describe_room(*batch, kept, where.server, now);

		room.tag = batch->rows.count;
		batch->rows.push(kept);
		batch->rooms.push(room);
	});
	UnregisterSnapshot(snapshot);
}

/* Servers of the same regions and priority should be equally full. */
int
group_of(const Pool &pool, int server)
{
	auto is_peer = [&pool, server](int other) {
		const PoolServer &a = pool.servers[server];
		const PoolServer &b = pool.servers[other];

		return a.priority == b.priority && a.regions.count == b.regions.count &&
			   std::is_permutation(a.regions.begin(), a.regions.end(), b.regions.begin());
	};
	int group = 0;

	while (!is_peer(group))
		group++;
	return group;
}

/* Lists the servers with their loads. */
void
read_servers(const Rebalancing &rebalancing, Batch *batch, TimestampTz now, Deadline deadline)
{
	const PlacementInput &input = batch->input;
	const Pool &pool = *input.pool;
	RoomKey none;
	Server *servers;
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	ServerLoads loads = ServerLoads::count(
		*rebalancing.assignments, pool, input.session_index, input.rules, snapshot, now,
		rebalancing.plan != nullptr ? &rebalancing.plan->moves : nullptr);

	UnregisterSnapshot(snapshot);
	none.set("");
	servers = list_servers(PlacementRequest{.room = &none,
											.region = {},
											.expected_users = std::nullopt,
											.now = now,
											.deadline = deadline},
						   input);
	batch->servers = static_cast<RebalanceServer *>(
		palloc0(sizeof(RebalanceServer) * static_cast<Size>(pool.servers.count + 1)));
	loads.fill_in(servers, pool.servers.count, input.rules);
	for (int i = 0; i < pool.servers.count; i++)
	{
		/* The plan counts down from what is in force, be it counted or measured. */
		servers[i].load = users_in_force(servers[i]);
		servers[i].measured = 0;
		batch->servers[i].server = servers[i];
		batch->servers[i].group = group_of(pool, i);
	}
}

RegionFit
fit_of(const void *context, const RebalanceRoom &room, int server)
{
	const Batch *batch = static_cast<const Batch *>(context);

	const PoolServer &known = batch->input.pool->servers[server];

	/* A room is moved to no server of other regions, and to none on which it does not exist. */
	if (!batch->exist_on.of(room.id).include(known.name))
		return RegionFit::foreign;
	if (known.regions.count == 0)
		return RegionFit::general;
	return known.rank_in(RegionList(batch->rows[room.tag].region)) >= 0 ? RegionFit::own
																		: RegionFit::foreign;
}

/* Moves a room, or plans to. Returns false if another transaction is in the way. */
bool
carry_out(Rebalancing *rebalancing, const Batch &batch, const RebalanceMove &move)
{
	const RebalanceRoom &room = batch.rooms[move.room];
	const Assignment &row = batch.rows[room.tag];
	std::string_view to = batch.input.pool->servers[move.to].name;
	MemoryContext caller = MemoryContextSwitchTo(rebalancing->context);
	Change change =
		move_or_plan(rebalancing->assignments, row, to, why_rebalanced, rebalancing->plan);
	bool fresh;

	(void) rebalancing->tried.number(row.room, &fresh);
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

/* Reads what needs no lock, then takes the placement lock, unless the moves are only planned. */
void
begin(const Rebalancing &rebalancing, Batch *batch, TimestampTz now, Deadline deadline)
{
	const MovePlan *plan = rebalancing.plan;
	auto look = [batch, deadline] {
		batch->exist_on = servers_of(*batch->input.pool, batch->rows.span(), true, deadline);
		return !batch->exist_on.is_silent();
	};

	for (;;)
	{
		batch->input =
			plan != nullptr ? plan->input : gather_input_for_move(pool(deadline), now, deadline);
		/* Unlike rooms that must leave their server, these count by the strategy that is set. */
		batch->input.rules = current_rules();
		batch->rows = Array<Assignment>();
		batch->rooms = Array<RebalanceRoom>();
		read_rooms(rebalancing, batch, now);
		if (plan != nullptr)
			(void) look();
		if (plan != nullptr || batch->rooms.count == 0)
			return;

		RoomKey first;

		first.set(batch->rows[0].room);
		if (lock_placement_after(look, *batch->input.pool, first, placing_by_count, deadline))
			return;
	}
}

/* Returns whether there may be more to move. */
bool
run_batch(Rebalancing *rebalancing, Deadline deadline)
{
	TimestampTz now = GetCurrentTimestamp();
	int moves = 0;
	bool in_the_way = false;
	Batch batch;

	begin(*rebalancing, &batch, now, deadline);
	if (batch.rooms.count == 0)
		return false;
	read_servers(*rebalancing, &batch, now, deadline);

	RebalancePlan plan(batch.servers, batch.input.pool->servers.count, batch.rooms.items,
					   batch.rooms.count, rebalancing->left, batch.input.rules,
					   {.function = fit_of, .context = &batch});

	while (moves < move_batch)
	{
		std::optional<RebalanceMove> move = plan.next();

		if (!move)
			break;
		in_the_way = !carry_out(rebalancing, batch, *move) || in_the_way;
		moves++;
	}
	if (rebalancing->plan == nullptr)
		release_placement_lock(placing_by_count);
	/* The next batch moves other rooms instead of those that could not be moved. */
	return moves == move_batch || in_the_way;
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
