/*
 * rebalance_batch.cpp: see rebalance_batch.hpp.
 */
#include "rooms/rebalance_batch.hpp"

#include "placement/planned_moves.hpp"
#include "placement/server_load.hpp"
#include "policy/region_list.hpp"
#include "servers/pool.hpp"

namespace gxy
{
namespace
{

RebalanceRoom
describe_room(const RebalanceBatch &batch, const Assignment &row, int server, TimestampTz now)
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

/* Lists of regions beyond these are looked at for every room and server, to save memory. */
constexpr int most_region_lists = 1000;

/* A room is moved to no server of other regions. */
RegionFit
fit_by_region(const PoolServer &server, std::string_view wanted)
{
	if (server.regions.count == 0)
		return RegionFit::general;
	return server.rank_in(RegionList(wanted)) >= 0 ? RegionFit::own : RegionFit::foreign;
}

const RegionFit *
fits_of_servers(const Pool &pool, std::string_view region)
{
	RegionFit *fits = static_cast<RegionFit *>(
		palloc(sizeof(RegionFit) * static_cast<Size>(pool.servers.count + 1)));

	for (int i = 0; i < pool.servers.count; i++)
		fits[i] = fit_by_region(pool.servers[i], region);
	return fits;
}

/* Computes how the servers fit the rooms, once for each list of regions. */
void
prepare_fits(RebalanceBatch *batch)
{
	NameInterner regions;
	Array<const RegionFit *> by_region;

	regions.prepare();
	for (RebalanceRoom &room : batch->rooms)
	{
		std::string_view region = batch->rows[room.tag].region;
		const RoomServers &exists_on = batch->exist_on.of(room.id);
		bool fresh;
		int number = regions.number(region, &fresh);

		CHECK_FOR_INTERRUPTS();
		if (fresh)
			by_region.push(number < most_region_lists ? fits_of_servers(*batch->input.pool, region)
													  : nullptr);
		batch->fits.push(by_region[number]);
		batch->servers_of.push(&exists_on);
		if (exists_on.everywhere)
			room.kind = number;
	}
}

RegionFit
fit_of(const void *context, const RebalanceRoom &room, int server)
{
	const RebalanceBatch *batch = static_cast<const RebalanceBatch *>(context);
	const PoolServer &known = batch->input.pool->servers[server];

	/* The plan of a large pool takes long. */
	CHECK_FOR_INTERRUPTS();
	if (!batch->servers_of[room.tag]->include(known.name))
		return RegionFit::foreign;
	if (const RegionFit *fits = batch->fits[room.tag])
		return fits[server];
	return fit_by_region(known, batch->rows[room.tag].region);
}

} // namespace

void
read_rooms(Assignments *assignments, const MovePlan *plan, const NameInterner *only,
		   const NameInterner &except, RebalanceBatch *batch, TimestampTz now)
{
	const Pool &pool = *batch->input.pool;
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());

	assignments->for_each_row(snapshot, [&](const Assignment &written, ItemPointer) {
		Assignment row = plan != nullptr ? plan->moves.after(written) : written;
		RoomLocation where = pool.locate(row.server, row.assigned_at, now);

		if (where.server < 0 || where.moved || where.stranded || pool.pin_of(row.room) != nullptr ||
			(only != nullptr && only->find(row.room) < 0) || except.find(row.room) >= 0)
			return;

		Assignment kept = copy_of(row);
		RebalanceRoom room = describe_room(*batch, kept, where.server, now);

		room.tag = batch->rows.count;
		batch->rows.push(kept);
		batch->rooms.push(room);
	});
	UnregisterSnapshot(snapshot);
}

void
read_servers(Assignments *assignments, const MovePlan *plan, RebalanceBatch *batch, TimestampTz now,
			 Deadline deadline)
{
	const PlacementInput &input = batch->input;
	const Pool &pool = *input.pool;
	RoomKey none;
	Server *servers;
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	ServerLoads loads = ServerLoads::count(*assignments, pool, input.session_index, input.rules,
										   snapshot, now, plan != nullptr ? &plan->moves : nullptr);

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
	prepare_fits(batch);
}

RoomFit
fit_in(const RebalanceBatch &batch)
{
	return {.function = fit_of, .context = &batch};
}

} // namespace gxy
