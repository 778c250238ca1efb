/*
 * assign.cpp: chooses a server for a room and reserves its place there, as one step.
 *
 * One attempt: lock the room, look for its row, take the placement lock, choose a server, write the
 * row. The choice uses the load cache if its baseline is new enough, otherwise a count of all
 * rooms. Everything else happens before or after, without those locks: reading the application's
 * tables and waiting for other transactions.
 */
#include "placement/assign.hpp"

#include "application/room_reader.hpp"
#include "application/session_index.hpp"
#include "application/source_query.hpp"
#include "pg/array.hpp"
#include "pg/debug_delay.hpp"
#include "placement/load_cache_refresh.hpp"
#include "placement/server_load.hpp"
#include "policy/placement_policy.hpp"
#include "servers/pool.hpp"
#include "shared/databases.hpp"
#include "shared/load_cache.hpp"
#include "shared/load_delta.hpp"
#include "shared/placements.hpp"
#include "shared/status.hpp"
#include "tables/assignments_insert.hpp"
#include "tables/locks.hpp"

namespace gxy
{
namespace
{

/* Returns the detail and the hint of a refusal because no server can take the room. */
int
explain_refusal(const PlacementInput &input)
{
	const Pool &pool = *input.pool;
	auto has_room = [&](const PoolServer &server) { return input.exists_on.include(server.name); };

	if (pool.servers.count == 0)
		errdetail("The pool is empty.");
	else if (std::none_of(pool.servers.begin(), pool.servers.end(), has_room))
	{
		errdetail("By %s it exists on none of the %d servers of the pool.", name_of(pool.rooms),
				  pool.servers.count);
		return errhint("Create it on a server and name that in column servers, where NULL means "
					   "all servers.");
	}
	else if (!input.exists_on.everywhere)
	{
		errdetail("None of the servers on which it exists by %s takes new rooms.",
				  name_of(pool.rooms));
		return errhint("Create it on another server, or change the pool of one of these in "
					   "balancer_servers.");
	}
	else
		errdetail("The pool has %d servers, none of which takes new rooms.", pool.servers.count);
	return errhint("Add one: INSERT INTO balancer_servers (name) VALUES ('...').");
}

[[noreturn]] void
refuse(const Decision &decision, const PlacementRequest &request, const PlacementInput &input)
{
	const char *room = copy_of(request.room->view()).data();

	count(Counter::refused);
	if (decision.outcome == Outcome::full)
		ereport(
			ERROR,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("every server that may take room \"%s\" is full", room),
			 errdetail("It is expected to bring %lld users; explain_assignment() shows what each "
					   "server carries.",
					   static_cast<long long>(input.expected())),
			 errhint("Add a server or raise a capacity in balancer_servers, or set "
					 "gxy_balancer.overflow to overcommit.")));
	ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_RESOURCES),
					errmsg("no server can take room \"%s\"", room), explain_refusal(input)));
	pg_unreachable();
}

/* Returns the load that the room adds to its server beyond the sessions that are already in it. */
Load
load_of(const PlacementRequest &request, const PlacementInput &input)
{
	const Pin *pin = input.pool->pin_of(request.room->view());
	RoomUse use;

	use.active = input.session_index.users_in(request.room->hash());
	use.active_known = input.pool->sessions.exists();
	use.expected = input.expected();
	use.pinned_size = pin != nullptr && pin->expected_users;
	use.leased = true;
	return gxy::load_of(use, input.rules);
}

/* The outcome of one attempt. */
enum class Attempt
{
	placed,
	occupied,		/* the room has a row, or another transaction is inserting one */
	needs_sessions, /* the choice depends on the sessions, which must be read first */
	needs_count,	/* the load cache has no usable baseline */
	needs_pool,		/* the pool has changed since it was read */
	refused,		/* by the policy */
	timed_out
};

/* A room being placed, with everything that is opened and read before the locks are taken. */
struct Placement
{
	const PlacementRequest *request;
	RoomWaits *waits;
	PlacementInput input;
	Assignments assignments;
	std::optional<PoolLoadCache> cache; /* std::nullopt: the choice needs a count of all rooms */
	CountReason counted;				/* why, if so */
	Insertion insertion;
	bool examined = false; /* the room's sessions have been read */
	/* number of a copy of the pool that has the same servers as input.pool */
	std::uint64_t pool_number;

