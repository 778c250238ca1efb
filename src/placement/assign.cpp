/*
 * assign.cpp: choosing a server and reserving the room's place on it, as one step.
 *
 * By the board where there is one with a count that is new enough, otherwise by a count of one's own under the placement
 * lock. Nobody waits while holding that lock: another transaction that is about the same room is waited for afterwards.
 */
#include "placement/assign.hpp"

#include "pg/debug_delay.hpp"
#include "tables/assignments_insert.hpp"
#include "placement/load_cache_refresh.hpp"
#include "shared/status.hpp"
#include "tables/locks.hpp"

namespace gxy
{
namespace
{

[[noreturn]] void
refuse(const Decision &decision, const PlacementRequest &request, const Prospect &prospect)
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
					   static_cast<long long>(prospect.expected())),
			 errhint("Add a server or raise a capacity in balancer_servers, or set "
					 "gxy_balancer.overflow to overcommit.")));
	ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_RESOURCES),
					errmsg("no server can take room \"%s\"", room),
					prospect.pool->servers.count == 0
						? errdetail("The pool is empty.")
						: errdetail("The pool has %d servers, none of which takes new rooms.",
									prospect.pool->servers.count),
					errhint("Add one: INSERT INTO balancer_servers (name) VALUES ('...').")));
	pg_unreachable();
}

struct Placing
{
	text *server = nullptr; /* set if the room was placed */
	Assignments::Probe in_the_way;
};

/* The users the room adds to its server's load, as far as they are not there yet. */
Burden
burden_of(const PlacementRequest &request, const Prospect &prospect)
{
	const Pin *pin = prospect.pool->pin_of(request.room->view());
	RoomUse use;

	use.active = prospect.census.users_in(request.room->view());
	use.active_known = prospect.pool->sessions.exists();
	use.expected = prospect.expected();
	use.pinned_size = pin != nullptr && pin->expected_users;
	use.leased = true;
	return gxy::burden_of(use, prospect.rules);
}

/* False if another row of the room got in first. */
bool
insert_room(const PlacementRequest &request, const Prospect &prospect, const Decision &decision,
			const Server &chosen, Insertion *insertion)
{
	TimestampTz now = GetCurrentTimestamp();
	Assignment row = {.room = request.room->view(),
					  .server = chosen.name,
					  .region = request.region,
					  .reason = reason_of(decision, chosen, request, prospect.rules),
					  .assigned_at = now,
					  .last_used_at = now,
					  .expected_users = prospect.expected_users,
					  .reported_users = std::nullopt};

	pause_here();
	if (!insertion->insert(*request.room, row))
		return false;
	count(static_cast<Counter>(tier(decision.verdict.standing)));
	return true;
}

/* Keeps the placement lock, shared, with a reservation. */
Reserved
try_board(const PlacementRequest &request, const Prospect &prospect, bool examined, Board *board,
		  const int *places, Server *servers, Decision *decision)
{
	wait_for_placement_lock(*request.room, placing_by_board, request.deadline);

	Reserved reserved =
		reserve(board,
				ReserveRequest{.basis = basis_of(*prospect.pool, prospect.rules),
							   .room = name_hash(request.room->view()),
							   .room_examined = examined,
							   .expected = prospect.expected(),
							   .burden = burden_of(request, prospect),
							   .rules = &prospect.rules,
							   .claimed_by = claims_in_force(*prospect.pool, request.now),
							   .own = {}},
				servers, places, prospect.pool->servers.count, decision);

	if (reserved != Reserved::yes)
		release_placement_lock(placing_by_board);
	return reserved;
}

/*
 * Reserves by the board, which is one step; the row follows, and should somebody else have been first, the reservation
 * is taken back. False if the board has no count to go by.
 */
