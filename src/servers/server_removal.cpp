/*
 * server_removal.cpp: refuses to remove a server that has rooms.
 *
 * It checks twice. The check before the row is deleted finds most mistakes. The check at commit is
 * needed because other sessions place rooms on the server until then. It runs under the placement
 * lock, which is kept until the end of the transaction. Other backends learn of the change at that
 * time, so the next holder of the lock uses the new pool (pool_under_lock.hpp).
 *
 * A TRUNCATE may empty other tables too, so it is checked after it, like a DELETE of all servers.
 *
 * The lock must not be held longer than a commit takes, so a transaction that has removed a server
 * cannot be prepared.
 */
#include "servers/server_removal.hpp"

#include "pg/array.hpp"
#include "pg/compat.hpp"
#include "pg/interner.hpp"
#include "pg/lock_timeout.hpp"
#include "servers/pool.hpp"
#include "tables/assignments.hpp"
#include "tables/catalog.hpp"
#include "tables/locks.hpp"
#include "tables/placement_locks.hpp"

namespace gxy
{
namespace
{

struct Removal
{
	std::string_view server;
	bool deleted; /* not renamed */
};

/*
 * Removals of this transaction, in TopTransactionContext; some may have been rolled back to a
 * savepoint.
 */
Array<Removal> removals;

const char *
verb(const Removal &removal)
{
	return removal.deleted ? "delete" : "rename";
}

/* Raises 55006 for a server that got rooms after it was deleted. */
[[noreturn]] void
refuse_late(const Removal &removal, std::int64_t rooms)
{
	ereport(
		ERROR,
		(errcode(ERRCODE_OBJECT_IN_USE),
		 errmsg("cannot %s server \"%s\" while it has rooms", verb(removal), removal.server.data()),
		 errdetail_plural("%lld room was assigned to it before the transaction ended.",
						  "%lld rooms were assigned to it before the transaction ended.",
						  static_cast<unsigned long>(rooms), static_cast<long long>(rooms)),
		 errhint("SELECT evacuate_server(%s) drains it and moves them to other servers; "
				 "then try again.",
				 quote_literal_cstr(removal.server.data()))));
	pg_unreachable();
}

/* Raises 55006 for a server that has rooms when it is removed. */
[[noreturn]] void
refuse(const Removal &removal, std::int64_t rooms)
{
	ereport(
		ERROR,
		(errcode(ERRCODE_OBJECT_IN_USE),
		 errmsg("cannot %s server \"%s\" while it has rooms", verb(removal), removal.server.data()),
		 errdetail_plural("%lld room is assigned to it.", "%lld rooms are assigned to it.",
						  static_cast<unsigned long>(rooms), static_cast<long long>(rooms)),
		 errhint("SELECT evacuate_server(%s) moves them to other servers; then try again.",
				 quote_literal_cstr(removal.server.data()))));
	pg_unreachable();
}

/*
 * How many rooms each server of the pool has, or has claimed. One statement may remove many
 * servers, and the check at commit counts again, so a statement counts once.
 */
struct Census
{
	CommandId command = InvalidCommandId; /* of the statement that has counted */
	std::uint64_t pool = 0;				  /* number of the copy of the pool */
	std::int64_t *rooms = nullptr;		  /* by server, in TopTransactionContext */
};

Census census;

void
take_census(const Pool &pool, CommandId command, Deadline deadline)
{
	TimestampTz now = GetCurrentTimestamp();
	Assignments assignments = open_assignments(AccessShareLock, deadline);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	std::int64_t *rooms = static_cast<std::int64_t *>(MemoryContextAllocZero(
		TopTransactionContext, sizeof(std::int64_t) * static_cast<Size>(pool.servers.count + 1)));

	assignments.for_each_room(snapshot, [&](const Assignment &row) {
		int named = pool.find(row.server);
		RoomLocation where = pool.locate(row.server, row.assigned_at, now);

		if (named >= 0)
			rooms[named]++;
		if (where.moved)
			rooms[where.server]++;
	});
	UnregisterSnapshot(snapshot);
	assignments.close();
	if (census.rooms != nullptr)
		pfree(census.rooms);
	census = {.command = command, .pool = pool.number, .rooms = rooms};
}

/* Returns how many rooms are on the server or are claimed by it. */
std::int64_t
count_rooms(std::string_view server, Deadline deadline)
{
	const Pool &current = pool(deadline);
	CommandId command = GetCurrentCommandId(false);
	int number = current.find(server);

	if (number < 0)
		return 0;
	/*
	 * After an error the next statement may have the same command id, so an old count is not enough
	 * to refuse a removal.
	 */
	if (census.command != command || census.pool != current.number || census.rooms[number] > 0)
		take_census(current, command, deadline);
	return census.rooms[number];
}

/* Servers that this transaction has removed and that are not in the pool. */
struct RemovedServers
{
	NameInterner numbers;
	Array<std::int64_t> rooms; /* by number */
};

RemovedServers
list_removed(const Pool &pool)
{
	RemovedServers removed;
	bool fresh;

	removed.numbers.prepare();
	for (const Removal &removal : removals)
		if (pool.find(removal.server) < 0 &&
			(removed.numbers.number(removal.server, &fresh), fresh))
			removed.rooms.push(0);
	return removed;
}

/* Counts the rooms whose rows name a removed server. Returns the removal of one that has some. */
const Removal *
removal_with_rooms(RemovedServers *removed, const Assignments &assignments)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());

