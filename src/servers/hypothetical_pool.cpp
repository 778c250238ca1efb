/*
 * hypothetical_pool.cpp: see hypothetical_pool.hpp.
 */
#include "servers/hypothetical_pool.hpp"

#include "pg/array.hpp"
#include "pg/interner.hpp"
#include "pg/settings.hpp"
#include "policy/time_arithmetic.hpp"
#include "servers/failover_plan.hpp"

namespace gxy
{
namespace
{

/* Returns a copy whose servers can be changed. It counts as written, as it would be. */
Pool
changeable(const Pool &pool)
{
	Pool copy = pool;

	copy.servers = Array<PoolServer>();
	for (const PoolServer &server : pool.servers)
		copy.servers.push(server);
	copy.written = true;
	copy.is_default = false;
	return copy;
}

/* Derives what the pool says about its servers in other words. */
void
derive(Pool *pool)
{
	bool fresh;

	pool->plain = Array<Server>();
	pool->numbers = NameInterner();
	pool->numbers.prepare();
	for (const PoolServer &server : pool->servers)
	{
		pool->plain.push(plain_server(server));
		(void) pool->numbers.number(server.name, &fresh);
	}
}

Failover
declared(const Pool &pool, int standby, TimestampTz now)
{
	Failover failover;

	failover.active = true;
	failover.pending = true;
	failover.on_call = setting::failover_on_call;
	failover.declared_at = now;
	failover.due_at = later(now, microseconds(setting::failover_delay));
	failover.target = standby >= 0 ? pool.servers[standby].name : std::string_view();
	failover.standby = standby;
	return failover;
}

} // namespace

Pool
pool_with_state(const Pool &pool, int server, ServerState state, TimestampTz now, Deadline deadline)
{
	Pool changed = changeable(pool);
	PoolServer &subject = changed.servers[server];

	subject.wanted = state;
	if (state == ServerState::online)
		subject.healthy = true;
	subject.state = subject.healthy ? state : ServerState::offline;

	FailoverPlan plan = plan_failovers(changed, now, deadline);

	for (PoolServer &each : changed.servers)
		if (has_recovered(each))
			each.failover = Failover();
	for (const Claim &claim : plan.declared)
		changed.servers[claim.server].failover = declared(changed, claim.standby, now);
	for (const Claim &claim : plan.redirected)
	{
		Failover &failover = changed.servers[claim.server].failover;

		failover.standby = claim.standby;
		failover.target =
			claim.standby >= 0 ? changed.servers[claim.standby].name : std::string_view();
	}
	derive(&changed);
	return changed;
}

Pool
pool_with_server(const Pool &pool, std::string_view name, int capacity)
{
	Pool changed = changeable(pool);
	PoolServer added;

	added.name = name;
	added.hash = name_hash(name);
	for (const PoolServer &server : pool.servers)
		added.position = std::max(added.position, server.position);
	added.position = added.position < INT_MAX ? added.position + 1 : INT_MAX;
	added.capacity = capacity;
	changed.servers.push(added);
	derive(&changed);
	return changed;
}

} // namespace gxy