	/* Results of the last attempt. */
	Assignments::Probe in_the_way = {};
	Server chosen = {}; /* with its load, if one was chosen */
	Decision decision = {};
	text *server = nullptr; /* set if the room was placed */
};

/* Chooses by the load cache. The caller holds the placement lock in shared mode. */
Attempt
choose_by_cache(Placement *placement)
{
	const PlacementRequest &request = *placement->request;
	const PlacementInput &input = placement->input;

	switch (reserve(*placement->cache, request, input, load_of(request, input), placement->examined,
					&placement->chosen, &placement->decision))
	{
		case Reserved::reserved:
			return Attempt::placed;
		case Reserved::refused:
			return Attempt::refused;
		case Reserved::needs_sessions:
			return Attempt::needs_sessions;
		case Reserved::no_baseline:
		case Reserved::undecided:
			break;
	}
	return Attempt::needs_count;
}

/* Chooses by a count of all rooms. The caller holds the placement lock exclusively. */
Attempt
choose_by_count(Placement *placement)
{
	const PlacementInput &input = placement->input;

	/* Otherwise a row that the calling statement has deleted would still be counted. */
	CommandCounterIncrement();

	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());

	debug_pause("count");

	const Server *servers =
		count_servers(*placement->request, input, placement->assignments, snapshot);

	UnregisterSnapshot(snapshot);
	if (servers == nullptr)
		return Attempt::needs_sessions;
	placement->decision = decide(servers, input.pool->servers.count, input.expected(), input.rules);
	if (placement->decision.outcome != Outcome::placed)
		return Attempt::refused;
	placement->chosen = servers[placement->decision.server];
	return Attempt::placed;
}

/*
 * Inserts the room's row. Returns occupied if a statement of the application has inserted one; such
 * a statement takes none of the extension's locks.
 */
Attempt
insert_room(Placement *placement)
{
	const PlacementRequest &request = *placement->request;
	const PlacementInput &input = placement->input;
	const Decision &decision = placement->decision;
	const Server &chosen = placement->chosen;
	TimestampTz now = GetCurrentTimestamp();
	Assignment row = {.room = request.room->view(),
					  .server = chosen.name,
					  .region = input.region,
					  .reason = reason_of(decision, chosen, input),
					  .assigned_at = now,
					  .last_used_at = now,
					  .expected_users = input.expected_users,
					  .reported_users = std::nullopt};

	debug_pause("insert");
	if (!placement->insertion.insert(*request.room, row))
	{
		if (placement->cache)
			cancel_reservation();
		return Attempt::occupied;
	}
	if (!placement->cache)
	{
		record_room_added(chosen.name, load_of(request, input));
		count_placed_by_count(placement->counted);
	}
	else
		count(Counter::placed_by_cache);
	count(static_cast<Counter>(tier(decision.verdict.standing)));
	placement->server = text_of(chosen.name);
	return Attempt::placed;
}

/* The caller holds the room lock, and the room has no row. */
Attempt
choose_and_insert(Placement *placement)
{
	bool by_cache = placement->cache.has_value();
	LOCKMODE mode = by_cache ? placing_by_cache : placing_by_count;

	if (!placement->waits->lock_placement(mode))
		return Attempt::timed_out;

	/* See pool_under_lock.hpp. */
	Attempt attempt = !is_current_pool(placement->pool_number) ? Attempt::needs_pool
					  : by_cache							   ? choose_by_cache(placement)
															   : choose_by_count(placement);

	if (attempt == Attempt::placed)
		attempt = insert_room(placement);
	debug_pause("placed");
	release_placement_lock(mode);
	return attempt;
}

/* Returns whether the room has a row, or another transaction is inserting one. */
bool
look_for_row(Placement *placement)
{
	placement->in_the_way = probe_now(placement->assignments, *placement->request->room);
	return placement->in_the_way.committed || TransactionIdIsValid(placement->in_the_way.holder);
}