	assignments.for_each_room(snapshot, [removed](const Assignment &row) {
		int number = removed->numbers.find(row.server);

		if (number >= 0)
			removed->rooms[number]++;
	});
	UnregisterSnapshot(snapshot);
	for (const Removal &removal : removals)
	{
		int number = removed->numbers.find(removal.server);

		if (number >= 0 && removed->rooms[number] > 0)
			return &removal;
	}
	return nullptr;
}

/* Raises 55006 if a server that this transaction has removed has rooms. */
void
look_again()
{
	Deadline deadline = Deadline::of_call_starting_now();
	RemovedServers removed = list_removed(pool(deadline));

	if (removed.rooms.count == 0)
		return;

	Assignments assignments = open_assignments(AccessShareLock, deadline);

	keep_placement_lock(deadline);

	const Removal *found = removal_with_rooms(&removed, assignments);

	assignments.close();
	if (found != nullptr)
		refuse_late(*found, removed.rooms[removed.numbers.find(found->server)]);
}

void
refuse_prepare()
{
	const Pool &current = pool(Deadline::of_call_starting_now());

	for (const Removal &removal : removals)
		if (current.find(removal.server) < 0)
			ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
							errmsg("cannot prepare a transaction that has %sd server \"%s\"",
								   verb(removal), removal.server.data()),
							errhint("End it with COMMIT.")));
}

extern "C"
{
	static void guard_commit(XactEvent event, void *)
	{
		if (removals.count == 0)
			return;
		if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE)
		{
			if (!extension_exists())
				return;
			if (event == XACT_EVENT_PRE_COMMIT)
				look_again();
			else
				refuse_prepare();
		}
		else
		{
			removals = Array<Removal>();
			census = Census();
		}
	}
}

/* Adds a removal to the list that the end of the transaction checks. */
const Removal &
remember(std::string_view server, bool deleted)
{
	static bool registered = false;
	MemoryContext caller = MemoryContextSwitchTo(TopTransactionContext);

	if (!registered)
		RegisterXactCallback(guard_commit, nullptr);
	registered = true;
	removals.push({.server = copy_of(server), .deleted = deleted});
	MemoryContextSwitchTo(caller);
	return removals[removals.count - 1];
}

} // namespace

void
guard_server_with_pins(std::string_view server)
{
	const Array<Pin> &pins = pool(Deadline::of_call_starting_now()).pins;
	auto count = std::count_if(pins.begin(), pins.end(),
							   [server](const Pin &pin) { return pin.server == server; });

	if (count > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("cannot delete server \"%s\" while rooms are pinned to it", server.data()),
				 errdetail_plural("%lld room is pinned to it.", "%lld rooms are pinned to it.",
								  static_cast<unsigned long>(count), static_cast<long long>(count)),
				 errhint("unpin_room() or pin_room() them, then try again; balancer_pins "
						 "lists them.")));
}

void
guard_removal(std::string_view server, bool deleted)
{
	const Removal &removal = remember(server, deleted);
	std::int64_t rooms = count_rooms(server, Deadline::of_call_starting_now());

	if (rooms > 0)
		refuse(removal, rooms);
}

void
note_truncation_of_servers()
{
	for (std::string_view server : pool(Deadline::of_call_starting_now()).written_names())
		(void) remember(server, true);
}

void
guard_truncation_of_servers()
{
	Deadline deadline = Deadline::of_call_starting_now();

	CommandCounterIncrement();

	RemovedServers removed = list_removed(pool(deadline));

	if (removed.rooms.count == 0)
		return;

	Assignments assignments = open_assignments(AccessShareLock, deadline);
	const Removal *found = removal_with_rooms(&removed, assignments);

	assignments.close();
	if (found != nullptr)
		refuse(*found, removed.rooms[removed.numbers.find(found->server)]);
	for (const Pin &pin : pool(deadline).pins)
		if (removed.numbers.find(pin.server) >= 0)
			guard_server_with_pins(pin.server);
}

void
warn_of_rooms_left_out()
{
	Deadline deadline = Deadline::of_call_starting_now();

	CommandCounterIncrement();

	const Pool &current = pool(deadline);
	std::int64_t rooms = 0;
	Assignments assignments = open_assignments(AccessShareLock, deadline);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());

	assignments.for_each_room(
		snapshot, [&](const Assignment &row) { rooms += current.find(row.server) < 0 ? 1 : 0; });
	UnregisterSnapshot(snapshot);
	assignments.close();
	if (rooms == 0)
		return;
	ereport(WARNING,
			(errmsg_plural("%lld room is on a server that is not in the pool, and moves",
						   "%lld rooms are on servers that are not in the pool, and move",
						   static_cast<unsigned long>(rooms), static_cast<long long>(rooms)),
			 errdetail("The rows of balancer_servers are the pool from now on, those of "
					   "gxy_balancer.default_servers are not in it any more."),
			 errhint("To keep them, roll back, or SELECT init_servers() now, which adds "
					 "them.")));
}

} // namespace gxy
