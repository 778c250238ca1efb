/*
 * pool_cache.cpp: each backend's copy of the small tables.
 *
 * Servers change a few times a day but every placement needs them, so each backend keeps a copy.
 * Triggers on the tables (ENABLE ALWAYS, for logical replication) send a relcache invalidation with
 * every change. It reaches the changing backend at once, the others at commit. Reports of health
 * send one only if the health changes.
 *
 * A copy that is out of date is not freed at once, because callers may still point into it, but
 * when the next SQL function or trigger begins, if none is in progress, or at the end of the
 * transaction.
 */
#include "pg/array.hpp"
#include "pg/compat.hpp"
#include "pg/lock_timeout.hpp"
#include "pg/settings.hpp"
#include "servers/pool.hpp"
#include "servers/pool_tables.hpp"
#include "tables/catalog.hpp"
#include "tables/owner_sql.hpp"

namespace gxy
{
namespace
{

/* What tells the snapshot of a query from those of later queries. */
struct SnapshotMark
{
	TransactionId xmin = InvalidTransactionId; /* invalid: a mark of no snapshot */
	TransactionId xmax = InvalidTransactionId;
	std::uint32_t xcnt = 0;
	std::int32_t subxcnt = 0; /* on a standby this counts all transactions */
	CommandId command = 0;

