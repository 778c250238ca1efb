/*
 * scenarios.cpp: see scenarios.hpp.
 *
 * All traces consist of rooms that meet repeatedly. Each room has a size, log-normal and
 * heavy-tailed (480 rooms of 10 on average: half have fewer than 6, the largest 150), which varies
 * from one meeting to the next. A day here is its busy hours only: at night every room has been
 * freed.
 */
#include "scenarios.hpp"

#include "dice.hpp"

#include <algorithm>
#include <cmath>
#include <functional>

namespace sim
{

namespace
{

/* When the users of a room call, and how soon they join. */
struct Arrivals
{
	double ask_spread;	   /* seconds, mean: after the first has asked */
	double join_after;	   /* seconds from the call to the session */
	double join_spread;	   /* seconds, mean: more */
	double latecomers = 0; /* share of the users */
	double host_early = 0; /* seconds, at most: the first user joins before all others */
};

constexpr Arrivals at_once = {.ask_spread = 5, .join_after = 0, .join_spread = 0};
constexpr Arrivals late = {.ask_spread = 5, .join_after = 20, .join_spread = 20, .latecomers = 0.1};
constexpr Arrivals trickling = {
	.ask_spread = 90, .join_after = 10, .join_spread = 10, .latecomers = 0.15};
constexpr Arrivals awaited = {.ask_spread = 60,
							  .join_after = 10,
							  .join_spread = 10,
							  .latecomers = 0.15,
							  .host_early = 9 * 60};
constexpr double lateness = 5 * 60; /* seconds, mean: of latecomers */

/* How full the servers of a region are, on average, when most users are present. */
constexpr double share_at_peak = 0.7;

struct Shape
{
	int rooms = 480;
	int servers = 12;
	int days = 10;
	int measured_days = 5;	  /* the last ones of the trace */
	double size = 10;		  /* mean */
	double spread = 1.1;	  /* sigma of the logarithm of rooms' sizes */
	double attendance = 0.85; /* the probability that a user of the room comes */
	double variation = 0.15;  /* sigma: how much a meeting's popularity varies */
	double drift = 0;		  /* the same for the room, from then on */
	double meets = 0.9;		  /* the probability that a room meets on a day */
	double length = 50 * 60;  /* seconds, mean */
	/* share of the rooms that open with the slot; the others open later */
	double rush = 0.8;
	double rush_width = 15; /* seconds */
	double trail = 240;		/* seconds, mean */
	int slots = 1;
	double slot_distance = 30 * 60; /* seconds */
	Time day_length = 4 * hour;
	Arrivals arrivals = late;
	/* users that fill each server; 0: sized to the trace, see share_at_peak */
	std::int64_t capacity = 0;
};

Time
seconds(double value)
{
	return std::llround(value * second);
}

class Author
{
public:
	Author(const char *name, std::uint64_t seed, const Shape &shape) : shape(shape), dice(seed, 1)
	{
		trace.name = name;
		trace.servers = equal_servers(shape.servers, shape.capacity);
		trace.measure_from = (shape.days - shape.measured_days) * shape.day_length;
		for (int i = 0; i < shape.rooms; i++)
			add_room(i);
		for (int day = 0; day < shape.days; day++)
			for (int i = 0; i < shape.rooms; i++)
				if (dice.chance(shape.meets))
					meet(i, day);
		for (Room &room : rooms)
		{
			room.first_user = trace.users;
			trace.users += room.most;
		}
		for (Event &event : trace.events)
			event.user += rooms[static_cast<std::size_t>(event.room)].first_user;
	}

	Trace finish()
	{
		arrange(&trace);
		if (shape.capacity == 0)
			size_servers(&trace, share_at_peak);
		return std::move(trace);
	}

	/* The event of a server on each of the measured days, a time after the first slot opens. */
	void happens(Kind kind, Time at, std::function<int()> server)
	{
		for (int day = shape.days - shape.measured_days; day < shape.days; day++)
			trace.events.push_back({day * shape.day_length + opening + at, kind, server(), 0});
	}

