/*
 * outages.cpp: see outages.hpp.
 */
#include "outages.hpp"

#include "dice.hpp"
#include "policy/failure_detector.hpp"
#include "policy/placement_policy.hpp"

#include <algorithm>
#include <limits>
#include <map>

namespace sim
{

namespace
{

constexpr int servers = 12;
constexpr int ill = 3;
constexpr Time step = second / 2;
constexpr Time beat_interval = 2 * second;
constexpr Time heartbeat_timeout = 6 * second;
constexpr Time failover_delay = 5 * second;
constexpr Time never = std::numeric_limits<Time>::min();
constexpr double rooms_a_step = 3;

struct Room
{
	int server;
	std::int64_t users;
	Time placed_at, ends_at;
	std::map<int, int> moves = {}; /* by outage */
};

/* The minute in which a server takes its share. */
struct FirstMinute
{
	Time from = 0, to = 0;
	int got = 0;
	double fair = 0;
};

struct Machine
{
	bool up = true;
	Time turns_at = 0; /* when it goes down or up */
	Time beats_at = 0;
	bool says = true; /* what the monitor says, if it lies */

	/* As balancer_health has it. */
	gxy::HeartbeatReport report = {};
	Time recovered_at = never;

	int outage = 0; /* its number; 0: none has been declared */
	Time due = 0;	/* of the failover; 0: none is pending */
	std::int64_t load = 0;
	std::int64_t rooms = 0;
	FirstMinute minute = {};
};

class Hour
{
public:
	Hour(Illness illness, Time delay, std::uint64_t seed)
		: illness(illness), delay(delay), dice(seed, 7), machines(servers)
	{
		for (Machine &machine : machines)
			machine.beats_at = static_cast<Time>(dice.unit() * beat_interval);
	}

	OutageFigures run()
	{
		for (Time now = 0; now < hour; now += step)
		{
			for (int i = 0; i < ill; i++)
				turn(&machines[static_cast<std::size_t>(i)], now);
			for (int i = 0; i < servers; i++)
				if (Machine &machine = machines[static_cast<std::size_t>(i)];
					machine.beats_at <= now)
					beat(&machine, i < ill, now);
			find_silent(now);
			fail_over(now);
			end_rooms(now);
			for (double left = rooms_a_step; left > 0 && dice.unit() < left; left--)
				place_new(now);
		}
		for (Machine &machine : machines)
			close(&machine, hour);
		figures.first_minute = fair > 0 ? got / fair : 0;
		return figures;
	}

private:
	Time between(Time low, Time high)
	{
		return low + static_cast<Time>(dice.unit() * (high - low));
	}

	void turn(Machine *machine, Time now)
	{
		if (machine->turns_at > now)
			return;
		bool *turns = illness == Illness::believed_dead ? &machine->says : &machine->up;
		switch (illness)
		{
			case Illness::flaps_fast:
				machine->turns_at = now + 3 * second;
				break;
			case Illness::flaps_slowly:
				machine->turns_at = now + (machine->up ? minute : 2 * minute);
				break;
			case Illness::flaps_at_random:
				machine->turns_at = now + between(second, 3 * minute);
				break;
			case Illness::believed_alive:
				machine->turns_at = now + 5 * minute;
				break;
			case Illness::believed_dead:
				machine->turns_at = now + between(5 * second, 3 * minute);
				break;
			case Illness::half_dead:
			case Illness::late:
				return;
		}
		*turns = !*turns;
	}

	/* What server_heartbeat() does. */
	void beat(Machine *machine, bool is_ill, Time now)
	{
		bool healthy = machine->up;

		machine->beats_at =
			now +
			(is_ill && illness == Illness::late ? between(second / 2, 12 * second) : beat_interval);
		if (is_ill && illness == Illness::believed_alive)
			healthy = true;
		if (is_ill && (illness == Illness::half_dead || illness == Illness::believed_dead))
			healthy = machine->says;
		if (illness == Illness::half_dead)
			machine->says = !machine->says;
		machine->report.last_heartbeat = machine->report.counts_from = now;
		if (machine->report.healthy == healthy)
			return;
		if (!healthy)
			return declare(machine, now);
		machine->report.healthy = true;
		machine->recovered_at = now;
		machine->due = 0;
		machine->minute = {.from = now + delay, .to = now + delay + minute};
		figures.recoveries++;
	}

	void declare(Machine *machine, Time now)
	{
		close(machine, now);
		machine->report.healthy = false;
		machine->outage = ++outages;
		machine->due = now + failover_delay;
	}

	void find_silent(Time now)
	{
		std::vector<gxy::HeartbeatReport> reports;

		for (const Machine &machine : machines)
			reports.push_back(machine.report);
		if (!gxy::summarize_heartbeats(reports.data(), servers, now, heartbeat_timeout)
				 .should_mark_unhealthy())
			return;
		for (Machine &machine : machines)
			if (gxy::is_silent(machine.report, now, heartbeat_timeout))
				declare(&machine, now);
	}

