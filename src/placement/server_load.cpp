/*
 * server_load.cpp: counts users by server.
 *
 * Under the placement lock this costs one lookup per assignment and one step per indexed session.
 */
#include "placement/server_load.hpp"

#include "pg/interner.hpp"
#include "pg/settings.hpp"
#include "policy/time_arithmetic.hpp"
#include "shared/load_cache.hpp"
#include "shared/writable_since.hpp"
#include "tables/locks.hpp"

namespace gxy
{

namespace
{

/*
 * users: how many attached sessions say are in the room; std::nullopt if none are attached.
 * counts_from: from when on leases count.
 */
RoomUse
use_of(const Assignment &row, std::optional<std::int64_t> users, TimestampTz counts_from,
	   const Rules &rules, TimestampTz now)
{
	RoomUse use;

	use.active = users ? *users : row.reported_users.value_or(0);
	use.active_known = users || row.reported_users;
	use.expected = row.expected_users ? *row.expected_users : rules.avg_room_occupancy;
	use.age = elapsed(row.assigned_at, now);
	use.leased = elapsed(std::max(row.leased_from(), counts_from), now) <
				 microseconds(setting::assignment_grace);
	return use;
}

} // namespace

RoomUse
room_use(const Assignment &row, const Pool &pool, const SessionIndex &session_index,
		 const Rules &rules, TimestampTz now)
{
	const Pin *pin = pool.pins.count > 0 ? pool.pin_of(row.room) : nullptr;
	std::int64_t pinned_size = pin != nullptr ? pin->expected_users.value_or(0) : 0;
	std::optional<std::int64_t> users;

	if (session_index.attached())
		users = session_index.users_in(row.room);

	RoomUse use = use_of(row, users, session_index.leases_count_from(), rules, now);

	use.expected = std::max(use.expected, pinned_size);
	use.pinned_size = pinned_size > 0;
	return use;
}

std::int64_t
ServerLoad::load(const Rules &rules) const
{
	return rules.metric == LoadMetric::rooms ? rooms * rules.avg_room_occupancy : users + expected;
}

namespace
{

/* Counts the distinct users of each server by walking the sessions of each user. */
class UserCount
{
public:
	UserCount(const SessionIndexTables *tables, const int *server_of_room,
			  const int *server_of_gateway, int servers, ServerLoad *loads)
		: tables(tables), server_of_room(server_of_room), server_of_gateway(server_of_gateway),
		  loads(loads), last_user(static_cast<int *>(palloc0(sizeof(int) * servers))),
		  last_connected(static_cast<int *>(palloc0(sizeof(int) * servers)))
	{
	}

	void run()
	{
		for (int first : tables->first_of_user)
		{
			user++;
			for (int i = first; i != none; i = tables->sessions[i].next_of_user)
				add(tables->sessions[i]);
		}
		for (int i = tables->first_anonymous; i != none; i = tables->sessions[i].next_of_user)
		{
			user++;
			add(tables->sessions[i]);
		}
	}

	static constexpr int unassigned = -2;

	bool found_unassigned() const { return any_unassigned; }

private:
	void add(const Session &session)
	{
		int named = session.gateway != none ? server_of_gateway[session.gateway] : none;
		int server = session.room != none ? server_of_room[session.room] : unassigned;

		if (server == unassigned)
		{
			server = named;
			any_unassigned = true;
		}
		if (server >= 0 && last_user[server] != user)
		{
			last_user[server] = user;
			loads[server].users++;
		}
		if (named >= 0 && last_connected[named] != user)
		{
			last_connected[named] = user;
			loads[named].connected++;
		}
	}