	Trace trace;

private:
	static constexpr Time opening = 10 * minute;

	struct Room
	{
		double size;
		int slot;
		int most = 0; /* users of its largest meeting: the same users come again */
		int first_user = 0;
	};

	void add_room(int number)
	{
		rooms.push_back({.size = std::min(dice.lognormal(shape.size, shape.spread), 150.0),
						 .slot = dice.below(shape.slots)});
		trace.rooms.push_back({.name = std::to_string(1000 + number)});
	}

	double start_in_slot()
	{
		if (dice.chance(shape.rush))
			return shape.rush_width * dice.unit();
		return dice.exponential(shape.trail);
	}

	void meet(int number, int day)
	{
		Room &room = rooms[static_cast<std::size_t>(number)];
		room.size *= std::exp(shape.drift * dice.normal());
		const int users = attendance(room.size * dice.lognormal(1, shape.variation));
		const Time start = day * shape.day_length + opening +
						   seconds(room.slot * shape.slot_distance + start_in_slot());
		const Time end = start + seconds(std::max(dice.lognormal(shape.length, 0.4), 300.0));

		room.most = std::max(room.most, users);
		for (int user = 0; user < users; user++)
			attend(number, user, start, end);
	}

	/*
	 * The room has enough users for its average size; each decides independently whether to come.
	 */
	int attendance(double size)
	{
		int users = 0;

		for (int people = static_cast<int>(std::lround(size / shape.attendance)); people > 0;
			 people--)
			users += dice.chance(shape.attendance);
		return std::clamp(users, 1, 250);
	}

	/* The first user opens the room; most stay to the end. */
	void attend(int room, int user, Time start, Time end)
	{
		const Arrivals &arrivals = shape.arrivals;
		const bool comes_late = dice.chance(arrivals.latecomers);
		const double after = dice.exponential(comes_late ? lateness : arrivals.ask_spread);
		const Time ask = start + seconds(user == 0 ? -arrivals.host_early * dice.unit() : after);
		const Time join = ask + seconds(arrivals.join_after +
										std::min(dice.exponential(arrivals.join_spread), 60.0));
		const Time stay = dice.chance(0.85) ? end - start + seconds(dice.exponential(60))
											: seconds((end - start) / double(second) * dice.unit());

		trace.events.push_back({ask, Kind::ask, room, user});
		trace.events.push_back({join, Kind::join, room, user});
		trace.events.push_back({std::max(join + second, start + stay), Kind::leave, room, user});
	}

