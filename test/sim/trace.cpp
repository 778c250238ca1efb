/*
 * trace.cpp: see trace.hpp.
 */
#include "trace.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <map>
#include <tuple>
#include <unordered_map>

namespace sim
{

namespace
{

bool
is_presence(Kind kind)
{
	return kind == Kind::join || kind == Kind::leave;
}

/* Numbers names in the order of their first appearance. */
class Names
{
public:
	int number(const std::string &name)
	{
		return numbers.try_emplace(name, static_cast<int>(numbers.size())).first->second;
	}
	int count() const { return static_cast<int>(numbers.size()); }

private:
	std::unordered_map<std::string, int> numbers;
};

bool
parse_time(const std::string &text, Time *at)
{
	std::tm fields = {};
	double seconds = 0;
	const int found =
		std::sscanf(text.c_str(), "%d-%d-%d%*[ T]%d:%d:%lf", &fields.tm_year, &fields.tm_mon,
					&fields.tm_mday, &fields.tm_hour, &fields.tm_min, &seconds);

	if (found != 6)
	{
		char *end = nullptr;
		seconds = std::strtod(text.c_str(), &end);
		*at = std::llround(seconds * second);
		return end != text.c_str() && *end == '\0';
	}
	fields.tm_year -= 1900;
	fields.tm_mon -= 1;
	*at = static_cast<Time>(timegm(&fields)) * second + std::llround(seconds * second);
	return true;
}

bool
parse_kind(const std::string &text, Kind *kind)
{
	if (text == "join")
		*kind = Kind::join;
	else if (text == "leave")
		*kind = Kind::leave;
	else if (text == "ask")
		*kind = Kind::ask;
	else
		return false;
	return true;
}

std::vector<std::string>
fields_of(const std::string &line)
{
	std::vector<std::string> fields(1);

	for (char c : line)
	{
		if (c == ',')
			fields.emplace_back();
		else if (c != '\r')
			fields.back() += c;
	}
	return fields;
}

} // namespace

void
arrange(Trace *trace)
{
	std::map<std::pair<int, int>, int> sessions; /* of a room and user */
	auto &events = trace->events;

	std::stable_sort(events.begin(), events.end(), [](const Event &a, const Event &b) {
		return std::tie(a.at, a.kind) < std::tie(b.at, b.kind);
	});
	std::erase_if(events, [&](const Event &event) {
		if (!is_presence(event.kind))
			return false;

		int &open = sessions[{event.room, event.user}];
		if (event.kind == Kind::join)
			return open++ > 0;
		if (open == 0) /* the log begins during the session */
			return true;
		return --open > 0;
	});
}

std::vector<TraceServer>
equal_servers(int count, std::int64_t capacity)
{
	std::vector<TraceServer> servers;

	for (int i = 1; i <= count; i++)
		servers.push_back({.name = "gxy" + std::to_string(i), .capacity = capacity});
	return servers;
}

void
size_servers(Trace *trace, double share_at_peak)
{
	struct Group
	{
		std::int64_t users = 0, peak = 0, servers = 0;
	};
	std::map<std::string, Group> groups;

	for (const TraceServer &server : trace->servers)
		groups[server.region].servers += server.present;
	for (const Event &event : trace->events)
	{
		if (!is_presence(event.kind))
			continue;
		const auto own = groups.find(trace->rooms[static_cast<std::size_t>(event.room)].region);
		Group &group = own != groups.end() ? own->second : groups[""];
		group.users += event.kind == Kind::join ? 1 : -1;
		if (event.at >= trace->measure_from)
			group.peak = std::max(group.peak, group.users);
	}
	for (TraceServer &server : trace->servers)
	{
		const Group &group = groups[server.region];
		const double needed = static_cast<double>(group.peak) / share_at_peak;
		server.capacity = std::max<std::int64_t>(
			1,
			std::llround(needed / static_cast<double>(std::max<std::int64_t>(1, group.servers))));
	}
}

bool
read_csv(std::istream &in, Time ask_before, Trace *trace, std::string *complaint)
{
	Names rooms;
	Names users;
	std::string line;
	bool asks = false;

	for (int number = 1; std::getline(in, line); number++)
	{
		const std::vector<std::string> fields = fields_of(line);
		Event event;

		if (line.empty() || line[0] == '#' || fields[0] == "time")
			continue;
		if (fields.size() != 4 || !parse_time(fields[0], &event.at) ||
			!parse_kind(fields[3], &event.kind))
		{
			*complaint =
				"line " + std::to_string(number) + ": expected time,room,user,join|leave|ask";
			return false;
		}
		event.room = rooms.number(fields[1]);
		event.user = users.number(fields[2]);
		if (event.room == static_cast<int>(trace->rooms.size()))
			trace->rooms.push_back({.name = fields[1]});
		asks = asks || event.kind == Kind::ask;
		trace->events.push_back(event);
	}
	for (std::size_t i = 0, read = trace->events.size(); !asks && i < read; i++)
	{
		Event event = trace->events[i];
		if (event.kind != Kind::join)
			continue;
		event.at -= ask_before;
		event.kind = Kind::ask;
		trace->events.push_back(event);
	}
	trace->users = users.count();
	arrange(trace);
	if (trace->events.empty())
		*complaint = "it has no events";
	else
		trace->measure_from = trace->events.front().at;
	return !trace->events.empty();
}

void
write_csv(const Trace &trace, std::ostream &out)
{
	constexpr std::array<const char *, 5> names = {"leave", "down", "up", "ask", "join"};

	out << "time,room,user,what\n";
	for (const Event &event : trace.events)
	{
		if (event.kind == Kind::server_down || event.kind == Kind::server_up)
			continue;
		char time[32];
		std::snprintf(time, sizeof time, "%.3f", static_cast<double>(event.at) / second);
		out << time << ',' << trace.rooms[static_cast<std::size_t>(event.room)].name << ','
			<< event.user << ',' << names[static_cast<std::size_t>(event.kind)] << '\n';
	}
}

} // namespace sim
