/*
 * trace.hpp: the users' actions, independent of the policy: which user calls for, joins and leaves
 * which room when, and which servers go down and come up.
 */
#pragma once

#include <cstdint>
#include <istream>
#include <ostream>
#include <string>
#include <vector>

namespace sim
{

using Time = std::int64_t; /* microseconds, as in the policy */

inline constexpr Time second = 1'000'000;
inline constexpr Time minute = 60 * second;
inline constexpr Time hour = 60 * minute;

/* Events of the same time happen in this order. */
enum class Kind : std::uint8_t
{
	leave,
	server_down,
	server_up, /* back again, or added */
	ask,	   /* a user asks which server the room is on */
	join	   /* the user's session appears */
};

struct Event
{
	Time at = 0;
	Kind kind = Kind::ask;
	int room = 0; /* for server_down and server_up, a server */
	int user = 0;
};

struct TraceServer
{
	std::string name;
	std::int64_t capacity = 400;
	std::string region = {};
	bool present = true; /* from the start */
};

struct TraceRoom
{
	std::string name;
	std::string region = {};
};

struct Trace
{
	std::string name;
	std::vector<TraceServer> servers;
	std::vector<TraceRoom> rooms;
	int users = 0;
	std::vector<Event> events; /* after arrange(): by time */
	Time measure_from = 0;	   /* events before make the history */
	Time sample_interval = minute;
};

/*
 * Sorts the events and leaves one session of each user in a room: a second session, from another
 * device, is no second user; a leave counts when the last session ends.
 */
void arrange(Trace *trace);

/* n equal servers, gxy1 and so on. */
std::vector<TraceServer> equal_servers(int count, std::int64_t capacity);

/*
 * Gives all servers of a region one capacity, so that the users present at the region's peak within
 * the measured time are this share of the capacity of its servers that are present from the start.
 * Servers without a region are a group too. Requires arrange().
 */
void size_servers(Trace *trace, double share_at_peak);

/*
 * Reads lines "time,room,user,what": time in seconds or as YYYY-MM-DD HH:MM:SS, what is join or
 * leave, or ask if the log has it; otherwise a user asks ask_before ahead of the join. Lines that
 * start with # and a header line are skipped. Returns false, and sets the complaint, if a line is
 * invalid.
 */
bool read_csv(std::istream &in, Time ask_before, Trace *trace, std::string *complaint);

void write_csv(const Trace &trace, std::ostream &out);

} // namespace sim
