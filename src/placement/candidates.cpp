/*
 * candidates.cpp: turns tables, settings and arguments into the policy's input.
 */
#include "placement/candidates.hpp"

#include "pg/array.hpp"
#include "pg/settings.hpp"
#include "placement/server_load.hpp"
#include "policy/region_list.hpp"
#include "policy/room_size_model.hpp"
#include "policy/time_arithmetic.hpp"
#include "servers/heartbeats.hpp"
#include "tables/room_sizes.hpp"

namespace gxy
{

namespace
{

/* Sets the expected users, unless an earlier source has set them. */
void
expect(PlacementInput *input, ExpectedFrom from, std::optional<int> users)
{
	if (input->expected_users || !users)
		return;
	input->expected_users = users;
	input->expected_from = from;
}

void
expect_from_past(PlacementInput *input, const RoomKey &room)
{
	RoomHistory history = recall(room);

	input->occasions = static_cast<int>(occasions_seen(history));
	if (input->occasions > 0)
		expect(input, ExpectedFrom::learned,
			   static_cast<int>(std::min<std::int64_t>(
				   learned_size(history, input->rules.avg_room_occupancy), max_expected_users)));
}

/* Takes what the attached rooms say. Raises P0002 if a new room is not among them. */
void
ask_attached_rooms(PlacementInput *input, const PlacementRequest &request)
{
	const Attachment &rooms = input->pool->rooms;
	RoomFacts facts = look_up_room(rooms, *request.room, request.deadline);

	if (!facts.exists && !request.assigned)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("room \"%s\" is not among the attached rooms",
						copy_of(request.room->view()).data()),
				 errhint("Add it to %s, or detach that with attach_rooms(NULL).", name_of(rooms))));
	expect(input, ExpectedFrom::rooms, facts.expected_users);
	if (input->region.empty() && !RegionList(facts.region).empty())
		input->region = facts.region;
	input->home = facts.home;
	input->exists_on = facts.servers;
}

/* Sets what the attached rooms, the regions and the pins say of the servers for this room. */
void
describe_for_room(std::string_view room, const PlacementInput &input, Server *servers)
{
	const Pool &pool = *input.pool;
	const Pin *pin = pool.pin_of(room);
	int pinned = pin != nullptr ? pool.find(pin->server) : -1;
	int home = input.home.empty() ? -1 : pool.find(input.home);

	if (pinned >= 0)
		servers[pinned].pinned = true;
	if (home >= 0)
		servers[home].home = true;
	if (!input.exists_on.everywhere)
	{
		for (int i = 0; i < pool.servers.count; i++)
			servers[i].absent = true;
		for (std::string_view name : input.exists_on.names)
			if (int server = pool.find(name); server >= 0)
				servers[server].absent = false;
	}
	if (!pool.has_regions)
		return;

	RegionList wanted(input.region);

	for (int i = 0; i < pool.servers.count; i++)
	{
		if (pool.servers[i].regions.count == 0)
			continue;

		std::int64_t rank = pool.servers[i].rank_in(wanted);

		servers[i].region = rank >= 0 ? RegionFit::own : RegionFit::foreign;
		servers[i].region_rank = std::max<std::int64_t>(rank, 0);
	}
}

} // namespace

PlacementInput
gather_input(const PlacementRequest &request)
{
	PlacementInput input;
	std::string_view room = request.room->view();

	input.pool = &pool(request.deadline);
	input.rules = current_rules();
	expect(&input, ExpectedFrom::caller, request.expected_users);
	if (const Pin *pin = input.pool->pin_of(room))
		expect(&input, ExpectedFrom::pin, pin->expected_users);
	if (!RegionList(request.region).empty())
		input.region = request.region;
	if (input.pool->rooms.exists())
		ask_attached_rooms(&input, request);
	if (!input.expected_users)
		expect_from_past(&input, *request.room);
	input.silent = silent_servers(*input.pool, request.now, request.deadline);
	return input;
}

PlacementInput
gather_input_for_move(const Pool &pool, TimestampTz now, Deadline deadline)
{
	PlacementInput input;

	input.pool = &pool;
	input.rules = current_rules();
	/*
	 * Order and capacity apply to new rooms; these rooms must leave their server, so any online
	 * server will do.
	 */
	input.rules.strategy = Strategy::least_loaded;
	input.rules.overflow = Overflow::overcommit;
	input.session_index =
		SessionIndex::build(input.pool->sessions, SessionColumns::with_servers, now, deadline);
	input.silent = silent_servers(*input.pool, now, deadline);
	input.measurements = read_measurements(*input.pool, deadline);
	return input;
}

