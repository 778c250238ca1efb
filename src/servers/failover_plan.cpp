/*
 * failover_plan.cpp: see failover_plan.hpp.
 */
#include "servers/failover_plan.hpp"

#include "policy/placement_policy.hpp"
#include "tables/assignments.hpp"
#include "tables/locks.hpp"

namespace gxy
{

bool
needs_failover(const PoolServer &server)
{
	return server.state == ServerState::offline && !server.failover.active;
}

bool
has_recovered(const PoolServer &server)
{
	return server.state != ServerState::offline && server.failover.active;
}

bool
has_lost_its_standby(const Pool &pool, const PoolServer &server)
{
	const Failover &failover = server.failover;

	return server.state == ServerState::offline && failover.active && failover.pending &&
		   !failover.target.empty() &&
		   (failover.standby < 0 || pool.servers[failover.standby].state != ServerState::online);
}

namespace
{

/* Which standbys are taken, and which failed servers still have rooms. */
struct Occupancy
{
	bool *taken;
	bool *has_rooms;
};

/* Returns true if a claim is due and its server has no rooms left: it takes nothing more. */
bool
is_spent(const PoolServer &server, bool has_rooms, TimestampTz now)
{
	return server.failover.counts(now, Viewpoint::worker) && !has_rooms;
}

/*
 * Reads the rooms, including those of transactions that have not ended: they may be committed after
 * the standby was claimed.
 */
Occupancy
look_at_standbys(const Pool &pool, TimestampTz now, Deadline deadline)
{
	Size size = static_cast<Size>(pool.servers.count) + 1;
	Occupancy found = {.taken = static_cast<bool *>(palloc0(size)),
					   .has_rooms = static_cast<bool *>(palloc0(size))};
	Assignments assignments = open_assignments(AccessShareLock, deadline);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());

	assignments.for_each_room(snapshot, [&](const Assignment &row) {
		int named = pool.find(row.server);
		int carrier = pool.locate(row.server, row.assigned_at, now).server;

		if (named >= 0)
			found.has_rooms[named] = true;
		if (carrier >= 0)
			found.taken[carrier] = true;
	});
	UnregisterSnapshot(snapshot);
	assignments.close();
	for (int i = 0; i < pool.servers.count; i++)
	{
		const Failover &failover = pool.servers[i].failover;

		if (failover.active && failover.pending && failover.standby >= 0 &&
			!is_spent(pool.servers[i], found.has_rooms[i], now))
			found.taken[failover.standby] = true;
	}
	return found;
}

/* Standbys that are online, not recovering and have no rooms, in the order of claims. */
struct FreeStandbys
{
	Array<int> servers;
	int next = 0;

	/* Returns the next standby; -1 if there is none left. */
	int claim() { return next < servers.count ? servers[next++] : -1; }
};

FreeStandbys
free_standbys(const Pool &pool, const Occupancy &occupancy, TimestampTz now)
{
	FreeStandbys standbys;

	for (int i = 0; i < pool.servers.count; i++)
		if (pool.servers[i].pool == ServerPool::standby &&
			pool.servers[i].state == ServerState::online &&
			pool.servers[i].recovery(now) != Recovery::recovering && !occupancy.taken[i])
			standbys.servers.push(i);
	std::sort(standbys.servers.begin(), standbys.servers.end(), [&pool](int a, int b) {
		const PoolServer &left = pool.servers[a];
		const PoolServer &right = pool.servers[b];

		return left.priority != right.priority	 ? left.priority > right.priority
			   : left.position != right.position ? left.position < right.position
												 : left.name < right.name;
	});
	return standbys;
}

} // namespace

FailoverPlan
plan_failovers(const Pool &pool, TimestampTz now, Deadline deadline)
{
	FreeStandbys standbys = free_standbys(pool, look_at_standbys(pool, now, deadline), now);
	int *target_of =
		static_cast<int *>(palloc(sizeof(int) * static_cast<Size>(pool.servers.count + 1)));
	FailoverPlan plan;

	for (int i = 0; i < pool.servers.count; i++)
	{
		target_of[i] = pool.servers[i].failover.standby;
		if (!needs_failover(pool.servers[i]))
			continue;
		target_of[i] = standbys.claim();
		plan.declared.push({.server = i, .standby = target_of[i]});
	}
	for (int i = 0; i < pool.servers.count; i++)
	{
		if (!has_lost_its_standby(pool, pool.servers[i]))
			continue;

		int lost = pool.servers[i].failover.standby;
		bool failed = lost >= 0 && pool.servers[lost].state == ServerState::offline;

		plan.redirected.push({.server = i, .standby = failed ? target_of[lost] : standbys.claim()});
	}
	return plan;
}

} // namespace gxy
