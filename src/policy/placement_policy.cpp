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

/* 12 digits of load times 9 of capacity are more than 64 bits hold. */
using Wide = __int128;

using Order = std::strong_ordering;

bool
takes_new_rooms(const Server &server)
{
	return server.state == ServerState::online && server.pool == ServerPool::primary &&
		   server.region != RegionFit::foreign;
}

Standing
standing_of(const Server &server, bool fits)
{
	const bool reachable = server.state != ServerState::offline;

	/* Rooms in progress are not split, whatever a pin, a pool or a region says. */
	if (reachable && server.room_sessions > 0)
		return Standing::in_progress;
	if (reachable && server.pinned)
		return Standing::pinned;
	if (server.pool == ServerPool::reserved)
		return Standing::excluded;
	if (server.state == ServerState::offline)
		return Standing::offline;
	if (server.state == ServerState::draining)
		return Standing::draining;
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

/* By load/capacity, as exact fractions: rounded, unequal servers could tie. */
Order
by_load(const Server &a, const Server &b)
{
	if (const Order order = Wide{a.load} * b.capacity <=> Wide{b.load} * a.capacity; order != 0)
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
		case Standing::general:
			return by_preference(a, b, strategy);
		case Standing::over_capacity:
			/* Priority and sequence apply only to servers that have room. */
			return by_load(a, b);
		case Standing::elsewhere:
		case Standing::draining:
		case Standing::offline:
			return by_last_resort(a, va, b, vb, strategy);
		case Standing::pinned:
		case Standing::excluded:
			break;
	}
	return by_position(a, b);
}

} // namespace

int
tier(Standing standing)
{
	switch (standing)
	{
		case Standing::in_progress:
		case Standing::pinned:
			return 0;
		case Standing::own_region:
			return 1;
		case Standing::general:
			return 2;
		case Standing::over_capacity:
			return 3;
		case Standing::elsewhere:
			return 4;
		case Standing::draining:
			return 5;
		case Standing::offline:
			return 6;
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
	return {.addition = addition, .outsized = largest > 0 && addition > largest};
}

Verdict
judge(const Server &server, const PoolFacts &pool_facts)
{
	/* Subtracted, not added, so that no load can overflow the sum. */
	const bool below_capacity = server.load <= server.capacity - pool_facts.addition;
	const bool fits = below_capacity || (pool_facts.outsized && server.load == 0);

	return {.standing = standing_of(server, fits), .fits = fits};
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
		if (verdict.standing == Standing::excluded)
			continue;
		if (best < 0 || precedes(servers[i], verdict, servers[best], best_verdict, rules))
		{
			best = i;
			best_verdict = verdict;
		}
	}

	if (best < 0)
		return {.outcome = Outcome::no_server};
	/* Other regions and standbys replace servers that are offline, not servers that are full. */
	if (best_verdict.standing == Standing::over_capacity && rules.overflow == Overflow::error)
		return {.outcome = Outcome::full};
	return {.outcome = Outcome::placed, .server = best, .verdict = best_verdict};
}

std::int64_t
room_load(const RoomUse &room, const Rules &rules)
{
	const std::int64_t age = std::max<std::int64_t>(room.age, 0); /* a clock may step back */
	const std::int64_t expected = std::max<std::int64_t>(room.expected, 0);

	if (!room.active_known)
		return room.leased || room.pinned_size ? expected : 0;

	const std::int64_t active = std::max<std::int64_t>(room.active, 0);
	const std::int64_t missing = expected - active;
	if (missing <= 0)
		return active;
	if (room.pinned_size)
		return expected;
	if (age >= rules.join_window)
		return active;
	/* Servers are filled up, so space must be kept for every expected user. */
	if (rules.strategy == Strategy::sequential)
		return expected;
	/* Rounded to the nearest user. */
	return active +
		   static_cast<std::int64_t>((2 * Wide{missing} * missing + expected) / (2 * expected));
}

bool
leaves_before(const LeavingRoom &a, const LeavingRoom &b)
{
	return a.load != b.load ? a.load > b.load : a.id < b.id;
}

} // namespace gxy
