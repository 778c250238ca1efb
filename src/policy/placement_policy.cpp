/*
 * placement_policy.cpp: the placement rules.
 *
 * A server's Standing is compared first; compare() orders servers of equal standing. Every order
 * ends with position and name, so the same pool always gives the same server, in whatever order it
 * was read.
 */
#include "policy/placement_policy.hpp"

#include <algorithm>
#include <compare>

namespace gxy
{

namespace
{

/* 12 digits of load, 6 of millionths and 9 of capacity are more than 64 bits hold. */
using Wide = __int128;

using Order = std::strong_ordering;

/* Live sessions prove that a room exists on a server, whatever the attached rooms say. */
bool
lacks_room(const Server &server)
{
	return server.absent && server.room_sessions <= 0;
}

/*
 * How many users the measurement stands for, and those still awaited, in millionths of a user; 0 if
 * there is none.
 */
Wide
measured_users(const Server &server)
{
	if (server.measured == 0)
		return 0;
	return Wide{server.measured} * server.capacity + Wide{server.awaited} * full_measure;
}

/* Users by load or by measurement, whichever is more, in millionths of a user. */
Wide
users_of(const Server &server)
{
	return std::max(Wide{server.load} * full_measure, measured_users(server));
}

Standing
standing_of(const Server &server, bool fits, bool prefers_home)
{
	const bool reachable = server.state != ServerState::offline;

	/* Rooms in progress are not split, whatever a pin, a pool or a region says. */
	if (reachable && server.room_sessions > 0)
		return Standing::in_progress;
	if (lacks_room(server))
		return Standing::absent;
	if (reachable && server.pinned)
		return Standing::pinned;
	/* A fixed assignment of the service, so capacity, pool and region do not matter. */
	if (prefers_home && server.home && server.state == ServerState::online &&
		server.recovery != Recovery::recovering)
		return Standing::home;
	if (server.pool == ServerPool::reserved)
		return Standing::excluded;
	if (server.state == ServerState::offline)
		return Standing::offline;
	if (server.state == ServerState::draining)
		return Standing::draining;
	if (server.recovery == Recovery::recovering)
		return Standing::recovering;
	if (!takes_new_rooms(server))
		return Standing::elsewhere;
	if (!fits)
		return Standing::over_capacity;
	return server.region == RegionFit::own ? Standing::own_region : Standing::general;
}

Order
by_position(const Server &a, const Server &b)
{
	if (const Order order = a.position <=> b.position; order != 0)
		return order;
	return a.name <=> b.name;
}

/* By users/capacity, as exact fractions: rounded, unequal servers could tie. */
Order
by_load(const Server &a, const Server &b)
{
	if (const Order order = users_of(a) * b.capacity <=> users_of(b) * a.capacity; order != 0)
		return order;
	if (const Order order = a.rooms <=> b.rooms; order != 0)
		return order;
	return by_position(a, b);
}

/* Orders servers that have room for the new room. */
Order
by_preference(const Server &a, const Server &b, Strategy strategy)
{
	if (const Order order = b.priority <=> a.priority; order != 0)
		return order;
	return strategy == Strategy::sequential ? by_position(a, b) : by_load(a, b);
}

/*
 * Orders servers that get the room only if no better server is online: standbys last, because they
 * are for failovers, and servers of other regions before them.
 */
Order
by_last_resort(const Server &a, const Verdict &va, const Server &b, const Verdict &vb,
			   Strategy strategy)
{
	const bool a_standby = a.pool == ServerPool::standby;
	const bool b_standby = b.pool == ServerPool::standby;
	if (const Order order = a_standby <=> b_standby; order != 0)
		return order;

	const bool a_foreign = a.region == RegionFit::foreign;
	const bool b_foreign = b.region == RegionFit::foreign;
	if (const Order order = a_foreign <=> b_foreign; order != 0)
		return order;

	if (const Order order = vb.fits <=> va.fits; order != 0)
		return order;
	return va.fits ? by_preference(a, b, strategy) : by_load(a, b);
}

Order
compare(const Server &a, const Verdict &va, const Server &b, const Verdict &vb, Strategy strategy)
{
	if (const Order order = va.standing <=> vb.standing; order != 0)
		return order;

	switch (va.standing)
	{
		case Standing::in_progress:
			if (const Order order = b.room_sessions <=> a.room_sessions; order != 0)
				return order;
			break;
		case Standing::own_region:
			if (const Order order = a.region_rank <=> b.region_rank; order != 0)
				return order;
			[[fallthrough]];
		case Standing::general:
			if (const Order order = a.held_back <=> b.held_back; order != 0)
				return order;
			return by_preference(a, b, strategy);
		case Standing::over_capacity:
			if (const Order order = a.held_back <=> b.held_back; order != 0)
				return order;
			/* Priority and sequence apply only to servers that have room. */
			return by_load(a, b);
		case Standing::elsewhere:
		case Standing::recovering:
		case Standing::draining:
		case Standing::offline:
			return by_last_resort(a, va, b, vb, strategy);
		case Standing::pinned:
		case Standing::home:
		case Standing::absent:
		case Standing::excluded:
			break;
	}
	return by_position(a, b);
}

/* Other regions and standbys replace servers that are offline, not servers that are full. */
Decision
outcome_of(const Decision &best, const Rules &rules)
{
	if (best.verdict.standing == Standing::over_capacity && rules.overflow == Overflow::error)
		return {.outcome = Outcome::full};
	return best;
}

/* Spreads the bits of a number over all bits: the finalizer of SplitMix64. */
std::uint64_t
mix(std::uint64_t bits)
{
	bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9U;
	bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebU;
	return bits ^ (bits >> 31);
}

/* The server's number for this room, for a choice by the highest number. */
std::uint64_t
number_for(const Server &server, std::uint64_t room)
{
	std::uint64_t number = room;

	for (const char c : server.name)
		number = mix(number + static_cast<unsigned char>(c) + 1);
	return number;
}

void
hold_back(Server *servers, int count, RegionFit region, std::int64_t rank, std::uint64_t room)
{
	std::uint64_t takers = 0;
	std::uint64_t returning = 0;
	Server *chosen = nullptr;
	std::uint64_t highest = 0;

	for (int i = 0; i < count; i++)
	{
		Server &server = servers[i];
		if (!takes_new_rooms(server) || server.region != region || server.region_rank != rank)
			continue;
		takers++;
		if (server.recovery != Recovery::returning)
			continue;
		returning++;
		server.held_back = true;
		const std::uint64_t number = number_for(server, room);
		if (chosen == nullptr || number > highest ||
			(number == highest && by_position(server, *chosen) < 0))
		{
			chosen = &server;
			highest = number;
		}
	}
	if (chosen != nullptr && mix(room) % takers < returning)
		chosen->held_back = false;
}

} // namespace

Recovery
recovery_after(std::int64_t age, std::int64_t delay)
{
	if (delay <= 0 || age < -delay || age >= delay + return_time)
		return Recovery::none;
	return age < delay ? Recovery::recovering : Recovery::returning;
}

bool
is_measured_fuller(const Server &server)
{
	return measured_users(server) > Wide{server.load} * full_measure;
}

std::int64_t
users_in_force(const Server &server)
{
	return static_cast<std::int64_t>((users_of(server) + full_measure - 1) / full_measure);
}

void
hold_back_returning(Server *servers, int count, std::uint64_t room)
{
	std::int64_t last_rank = 0;

	for (int i = 0; i < count; i++)
		last_rank = std::max(last_rank, servers[i].region_rank);
	for (std::int64_t rank = 0; rank <= last_rank; rank++)
		hold_back(servers, count, RegionFit::own, rank, room);
	hold_back(servers, count, RegionFit::general, 0, room);
}

int
tier(Standing standing)
{
	switch (standing)
	{
		case Standing::in_progress:
		case Standing::pinned:
		case Standing::home:
			return 0;
		case Standing::own_region:
			return 1;
		case Standing::general:
			return 2;
		case Standing::over_capacity:
			return 3;
		case Standing::elsewhere:
		case Standing::recovering:
			return 4;
		case Standing::draining:
			return 5;
		case Standing::offline:
			return 6;
		case Standing::absent:
		case Standing::excluded:
			break;
	}
	return -1;
}

PoolFacts
gather_pool_facts(const Server *servers, int count, std::int64_t expected, const Rules &rules)
{
	const std::int64_t addition =
		rules.metric == LoadMetric::rooms ? rules.avg_room_occupancy : expected;
	std::int64_t largest = 0; /* stays 0 if no server takes new rooms: capacities are at least 1 */

	for (int i = 0; i < count; i++)
	{
		if (takes_new_rooms(servers[i]))
			largest = std::max(largest, servers[i].capacity);
	}
	return {.addition = addition,
			.outsized = largest > 0 && addition > largest,
			.prefers_home = rules.strategy == Strategy::home};
}

Verdict
judge(const Server &server, const PoolFacts &pool_facts)
{
	/* Subtracted, not added, so that no load can overflow the sum. */
	const bool below_capacity =
		users_of(server) <= Wide{server.capacity - pool_facts.addition} * full_measure;
	const bool is_empty = server.load == 0 && server.measured < full_measure;
	const bool fits = below_capacity || (pool_facts.outsized && is_empty);

	return {.standing = standing_of(server, fits, pool_facts.prefers_home), .fits = fits};
}

bool
precedes(const Server &a, const Verdict &va, const Server &b, const Verdict &vb, const Rules &rules)
{
	return compare(a, va, b, vb, rules.strategy) < 0;
}

Decision
decide(const Server *servers, int count, std::int64_t expected, const Rules &rules)
{
	const PoolFacts pool_facts = gather_pool_facts(servers, count, expected, rules);
	int best = -1;
	Verdict best_verdict;

	for (int i = 0; i < count; i++)
	{
		const Verdict verdict = judge(servers[i], pool_facts);
		if (tier(verdict.standing) < 0)
			continue;
		if (best < 0 || precedes(servers[i], verdict, servers[best], best_verdict, rules))
		{
			best = i;
			best_verdict = verdict;
		}
	}

	if (best < 0)
		return {.outcome = Outcome::no_server};
	return outcome_of({.outcome = Outcome::placed, .server = best, .verdict = best_verdict}, rules);
}

bool
takes_new_rooms(const Server &server)
{
	return server.state == ServerState::online && server.pool == ServerPool::primary &&
		   server.region != RegionFit::foreign && server.recovery != Recovery::recovering &&
		   !lacks_room(server);
}

bool
leads(const Server &a, const Server &b, const Rules &rules)
{
	return by_preference(a, b, rules.strategy) < 0;
}

bool
is_uniform(const Server *servers, int count)
{
	const Server *first = std::find_if(servers, servers + count, takes_new_rooms);

	return std::all_of(first, servers + count, [first](const Server &server) {
		return !takes_new_rooms(server) ||
			   (server.capacity == first->capacity && server.priority == first->priority);
	});
}

/*
 * Servers with space come first, in the order of leads(). So if the leader has space, none comes
 * before it. In a uniform pool leads() is by load, unless the strategy is sequential: then if the
 * leader is full, all are, and the order of full servers is by load too.
 */
Decision
decide_by_leader(const Server &leader, bool uniform, std::int64_t expected, const Rules &rules)
{
	PoolFacts pool_facts = gather_pool_facts(&leader, 1, expected, rules);

	pool_facts.outsized = pool_facts.outsized && uniform;

	const Verdict verdict = judge(leader, pool_facts);
	const bool by_load_anyway = uniform && rules.strategy != Strategy::sequential;

	if (verdict.standing != Standing::general &&
		(verdict.standing != Standing::over_capacity || !by_load_anyway))
		return {.outcome = Outcome::no_server};
	return outcome_of({.outcome = Outcome::placed, .server = 0, .verdict = verdict}, rules);
}

} // namespace gxy
