/*
 * rebalance_plan.cpp: see rebalance_plan.hpp.
 *
 * Small rooms of a server are looked at once, in a fixed order: what a server has to give only
 * shrinks, and so does the space on the others, so a room that was passed over would be passed over
 * again. A large room that no server can take is looked at again in the next round.
 */
#include "policy/rebalance_plan.hpp"

#include <algorithm>

namespace gxy
{

namespace
{

/* 12 digits of load times 9 of capacity are more than 64 bits hold. */
using Wide = __int128;

/* Whether a server with this load and capacity is fuller than another. */
bool
is_fuller(std::int64_t load, std::int64_t capacity, std::int64_t other, std::int64_t other_capacity)
{
	return Wide{load} * other_capacity > Wide{other} * capacity;
}

/* Whether room a is moved before b of the same server: most load per user, then largest. */
bool
moves_before(const RebalanceRoom &a, const RebalanceRoom &b)
{
	if (a.server != b.server)
		return a.server < b.server;

	const Wide left = Wide{a.load} * b.users;
	const Wide right = Wide{b.load} * a.users;
	if (left != right)
		return left > right;
	return a.load != b.load ? a.load > b.load : a.id < b.id;
}

/* Whether rooms are taken off the server if it is too full. */
bool
gives_rooms(const Server &server)
{
	return server.state == ServerState::online && server.pool != ServerPool::reserved;
}

/* Whether the server counts in the level of its group: an idle standby does not. */
bool
shares_load(const Server &server)
{
	return gives_rooms(server) && (server.pool == ServerPool::primary || server.rooms > 0);
}

/* Whether a server that may take the one room may take the other, until a room moves. */
bool
are_alike(const RebalanceRoom &a, const RebalanceRoom &b)
{
	return a.kind >= 0 && a.kind == b.kind && a.server == b.server && a.load == b.load &&
		   a.addition == b.addition;
}

} // namespace

RebalancePlan::RebalancePlan(RebalanceServer *servers, int server_count, RebalanceRoom *rooms,
							 int room_count, const RebalanceLimits &limits, const Rules &rules,
							 RoomFit fit)
	: servers(servers), server_count(server_count), all_rooms(rooms), left(limits), rules(rules),
	  fit(fit)
{
	std::sort(rooms, rooms + room_count, moves_before);
	for (int i = 0; i < server_count; i++)
		servers[i].first = servers[i].end = 0;
	for (int i = 0; i < room_count; i++)
	{
		RebalanceServer &server = servers[rooms[i].server];

		if (server.end == 0)
			server.first = i;
		server.end = i + 1;
		rooms[i].refused_in = 0;
	}
	sum_groups();
	look_at_all_again();
}

void
RebalancePlan::count_in_group(int server)
{
	RebalanceServer &leader = servers[servers[server].leader];

	servers[server].counts = true;
	leader.group_load += servers[server].server.load;
	leader.group_capacity += servers[server].server.capacity;
}

/* A server that is just back has few rooms and gets none, so it does not lower the level. */
void
RebalancePlan::sum_groups()
{
	for (int i = 0; i < server_count; i++)
	{
		int leader = 0;

		while (servers[leader].group != servers[i].group)
			leader++;
		servers[i].leader = leader;
		servers[i].counts = false;
		servers[i].group_load = servers[i].group_capacity = 0;
		if (shares_load(servers[i].server) && servers[i].server.recovery == Recovery::none)
			count_in_group(i);
	}
	for (int i = 0; i < server_count; i++)
	{
		const Server &server = servers[i].server;

		if (shares_load(server) && server.recovery != Recovery::none && server.load >= level(i))
			count_in_group(i);
	}
}

/* A large room that has left a server may make space there: look at all kinds again. */
void
RebalancePlan::next_phase()
{
	phase = static_cast<Phase>(static_cast<int>(phase) + 1);
	pass++;
	last = nullptr;
	if (phase == Phase::end && moved_in_round)
	{
		phase = Phase::empty_rooms;
		moved_in_round = false;
	}
	look_at_all_again();
}

bool
RebalancePlan::is_of_phase(const RebalanceRoom &room) const
{
	const bool wants_empty = phase == Phase::empty_rooms || phase == Phase::large_empty_rooms;

	return !room.moved && room.load > 0 && (room.users == 0) == wants_empty &&
		   (!left.users || room.users <= *left.users);
}

std::int64_t
RebalancePlan::level(int server) const
{
	const std::int64_t capacity = servers[server].server.capacity;
	const RebalanceServer &group = servers[servers[server].leader];

	/* Servers that are filled in order are meant to be unequal, up to their capacity. */
	if (rules.strategy == Strategy::sequential || group.group_capacity == 0)
		return capacity;
	return static_cast<std::int64_t>(Wide{group.group_load} * capacity / group.group_capacity);
}

/* Returns the load that a server should have as far as moves to or from the other are concerned. */
std::int64_t
RebalancePlan::aim(int server, int other) const
{
	return servers[server].group == servers[other].group ? level(server)
														 : servers[server].server.capacity;
}

bool
RebalancePlan::has_excess(int server) const
{
	const Server &here = servers[server].server;

	return here.load > std::min(level(server), here.capacity);
}

/* Returns the fullest server that is above its level and may still have rooms to give; -1: none. */
int
RebalancePlan::fullest() const
{
	int best = -1;

	for (int i = 0; i < server_count; i++)
	{
		const Server &server = servers[i].server;

		if (servers[i].next >= servers[i].end || !gives_rooms(server) || !has_excess(i))
			continue;
		if (best < 0)
		{
			best = i;
			continue;
		}

		const Server &other = servers[best].server;
		if (is_fuller(server.load, server.capacity, other.load, other.capacity) ||
			(!is_fuller(other.load, other.capacity, server.load, server.capacity) &&
			 server.name < other.name))
			best = i;
	}
	return best;
}

/* Returns by how much a move lowers the load above the levels, of both servers together. */
std::int64_t
RebalancePlan::gain(const RebalanceRoom &room, int to) const
{
	const std::int64_t taken_off = std::min(room.load, excess(room.server, to));
	const std::int64_t space = std::max<std::int64_t>(-excess(to, room.server), 0);
	const std::int64_t put_on = std::max<std::int64_t>(room.addition - space, 0);

	return taken_off - put_on;
}

/* Whether the policy allows the move. here, there: how the room's server and the other fit it. */
bool
RebalancePlan::may_take(const RebalanceRoom &room, int to, RegionFit here, RegionFit there) const
{
	const Server &source = servers[room.server].server;
	const Server &other = servers[to].server;

	if (there == RegionFit::foreign || other.state != ServerState::online ||
		other.pool != ServerPool::primary || other.recovery != Recovery::none)
		return false;
	/* Only a server that is full gives rooms to servers that the policy would choose after it. */
	if (source.load <= source.capacity && (other.priority < source.priority ||
										   (there == RegionFit::general && here == RegionFit::own)))
		return false;
	return !is_fuller(other.load + room.addition, other.capacity, source.load - room.load,
					  source.capacity);
}

bool
RebalancePlan::is_of_phase(const RebalanceRoom &room, int to) const
{
	if (is_large_phase())
		return 2 * gain(room, to) >= room.load;
	return room.load <= excess(room.server, to) && room.addition <= -excess(to, room.server);
}

/* Returns the server that the policy prefers of those that may take the room; -1: none. */
int
RebalancePlan::search_target(const RebalanceRoom &room) const
{
	const PoolFacts facts = {.addition = room.addition, .outsized = false};
	const RegionFit here = fit(room, room.server);
	Rules order = rules;
	int best = -1;
	Server best_server;
	Verdict best_verdict;

	order.strategy = Strategy::least_loaded;
	for (int i = 0; i < server_count; i++)
	{
		if (i == room.server)
			continue;

		Server server = servers[i].server;
		server.region = fit(room, i);
		if (!may_take(room, i, here, server.region) || !is_of_phase(room, i))
			continue;

		const Verdict verdict = judge(server, facts);
		if (best < 0 || precedes(server, verdict, best_server, best_verdict, order))
		{
			best = i;
			best_server = server;
			best_verdict = verdict;
		}
	}
	return best;
}

int
RebalancePlan::target(RebalanceRoom &room)
{
	if (room.refused_in == pass)
		return -1;
	if (last == nullptr || !are_alike(*last, room))
	{
		last_target = search_target(room);
		last = &room;
	}
	if (last_target < 0)
		room.refused_in = pass;
	return last_target;
}

std::optional<RebalanceMove>
RebalancePlan::next_small(int from)
{
	RebalanceServer &source = servers[from];

	while (source.next < source.end)
	{
		const int number = source.next++;
		RebalanceRoom &room = all_rooms[number];

		if (!is_of_phase(room))
			continue;
		if (const int to = target(room); to >= 0)
			return RebalanceMove{.room = number, .from = from, .to = to};
	}
	return std::nullopt;
}

/* Of the rooms that are larger than the excess, the one with the greatest gain per user. */
std::optional<RebalanceMove>
RebalancePlan::next_large(int from)
{
	RebalanceServer &source = servers[from];
	std::optional<RebalanceMove> best;
	std::int64_t best_gain = 0;

	for (int number = source.first; number < source.end; number++)
	{
		RebalanceRoom &room = all_rooms[number];
		if (!is_of_phase(room))
			continue;

		const int to = target(room);
		if (to < 0)
			continue;

		const std::int64_t here = gain(room, to);
		if (!best || Wide{here} * std::max<std::int64_t>(all_rooms[best->room].users, 1) >
						 Wide{best_gain} * std::max<std::int64_t>(room.users, 1))
		{
			best = RebalanceMove{.room = number, .from = from, .to = to};
			best_gain = here;
		}
	}
	if (!best)
		source.next = source.end;
	return best;
}

void
RebalancePlan::count(const RebalanceMove &move)
{
	RebalanceRoom &room = all_rooms[move.room];
	Server &from = servers[move.from].server;
	Server &to = servers[move.to].server;

	if (servers[move.from].counts)
		servers[servers[move.from].leader].group_load -= room.load;
	servers[servers[move.to].leader].group_load += room.addition;
	from.load -= room.load;
	from.rooms--;
	to.load += room.addition;
	to.rooms++;
	room.moved = true;
	moved_in_round = true;
	last = nullptr;
	if (left.rooms)
		--*left.rooms;
	if (left.users)
		*left.users -= room.users;
}

bool
RebalancePlan::is_still_good(const RebalanceMove &move) const
{
	const RebalanceRoom &room = all_rooms[move.room];

	return room.server == move.from && !room.moved && room.load > 0 &&
		   (!left.users || room.users <= *left.users) && gives_rooms(servers[move.from].server) &&
		   has_excess(move.from) &&
		   may_take(room, move.to, fit(room, move.from), fit(room, move.to)) &&
		   2 * gain(room, move.to) >= room.load;
}

std::optional<RebalanceMove>
RebalancePlan::next()
{
	while (phase != Phase::end && !(left.rooms && *left.rooms <= 0))
	{
		const int from = fullest();

		if (from < 0)
		{
			next_phase();
			continue;
		}

		const auto move = is_large_phase() ? next_large(from) : next_small(from);
		if (!move)
			continue;
		count(*move);
		if (is_large_phase())
			look_at_all_again();
		return move;
	}
	return std::nullopt;
}

} // namespace gxy