bool
reserve_by_board(const PlacementRequest &request, Prospect *prospect, Board *board,
				 const Assignments &assignments, Insertion *insertion, Placing *placing)
{
	const int *places = places_of(board, *prospect->pool);
	Decision decision;
	Reserved reserved = Reserved::suspect;
	Server *servers = nullptr;

	if (places == nullptr)
		return false;
	for (bool examined = false; reserved == Reserved::suspect; examined = true)
	{
		if (examined)
			take_census(request, prospect);
		servers = list_servers(request, *prospect);
		reserved = try_board(request, *prospect, examined, board, places, servers, &decision);
	}
	if (reserved == Reserved::no_count)
		return false;
	if (reserved == Reserved::refused)
		refuse(decision, request, *prospect);
	if (insert_room(request, *prospect, decision, servers[decision.server], insertion))
		placing->server = text_of(servers[decision.server].name);
	else
		take_back_reservation();
	release_placement_lock(placing_by_board);
	if (placing->server == nullptr)
		placing->in_the_way = probe_now(assignments, *request.room);
	return true;
}

/*
 * Counts and reserves as one step. Holds the placement lock, and waits for nothing meanwhile. nullopt: the census has to
 * be taken with the servers that sessions name.
 */
std::optional<Placing>
reserve_by_count(const PlacementRequest &request, const Prospect &prospect,
				 const Assignments &assignments, Insertion *insertion)
{
	Placing placing;
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());

	pause_here();
	placing.in_the_way = assignments.probe(*request.room, snapshot);
	if (placing.in_the_way.committed || TransactionIdIsValid(placing.in_the_way.holder))
	{
		UnregisterSnapshot(snapshot);
		return placing;
	}

	Server *servers = count_servers(request, prospect, assignments, snapshot);

	UnregisterSnapshot(snapshot);
	if (servers == nullptr)
		return std::nullopt;

	Decision decision =
		decide(servers, prospect.pool->servers.count, prospect.expected(), prospect.rules);

	if (decision.outcome != Outcome::placed)
	{
		release_placement_lock(placing_by_count);
		refuse(decision, request, prospect);
	}

	const Server &chosen = servers[decision.server];

	if (insert_room(request, prospect, decision, chosen, insertion))
	{
		placing.server = text_of(chosen.name);
		note_room(chosen.name, burden_of(request, prospect));
	}
	return placing;
}

/*
 * Which server a session names matters only where its room has no assignment, which is seldom: asked for without, a view
 * is spared a join, and half of the time.
 */
Placing
place_by_count(const PlacementRequest &request, Prospect *prospect, const Assignments &assignments,
			   Insertion *insertion)
{
	/* Where it does matter, it will the next time. */
	static int reads_servers = 0;

	for (;;)
	{
		Reading reading = reads_servers > 0 ? Reading::servers_too : Reading::rooms_and_users;

		take_census(request, prospect, reading);
		wait_for_placement_lock(*request.room, placing_by_count, request.deadline);

		std::optional<Placing> placing =
			reserve_by_count(request, *prospect, assignments, insertion);

		pause_here();
		release_placement_lock(placing_by_count);
		if (!placing)
		{
			reads_servers = 100;
			continue;
		}
		if (reads_servers > 0)
			reads_servers--;
		return *placing;
	}
}

} // namespace

Assignments::Probe
probe_now(const Assignments &assignments, const RoomKey &room)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	Assignments::Probe probe = assignments.probe(room, snapshot);

	UnregisterSnapshot(snapshot);
	return probe;
}

text *
place(const PlacementRequest &request)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context =
		AllocSetContextCreate(caller, "gxy_balancer placement", ALLOCSET_DEFAULT_SIZES);

	MemoryContextSwitchTo(context);

	Prospect prospect = look_ahead(request);
	Assignments assignments = open_assignments(RowExclusiveLock, request.deadline);
	Board *board = fresh_board(request, prospect, assignments);
	Insertion insertion = prepare_insertion(assignments, request.deadline);
	Placing placing;

	if (board == nullptr ||
		!reserve_by_board(request, &prospect, board, assignments, &insertion, &placing))
		placing = place_by_count(request, &prospect, assignments, &insertion);
	insertion.finish();
	assignments.close();
	MemoryContextSwitchTo(caller);
	if (placing.server != nullptr)
	{
		placing.server = text_of(view_of(placing.server));
		CommandCounterIncrement();
	}
	MemoryContextDelete(context);
	if (TransactionIdIsValid(placing.in_the_way.holder) && !placing.in_the_way.committed)
		wait_for_holder(placing.in_the_way.holder, placing.in_the_way.token, *request.room,
						request.deadline);
	return placing.server;
}

} // namespace gxy
