/*
 * world.hpp: a story, sorted by room: the observations of each room, and what may have changed it.
 *
 * A room is a register that holds a server or nothing. Answers are observations of it. Other
 * clients may see a transaction's writes once it commits. But from the moment a call is answered
 * with a server, no call can be answered with another one until the transaction ends, whether the
 * call found the assignment or made it. So an observation of a server counts from the call, and
 * becomes void as soon as its transaction may have been undone.
 *
 * After a transaction has itself freed or overwritten a room, only that transaction knows the
 * room's next state: those steps are checked against one another here, and become observations for
 * others at its commit.
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
	bool renews = false;	/* the call must have left a young lease */
	bool stands = false;	/* its transaction committed */
	bool untouched = false; /* no DELETE of the row had begun */
	int server = no_server;
	int step = 0;
	std::int64_t generation = 0; /* assigned_at, 0 if it was not read */
	Span span = {};				 /* when it was seen */
	/* when all clients can see that there is an assignment; requires stands */
	Micros visible_from = 0;
	Micros void_from = forever;
};

/* An assignment may have ended here, or been given another server. */
struct Ending
{
	Span span;
	int spares = no_server; /* a server that an upsert left, or wrote, in place */
	bool hard = true;		/* the row itself was deleted */
	int step = 0;
};

/* An assignment may have been made here: from its call to its commit. */
struct Creation
{
	Span span;
	int server = no_server;
	int step = 0;
};

/* A transaction may have locked the row, so that others could not renew its lease. */
struct Hold
{
	Span span;
	int transaction = 0;
	bool kept = true; /* it committed all its changes of the room */
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
	bool counts = true; /* its frees may have committed; false: it only locked the rooms */
};

/*
 * The rooms of a server may have been moved: from the end of the delay on, until the server was
 * certainly online.
 */
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

	/* The room with this name. step: where it occurs. */
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

/* Sorts the story by room. own: where a transaction's answer is not what it had itself written. */
World sort_by_room(const Story &story, Check *own);

} // namespace stress