/* Makes one attempt. Releases the locks that it has taken. */
Attempt
attempt_to_place(Placement *placement)
{
	const RoomKey &room = *placement->request->room;

	if (!placement->waits->lock_room())
		return Attempt::timed_out;

	Attempt attempt = Attempt::occupied;
	/* A row of the application's own statement makes the insertion fail. */
	bool is_absent = !placement->waits->has_waited() &&
					 none_placed_since(room.hash(), placement->request->placements_before);

	if (is_absent || !look_for_row(placement))
	{
		attempt = choose_and_insert(placement);
		/*
		 * Another transaction may have inserted a row while this one waited for the placement lock.
		 * Then that row is the answer, also instead of a refusal.
		 */
		if ((attempt == Attempt::occupied || attempt == Attempt::refused) &&
			look_for_row(placement))
			attempt = Attempt::occupied;
		if (attempt == Attempt::placed)
			count_placement(room.hash());
	}
	release_room_lock(room);
	return attempt;
}

/*
 * Reads the sessions. The servers that sessions name matter only if their room has no assignment,
 * which is rare. Without them a view may save a join and half of its time. After they have mattered
 * to a count of this backend, they are read for its next 100 counts.
 */
void
read_sessions(Placement *placement, bool needs_servers)
{
	static int reads_servers = 0;
	SessionColumns wanted = SessionColumns::with_servers;

	if (!placement->cache)
	{
		reads_servers = needs_servers ? 100 : std::max(reads_servers - 1, 0);
		if (reads_servers == 0)
			wanted = SessionColumns::rooms_and_users;
	}
	index_sessions(*placement->request, &placement->input, wanted);
	placement->examined = true;
}

/*
 * Reads the pool again. Returns false if its servers or their states have changed: then the call
 * starts again.
 */
bool
has_same_servers(Placement *placement)
{
	const Pool &current = pool(placement->request->deadline);

	placement->pool_number = current.number;
	return current.servers_digest == placement->input.pool->servers_digest;
}

Attempt
try_until_decided(Placement *placement)
{
	if (!placement->cache)
		read_sessions(placement, false);
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();

		Attempt attempt = attempt_to_place(placement);

		if (attempt == Attempt::needs_pool && has_same_servers(placement))
			continue;
		if (attempt == Attempt::needs_count)
			placement->cache = std::nullopt;
		else if (attempt != Attempt::needs_sessions)
			return attempt;
		read_sessions(placement, attempt == Attempt::needs_sessions);
	}
}

} // namespace

Assignments::Probe
probe_now(const Assignments &assignments, const RoomKey &room)
{
	bool parallel = IsInParallelMode(); /* the server takes no new snapshot then */

	/* Otherwise a row that the calling statement has deleted would still be visible. */
	if (!parallel)
		CommandCounterIncrement();

	Snapshot snapshot = RegisterSnapshot(parallel ? GetActiveSnapshot() : GetLatestSnapshot());
	Assignments::Probe probe = assignments.probe(room, snapshot);

	UnregisterSnapshot(snapshot);
	return probe;
}

text *
place(const PlacementRequest &request, RoomWaits *waits)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context =
		AllocSetContextCreate(caller, "gxy_balancer placement", ALLOCSET_DEFAULT_SIZES);

	MemoryContextSwitchTo(context);

	PlacementInput input = gather_input(request);
	Assignments assignments = open_assignments(RowExclusiveLock, request.deadline);
	CountReason counted;
	std::optional<PoolLoadCache> cache = fresh_load_cache(request, input, assignments, &counted);
	Placement placement = {.request = &request,
						   .waits = waits,
						   .input = input,
						   .assignments = assignments,
						   .cache = cache,
						   .counted = counted,
						   .insertion = prepare_insertion(assignments, request.deadline),
						   .pool_number = input.pool->number};
	Attempt attempt = try_until_decided(&placement);
	Assignments::Probe in_the_way = placement.in_the_way;
	text *server = nullptr;

	if (attempt == Attempt::refused)
		refuse(placement.decision, request, placement.input);
	placement.insertion.finish();
	if (attempt == Attempt::placed)
		placement.assignments.close();
	else
		placement.assignments.close_and_unlock();
	MemoryContextSwitchTo(caller);
	if (attempt == Attempt::placed)
	{
		server = text_of(view_of(placement.server));
		CommandCounterIncrement();
	}
	MemoryContextDelete(context);
	/* The next round waits for a transaction that is inserting the row. */
	if (attempt == Attempt::occupied && !in_the_way.committed &&
		!TransactionIdIsValid(in_the_way.holder))
		waits->note_refused_row();
	return server;
}

} // namespace gxy