	bool operator==(const SnapshotMark &) const = default;
};

struct Copy
{
	MemoryContext context;
	Relations read_from;
	Pool pool;
	SnapshotMark parallel; /* of the parallel query that has read it, for which alone it is valid */
};
static_assert(std::is_trivially_destructible_v<Copy>);

Copy *copy = nullptr;
bool valid = false;		 /* apart from the pins */
bool pins_valid = false; /* implies valid */
/* Parent of the copies that are out of date, in TopTransactionContext. */
MemoryContext old_copies = nullptr;
std::uint64_t copies = 0;
std::uint64_t changes = 0; /* invalidations seen while a part of the copy was not valid */

/* Locks the tables. deadline nullptr: returns false instead of waiting. */
bool
lock_tables(const Deadline *deadline)
{
	for (Oid Relations::*table : {&Relations::servers, &Relations::pool_written, &Relations::pins,
								  &Relations::sources, &Relations::health, &Relations::failovers})
		if (deadline != nullptr)
			lock_table(table, AccessShareLock, *deadline);
		else if (!try_lock_table(table, AccessShareLock))
			return false;
	return true;
}

SnapshotMark
mark_of_query()
{
	Snapshot snapshot = GetActiveSnapshot();

	return {.xmin = snapshot->xmin,
			.xmax = snapshot->xmax,
			.xcnt = snapshot->xcnt,
			.subxcnt = snapshot->subxcnt,
			.command = snapshot->curcid};
}

/*
 * Reads with a latest snapshot, but the server takes none during a parallel query. room_server()
 * can be called in the leader of one; it gets the pool as the query sees it.
 *
 * The context becomes permanent last, so an error leaves nothing in permanent memory.
 */
Copy *
read_copy(const Deadline *deadline)
{
	if (!lock_tables(deadline))
		return nullptr;

	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "gxy_balancer pool", ALLOCSET_SMALL_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	Copy *fresh = static_cast<Copy *>(palloc0(sizeof(Copy)));
	bool parallel = IsInParallelMode();

	fresh->context = context;
	fresh->read_from = relations();
	/* One for all tables, so that a transaction's changes are seen together or not at all. */
	Snapshot snapshot = RegisterSnapshot(parallel ? GetActiveSnapshot() : GetLatestSnapshot());

	read_pool(&fresh->pool, snapshot);
	UnregisterSnapshot(snapshot);
	if (parallel)
		fresh->parallel = mark_of_query();
	fresh->pool.number = ++copies;
	MemoryContextSwitchTo(caller);
	MemoryContextSetParent(context, TopMemoryContext);
	return fresh;
}

extern "C"
{
	static void forget_calls(XactEvent event, void *)
	{
		if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
			return;
		old_copies = nullptr;
		has_old_copies = false;
		calls_in_progress = 0;
	}
}

void
retire(Copy *old)
{
	if (old_copies == nullptr)
		old_copies = AllocSetContextCreate(TopTransactionContext, "gxy_balancer old pools",
										   ALLOCSET_SMALL_SIZES);
	MemoryContextSetParent(old->context, old_copies);
	/* The worker calls functions of the extension without as_call(). */
	has_old_copies = !compat::is_background_worker();
}

enum class Pins
{
	needed,
	not_needed
};

} // namespace

int calls_in_progress = 0;
bool has_old_copies = false;

void
free_old_copies()
{
	MemoryContextDeleteChildren(old_copies);
	has_old_copies = false;
}

/* Returns nullptr if there is no deadline and a lock would have to be waited for. */
static const Pool *
current_pool(const Deadline *deadline, Pins pins)
{
	static bool registered = false;

	AcceptInvalidationMessages();
	if (pins == Pins::needed ? pins_valid : valid)
		return &copy->pool;
	if (IsInParallelMode() && copy != nullptr && copy->parallel == mark_of_query())
		return &copy->pool;
	if (!registered)
		RegisterXactCallback(forget_calls, nullptr);
	registered = true;

	std::uint64_t changes_before = changes;
	Copy *fresh = read_copy(deadline);

	if (fresh == nullptr)
		return nullptr;
	if (copy != nullptr)
		retire(copy);
	copy = fresh;
	valid = pins_valid = changes == changes_before && !IsInParallelMode();
	return &copy->pool;
}

const Pool &
pool(Deadline deadline)
{
	return *current_pool(&deadline, Pins::needed);
}

const Pool &
pool_without_pins(Deadline deadline)
{
	return *current_pool(&deadline, Pins::not_needed);
}

const Pool *
pool_without_waiting()
{
	const Pool *current = current_pool(nullptr, Pins::not_needed);

	/* An old copy is better than none. */
	return current == nullptr && copy != nullptr ? &copy->pool : current;
}

const Pool *
last_pool()
{
	return copy != nullptr ? &copy->pool : nullptr;
}

bool
is_current_pool(std::uint64_t number)
{
	AcceptInvalidationMessages();
	return valid && copy->pool.number == number;
}

int
write_servers(const char *names, Deadline deadline)
{
	NameList list(names);
	std::string_view name;
	Array<std::string_view> all;

	while (list.next(&name))
		all.push(name);
	/* Lock, because two concurrent writers would both start at position 1. */
	lock_table(&Relations::servers, ShareRowExclusiveLock, deadline);
	/*
	 * The column's default would be evaluated for each row, as an owner who may lack EXECUTE on its
	 * function.
	 */
	return static_cast<int>(
		run_as_owner(&Relations::servers, deadline,
					 "INSERT INTO %s (name, position) SELECT n.name, "
					 "least(l.position + row_number() OVER (ORDER BY n.at), 2147483647) FROM "
					 "(SELECT u.name, min(u.at) AS at FROM unnest($1) WITH ORDINALITY u(name, at) "
					 "GROUP BY 1) n, (SELECT coalesce(max(s.position), 0) AS position FROM %s s) l "
					 "WHERE NOT EXISTS (SELECT FROM %s s WHERE s.name = n.name) ORDER BY n.at",
					 {Argument::of(all.span())}));
}

void
write_pool_if_unwritten(Deadline deadline)
{
	if (pool_without_pins(deadline).is_default)
		(void) write_servers(setting::default_servers, deadline);
}

void
invalidate_pool(Oid relation)
{
	if (!pins_valid)
		changes++;
	if (!valid)
		return;
	if (relation == InvalidOid || relation == copy->read_from.servers ||
		relation == copy->read_from.pool_written || relation == copy->read_from.sources ||
		relation == copy->read_from.health || relation == copy->read_from.failovers)
		valid = pins_valid = false;
	else if (relation == copy->read_from.pins)
		pins_valid = false;
}

} // namespace gxy
