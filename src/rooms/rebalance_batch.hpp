/*
 * rebalance_batch.hpp: reads what a rebalance is planned by: rooms, servers, and how they fit.
 */
#pragma once

#include "application/room_reader.hpp"
#include "pg/array.hpp"
#include "pg/compat.hpp"
#include "pg/interner.hpp"
#include "pg/lock_timeout.hpp"
#include "placement/candidates.hpp"
#include "policy/placement_policy.hpp"
#include "policy/rebalance_plan.hpp"
#include "rooms/relocation.hpp"
#include "tables/assignments.hpp"

namespace gxy
{

/* What one batch reads. */
struct RebalanceBatch
{
	PlacementInput input;
	Array<Assignment> rows;
	Array<RebalanceRoom> rooms; /* tag: index into rows */
	RoomServersIndex exist_on;
	Array<const RoomServers *> servers_of; /* by index into rows: where the room exists */
	Array<const RegionFit *> fits;		   /* by index into rows; nullptr: computed when needed */
	RebalanceServer *servers;
};
static_assert(std::is_trivially_destructible_v<RebalanceBatch>);

/*
 * Reads the rooms that may be moved: not pinned, and on a server that has not failed. only: of
 * these rooms, nullptr: of all; except: not these. If there is a plan, the rooms are where they
 * would be after its moves.
 */
void read_rooms(Assignments *assignments, const MovePlan *plan, const NameInterner *only,
				const NameInterner &except, RebalanceBatch *batch, TimestampTz now);

/* Lists the servers with their loads, and how they fit the rooms. exist_on is set. */
void read_servers(Assignments *assignments, const MovePlan *plan, RebalanceBatch *batch,
				  TimestampTz now, Deadline deadline);

/* May raise an error, because it answers cancel requests. The batch must outlive it. */
RoomFit fit_in(const RebalanceBatch &batch);

} // namespace gxy
