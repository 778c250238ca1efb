/*
 * world.hpp: runs a trace against a policy.
 *
 * It does what the extension does around a decision, in the simplest form: an assignment is sticky;
 * once a minute the worker samples the rooms in use and frees those that were not used for the
 * grace period; rooms of a failed server are placed anew after the delay. Decisions and loads are
 * computed by the extension's own code.
 */
#pragma once

#include "contender.hpp"
#include "dice.hpp"
#include "policy/failure_detector.hpp"
#include "policy/rebalance_plan.hpp"

#include <limits>

namespace sim
{

/* The servers at a moment of the measured time. */
struct Sample
{
	Time at = 0;
	double ratio = 1; /* busiest/mean; with regions, the mean over them by users */
	std::int64_t users = 0;
	std::int64_t over = 0;	  /* users over capacity */
	std::int64_t crowded = 0; /* users on servers with more users than 110% of capacity */
};

/* The most users of each meeting, by room. */
using Peaks = std::vector<std::vector<int>>;

struct Playback
{
	std::vector<Sample> samples;
	Peaks peaks;
	std::int64_t placed = 0;
	std::int64_t moved = 0; /* rooms, away from failed servers */
	/* of the measured time: users who joined, and users in rooms that a rebalance moved */
	std::int64_t joined = 0;
	std::int64_t split = 0;
	std::int64_t users_at_end = 0;
};

class World
{
public:
	/* peaks: the room sizes for the oracle, from a run of the same trace. */
	World(const Trace &trace, const Contender &contender, const Peaks *peaks, std::uint64_t seed);

	Playback run();
	Playback run_until(Time end);

	static constexpr Time grace = 90 * second;
	static constexpr Time worker_interval = minute;
	static constexpr Time failover_delay = 5 * second;
	/* How long a reported load counts; that of heartbeat_timeout = 0. */
	static constexpr Time report_lifetime = 30 * second;

private:
	static constexpr Time never = std::numeric_limits<Time>::max();

	struct Room
	{
		int server = -1;
		Time assigned_at = 0;
		Time used_at = 0;
		std::int64_t expected = 0;
		std::vector<int> users = {};
		gxy::RoomHistory history = {};
	};

	struct Added
	{
		Time at;
		std::int64_t users;
	};

	struct Machine
	{
		bool up = true;
		/* for each user, the number of rooms the user is in */
		std::vector<std::uint16_t> presence = {};
		std::int64_t users = 0;
		std::int64_t rooms = 0;
		double polled = 0;			   /* the load by which a peer chooses */
		std::vector<Added> added = {}; /* users of the last 20 seconds, for Jicofo */
	};

	struct Failover
	{
		Time due;
		int server;
	};

	/* What one shard knows of one server: its own rooms, and what it was told. */
	struct Share
	{
		bool in_pool = true;
		std::int64_t rooms = 0;
		std::int64_t load = 0;
		std::int64_t awaited = 0; /* the part of load that is expected, not there */
		gxy::Measurement told = {};
	};
	using Shares = std::vector<Share>; /* by server */

	void take(const Event &event);
	void ask(int room, Time now);
	void join(const Event &event);
	void leave(const Event &event);
	void enter(Machine *machine, int user);
	void exit(Machine *machine, int user);

	void assign(int room, Time now);
	void free_room(int room);
	void move_room(int room, int target);
	void move_rooms(int server, Time now);
	std::vector<gxy::RebalanceRoom> movable_rooms(Time now) const;
	void rebalance(Time now);
	void work(Time now);
	void poll(Time now);
	void send(int server, std::int64_t users, Time now);
	void sample(Time now);
	Time next_stop(Time now) const;

	void found_shards(std::uint64_t seed);
	Shares counted_by(int shard, Time now) const;
	void share_loads(Time now);
	void share_loads_until(Time now);
	void count_for_shard(int room, Time now, std::vector<gxy::Server> *servers) const;

	std::int64_t expected(int room) const;
	int choose(int room, Time now);
	int ours(int room, Time now);
	int by_poll(const std::vector<int> &open, Time now);
	static std::int64_t recently_added(Machine *machine, Time now);
	std::vector<gxy::Server> counted(int room, Time now) const;
	std::vector<int> takers(int room) const;
	gxy::RoomUse use_of(const Room &room, Time now) const;
	gxy::RegionFit fit(int server, int room) const;

	const Trace &trace;
	const Contender &contender;
	const Peaks *known;
	Dice dice;
	const Time polls; /* between two polls of a peer; 0: it is none */
	std::vector<Room> rooms;
	std::vector<int> assigned;
	std::vector<Machine> machines;
	std::vector<Failover> failovers;
	std::vector<int> shard_of; /* by room */
	std::vector<Shares> shards;
	Time told_at = -1; /* the last time share_loads() was due */
	std::size_t turn = 0;
	Time worker_due = 0;
	Time poll_due = never;
	Time sample_due = 0;
	std::size_t next = 0; /* index of the next event */
	Playback result;
};

} // namespace sim
