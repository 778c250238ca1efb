/*
 * pool.cpp: a backend's own copy of the small tables.
 *
 * The servers change a few times a day and are needed by every new room, so each backend keeps a copy in its memory.
 * Triggers on the tables (ENABLE ALWAYS, for logical replication) send a relcache invalidation with every change; it
 * reaches every backend when the change commits, its own at once, and again if it rolls back. The same holds for the
 * servers' health, of which only a turn for the better or worse is told, and for their failovers. A copy that is out of
 * date is not freed but handed to the transaction, so that nobody is left holding a dangling name.
 */
#include "pool.hpp"

#include "catalog.hpp"
#include "rows.hpp"
#include "statement.hpp"

namespace gxy
{
namespace
{

enum ServersColumn
{
	servers_name = 1,
	servers_position,
	servers_priority,
	servers_capacity,
	servers_regions,
	servers_pool,
	servers_state
};

enum PinsColumn
{
	pins_room = 1,
	pins_server,
	pins_expected_users
};

enum SourcesColumn
{
	sources_source = 1,
	sources_schema,
	sources_relation
};

enum FailoversColumn
{
	failovers_from = 1,
	failovers_to,
	failovers_declared_at,
	failovers_due_at,
	failovers_cause,
	failovers_rooms,
	failovers_outcome,
	failovers_finished_at,
	failovers_recovered_at
};

struct Copy
{
	MemoryContext context;
	Relations read_from;
	Pool pool;
};
static_assert(std::is_trivially_destructible_v<Copy>);

Copy *copy = nullptr;
bool valid = false;
std::uint64_t changes = 0; /* seen while none was valid */

Array<std::string_view>
read_regions(const RowView &row)
{
	Array<std::string_view> regions;

	if (row.is_null(servers_regions))
		return regions;

	Datum *elements;
	bool *nulls;
	int count;

	deconstruct_array(DatumGetArrayTypeP(row.datum(servers_regions)), TEXTOID, -1, false,
					  TYPALIGN_INT, &elements, &nulls, &count);
	for (int i = 0; i < count; i++)
		if (!nulls[i] && !view_of(elements[i]).empty())
			regions.push(copy_of(view_of(elements[i])));
	return regions;
}

PoolServer
read_server(const RowView &row)
{
	std::string_view pool_name = row.peek(servers_pool);
	std::string_view state = row.peek(servers_state);
	PoolServer server;

	server.name = row.text(servers_name);
	server.hash = name_hash(server.name);
	server.position = row.integer(servers_position, 0);
	server.priority = row.integer(servers_priority, 0);
	server.capacity = row.integer(servers_capacity, 0);
	server.pool = pool_name == "primary"   ? ServerPool::primary
				  : pool_name == "standby" ? ServerPool::standby
										   : ServerPool::reserved;
	server.wanted = state == "online"	  ? ServerState::online
					: state == "draining" ? ServerState::draining
										  : ServerState::offline;
	server.state = server.wanted;
	server.regions = read_regions(row);
	return server;
}

void
read_servers(Pool *pool)
{
	bool fresh;

	for_each_row_of(relations().servers,
					[pool](const RowView &row) { pool->servers.push(read_server(row)); });
	pool->written = pool->servers.count > 0;
	if (!pool->written)
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
		(void) pool->numbers.number(server.name, &fresh);
}

void
read_pins(Pool *pool)
{
	for_each_row_of(relations().pins, [pool](const RowView &row) {
		Pin pin;

		pin.room = row.text(pins_room);
		pin.server = row.text(pins_server);
		if (!row.is_null(pins_expected_users))
			pin.expected_users = row.integer(pins_expected_users, 0);
		pool->pins.push(pin);
	});
	std::sort(pool->pins.begin(), pool->pins.end(),
			  [](const Pin &a, const Pin &b) { return a.room < b.room; });
}

void
read_sources(Pool *pool)
{
	for_each_row_of(relations().sources, [pool](const RowView &row) {
		bool sessions = row.peek(sources_source) == "sessions";

		(sessions ? pool->sessions : pool->rooms) =
			Attachment{.schema = row.text(sources_schema).data(),
					   .relation = row.text(sources_relation).data()};
	});
}

void
read_health(Pool *pool)
{
	for_each_row_of(relations().health, [pool](const RowView &row) {
		int at = pool->find(row.peek(health_server));

		if (at < 0)
			return;

		PoolServer &server = pool->servers[at];

		server.reported = true;
		server.healthy = row.boolean(health_healthy);
		if (!server.healthy)
			server.state = ServerState::offline;
	});
}

/* Of several active failovers of one server the latest counts; a restore may have brought the others back. */
void
read_failovers(Pool *pool)
{
	for_each_row_of(relations().failovers, [pool](const RowView &row) {
		if (!row.is_null(failovers_recovered_at))
			return;

		int at = pool->find(row.peek(failovers_from));
		TimestampTz declared_at = row.time(failovers_declared_at);

		if (at < 0)
		{
			pool->has_orphans = true;
			return;
		}

		Failover &failover = pool->servers[at].failover;

		pool->has_doubles = pool->has_doubles || failover.active;
		if (failover.active && failover.declared_at > declared_at)
			return;
		failover = Failover();
		failover.active = true;
		pool->has_failovers = true;
		failover.pending = row.peek(failovers_outcome) == "pending";
		failover.declared_at = declared_at;
		failover.due_at = row.time(failovers_due_at);
		if (!row.is_null(failovers_to))
		{
			failover.target = row.text(failovers_to);
			failover.standby = pool->find(failover.target);
		}
	});
}

/* False if one cannot be had without waiting and there is no deadline to wait for. */
bool
lock_tables(const Deadline *deadline)
{
	for (Oid Relations::*table : {&Relations::servers, &Relations::pins, &Relations::sources,
								  &Relations::health, &Relations::failovers})
		if (deadline != nullptr)
			lock_table(table, AccessShareLock, *deadline);
		else if (!try_lock_table(table, AccessShareLock))
			return false;
	return true;
}

/* Nothing is left behind in permanent memory when reading fails: the context becomes permanent last. */
Copy *
read_copy(const Deadline *deadline)
{
	if (!lock_tables(deadline))
		return nullptr;

	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "gxy_balancer pool", ALLOCSET_SMALL_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	Copy *fresh = static_cast<Copy *>(palloc0(sizeof(Copy)));

	fresh->context = context;
	fresh->read_from = relations();
	read_servers(&fresh->pool);
	read_pins(&fresh->pool);
	read_sources(&fresh->pool);
	read_health(&fresh->pool);
	read_failovers(&fresh->pool);
	MemoryContextSwitchTo(caller);
	MemoryContextSetParent(context, TopMemoryContext);
	return fresh;
}

} // namespace

int
PoolServer::capacity_in_force() const
{
	return capacity > 0 ? capacity : setting::default_capacity;
}

RegionFit
PoolServer::fit(std::string_view caller_region) const
{
	if (regions.count == 0)
		return RegionFit::general;
	for (std::string_view region : regions)
		if (region == caller_region)
			return RegionFit::own;
	return RegionFit::foreign;
}

const Pin *
Pool::pin_of(std::string_view room) const
{
	const Pin *at =
		std::lower_bound(pins.begin(), pins.end(), room,
						 [](const Pin &pin, std::string_view key) { return pin.room < key; });

	return at != pins.end() && at->room == room ? at : nullptr;
}

Whereabouts
Pool::whereabouts(std::string_view server, TimestampTz assigned_at, TimestampTz now) const
{
	Whereabouts where = {.server = find(server)};
	bool known = where.server >= 0;

	if (known && servers[where.server].state != ServerState::offline)
		return where;

	/* Not in the pool, or written into it as offline: as if its failover had been declared with the room. */
	if (!known || !servers[where.server].failover.active)
	{
		where.stranded = now - assigned_at >= microseconds(setting::failover_delay);
		return where;
	}

	const Failover &failover = servers[where.server].failover;

	if (now < failover.due_at)
		return where;
	where.moved = failover.standby >= 0 && servers[failover.standby].state == ServerState::online;
	where.stranded = !where.moved;
	if (where.moved)
		where.server = failover.standby;
	return where;
}

/* nullptr if there is no deadline and somebody would have to be waited for. */
static const Pool *
current_pool(const Deadline *deadline)
{
	AcceptInvalidationMessages();
	if (valid)
		return &copy->pool;

	std::uint64_t changes_before = changes;
	Copy *fresh = read_copy(deadline);

	if (fresh == nullptr)
		return nullptr;
	if (copy != nullptr)
		MemoryContextSetParent(copy->context, TopTransactionContext);
	copy = fresh;
	valid = changes == changes_before;
	return &copy->pool;
}

const Pool &
pool(Deadline deadline)
{
	return *current_pool(&deadline);
}

const Pool *
pool_at_hand()
{
	const Pool *current = current_pool(nullptr);

	/* What was true a moment ago is better than nothing. */
	return current == nullptr && copy != nullptr ? &copy->pool : current;
}

int
write_servers(const char *names)
{
	Oid table = relations().servers;
	NameList list(names);
	std::string_view name;
	int written = 0;

	/* Two writers at once would both start at position 1. */
	LockRelationOid(table, ShareRowExclusiveLock);
	while (list.next(&name))
		written += static_cast<int>(
			run_as_owner(table, "INSERT INTO %s (name) VALUES ($1) ON CONFLICT (name) DO NOTHING",
						 {Argument::of(name)}));
	return written;
}

void
write_pool_if_unwritten(Deadline deadline)
{
	if (!pool(deadline).written)
		(void) write_servers(setting::default_servers);
}

void
forget_pool(Oid relation)
{
	if (!valid)
		changes++;
	else if (relation == InvalidOid || relation == copy->read_from.servers ||
			 relation == copy->read_from.pins || relation == copy->read_from.sources ||
			 relation == copy->read_from.health || relation == copy->read_from.failovers)
		valid = false;
}

const char *
name_of(ServerState state)
{
	switch (state)
	{
		case ServerState::online:
			return "online";
		case ServerState::draining:
			return "draining";
		case ServerState::offline:
			break;
	}
	return "offline";
}

const char *
name_of(ServerPool pool)
{
	switch (pool)
	{
		case ServerPool::primary:
			return "primary";
		case ServerPool::standby:
			return "standby";
		case ServerPool::reserved:
			break;
	}
	return "reserved";
}

} // namespace gxy
