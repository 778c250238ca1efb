/*
 * what_if.cpp: see what_if.hpp.
 */
#include "api/what_if.hpp"

#include "api/result_set.hpp"
#include "pg/array.hpp"
#include "placement/server_load.hpp"
#include "rooms/drains.hpp"
#include "rooms/rebalance.hpp"
#include "rooms/what_if.hpp"
#include "servers/pool.hpp"

namespace gxy
{
namespace
{

/* Returns 100 * load / capacity, rounded to one digit as balancer_load has it. */
Datum
percent_of(std::int64_t load, int capacity)
{
	Datum percent = DirectFunctionCall2(numeric_div, NumericGetDatum(int64_to_numeric(100 * load)),
										NumericGetDatum(int64_to_numeric(capacity)));

	return DirectFunctionCall2(numeric_round, percent, Int32GetDatum(1));
}

/* Says what the change has to do with a server; empty if nothing. */
const char *
note_on(const Forecast &forecast, int server)
{
	const PoolServer &subject = forecast.servers.servers[forecast.subject];
	std::int64_t left = forecast.after[server].rooms;

	if (server == forecast.subject && subject.state != ServerState::online && left > 0)
		return "no server can take the rooms that stay";
	if (subject.state == ServerState::offline && subject.failover.active &&
		subject.failover.standby == server)
		return psprintf("stands in for %s", copy_of(subject.name).data());
	return "";
}

void
add_load(Row *row, const ServerLoad &load, const Rules &rules, const PoolServer &server,
		 bool in_pool)
{
	row->add(load.rooms);
	row->add(load.users);
	row->add(load.load(rules));
	row->add_if(in_pool, in_pool ? percent_of(load.load(rules), server.capacity_in_force()) : 0);
}

void
report(FunctionCallInfo fcinfo, const Forecast &forecast)
{
	int in_pool = forecast.in_pool;
	Row row(fcinfo);

	for (int i : forecast.servers.in_order())
	{
		const PoolServer &server = forecast.servers.servers[i];

		row.add(server.name);
		row.add(is_drained(server, forecast.after[i]) ? "drained" : name_of(server.state));
		row.add_if(i < in_pool, server.capacity_in_force());
		add_load(&row, forecast.before(i), forecast.rules, server, i < in_pool);
		add_load(&row, forecast.after[i], forecast.rules, server, i < in_pool);
		row.add_optional(note_on(forecast, i));
		row.put();
	}
}

} // namespace

void
report_what_if(FunctionCallInfo fcinfo, std::string_view server, ServerState state)
{
	InitMaterializedSRF(fcinfo, 0);
	report(fcinfo, foresee_state(server, state));
}

void
report_what_if_added(FunctionCallInfo fcinfo, std::string_view server, int capacity)
{
	InitMaterializedSRF(fcinfo, 0);
	report(fcinfo, foresee_added(server, capacity));
}

void
report_rebalance(FunctionCallInfo fcinfo, const RebalanceLimits &limits, bool dry_run)
{
	InitMaterializedSRF(fcinfo, 0);

	Row row(fcinfo);

	for (const RebalancedRoom &moved : rebalance(limits, dry_run))
	{
		row.add(moved.room);
		row.add(moved.from);
		row.add(moved.to);
		row.add(moved.users);
		row.put();
	}
}

} // namespace gxy
