/*
 * heartbeats.hpp: what monitors have reported about the servers.
 */
#pragma once

#include "pg/array.hpp"
#include "pg/compat.hpp"
#include "pg/lock_timeout.hpp"
#include "policy/failure_detector.hpp"
#include "servers/pool.hpp"

namespace gxy
{

/* The reports about servers of the pool; servers[i] is the name of the server of reports[i]. */
struct HeartbeatReports
{
	Array<HeartbeatReport> reports;
	Array<std::string_view> servers;
	bool ahead = false; /* some are more than a timeout ahead: the clock has been set back since */
};

/*
 * Reads the reports. Silence counts at the earliest from the time since which the database server
 * accepts writes.
 */
HeartbeatReports read_reports(const Pool &pool, Deadline deadline);

/*
 * Returns for each server of the pool whether it alone has fallen silent while it still counts as
 * healthy; nullptr if there is none. If there is one, requests a run of the worker, which declares
 * it unhealthy.
 */
const bool *silent_servers(const Pool &pool, TimestampTz now, Deadline deadline);

/* Times of a server in balancer_health. */
struct HealthTimes
{
	TimestampTz since = 0;			/* it has been healthy, or not; 0: it has never been reported */
	TimestampTz last_heartbeat = 0; /* 0: likewise */
	/* the worker has found its measured load to be far from what is counted; 0: it is not */
	TimestampTz differs_since = 0;
};

/*
 * Returns for each server of the pool its newest measurement: from its row, or from shared memory
 * if that has a newer one. palloc'd, like *times.
 */
const Measurement *read_measurements(const Pool &pool, Deadline deadline,
									 const HealthTimes **times = nullptr);

/*
 * Records a load (a share of the capacity, 0 to 10) that does not come from the server's monitor:
 * in shared memory only, because a row of balancer_health is a heartbeat. It counts from the commit
 * on, as one from a heartbeat does, and not after a restart. Ignores a server not in the pool.
 */
void note_load(std::string_view server, float load, Deadline deadline);

} // namespace gxy