void
index_sessions(const PlacementRequest &request, PlacementInput *input, SessionColumns wanted)
{
	input->session_index =
		SessionIndex::build(input->pool->sessions, wanted, request.now, request.deadline);
	input->measurements = read_measurements(*input->pool, request.deadline);
}

/* Returns whether a server may be back from an outage since a short time. */
static bool
recovers(const Pool &pool, TimestampTz now)
{
	return elapsed(pool.last_recovery, now) <= microseconds(setting::recovery_delay) + return_time;
}

/* Sets which servers are back from an outage, and which of these leave the room to others. */
static void
describe_recoveries(const Pool &pool, std::string_view room, TimestampTz now, Server *servers)
{
	bool any_returns = false;

	if (!recovers(pool, now))
		return;
	for (int i = 0; i < pool.servers.count; i++)
	{
		servers[i].recovery = pool.servers[i].recovery(now);
		any_returns = any_returns || servers[i].recovery == Recovery::returning;
	}
	if (any_returns)
		hold_back_returning(servers, pool.servers.count, name_hash(room));
}

/*
 * With 1,000 servers this is a good part of the work of a call: it computes only what depends on
 * the request.
 */
void
describe_servers(const PlacementRequest &request, const PlacementInput &input, Server *servers)
{
	const Pool &pool = *input.pool;
	std::string_view room = request.room->view();
	int leaving = request.leaving.empty() ? -1 : pool.find(request.leaving);
	int count = pool.servers.count;

	std::copy_n(pool.plain.items, count, servers);
	for (int i = 0; i < count; i++)
		if (servers[i].capacity == 0)
			servers[i].capacity = setting::default_capacity;
	for (int i = 0; i < count && input.silent != nullptr; i++)
		if (input.silent[i])
			servers[i].state = ServerState::offline;
	for (int i = 0; i < count && input.measurements != nullptr; i++)
		if (is_fresh(input.measurements[i], request.now, measured_lifetime()))
			servers[i].measured = input.measurements[i].load;
	describe_for_room(room, input, servers);
	if (leaving >= 0)
		servers[leaving].state = ServerState::offline;
	describe_recoveries(pool, room, request.now, servers);
	if (!request.leaving.empty() || input.session_index.users_in(request.room->hash()) == 0)
		return;
	for (int i = 0; i < count; i++)
		servers[i].room_sessions = input.session_index.sessions_naming(room, servers[i].name);
}

Server *
list_servers(const PlacementRequest &request, const PlacementInput &input)
{
	Server *servers = static_cast<Server *>(
		palloc(sizeof(Server) * static_cast<Size>(std::max(input.pool->servers.count, 1))));

	describe_servers(request, input, servers);
	return servers;
}

bool
treats_servers_alike(const PlacementRequest &request, const PlacementInput &input)
{
	const Pool &pool = *input.pool;

	return !pool.has_regions && input.silent == nullptr && input.measurements == nullptr &&
		   input.home.empty() && input.exists_on.everywhere && request.leaving.empty() &&
		   pool.pin_of(request.room->view()) == nullptr && !recovers(pool, request.now);
}

Server *
count_servers(const PlacementRequest &request, const PlacementInput &input,
			  const Assignments &assignments, Snapshot snapshot)
{
	ServerLoads loads = ServerLoads::count(assignments, *input.pool, input.session_index,
										   input.rules, snapshot, request.now);

	if (loads.lacks_servers())
		return nullptr;

	Server *servers = list_servers(request, input);

	loads.fill_in(servers, input.pool->servers.count, input.rules);
	return servers;
}

bool
is_acceptable(const Decision &decision)
{
	return decision.outcome == Outcome::placed && decision.verdict.standing < Standing::draining;
}

const char *
reason_of(const Decision &decision, const Server &server, const PlacementInput &input)
{
	const char *others = input.exists_on.everywhere ? "server" : "server with the room";

	switch (decision.verdict.standing)
	{
		case Standing::in_progress:
			return "sessions in progress";
		case Standing::pinned:
			return "pinned";
		case Standing::home:
			return "home";
		case Standing::own_region:
			return psprintf("region %s",
							copy_of(RegionList(input.region)[server.region_rank]).data());
		case Standing::general:
			return input.rules.strategy == Strategy::sequential ? "sequential" : "least loaded";
		case Standing::over_capacity:
			return psprintf("over capacity, like every %s", others);
		case Standing::elsewhere:
			return psprintf("%s, no other %s online",
							server.pool == ServerPool::standby ? "standby" : "other region",
							others);
		case Standing::recovering:
			return psprintf("recovering, no other %s online", others);
		case Standing::draining:
			return psprintf("draining, no %s online", others);
		case Standing::offline:
			return psprintf("offline, like every %s", others);
		case Standing::absent:
		case Standing::excluded:
			break;
	}
	return "";
}

} // namespace gxy
