/*
 * candidates.cpp: from tables, settings and arguments to the policy's values.
 */
#include "placement/candidates.hpp"

#include "servers/heartbeats.hpp"
#include "tables/room_sizes.hpp"

namespace gxy
{

namespace
{

/* Whoever said so first is right. */
void
expect(Prospect *prospect, ExpectedFrom from, std::optional<int> users)
{
	if (prospect->expected_users || !users)
		return;
	prospect->expected_users = users;
	prospect->expected_from = from;
}

void
expect_from_past(Prospect *prospect, const RoomKey &room)
{
	RoomHistory history = recall(room);

	prospect->occasions = static_cast<int>(occasions_seen(history));
	if (prospect->occasions > 0)
		expect(prospect, ExpectedFrom::learned,
			   static_cast<int>(std::min<std::int64_t>(
				   learned_size(history, prospect->rules.avg_room_occupancy), max_expected_users)));
}

} // namespace

Prospect
look_ahead(const PlacementRequest &request)
{
	Prospect prospect;
	std::string_view room = request.room->view();

	prospect.pool = &pool(request.deadline);
	prospect.rules = current_rules();
	expect(&prospect, ExpectedFrom::caller, request.expected_users);
	if (const Pin *pin = prospect.pool->pin_of(room))
		expect(&prospect, ExpectedFrom::pin, pin->expected_users);
	if (prospect.pool->rooms.exists())
	{
		RoomFacts facts = look_up_room(prospect.pool->rooms, *request.room, request.deadline);

		if (!facts.exists)
			ereport(ERROR,
					(errcode(ERRCODE_NO_DATA_FOUND),
					 errmsg("room \"%s\" is not among the attached rooms", copy_of(room).data()),
					 errhint("Add it to %s, or detach that with attach_rooms(NULL).",
							 name_of(prospect.pool->rooms))));
		expect(&prospect, ExpectedFrom::rooms, facts.expected_users);
	}
	if (!prospect.expected_users)
		expect_from_past(&prospect, *request.room);
	prospect.silent = silent_servers(*prospect.pool, request.now, request.deadline);
	return prospect;
}

Prospect
look_ahead_for_move(TimestampTz now, Deadline deadline)
{
	Prospect prospect;

	prospect.pool = &pool(deadline);
	prospect.rules = current_rules();
	/* Sequence and limits are for new rooms; these have nowhere to stay. */
	prospect.rules.strategy = Strategy::least_loaded;
	prospect.rules.overflow = Overflow::overcommit;
	prospect.session_index =
		SessionIndex::take(prospect.pool->sessions, SessionColumns::with_servers, now, deadline);
	prospect.silent = silent_servers(*prospect.pool, now, deadline);
	return prospect;
}

void
index_sessions(const PlacementRequest &request, Prospect *prospect, SessionColumns wanted)
{
	prospect->session_index =
		SessionIndex::take(prospect->pool->sessions, wanted, request.now, request.deadline);
}

/* With a thousand servers this is a good part of a call's work: it looks at each for what the request makes of it only. */
void
describe_servers(const PlacementRequest &request, const Prospect &prospect, Server *servers)
{
	const Pool &pool = *prospect.pool;
	std::string_view room = request.room->view();
	const Pin *pin = pool.pin_of(room);
	int pinned = pin != nullptr ? pool.find(pin->server) : -1;
	int leaving = request.leaving.empty() ? -1 : pool.find(request.leaving);
	int count = pool.servers.count;

	std::copy_n(pool.plain.items, count, servers);
	for (int i = 0; i < count; i++)
		if (servers[i].capacity == 0)
			servers[i].capacity = setting::default_capacity;
	for (int i = 0; i < count && prospect.silent != nullptr; i++)
		if (prospect.silent[i])
			servers[i].state = ServerState::offline;
	for (int i = 0; i < count && pool.has_regions; i++)
		servers[i].region = pool.servers[i].fit(request.region);
	if (pinned >= 0)
		servers[pinned].pinned = true;
	if (leaving >= 0)
		servers[leaving].state = ServerState::offline;
	if (!request.leaving.empty() || prospect.session_index.users_in(room) == 0)
		return;
	for (int i = 0; i < count; i++)
		servers[i].room_sessions = prospect.session_index.sessions_naming(room, servers[i].name);
}

Server *
list_servers(const PlacementRequest &request, const Prospect &prospect)
{
	Server *servers = static_cast<Server *>(
		palloc(sizeof(Server) * static_cast<Size>(std::max(prospect.pool->servers.count, 1))));

	describe_servers(request, prospect, servers);
	return servers;
}

Server *
count_servers(const PlacementRequest &request, const Prospect &prospect,
			  const Assignments &assignments, Snapshot snapshot)
{
	Tally tally = Tally::count(assignments, *prospect.pool, prospect.session_index, prospect.rules,
							   snapshot, request.now);

	if (tally.lacks_servers())
		return nullptr;

	Server *servers = list_servers(request, prospect);

	for (int i = 0; i < prospect.pool->servers.count; i++)
	{
		servers[i].load = tally[i].load(prospect.rules);
		servers[i].rooms = tally[i].rooms;
	}
	return servers;
}

bool
is_refuge(const Decision &decision)
{
	return decision.outcome == Outcome::placed && decision.verdict.standing < Standing::draining;
}

const char *
reason_of(const Decision &decision, const Server &server, const PlacementRequest &request,
		  const Rules &rules)
{
	switch (decision.verdict.standing)
	{
		case Standing::in_progress:
			return "sessions in progress";
		case Standing::pinned:
			return "pinned";
		case Standing::own_region:
			return psprintf("region %s", copy_of(request.region).data());
		case Standing::general:
			return rules.strategy == Strategy::sequential ? "sequential" : "least loaded";
		case Standing::over_capacity:
			return "over capacity, like every server";
		case Standing::elsewhere:
			return server.pool == ServerPool::standby ? "standby, no other server online"
													  : "other region, no other server online";
		case Standing::draining:
			return "draining, no server online";
		case Standing::offline:
			return "offline, like every server";
		case Standing::excluded:
			break;
	}
	return "";
}

} // namespace gxy