	const SessionIndexTables *tables;
	const int *server_of_room;
	const int *server_of_gateway;
	ServerLoad *loads;
	int *last_user;
	int *last_connected;
	int user = 0;
	bool any_unassigned = false;
};
static_assert(std::is_trivially_destructible_v<UserCount>);

} // namespace

/* scan(visit) calls visit(const Assignment &) for every room that counts. */
template <typename S>
void
ServerLoads::count_with(const Pool &pool, const SessionIndex &session_index, const Rules &rules,
						TimestampTz now, bool for_cache, S scan)
{
	const SessionIndexTables *tables = session_index.details();
	int servers = pool.servers.count;
	int *servers_of_rooms = nullptr;
	int *server_of_gateway = nullptr;

	loads = static_cast<ServerLoad *>(palloc0(sizeof(ServerLoad) * std::max(servers, 1)));
	if (tables != nullptr)
	{
		servers_of_rooms = static_cast<int *>(palloc(sizeof(int) * (tables->rooms.count + 1)));
		std::fill_n(servers_of_rooms, tables->rooms.count, UserCount::unassigned);
		server_of_gateway = static_cast<int *>(palloc(sizeof(int) * (tables->gateways.count + 1)));
		for (int i = 0; i < tables->gateways.count; i++)
			server_of_gateway[i] = pool.find(tables->gateways[i]);
	}

	scan([&](const Assignment &row) {
		int server = for_cache ? pool.find(row.server)
							   : pool.locate(row.server, row.assigned_at, now).server;
		int room = tables != nullptr ? tables->room_numbers.find(name_hash(row.room)) : none;

		if (room != none)
			servers_of_rooms[room] = server;
		if (server == none)
			return;

		RoomUse use = room_use(row, pool, session_index, rules, now);

		loads[server].rooms++;
		loads[server].expected += load_of(use, rules).users;
		if (tables == nullptr)
			loads[server].users += use.active;
	});
	server_of_room = servers_of_rooms;
	if (tables != nullptr)
	{
		UserCount users(tables, servers_of_rooms, server_of_gateway, std::max(servers, 1), loads);

		users.run();
		has_unassigned = users.found_unassigned();
		without_servers = !tables->has_servers;
	}
	if (tables == nullptr || !for_cache)
		return;
	for (int room = 0; room < tables->rooms.count; room++)
		if (servers_of_rooms[room] == UserCount::unassigned)
			unassigned_rooms.push(tables->rooms[room].hash);
}

void
ServerLoads::count_splits(const Pool &pool, const SessionIndex &session_index)
{
	const SessionIndexTables *tables = session_index.details();

	if (tables == nullptr)
		return;

	Array<int> gateways;

	for (const PoolServer &server : pool.servers)
		gateways.push(tables->gateway_numbers.find(server.name));
	for (int room = 0; room < tables->rooms.count; room++)
	{
		int server = server_of_room[room];
		std::int64_t users =
			server >= 0 ? session_index.users_elsewhere(room, gateways[server]) : 0;

		if (users == 0)
			continue;
		loads[server].split_rooms++;
		loads[server].split_users += users;
	}
}

ServerLoads
ServerLoads::count(const Assignments &assignments, const Pool &pool,
				   const SessionIndex &session_index, const Rules &rules, Snapshot snapshot,
				   TimestampTz now, const PlannedMoves *planned)
{
	ServerLoads result;

	result.count_with(
		pool, session_index, rules, now, false, [&assignments, snapshot, planned](auto visit) {
			assignments.for_each_room(snapshot, [planned, &visit](const Assignment &row) {
				if (planned != nullptr)
					visit(planned->after(row));
				else
					visit(row);
			});
		});
	return result;
}

ServerLoads
ServerLoads::count_for_cache(const Assignments &assignments, const Pool &pool,
							 const SessionIndex &session_index, const Rules &rules,
							 Snapshot snapshot, TimestampTz now)
{
	ServerLoads result;

	result.count_with(pool, session_index, rules, now, true, [&assignments, snapshot](auto visit) {
		assignments.for_each_row_of_others(snapshot, visit);
	});
	return result;
}

Pool
with_outside_servers(const Pool &pool, const Assignments &assignments, Snapshot snapshot)
{
	Pool extended = pool;
	bool fresh;

	extended.servers = Array<PoolServer>();
	extended.numbers.prepare();
	for (const PoolServer &server : pool.servers)
	{
		(void) extended.numbers.number(server.name, &fresh);
		extended.servers.push(server);
	}
	assignments.for_each_room(snapshot, [&extended, &fresh](const Assignment &row) {
		if (extended.numbers.number(row.server, &fresh) < extended.servers.count)
			return;

		PoolServer outside;

		outside.name = copy_of(row.server);
		outside.position = INT_MAX;
		outside.state = ServerState::offline;
		extended.servers.push(outside);
	});
	return extended;
}

void
ServerLoads::fill_in(Server *servers, int count, const Rules &rules) const
{
	for (int i = 0; i < count; i++)
	{
		servers[i].load = loads[i].load(rules);
		servers[i].rooms = loads[i].rooms;
		servers[i].awaited = loads[i].expected;
	}
}

ServerLoads
count_now(const Pool &pool, const SessionIndex &session_index, const Rules &rules, TimestampTz now,
		  Deadline deadline, Pool *extended)
{
	Assignments assignments = open_assignments(AccessShareLock, deadline);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());

	if (extended != nullptr)
		*extended = with_outside_servers(pool, assignments, snapshot);

	ServerLoads loads = ServerLoads::count(assignments, extended != nullptr ? *extended : pool,
										   session_index, rules, snapshot, now);

	UnregisterSnapshot(snapshot);
	assignments.close();
	return loads;
}

Load
load_of(const RoomUse &use, const Rules &rules)
{
	return Load{.users = std::max<std::int64_t>(0, room_load(use, rules) - use.active), .rooms = 1};
}

Load
load_by_row(const Assignment &row, const LastBaseline &count, const Rules &rules)
{
	std::optional<std::int64_t> users;

	/* How many are in the room is not known without reading the sessions. */
	if (count.has_sessions)
		users = 0;

	RoomUse use = use_of(row, users, count.leases_count_from, rules, count.at);

	return {.users = room_load(use, rules), .rooms = 1, .present = use.active};
}

Load
added_load_of(const Assignment &row, const Rules &rules)
{
	LastBaseline now = {
		.at = GetCurrentTimestamp(), .leases_count_from = ages_count_from(), .has_sessions = false};

	return load_by_row(row, last_baseline().value_or(now), rules);
}

LoadAtCommit
removed_load_of(const Assignment &row, const Rules &rules)
{
	std::optional<LastBaseline> count = last_baseline();
	LoadAtCommit removed = {.load = {.rooms = -1}};

	/* The first count has it with what it has then, and that is not known yet. */
	if (!count)
		return removed;
	removed.load = -load_by_row(row, *count, rules);
	removed.until = count->has_sessions || row.reported_users
						? later(row.assigned_at, rules.join_window)
						: later(std::max(row.leased_from(), count->leases_count_from),
								microseconds(setting::assignment_grace));
	return removed;
}

} // namespace gxy
