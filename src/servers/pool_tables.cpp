/*
 * pool_tables.cpp: from the rows of the small tables to a Pool.
 */
#include "servers/pool_tables.hpp"

#include "pg/array.hpp"
#include "pg/interner.hpp"
#include "pg/lock_timeout.hpp"
#include "pg/row.hpp"
#include "pg/rows.hpp"
#include "pg/settings.hpp"
#include "policy/placement_policy.hpp"
#include "policy/region_list.hpp"
#include "tables/catalog.hpp"
#include "tables/columns.hpp"
#include "tables/owner_sql.hpp"

namespace gxy
{
namespace
{

Array<std::string_view>
read_regions(const Row &row)
{
	Array<std::string_view> regions;

	for (std::string_view region : row.texts(servers_regions))
		if (std::string_view name = without_blanks(region); !name.empty())
			regions.push(copy_of(name));
	return regions;
}

PoolServer
read_server(std::string_view name, const Row &row)
{
	std::string_view pool_name = row.text(servers_pool).value_or("");
	std::string_view state = row.text(servers_state).value_or("");
	PoolServer server;

	server.name = copy_of(name);
	server.hash = name_hash(server.name);
	server.position = row.integer(servers_position).value_or(0);
	server.priority = row.integer(servers_priority).value_or(0);
	server.capacity = row.integer(servers_capacity).value_or(0);
	server.pool = pool_name == "primary"   ? ServerPool::primary
				  : pool_name == "standby" ? ServerPool::standby
										   : ServerPool::reserved;
	server.wanted = state_named(state);
	server.state = server.wanted;
	server.regions = read_regions(row);
	return server;
}

bool
has_rows(Oid table, Snapshot snapshot)
{
	bool found = false;

	for_each_row_of(table, snapshot, [&found](const Row &) { found = true; });
	return found;
}

void
read_servers(Pool *pool, Snapshot snapshot)
{
	bool fresh;

	for_each_row_of(relations().servers, snapshot, [pool](const Row &row) {
		if (std::optional<std::string_view> name = row.text(servers_name))
			pool->servers.push(read_server(*name, row));
	});
	pool->written = pool->servers.count > 0;
	pool->is_default = !pool->written && !has_rows(relations().pool_written, snapshot);
	if (pool->is_default)
	{
		NameList names(setting::default_servers);
		std::string_view name;

		while (names.next(&name))
		{
			PoolServer server;

			server.name = copy_of(name);
			server.hash = name_hash(server.name);
			server.position = pool->servers.count + 1;
			pool->servers.push(server);
		}
	}
	pool->numbers.prepare();
	for (const PoolServer &server : pool->servers)
	{
		(void) pool->numbers.number(server.name, &fresh);
		pool->servers_hash += server.hash;
		pool->has_regions = pool->has_regions || server.regions.count > 0;
	}
}

void
list_claimants(Pool *pool)
{
	for (int i = 0; i < pool->servers.count; i++)
		if (pool->servers[i].failover.active && pool->servers[i].failover.standby >= 0)
			pool->claimants.push(i);
	std::sort(pool->claimants.begin(), pool->claimants.end(), [pool](int a, int b) {
		int left = pool->servers[a].failover.standby;
		int right = pool->servers[b].failover.standby;

		return left != right ? left < right : a < b;
	});
}

/* Hash of everything by which a server's rooms are placed, answered and moved. */
std::uint64_t
digest_of(const PoolServer &server)
{
	const Failover &failover = server.failover;
	const std::uint64_t parts[] = {server.hash,
								   static_cast<std::uint64_t>(server.position),
								   static_cast<std::uint64_t>(server.priority),
								   static_cast<std::uint64_t>(server.capacity),
								   static_cast<std::uint64_t>(server.pool),
								   static_cast<std::uint64_t>(server.state),
								   static_cast<std::uint64_t>(server.recovered_at),
								   static_cast<std::uint64_t>(failover.active),
								   static_cast<std::uint64_t>(failover.on_call),
								   static_cast<std::uint64_t>(failover.due_at),
								   name_hash(failover.target)};
	std::uint64_t digest = name_hash({reinterpret_cast<const char *>(parts), sizeof(parts)});

	for (std::string_view region : server.regions)
		digest = hash_combine64(digest, name_hash(region));
	return digest;
}

/* Runs after everything about the servers has been read. The order of the rows does not matter. */
void
list_plain_servers(Pool *pool)
{
	for (const PoolServer &server : pool->servers)
		pool->servers_digest += digest_of(server);
	for (const PoolServer &server : pool->servers)
		pool->plain.push(plain_server(server));
	pool->uniform = is_uniform(pool->plain.items, pool->plain.count);
}

void
read_pins(Pool *pool, Snapshot snapshot)
{
	for_each_row_of(relations().pins, snapshot, [pool](const Row &row) {
		std::optional<std::string_view> room = row.text(pins_room);
		std::optional<std::string_view> server = row.text(pins_server);

		if (room && server)
			pool->pins.push(Pin{.room = copy_of(*room),
								.server = copy_of(*server),
								.expected_users = row.integer(pins_expected_users)});
	});
	std::sort(pool->pins.begin(), pool->pins.end(),
			  [](const Pin &a, const Pin &b) { return a.room < b.room; });
}

void
read_sources(Pool *pool, Snapshot snapshot)
{
	for_each_row_of(relations().sources, snapshot, [pool](const Row &row) {
		bool sessions = row.text(sources_source) == "sessions";

		std::optional<std::string_view> schema = row.text(sources_schema);

		/*
		 * An attachment without a name is a missing source, which is an error; it never means "no
		 * source".
		 */
		(sessions ? pool->sessions : pool->rooms) =
			Attachment{.schema = schema ? copy_of(*schema).data() : nullptr,
					   .relation = copy_of(row.text(sources_relation).value_or("")).data()};
	});
}

void
read_health(Pool *pool, Snapshot snapshot)
{
	for_each_row_of(relations().health, snapshot, [pool](const Row &row) {
		int at = pool->find(row.text(health_server).value_or(""));

		if (at < 0)
			return;

		PoolServer &server = pool->servers[at];

		server.reported = true;
		server.healthy = row.boolean(health_healthy).value_or(true);
		server.silent = !server.healthy && row.time(health_last_heartbeat) < row.time(health_since);
		server.recovered_at = row.time(health_recovered_at).value_or(DT_NOBEGIN);
		pool->last_recovery = std::max(pool->last_recovery, server.recovered_at);
		if (!server.healthy)
			server.state = ServerState::offline;
	});
}

/* An active one. */
Failover
read_failover(const Row &row)
{
	Failover failover;

	failover.active = true;
	failover.pending = row.text(failovers_outcome) == "pending";
	failover.on_call = row.boolean(failovers_on_call).value_or(false);
	failover.declared_at = row.time(failovers_declared_at).value_or(DT_NOBEGIN);
	failover.due_at = row.time(failovers_due_at).value_or(failover.declared_at);
	failover.target = copy_of(row.text(failovers_to).value_or(""));
	return failover;
}

/*
 * Of several active failovers of one server the latest counts; a restore may have brought the
 * others back.
 */
void
read_failovers(Pool *pool, Snapshot snapshot)
{
	for_each_row_of(relations().failovers, snapshot, [pool](const Row &row) {
		if (row.time(failovers_recovered_at))
		{
			pool->ended_failovers++;
			return;
		}

		std::string_view server = row.text(failovers_from).value_or("");
		Failover read = read_failover(row);
		int at = pool->find(server);

		if (at < 0)
		{
			pool->stray_failovers.push(StrayFailover{.server = copy_of(server), .failover = read});
			return;
		}

		Failover &failover = pool->servers[at].failover;

		pool->has_failovers = true;
		pool->has_doubles = pool->has_doubles || failover.active;
		if (failover.active && failover.declared_at > read.declared_at)
			return;
		failover = read;
		failover.standby = pool->find(failover.target);
	});
}

} // namespace

bool
note_pool_written()
{
	Deadline deadline = Deadline::of_call_starting_now();
	Oid table = lock_table(&Relations::pool_written, AccessShareLock, deadline);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	bool noted = has_rows(table, snapshot);

	UnregisterSnapshot(snapshot);
	if (!noted)
		(void) run_as_owner(&Relations::pool_written, deadline, "INSERT INTO %s DEFAULT VALUES",
							{});
	return !noted;
}

void
read_pool(Pool *pool, Snapshot snapshot)
{
	read_servers(pool, snapshot);
	read_pins(pool, snapshot);
	read_sources(pool, snapshot);
	read_health(pool, snapshot);
	read_failovers(pool, snapshot);
	list_claimants(pool);
	list_plain_servers(pool);
}

} // namespace gxy
