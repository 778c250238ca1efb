/*
 * heartbeats.hpp: what monitors have said of the servers.
 */
#pragma once

#include "servers/pool.hpp"
#include "policy/failure_detector.hpp"

namespace gxy
{

/* What is known of each server of the pool that has ever reported; servers[i] is its name. */
struct HeartbeatReports
{
	Array<HeartbeatReport> reports;
	Array<std::string_view> servers;
};

/* As of now. Silence counts from the time the database server could be written to at the earliest. */
HeartbeatReports read_reports(const Pool &pool, Deadline deadline);

/*
 * For each server of the pool whether it has fallen silent by itself and is still thought healthy; nullptr if none has.
 * Where there is one the worker is called for, which declares it.
 */
const bool *silent_servers(const Pool &pool, TimestampTz now, Deadline deadline);

} // namespace gxy
