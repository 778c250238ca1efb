/*
 * world.hpp: a story, sorted by room: what was seen of it, and what may have changed it.
 *
 * A room is a register that holds a server or nothing. Answers are observations of it. What others could see of a
 * transaction's writes begins when it commits; but from the moment it was told a server, no other server could be told
 * to anybody until it ended, whether it had found the assignment or made it: an observation of a server counts from the
 * call, and is void as soon as its transaction may have been undone.
 *
 * After a transaction has itself freed or overwritten a room, it alone knows what it will be: those steps are checked
 * against one another here, and others are told at its commit.
 */
#pragma once

#include "timeline.hpp"
#include "verdict.hpp"

#include <deque>
#include <unordered_map>

namespace stress
{

enum class Seen : std::uint8_t
{
	server,	   /* a certain server */
	something, /* an assignment, as touch_room() tells */
	nothing
};

constexpr int no_server = -1;

struct Observation
{
	Seen seen = Seen::nothing;
	bool creates = false;	/* the call may have made what it saw */
	bool renews = false;	/* the call had to see to it that the lease is young */
	bool stands = false;	/* its transaction committed */
	bool untouched = false; /* nobody had begun to delete the row */
	int server = no_server;
	int step = 0;
	std::int64_t generation = 0; /* assigned_at, 0 if it was not read */
	Span span = {};				 /* when it was seen */
	Micros visible_from = 0;	 /* when everybody sees that there is an assignment; needs stands */
	Micros void_from = forever;
};

/* An assignment may have ended here, or been given another server. */
struct Ending
{
	Span span;
	int spares = no_server; /* a server that an upsert left, or put, in place */
	bool hard = true;		/* the row itself went */
	int step = 0;
};

/* An assignment may have been made here: from its call to its commit. */
struct Creation
{
	Span span;
	int server = no_server;
	int step = 0;
};

/* A transaction may have had the row in hand, so that others could not renew its lease. */
struct Hold
{
	Span span;
	int transaction = 0;
	bool kept = true; /* it committed all it did to the room */
};

/* A session that was certainly live. */
struct Stay
{
	Span span;
	int step = 0;
};

struct Room
{
	std::string name;
	int first_step = 0;
	std::vector<Observation> observations = {}; /* by start */
	Timeline<Ending> endings = {};
	Timeline<Creation> creations = {};
	Timeline<Hold> holds = {};
	Timeline<Stay> stays = {};
};

/* A cleanup that freed something, or may have. */
struct Cleanup
{
	Span span; /* from its call to the end of its transaction */
	Span call;
	Span effect;
	Micros grace = 0;
	int step = 0;
	bool counts = true; /* it may have freed rooms for good; otherwise it only had them in hand */
};

/* The rooms of a server may have been moved: from the delay on, until the server was certainly back. */
struct Failure
{
	Span span;
	int server = no_server;
};

struct World
{
	const Story *story = nullptr;
	std::deque<Room> rooms;
	Timeline<Cleanup> cleanups; /* by span */
	Timeline<Cleanup> freeing;	/* those that count, by effect */
	Timeline<Failure> failures;
	Micros grace = 0;
	Micros touch_interval = 0;
	Micros dead_session = 0; /* 0: never */
	Micros assign_timeout = 0;

	/* The room of a name; step: where it occurs. */
	Room *room_named(const std::string &name, int step);
	int server_named(std::string_view name);

	const Room *room_of(const Step &step) const;
	const Record &record(int step) const
	{
		return *story->steps[static_cast<std::size_t>(step)].record;
	}

private:
	std::unordered_map<std::string, std::size_t> room_numbers;
	std::unordered_map<std::string, int> server_numbers;
};

/* Sorts the story by room; own: where a transaction was shown anything but what it had itself written. */
World sort_by_room(const Story &story, Check *own);

} // namespace stress
