/*
 * placement_policy.hpp: which server a new room goes to.
 *
 * Values in, decision out. Nothing here knows PostgreSQL, reads a clock or allocates, so that the
 * unit tests and the simulator link the very code that decides inside the server.
 *
 * Every server is judged alone, by judge(), and gets a Verdict; two verdicts are compared by
 * precedes(). The choice is the first verdict in that order, and an explanation is all of them
 * sorted by it: what explain_assignment() says and what get_or_assign_server() does cannot drift
 * apart.
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
	own,	 /* the server serves the caller's region */
	general, /* the server serves every region */
	foreign	 /* the server is reserved for other regions */
};

enum class Strategy : std::uint8_t
{
	least_loaded,
	sequential
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

/* The settings that shape a decision; the numbers are the defaults, found by simulation: doc/balance.md. */
struct Rules
{
	Strategy strategy = Strategy::least_loaded;
	LoadMetric metric = LoadMetric::users;
	Overflow overflow = Overflow::overcommit;
	std::int64_t avg_room_occupancy = 10;			  /* users, >= 1 */
	std::int64_t join_window = 10 * 60 * 1'000'000LL; /* microseconds, >= 0 */
};

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
	bool pinned = false; /* the room being placed is pinned to this server */
};

/* Why a server stands where it stands, best first. */
enum class Standing : std::uint8_t
{
	in_progress,   /* the room's live sessions are there */
	pinned,		   /* an operator wants the room there */
	own_region,	   /* reserved for the caller's region, with room */
	general,	   /* for every region, with room */
	over_capacity, /* own region or general, but full */
	elsewhere,	   /* online, but of another region or a standby */
	draining,
	offline,
	excluded /* reserved for pins and moves */
};

/* The tier of a standing, 0 to 6; -1 for excluded. */
int tier(Standing standing);

struct Verdict
{
	Standing standing = Standing::excluded;
	bool fits = false; /* the room fits under capacity, or is outsized and the server empty */
};

/* What all servers have to say together, needed to judge each. */
struct Circumstances
{
	std::int64_t addition = 0; /* users the new room adds to a server's load */
	/* larger than every server that may take it: an empty one then counts as large enough */
	bool outsized = false;
};

/* expected: users expected in the room, >= 1. */
Circumstances survey(const Server *servers, int count, std::int64_t expected, const Rules &rules);
Verdict judge(const Server &server, const Circumstances &circumstances);

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

/* What one room weighs, as far as it is known. */
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
 * The users a room stands for, >= 0: those in it and, within join_window after its assignment, of
 * those still missing from the expected as large a share as is missing. Without the second, every
 * room of a burst would go to one server, because its users have not joined yet; and a room that has
 * filled shows its size itself, so that the rest of a mistaken expectation should not count in full.
 * A size that a pin names counts in full, and so does every expectation if servers are to be filled
 * in order: a server that takes a room too many has no room for those who come. A negative age, from a clock that was set back, counts as 0.
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
