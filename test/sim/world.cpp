/*
 * world.cpp: see world.hpp.
 */
#include "world.hpp"

#include "peers.hpp"

#include <algorithm>
#include <map>

namespace sim
{

namespace
{

template <typename T>
auto &
at(T &items, int index)
{
	return items[static_cast<std::size_t>(index)];
}

Time
round_up(Time value, Time unit)
{
	return (value + unit - 1) / unit * unit;
}

} // namespace

World::World(const Trace &trace, const Contender &contender, const Peaks *peaks, std::uint64_t seed)
	: trace(trace), contender(contender), known(peaks), dice(seed, 4),
	  polls(poll_interval(contender.method)), rooms(trace.rooms.size()),
	  machines(trace.servers.size())
{
	for (std::size_t i = 0; i < machines.size(); i++)
	{
		machines[i].up = trace.servers[i].present;
		machines[i].presence.resize(static_cast<std::size_t>(trace.users));
	}
	result.peaks.resize(rooms.size());
	if (polls > 0)
		poll_due = 0;
	sample_due = trace.measure_from;
	if (contender.sharding.shards > 1)
		found_shards(seed);
}

/* Processes the next event of the trace or of the simulation; skips empty nights. */
Time
World::next_stop(Time now) const
{
	const Time event = next < trace.events.size() ? trace.events[next].at : never;
	Time stop = event;

	if (!assigned.empty())
		stop = std::min({stop, worker_due, poll_due, std::max(sample_due, now)});
	for (const Failover &failover : failovers)
		stop = std::min(stop, failover.due);
	return stop;
}

Playback
World::run()
{
	/* Longer than any user stays. */
	return run_until(trace.events.empty() ? 0 : trace.events.back().at + hour);
}

Playback
World::run_until(Time end)
{
	for (Time now = trace.events.empty() ? end + 1 : trace.events.front().at;
		 (now = next_stop(now)) <= end;)
	{
		if (assigned.empty())
		{
			worker_due = std::max(worker_due, round_up(now, worker_interval));
			if (polls > 0)
				poll_due = std::max(poll_due, round_up(now, polls));
			sample_due = std::max(sample_due, round_up(now, trace.sample_interval));
		}
		if (contender.sharding.told_every > 0)
			share_loads_until(now);
		if (sample_due <= now)
			sample(now);
		if (worker_due <= now)
			work(now);
		if (poll_due <= now)
			poll(now);
		while (!failovers.empty() && failovers.front().due <= now)
		{
			move_rooms(failovers.front().server, now);
			failovers.erase(failovers.begin());
		}
		while (next < trace.events.size() && trace.events[next].at <= now)
			take(trace.events[next++]);
	}
	for (const Machine &machine : machines)
		result.users_at_end += machine.users;
	return std::move(result);
}

void
World::take(const Event &event)
{
	switch (event.kind)
	{
		case Kind::ask:
			ask(event.room, event.at);
			return send(at(rooms, event.room).server, 1, event.at);
		case Kind::join:
			return join(event);
		case Kind::leave:
			return leave(event);
		case Kind::server_down:
			at(machines, event.room).up = false;
			failovers.push_back({event.at + failover_delay, event.room});
			return;
		case Kind::server_up:
			at(machines, event.room).up = true;
			return;
	}
}

void
World::ask(int room, Time now)
{
	if (at(rooms, room).server < 0)
		assign(room, now);
	at(rooms, room).used_at = now;
}

void
World::join(const Event &event)
{
	result.joined += event.at >= trace.measure_from ? 1 : 0;
	Room &room = at(rooms, event.room);

	ask(event.room, event.at);
	room.users.push_back(event.user);
	enter(&at(machines, room.server), event.user);
	int &peak = at(result.peaks, event.room).back();
	peak = std::max(peak, static_cast<int>(room.users.size()));
}

void
World::leave(const Event &event)
{
	Room &room = at(rooms, event.room);

	std::erase(room.users, event.user);
	exit(&at(machines, room.server), event.user);
	room.used_at = event.at;
}

void
World::enter(Machine *machine, int user)
{
	if (at(machine->presence, user)++ == 0)
		machine->users++;
}

void
World::exit(Machine *machine, int user)
{
	if (--at(machine->presence, user) == 0)
		machine->users--;
}

void
World::assign(int room, Time now)
{
	Room &assignment = at(rooms, room);

	at(result.peaks, room).push_back(0);
	assignment.expected = expected(room);
	assignment.server = choose(room, now);
	assignment.assigned_at = now;
	at(machines, assignment.server).rooms++;
	assigned.push_back(room);
	result.placed++;
	if (contender.sharding.told_of_rooms)
		share_loads(now);
}

void
World::free_room(int room)
{
	at(machines, at(rooms, room).server).rooms--;
	at(rooms, room).server = -1;
}

/* Its users move along: their server is that of their room. */
void
World::move_room(int room, int target)
{
	Room &assignment = at(rooms, room);

	for (int user : assignment.users)
	{
		exit(&at(machines, assignment.server), user);
		enter(&at(machines, target), user);
	}
	at(machines, assignment.server).rooms--;
	at(machines, target).rooms++;
	assignment.server = target;
}

void
World::move_rooms(int server, Time now)
{
	if (at(machines, server).up)
		return; /* the server recovered before the delay was over */
	for (int room : assigned)
	{
		Room &assignment = at(rooms, room);
		if (assignment.server != server)
			continue;

		const int target = choose(room, now);
		move_room(room, target);
		send(target, static_cast<std::int64_t>(assignment.users.size()), now);
		result.moved++;
	}
}

/* The background worker: samples, then frees. */
void
World::work(Time now)
{
	worker_due = round_up(now + 1, worker_interval);
	std::erase_if(assigned, [&](int number) {
		Room &room = at(rooms, number);
		const std::int64_t active = static_cast<std::int64_t>(room.users.size());

		(void) gxy::observe(&room.history, active, room.assigned_at, now, contender.learning);
		if (active > 0)
			room.used_at = now;
		if (now - room.used_at <= grace)
			return false;
		free_room(number);
		return true;
	});
	if (contender.rebalanced)
		rebalance(now);
}

void
World::sample(Time now)
{
	struct Group
	{
		std::int64_t users = 0, busiest = 0, servers = 0;
	};
	std::map<std::string, Group> groups;
	Sample taken{.at = now, .ratio = 0};

	sample_due = now + trace.sample_interval;
	for (std::size_t i = 0; i < machines.size(); i++)
	{
		if (!machines[i].up)
			continue;
		Group &group = groups[trace.servers[i].region];
		group.users += machines[i].users;
		group.busiest = std::max(group.busiest, machines[i].users);
		group.servers++;
		taken.users += machines[i].users;
		taken.over += std::max<std::int64_t>(0, machines[i].users - trace.servers[i].capacity);
		if (10 * machines[i].users > 11 * trace.servers[i].capacity)
			taken.crowded += machines[i].users;
	}
	if (taken.users == 0)
		return;
	/* users x busiest/mean = busiest x servers */
	for (const auto &[region, group] : groups)
		taken.ratio += static_cast<double>(group.busiest * group.servers);
	taken.ratio /= static_cast<double>(taken.users);
	result.samples.push_back(taken);
}

std::int64_t
World::expected(int room) const
{
	const std::int64_t average = contender.rules.avg_room_occupancy;

	switch (contender.expectation)
	{
		case Expectation::constant:
			return average;
		case Expectation::learned:
			return gxy::learned_size(at(rooms, room).history, average, contender.learning);
		case Expectation::oracle:
			break;
	}
	if (known == nullptr)
		return average;
	return std::max(at(*known, room).at(at(result.peaks, room).size() - 1), 1);
}

} // namespace sim