	const Shape shape;
	Dice dice;
	std::vector<Room> rooms;
};

Trace
rush_late(std::uint64_t seed)
{
	return Author("rush-late", seed, {}).finish();
}

Trace
rush_at_once(std::uint64_t seed)
{
	return Author("rush-at-once", seed, {.arrivals = at_once}).finish();
}

/* Hosts open their rooms well before the others come. */
Trace
early_hosts(std::uint64_t seed)
{
	return Author("early-hosts", seed, {.slots = 2, .arrivals = awaited}).finish();
}

/* Four working weeks; sizes wander, rooms meet in four slots of a day. */
Trace
weeks(std::uint64_t seed)
{
	return Author("weeks", seed,
				  {.days = 20,
				   .variation = 0.25,
				   .drift = 0.08,
				   .meets = 0.8,
				   .rush = 0.5,
				   .rush_width = 60,
				   .trail = 300,
				   .slots = 4,
				   .day_length = 5 * hour,
				   .arrivals = trickling})
		.finish();
}

Trace
small_rooms(std::uint64_t seed)
{
	return Author("small-rooms", seed,
				  {.rooms = 2400,
				   .measured_days = 2,
				   .size = 3,
				   .spread = 0.7,
				   .meets = 0.7,
				   .length = 30 * 60,
				   .rush = 0.3,
				   .rush_width = 60,
				   .trail = 600,
				   .slots = 6,
				   .day_length = 5 * hour,
				   .arrivals = trickling})
		.finish();
}

Trace
hundred_rooms(std::uint64_t seed)
{
	return Author("100-in-10s", seed,
				  {.rooms = 100,
				   .size = 30,
				   .spread = 0.8,
				   .meets = 1,
				   .rush = 1,
				   .rush_width = 10,
				   .day_length = 3 * hour})
		.finish();
}

/* The traces with incidents: slots overlap, so that rooms open and close all the time. */
constexpr Shape eventful = {.days = 9,
							.measured_days = 4,
							.rush = 0.5,
							.rush_width = 60,
							.trail = 300,
							.slots = 4,
							.day_length = 5 * hour};

/* At the peak of each day a server is down, for most of an hour. */
Trace
failure(std::uint64_t seed)
{
	Author author("failure", seed, eventful);
	Dice down(seed, 2);
	Dice up = down; /* the same random numbers */

	author.happens(Kind::server_down, 95 * minute, [&] { return down.below(eventful.servers); });
	author.happens(Kind::server_up, 145 * minute, [&] { return up.below(eventful.servers); });
	return author.finish();
}

/* A 13th server is added each day, and removed at night. */
Trace
server_added(std::uint64_t seed)
{
	Author author("server-added", seed, eventful);
	const auto added = [] { return eventful.servers; };

	author.trace.servers.push_back({.name = "gxy13", .present = false});
	author.happens(Kind::server_up, 45 * minute, added);
	author.happens(Kind::server_down, eventful.day_length - 15 * minute, added);
	return author.finish();
}

/*
 * Two regions, each with two of ten users and its own servers; the other servers are for all other
 * users.
 */
Trace
regions(std::uint64_t seed)
{
	Author author("regions", seed, eventful);
	Dice dice(seed, 3);

	for (int i = 0; i < 3; i++)
	{
		author.trace.servers[static_cast<std::size_t>(i)].region = "IL";
		author.trace.servers[static_cast<std::size_t>(i + 3)].region = "US";
	}
	for (TraceRoom &room : author.trace.rooms)
	{
		const int share = dice.below(10);
		room.region = share < 2 ? "IL" : share < 4 ? "US" : "";
	}
	return author.finish();
}

/* The first day of a new installation: no room has a history. */
Trace
no_history(std::uint64_t seed)
{
	return Author("no-history", seed, {.days = 1, .measured_days = 1}).finish();
}

} // namespace

const std::vector<Scenario> &
scenarios()
{
	static const std::vector<Scenario> all = {
		{"rush-late", "480 rooms open within seconds, users join 20 s after asking", rush_late},
		{"rush-at-once", "the same, users join at once", rush_at_once},
		{"early-hosts", "hosts are in up to 9 minutes before all others", early_hosts},
		{"weeks", "recurring rooms over four weeks, four slots a day", weeks},
		{"small-rooms", "a long tail of 2400 rooms of 3", small_rooms},
		{"100-in-10s", "100 rooms open in 10 s", hundred_rooms},
		{"failure", "a server fails at the peak and comes back", failure},
		{"server-added", "a 13th server comes in amid the busy hours", server_added},
		{"regions", "two regions with three servers each, and six general ones", regions},
		{"no-history", "rush-late on the first day: nothing is known of any room", no_history,
		 false},
	};
	return all;
}

Trace
replay_trace(std::uint64_t seed)
{
	return Author("replay", seed,
				  {.days = 4,
				   .measured_days = 1,
				   .length = 15 * 60,
				   .trail = 120,
				   .day_length = 55 * minute,
				   .capacity = 400}) /* that of test/sim/replay's servers */
		.finish();
}

const Scenario *
scenario_named(const std::string &name)
{
	for (const Scenario &scenario : scenarios())
		if (name == scenario.name)
			return &scenario;
	return nullptr;
}

} // namespace sim