	void fail_over(Time now)
	{
		for (int i = 0; i < ill; i++)
		{
			Machine &machine = machines[static_cast<std::size_t>(i)];
			if (machine.due == 0 || machine.due > now)
				continue;
			machine.due = 0;
			for (auto &[id, room] : rooms)
				if (room.server == i)
					move(id, &room, machine.outage, now);
		}
	}

	void move(std::uint64_t id, Room *room, int outage, Time now)
	{
		leave(*room);
		room->server = choose(id, room->users, now);
		enter(*room);
		figures.moved++;
		figures.soon_moved += now - room->placed_at < minute ? 1 : 0;
		figures.most_moves_in_an_outage =
			std::max(figures.most_moves_in_an_outage, ++room->moves[outage]);
	}

	void end_rooms(Time now)
	{
		std::erase_if(rooms, [&](const auto &item) {
			if (item.second.ends_at > now)
				return false;
			leave(item.second);
			return true;
		});
	}

	void place_new(Time now)
	{
		const std::uint64_t id = ++last_room * 7919;
		Room room{.server = -1,
				  .users = 1 + dice.below(19),
				  .placed_at = now,
				  .ends_at = now + static_cast<Time>(dice.exponential(5 * minute))};

		room.server = choose(id, room.users, now);
		enter(room);
		figures.placed++;
		note(room.server, now);
		rooms.emplace(id, room);
	}

	/* Whether the new room counts in the first minute of a server. */
	void note(int chosen, Time now)
	{
		int takers = 0;

		for (const Machine &machine : machines)
			takers +=
				machine.report.healthy && recovery_of(machine, now) != gxy::Recovery::recovering;
		for (int i = 0; i < servers; i++)
		{
			Machine &machine = machines[static_cast<std::size_t>(i)];
			if (i == chosen && recovery_of(machine, now) == gxy::Recovery::recovering)
				figures.while_recovering++;
			if (!machine.report.healthy || now < machine.minute.from || now >= machine.minute.to)
				continue;
			machine.minute.got += i == chosen ? 1 : 0;
			machine.minute.fair += 1.0 / takers;
		}
		for (Machine &machine : machines)
			if (machine.minute.to != 0 && now >= machine.minute.to)
			{
				figures.worst_minute = std::max(
					figures.worst_minute, machine.minute.got / std::max(machine.minute.fair, 1.0));
				close(&machine, now);
			}
	}

	void close(Machine *machine, Time)
	{
		got += machine->minute.got;
		fair += machine->minute.fair;
		machine->minute = {};
	}

	gxy::Recovery recovery_of(const Machine &machine, Time now) const
	{
		return machine.recovered_at == never
				   ? gxy::Recovery::none
				   : gxy::recovery_after(now - machine.recovered_at, delay);
	}

	int choose(std::uint64_t id, std::int64_t users, Time now) const
	{
		static const char *names[servers] = {"gxy1", "gxy2", "gxy3", "gxy4",  "gxy5",  "gxy6",
											 "gxy7", "gxy8", "gxy9", "gxy10", "gxy11", "gxy12"};
		std::vector<gxy::Server> candidates;

		for (int i = 0; i < servers; i++)
		{
			const Machine &machine = machines[static_cast<std::size_t>(i)];
			candidates.push_back({.name = names[i],
								  .position = i,
								  .capacity = 10'000,
								  .load = machine.load,
								  .rooms = machine.rooms,
								  .state = machine.report.healthy ? gxy::ServerState::online
																  : gxy::ServerState::offline,
								  .recovery = recovery_of(machine, now)});
		}
		gxy::hold_back_returning(candidates.data(), servers, id);
		return gxy::decide(candidates.data(), servers, users, {}).server;
	}

	void enter(const Room &room)
	{
		machines[static_cast<std::size_t>(room.server)].load += room.users;
		machines[static_cast<std::size_t>(room.server)].rooms++;
	}

	void leave(const Room &room)
	{
		machines[static_cast<std::size_t>(room.server)].load -= room.users;
		machines[static_cast<std::size_t>(room.server)].rooms--;
	}

	const Illness illness;
	const Time delay;
	Dice dice;
	std::vector<Machine> machines;
	std::map<std::uint64_t, Room> rooms;
	std::uint64_t last_room = 0;
	int outages = 0;
	int got = 0;
	double fair = 0;
	OutageFigures figures;
};

} // namespace

const char *
name_of(Illness illness)
{
	switch (illness)
	{
		case Illness::flaps_fast:
			return "flaps every 3 s";
		case Illness::flaps_slowly:
			return "up 2 min, down 1 min";
		case Illness::flaps_at_random:
			return "up and down 1 s to 3 min";
		case Illness::half_dead:
			return "every other heartbeat bad";
		case Illness::late:
			return "heartbeats up to 12 s late";
		case Illness::believed_alive:
			return "dead, reported healthy";
		case Illness::believed_dead:
			break;
	}
	return "alive, reported unhealthy";
}

OutageFigures
play_outages(Illness illness, Time recovery_delay, std::uint64_t seed)
{
	return Hour(illness, recovery_delay, seed).run();
}

} // namespace sim
