/*
 * load_comparison.cpp: see load_comparison.hpp.
 */
#include "rooms/load_comparison.hpp"

#include "application/session_index.hpp"
#include "application/source_query.hpp"
#include "application/source_reader.hpp"
#include "pg/array.hpp"
#include "pg/compat.hpp"
#include "pg/settings.hpp"
#include "placement/server_load.hpp"
#include "policy/failure_detector.hpp"
#include "policy/placement_policy.hpp"
#include "servers/heartbeats.hpp"
#include "servers/pool.hpp"
#include "tables/catalog.hpp"
#include "tables/owner_sql.hpp"

namespace gxy
{

void
compare_measured_loads(Deadline deadline)
{
	TimestampTz now = GetCurrentTimestamp();
	const Pool &current = pool(deadline);
	Rules rules = current_rules();
	int count = current.servers.count;
	const Measurement *measured = read_measurements(current, deadline);
	SessionIndex sessions;
	Array<std::string_view> far;

	if (std::none_of(measured, measured + count, [](const Measurement &m) { return m.at != 0; }) ||
		try_reading([&] {
			sessions =
				SessionIndex::build(current.sessions, SessionColumns::with_servers, now, deadline);
		}))
		return;

	ServerLoads loads = count_now(current, sessions, rules, now, deadline);

	for (int i = 0; i < count; i++)
		if (is_fresh(measured[i], now, measured_lifetime()) &&
			is_far_from_count(measured[i], loads[i].users, loads[i].load(rules),
							  current.servers[i].capacity_in_force()))
			far.push(current.servers[i].name);
	(void) run_as_owner(&Relations::health, deadline,
						"UPDATE %s SET differs_since = CASE WHEN server = ANY ($1) THEN $2 END "
						"WHERE server = ANY (ARRAY(SELECT h.server FROM %s h WHERE (h.server = ANY "
						"($1)) <> (h.differs_since IS NOT NULL) FOR UPDATE SKIP LOCKED))",
						{Argument::of(far.span()), Argument::of_time(now)});
}

} // namespace gxy
