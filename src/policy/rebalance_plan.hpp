/*
 * rebalance_plan.hpp: which rooms to move off the fullest servers, so that the load is even and few
 * users notice.
 *
 * Values in, values out, like the placement policy: standard C++ only, no clock, no allocation. The
 * caller brings the arrays and gets the moves one by one.
 *
 * Every move takes load off a server above the level of its group, which is the group's load by its
 * capacity, and puts it on a server that the placement policy allows. Servers that are just back
 * from an outage do not lower that level. Servers of other groups, to which the policy sends rooms
 * only when the own one is full, get what is over capacity. The target never becomes fuller than
 * the server that the room leaves, so the highest percentage never grows. The order is: rooms
 * without users first, because no user notices; the fullest server first; of its rooms those with
 * the most load per user. Rooms that are larger than what is to be taken off come last, and only if
 * at least half of the room counts. No room moves twice. At the end no move is left.
 */
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "policy/placement_policy.hpp"

namespace gxy
{

/* A room that may be moved. Pinned rooms are left out. */
struct RebalanceRoom
{
	std::string_view id;
	int server = 0;			   /* index of the server it is on */
	std::int64_t load = 0;	   /* by which that server becomes emptier, in users */
	std::int64_t addition = 0; /* by which another becomes fuller: its join window starts anew */
	std::int64_t users = 0;	   /* who are in it */
	int tag = 0;			   /* the caller's own number of the room */
	int kind = -1;			   /* every server fits rooms of one kind the same; -1: unknown */
	bool moved = false;
	/* Used by the plan: no server could take the room in this pass. */
	int refused_in = 0;
};

struct RebalanceServer
{
	Server server;
	int group = 0; /* servers of one group, by the caller's number, should be equally full */
	/* Used by the plan: the server's rooms, and the first that was not looked at. */
	int first = 0;
	int next = 0;
	int end = 0;
	/* The first server of its group, which has the sums of those that count. */
	int leader = 0;
	bool counts = false;
	std::int64_t group_load = 0;
	std::int64_t group_capacity = 0;
};

/* Empty: no limit. */
struct RebalanceLimits
{
	std::optional<std::int64_t> rooms;
	std::optional<std::int64_t> users;
};

struct RebalanceMove
{
	int room; /* index into the rooms, as the plan has sorted them */
	int from; /* index of a server, like to */
	int to;
};

/*
 * Returns how a server fits a room; foreign if the room may not be there. Called at least once
 * whenever the plan looks for a server for a room, so the caller can end a long search here.
 */
struct RoomFit
{
	RegionFit (*function)(const void *context, const RebalanceRoom &room, int server);
	const void *context;

	RegionFit operator()(const RebalanceRoom &room, int server) const
	{
		return function(context, room, server);
	}
};

class RebalancePlan
{
public:
	/* Sorts the rooms. The arrays, and the context of fit, must outlive the plan. */
	RebalancePlan(RebalanceServer *servers, int server_count, RebalanceRoom *rooms, int room_count,
				  const RebalanceLimits &limits, const Rules &rules, RoomFit fit);

	/* Returns the next move and counts it in the servers' loads; nothing at the end. */
	std::optional<RebalanceMove> next();

	/*
	 * For moves that were planned by older loads: whether the move still makes the servers more
	 * even, within the limits. count() counts it in the servers' loads.
	 */
	bool is_still_good(const RebalanceMove &move) const;
	void count(const RebalanceMove &move);

	/* Returns the load that a server would have if its group were equally full. */
	std::int64_t level(int server) const;

private:
	/* The kinds of moves, in the order in which they are looked for. */
	enum class Phase : std::uint8_t
	{
		empty_rooms,
		large_empty_rooms, /* larger than what is to be taken off */
		rooms,
		large_rooms,
		end
	};

	void count_in_group(int server);
	void sum_groups();
	bool is_large_phase() const
	{
		return phase == Phase::large_empty_rooms || phase == Phase::large_rooms;
	}
	void look_at_all_again()
	{
		for (int i = 0; i < server_count; i++)
			servers[i].next = servers[i].first;
	}
	void next_phase();
	int fullest() const;
	bool is_of_phase(const RebalanceRoom &room) const;
	bool is_of_phase(const RebalanceRoom &room, int to) const;
	std::int64_t aim(int server, int other) const;
	std::int64_t excess(int server, int other) const
	{
		return servers[server].server.load - aim(server, other);
	}
	bool has_excess(int server) const;
	std::int64_t gain(const RebalanceRoom &room, int to) const;
	bool may_take(const RebalanceRoom &room, int to, RegionFit here, RegionFit there) const;
	int search_target(const RebalanceRoom &room) const;
	int target(RebalanceRoom &room);
	std::optional<RebalanceMove> next_small(int from);
	std::optional<RebalanceMove> next_large(int from);

	RebalanceServer *servers;
	int server_count;
	RebalanceRoom *all_rooms;
	RebalanceLimits left;
	Rules rules;
	RoomFit fit;
	Phase phase = Phase::empty_rooms;
	bool moved_in_round = false; /* a round has all phases */
	int pass = 1;				 /* the number of the phase, counted over all rounds */
	/* The room that was looked at last, if no room has moved since, and what was found. */
	const RebalanceRoom *last = nullptr;
	int last_target = -1;
};

} // namespace gxy
