/*
 * server_causes.cpp: the texts of balancer_load.cause.
 */
#include "api/server_causes.hpp"

#include "api/result_set.hpp"
#include "pg/array.hpp"
#include "policy/placement_policy.hpp"
#include "policy/time_arithmetic.hpp"
#include "shared/launcher_claim.hpp"

namespace gxy
{
namespace
{

void
add_part(StringInfo text, const char *part)
{
	appendStringInfo(text, "%s%s", text->len > 0 ? "; " : "", part);
}

/*
 * Says where the rooms of a failed server go now, and who moves them. by_load: the loads decide
 * where. Without a worker, calls move them one by one.
 */
const char *
movement(bool by_load, bool loads_known, const char *to)
{
	if (by_load && !loads_known)
		return "rooms stay";
	/* A standby does not know whether the primary has a worker, so it assumes one. */
	if (has_workers() || RecoveryInProgress())
		return psprintf("rooms are moving%s", to);
	return psprintf("rooms move%s when called for (no worker)", to);
}

/* The same for a server of the pool, also before its failover is due. */
const char *
plan_for_rooms(const Pool &pool, int index, int targets, bool loads_known, TimestampTz now)
{
	const Failover &failover = pool.servers[index].failover;
	const char *to =
		failover.target.empty() ? "" : psprintf(" to %s", copy_of(failover.target).data());

	if (targets == 0)
		return "rooms stay, no other server is online";
	if (!failover.counts(now, Viewpoint::worker))
		return failover.on_call ? psprintf("rooms move%s when called for, others later", to)
								: psprintf("rooms will move%s", to);
	return movement(
		pool.locate(pool.servers[index].name, DT_NOEND, now, Viewpoint::worker).stranded,
		loads_known, to);
}

/* A server that is offline for another reason takes no rooms anyway. */
void
add_recovery(StringInfo cause, const PoolServer &server, TimestampTz now)
{
	switch (server.recovery(now))
	{
		case Recovery::none:
			return;
		case Recovery::recovering:
			return add_part(
				cause, psprintf("recovering until %s", time_of_day(server.recovering_until())));
		case Recovery::returning:
			return add_part(cause,
							psprintf("takes few new rooms until %s",
									 time_of_day(later(server.recovering_until(), return_time))));
	}
}

} // namespace

int
count_targets(const Pool &pool)
{
	return static_cast<int>(
		std::count_if(pool.servers.begin(), pool.servers.end(), [](const PoolServer &server) {
			return server.state == ServerState::online && server.pool != ServerPool::reserved;
		}));
}

const char *
cause_outside(const Pool &pool, int targets, bool loads_known)
{
	return targets == 0 || !pool.written
			   ? "not in the pool"
			   : psprintf("not in the pool; %s", movement(true, loads_known, ""));
}

const char *
progress_of_drain(const Pool &pool, const PoolServer &server, const ServerLoad &load,
				  const SessionIndex &session_index)
{
	auto pins = std::count_if(pool.pins.begin(), pool.pins.end(),
							  [&server](const Pin &pin) { return pin.server == server.name; });

	if (load.rooms > 0)
		return nullptr;
	if (load.connected > 0)
		return "no rooms, users connected";
	if (pins > 0)
		return psprintf("no rooms, %d pinned: set it offline", static_cast<int>(pins));
	if (!session_index.knows_servers())
		return "no rooms, users connected unknown";
	return "safe to stop";
}

const char *
cause_of(const Pool &pool, int index, int targets, bool loads_known, TimestampTz now)
{
	const PoolServer &server = pool.servers[index];
	StringInfoData cause;

	initStringInfo(&cause);
	if (pool.is_default)
		add_part(&cause, "default pool");
	if (server.wanted != ServerState::online)
		add_part(&cause, psprintf("set %s", name_of(server.wanted)));
	if (!server.healthy)
		add_part(&cause, server.silent ? "silent" : "reported unhealthy");
	else if (server.state != ServerState::offline)
		add_recovery(&cause, server, now);
	if (server.failover.active && server.failover.pending)
		add_part(&cause, plan_for_rooms(pool, index, targets, loads_known, now));
	for (int claimant : pool.claims_on(index))
		add_part(&cause, psprintf("%s for %s",
								  pool.servers[claimant].failover.counts(now, Viewpoint::caller)
									  ? "stands in"
									  : "will stand in",
								  copy_of(pool.servers[claimant].name).data()));
	return cause.data;
}

bool
has_lasted(TimestampTz differs_since, TimestampTz now)
{
	return differs_since != 0 && elapsed(differs_since, now) >= USECS_PER_MINUTE;
}

const char *
with_difference(const char *cause, const Measurement &measurement, std::int64_t load,
				std::int64_t capacity)
{
	return psprintf("%s%smeasures %lld%%, counted %lld%%", cause, *cause != '\0' ? "; " : "",
					static_cast<long long>(measurement.load / (full_measure / 100)),
					static_cast<long long>(100 * load / capacity));
}

} // namespace gxy
