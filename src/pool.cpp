/*
 * pool.cpp: a backend's own copy of the small tables.
 *
 * The servers change a few times a day and are needed by every new room, so each backend keeps a copy in its memory.
 * Triggers on the tables (ENABLE ALWAYS, for logical replication) send a relcache invalidation with every change; it
 * reaches every backend when the change commits, its own at once, and again if it rolls back. A copy that is out of
 * date is not freed but handed to the transaction, so that nobody is left holding a dangling name.
 */
#include "pool.hpp"

#include "catalog.hpp"

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

/* Calls visit(slot) for every row of a table that a latest snapshot sees, the caller's own changes included. */
template <typename F>
void
for_each_row(Oid table, Deadline deadline, F visit)
{
	lock_relation(table, AccessShareLock, deadline);

	Relation relation = table_open(table, NoLock);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = table_beginscan(relation, snapshot, 0, nullptr);
	TupleTableSlot *slot = table_slot_create(relation, nullptr);

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		slot_getallattrs(slot);
		visit(slot);
	}
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(relation, NoLock);
}

bool
is_null(TupleTableSlot *slot, int column)
{
	return slot->tts_isnull[column - 1];
}

Datum
value(TupleTableSlot *slot, int column)
{
	return slot->tts_values[column - 1];
}

std::string_view
text_value(TupleTableSlot *slot, int column)
{
	return copy_of(view_of(value(slot, column)));
}

int
int_value(TupleTableSlot *slot, int column, int if_null)
{
	return is_null(slot, column) ? if_null : DatumGetInt32(value(slot, column));
}

Array<std::string_view>
read_regions(TupleTableSlot *slot)
{
	Array<std::string_view> regions;

	if (is_null(slot, servers_regions))
		return regions;

	Datum *elements;
	bool *nulls;
	int count;

	deconstruct_array(DatumGetArrayTypeP(value(slot, servers_regions)), TEXTOID, -1, false,
					  TYPALIGN_INT, &elements, &nulls, &count);
	for (int i = 0; i < count; i++)
		if (!nulls[i] && !view_of(elements[i]).empty())
			regions.push(copy_of(view_of(elements[i])));
	return regions;
}

void
read_servers(Pool *pool, Deadline deadline)
{
	for_each_row(relations().servers, deadline, [pool](TupleTableSlot *slot) {
		std::string_view pool_name = view_of(value(slot, servers_pool));
		std::string_view state = view_of(value(slot, servers_state));
		PoolServer server;

		server.name = text_value(slot, servers_name);
		server.position = int_value(slot, servers_position, 0);
		server.priority = int_value(slot, servers_priority, 0);
		server.capacity = int_value(slot, servers_capacity, 0);
		server.pool = pool_name == "primary"   ? ServerPool::primary
					  : pool_name == "standby" ? ServerPool::standby
											   : ServerPool::reserved;
		server.state = state == "online"	 ? ServerState::online
					   : state == "draining" ? ServerState::draining
											 : ServerState::offline;
		server.regions = read_regions(slot);
		pool->servers.push(server);
	});
	pool->written = pool->servers.count > 0;
	if (pool->written)
		return;

	NameList names(setting::default_servers);
	std::string_view name;

	while (names.next(&name))
	{
		PoolServer server;

		server.name = copy_of(name);
		server.position = pool->servers.count + 1;
		pool->servers.push(server);
	}
}

void
read_pins(Pool *pool, Deadline deadline)
{
	for_each_row(relations().pins, deadline, [pool](TupleTableSlot *slot) {
		Pin pin;

		pin.room = text_value(slot, pins_room);
		pin.server = text_value(slot, pins_server);
		if (!is_null(slot, pins_expected_users))
			pin.expected_users = DatumGetInt32(value(slot, pins_expected_users));
		pool->pins.push(pin);
	});
	std::sort(pool->pins.begin(), pool->pins.end(),
			  [](const Pin &a, const Pin &b) { return a.room < b.room; });
}

void
read_sources(Pool *pool, Deadline deadline)
{
	for_each_row(relations().sources, deadline, [pool](TupleTableSlot *slot) {
		bool sessions = view_of(value(slot, sources_source)) == "sessions";

		(sessions ? pool->sessions : pool->rooms) =
			Attachment{.schema = text_value(slot, sources_schema).data(),
					   .relation = text_value(slot, sources_relation).data()};
	});
}

/* Nothing is left behind in permanent memory when reading fails: the context becomes permanent last. */
Copy *
read_copy(Deadline deadline)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "gxy_balancer pool", ALLOCSET_SMALL_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	Copy *fresh = static_cast<Copy *>(palloc0(sizeof(Copy)));

	fresh->context = context;
	fresh->read_from = relations();
	read_servers(&fresh->pool, deadline);
	read_pins(&fresh->pool, deadline);
	read_sources(&fresh->pool, deadline);
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

int
Pool::find(std::string_view server) const
{
	for (int i = 0; i < servers.count; i++)
		if (servers[i].name == server)
			return i;
	return -1;
}

const Pin *
Pool::pin_of(std::string_view room) const
{
	const Pin *at =
		std::lower_bound(pins.begin(), pins.end(), room,
						 [](const Pin &pin, std::string_view key) { return pin.room < key; });

	return at != pins.end() && at->room == room ? at : nullptr;
}

const Pool &
pool(Deadline deadline)
{
	AcceptInvalidationMessages();
	if (valid)
		return copy->pool;

	std::uint64_t changes_before = changes;
	Copy *fresh = read_copy(deadline);

	if (copy != nullptr)
		MemoryContextSetParent(copy->context, TopTransactionContext);
	copy = fresh;
	valid = changes == changes_before;
	return copy->pool;
}

int
write_servers(const char *names)
{
	Oid caller;
	int context;
	Relations known = relations();
	const char *table = quote_qualified_identifier(
		get_namespace_name(get_rel_namespace(known.servers)), get_rel_name(known.servers));
	const char *insert =
		psprintf("INSERT INTO %s (name) VALUES ($1) ON CONFLICT (name) DO NOTHING", table);
	Oid types[] = {TEXTOID};
	NameList list(names);
	std::string_view name;
	int written = 0;

	/* Two writers at once would both start at position 1. */
	LockRelationOid(known.servers, ShareRowExclusiveLock);
	GetUserIdAndSecContext(&caller, &context);
	SetUserIdAndSecContext(known.owner, context | SECURITY_LOCAL_USERID_CHANGE);
	SPI_connect();
	while (list.next(&name))
	{
		Datum values[] = {PointerGetDatum(text_of(name))};

		SPI_execute_with_args(insert, 1, types, values, nullptr, false, 0);
		written += static_cast<int>(SPI_processed);
	}
	SPI_finish();
	SetUserIdAndSecContext(caller, context);
	return written;
}

void
forget_pool(Oid relation)
{
	if (!valid)
		changes++;
	else if (relation == InvalidOid || relation == copy->read_from.servers ||
			 relation == copy->read_from.pins || relation == copy->read_from.sources)
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
