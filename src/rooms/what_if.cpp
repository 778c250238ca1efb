/*
 * what_if.cpp: see what_if.hpp.
 */
#include "rooms/what_if.hpp"

#include "application/session_index.hpp"
#include "pg/array.hpp"
#include "pg/compat.hpp"
#include "pg/lock_timeout.hpp"
#include "pg/settings.hpp"
#include "placement/candidates.hpp"
#include "placement/planned_moves.hpp"
#include "policy/rebalance_plan.hpp"
#include "policy/time_arithmetic.hpp"
#include "rooms/failover_moves.hpp"
#include "rooms/operator_actions.hpp"
#include "rooms/rebalance.hpp"
#include "rooms/relocation.hpp"
#include "servers/hypothetical_pool.hpp"
#include "servers/server_state.hpp"
#include "tables/assignments.hpp"
#include "tables/locks.hpp"

namespace gxy
{
namespace
{

/* Counts the loads before and after the planned moves, with one snapshot. */
void
count_forecast(Forecast *forecast, const Pool &before, const MovePlan &plan, TimestampTz now,
			   Deadline deadline)
{
	Assignments assignments = open_assignments(AccessShareLock, deadline);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	const SessionIndex &session_index = plan.input.session_index;

	forecast->in_pool = plan.input.pool->servers.count;
	forecast->rules = current_rules();
	forecast->servers_before = with_outside_servers(before, assignments, snapshot);
	forecast->loads_before = ServerLoads::count(assignments, forecast->servers_before,
												session_index, forecast->rules, snapshot, now);
	forecast->servers = with_outside_servers(*plan.input.pool, assignments, snapshot);
	forecast->after = ServerLoads::count(assignments, forecast->servers, session_index,
										 forecast->rules, snapshot, now, &plan.moves);
	UnregisterSnapshot(snapshot);
	assignments.close();
}

/* A server that comes back is not silent any more. */
const bool *
without(const bool *silent, const Pool &pool, int server)
{
	if (silent == nullptr)
		return nullptr;

	bool *others = static_cast<bool *>(palloc(static_cast<Size>(pool.servers.count)));

	std::copy_n(silent, pool.servers.count, others);
	others[server] = false;
	return others;
}

} // namespace

ServerLoad
Forecast::before(int server) const
{
	int index = servers_before.find(servers.servers[server].name);

	return index >= 0 ? loads_before[index] : ServerLoad();
}

Forecast
foresee_state(std::string_view server, ServerState state)
{
	TimestampTz now = GetCurrentTimestamp();
	Deadline deadline = Deadline::of_call_starting_now();
	const Pool &current = pool(deadline);
	Forecast forecast;

	(void) find_server(current, server);
	forecast.subject = current.find(server);

	Pool changed = pool_with_state(current, forecast.subject, state, now, deadline);
	MovePlan plan = {.input = gather_input_for_move(changed, now, deadline),
					 .moves = PlannedMoves(now)};

	if (state == ServerState::online)
		plan.input.silent = without(plan.input.silent, changed, forecast.subject);
	if (state == ServerState::offline)
		plan_due_failovers(&plan, later(now, microseconds(setting::failover_delay)), deadline);
	if (state == ServerState::draining)
	{
		Assignments assignments = open_assignments(AccessShareLock, deadline);

		(void) evacuate_rooms(&assignments, server, {}, std::nullopt, deadline, &plan);
		assignments.close();
	}
	count_forecast(&forecast, current, plan, now, deadline);
	return forecast;
}

Forecast
foresee_added(std::string_view server, int capacity)
{
	TimestampTz now = GetCurrentTimestamp();
	Deadline deadline = Deadline::of_call_starting_now();
	const Pool &current = pool(deadline);
	Forecast forecast;

	if (current.find(server) >= 0)
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
						errmsg("server \"%s\" is in the pool", copy_of(server).data()),
						errhint("Name one that is to be added.")));
	forecast.subject = current.servers.count;

	Pool changed = pool_with_server(current, server, capacity);
	MovePlan plan = {.input = gather_input_for_move(changed, now, deadline),
					 .moves = PlannedMoves(now)};

	(void) plan_rebalance(RebalanceLimits(), deadline, &plan);
	count_forecast(&forecast, current, plan, now, deadline);
	return forecast;
}

} // namespace gxy
