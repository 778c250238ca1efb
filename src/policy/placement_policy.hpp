/*
 * placement_policy.hpp: which server a new room goes to.
 *
 * Values in, decision out. It does not use PostgreSQL, read a clock or allocate memory, so the unit
 * tests and the simulator link the code that decides inside the server.
 *
 * judge() gives each server a Verdict; precedes() orders two servers by their verdicts. decide()
 * chooses the first server in that order. explain_assignment() lists all servers in the same order,
 * so its first row is what get_or_assign_server() answers.
 */
#pragma once

#include <cstdint>
#include <string_view>

namespace gxy
{

enum class ServerState : std::uint8_t
{
	online,
	draining,
	offline
};

enum class ServerPool : std::uint8_t
{
	primary,
	standby,
	reserved /* pinned and moved rooms only */
};

enum class RegionFit : std::uint8_t
{
	own,	 /* the server serves a region of the room */
	general, /* the server serves every region */
	foreign	 /* the server is reserved for other regions */
};

enum class Strategy : std::uint8_t
{
	least_loaded,
	sequential,
	home /* least_loaded for a room without a home that can take it */
};

enum class LoadMetric : std::uint8_t
{
	users,
	rooms
};

enum class Overflow : std::uint8_t
{
	overcommit,
	error
};

/*
 * The settings that shape a decision; the numbers are the defaults, found by simulation:
 * doc/balance.md.
 */
struct Rules
{
	Strategy strategy = Strategy::least_loaded;
	LoadMetric metric = LoadMetric::users;
	Overflow overflow = Overflow::overcommit;
	std::int64_t avg_room_occupancy = 10;			  /* users, >= 1 */
	std::int64_t join_window = 10 * 60 * 1'000'000LL; /* microseconds, >= 0 */
};

/* Where a server stands after an outage. */
enum class Recovery : std::uint8_t
{
	none,		/* it had none, or that was long ago */
	recovering, /* too few good heartbeats yet: no new rooms */
	returning	/* its share of new rooms, and no more, although it is the least loaded */
};

/*
 * How long a server is returning after it was recovering, in microseconds. Five minutes, because a
 * server that fails every few minutes would draw every room in between: doc/balance.md.
 */
inline constexpr std::int64_t return_time = 5 * 60 * 1'000'000LL;

/*
 * age: microseconds since the first good heartbeat after the last bad one. delay: how long a server
 * is recovering; 0: servers come back at once. A clock that was set back prolongs the delay at most
 * once.
 */
Recovery recovery_after(std::int64_t age, std::int64_t delay);

/* The unit of Server::measured: all of the capacity. */
inline constexpr std::int64_t full_measure = 1'000'000;

/* One server as it stands at the moment of the decision. */
struct Server
{
	std::string_view name = {};
	std::int64_t position = 0;
	std::int64_t priority = 0; /* higher is filled first */
	std::int64_t capacity = 1; /* users, >= 1 */
	std::int64_t load = 0;	   /* users, see room_load() */
	std::int64_t rooms = 0;	   /* assigned rooms */
	/* live sessions of the room being placed that name this server */
	std::int64_t room_sessions = 0;
	ServerPool pool = ServerPool::primary;
	ServerState state = ServerState::online;
	RegionFit region = RegionFit::general;
	/* RegionFit::own: the place of its region among those that the room prefers, 0 is the first */
	std::int64_t region_rank = 0;
	bool pinned = false; /* the room being placed is pinned to this server */
	bool home = false;	 /* the server is the home of the room being placed */
	bool absent = false; /* the room being placed does not exist on this server */
	/* users who are expected and not there yet, whom no measurement can show */
	std::int64_t awaited = 0;
	/*
	 * The share of its capacity in use, in millionths, as its monitor has measured it; 0 if no
	 * measurement is fresh.
	 */
	std::int64_t measured = 0;
	Recovery recovery = Recovery::none;
	bool held_back = false; /* see hold_back_returning() */
};

/*
 * Whether the measurement decides how full the server is: measured plus awaited / capacity is more
 * than load / capacity.
 */
bool is_measured_fuller(const Server &server);

/* Returns by how many users a server counts: its load, or those the measurement stands for. */
std::int64_t users_in_force(const Server &server);

/*
 * Sets held_back for each returning server that is to leave the room to others. Of k servers that
 * may take the room by their state and the rank of their region, c of which are returning, the c
 * get c rooms in k: one of them, which the hash of the room's id chooses, is not held back. A
 * server that is held back still comes before servers that are full, so one that is alone takes
 * every room.
 */
void hold_back_returning(Server *servers, int count, std::uint64_t room);

/* The reason for a server's place in the order, best first. */
enum class Standing : std::uint8_t
{
	in_progress,   /* the room's live sessions are there */
	pinned,		   /* the room is pinned to the server */
	home,		   /* the room's home, under Strategy::home */
	own_region,	   /* reserved for a region of the room, with room */
	general,	   /* for every region, with room */
	over_capacity, /* own region or general, but full */
	elsewhere,	   /* online, but of another region or a standby */
	recovering,	   /* online, but its outage was a moment ago */
	draining,
	offline,
	absent,	 /* the room does not exist there: never chosen */
	excluded /* reserved for pins and moves */
};

/* The tier of a standing, 0 to 6; -1 for absent and excluded, which are never chosen. */
int tier(Standing standing);

struct Verdict
{
	Standing standing = Standing::excluded;
	bool fits = false; /* the room fits under capacity, or is outsized and the server empty */
};

/* What judge() needs to know about the pool as a whole. */
struct PoolFacts
{
	std::int64_t addition = 0; /* users the new room adds to a server's load */
	/* larger than every server that may take it: an empty one then counts as large enough */
	bool outsized = false;
	bool prefers_home = false; /* Strategy::home */
};

/* expected: users expected in the room, >= 1. */
PoolFacts gather_pool_facts(const Server *servers, int count, std::int64_t expected,
							const Rules &rules);
Verdict judge(const Server &server, const PoolFacts &pool_facts);

/*
 * Whether server a with verdict va is chosen before b with vb: a strict weak order, total if the
 * names differ. Last come position and then the bytes of the name, not its collation.
 */
bool precedes(const Server &a, const Verdict &va, const Server &b, const Verdict &vb,
			  const Rules &rules);

enum class Outcome : std::uint8_t
{
	placed,
	full,	  /* overflow = error, and every server that may take the room is full */
	no_server /* no server that a new room may go to */
};

struct Decision
{
	Outcome outcome = Outcome::no_server;
	int server = -1;	  /* index into servers, -1 unless placed */
	Verdict verdict = {}; /* of that server, if placed */
};

/*
 * Chooses among count servers for a new room in which expected (>= 1) users are expected. The order
 * of the array does not matter.
 */
Decision decide(const Server *servers, int count, std::int64_t expected, const Rules &rules);

/*
 * The shortcut for a room that no server is special for: none is in_progress, pinned, home, absent,
 * of a region, recovering or held back, and none has a measurement. Only the loads then tell apart
 * those that take new rooms. The first of these by leads(), a total order that does not depend on
 * the room, is the choice if the room fits there, or if the pool is uniform.
 */
bool takes_new_rooms(const Server &server);
bool leads(const Server &a, const Server &b, const Rules &rules);

/* Returns whether the servers that take new rooms have one capacity and one priority. */
bool is_uniform(const Server *servers, int count);

/*
 * Returns what decide() would return, the leader as server 0. no_server: decide() has to look at
 * all servers.
 */
Decision decide_by_leader(const Server &leader, bool uniform, std::int64_t expected,
						  const Rules &rules);

/* What is known of one room, to compute its load. */
struct RoomUse
{
	std::int64_t active = 0;   /* distinct users in live sessions, or as told by touch_room() */
	bool active_known = false; /* false: no sessions attached and nothing reported */
	std::int64_t expected = 0; /* users expected in it */
	std::int64_t age = 0;	   /* microseconds since it was assigned */
	bool pinned_size = false;  /* a pin names its size, which counts as long as the pin exists */
	bool leased = false;	   /* its lease has not run out */
};

/*
 * Returns the load of a room in users, >= 0: active + missing^2 / expected, where missing =
 * expected - active, counted within join_window after the assignment and >= 0. Source: simulation,
 * doc/balance.md.
 *
 * Without the second term every room of a burst goes to one server, because its users have not
 * joined yet. The square lets a wrong expectation fade as the room fills. Example: 10 expected, 0
 * active: load 10; 5 active: 5 + 25 / 10 = 7.5, rounded 8; 10 active: 10.
 *
 * All of missing counts if a pin names the size, for as long as the pin exists, and if strategy is
 * sequential, because a server that is filled up has no space for users who join later. A negative
 * age (the clock was set back) counts as 0.
 */
std::int64_t room_load(const RoomUse &room, const Rules &rules);

/* One of the rooms that have to leave a server. */
struct LeavingRoom
{
	std::string_view id;
	std::int64_t load; /* users, see room_load() */
};

/*
 * Whether room a is placed anew before room b: larger rooms first, then by id. A small room still
 * evens out servers after a large one was placed, not the other way round. evacuation_test.cpp
 * compares this order with others.
 */
bool leaves_before(const LeavingRoom &a, const LeavingRoom &b);

} // namespace gxy
