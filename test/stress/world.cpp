/*
 * world.cpp: builds the world from the transactions and the reads of the whole table.
 */
#include "world.hpp"

#include "walk.hpp"

namespace stress
{
namespace
{

/* A read of the whole table. */
struct Scan
{
	const Step *step;
	int number;
	std::unordered_map<const Room *, Observation> rows;
};

void
read_settings(const Story &story, World *world)
{
	world->grace = story.milliseconds("assignment_grace", 90'000'000);
	world->touch_interval = story.milliseconds("touch_interval", 10'000'000);
	world->dead_session = story.milliseconds("dead_session_timeout", 90'000'000);
	world->assign_timeout = story.milliseconds("assign_timeout", 5'000'000);
}

/* room=server@assigned_at;... */
Scan
read_scan(const Step &step, int number, World *world)
{
	Scan scan = {.step = &step, .number = number, .rows = {}};
	std::string_view rest = step.record->answer;

	while (!rest.empty())
	{
		const std::string_view row = rest.substr(0, rest.find(';'));
		const std::size_t equals = std::min(row.find('='), row.size() - 1);
		Room *room = world->room_named(std::string(row.substr(0, equals)), number);
		Observation seen = seen_in(row.substr(equals + 1), world);

		seen.stands = true;
		seen.step = number;
		seen.span = step.span();
		seen.visible_from = seen.span.end;
		scan.rows.emplace(room, seen);
		rest.remove_prefix(std::min(row.size() + 1, rest.size()));
	}
	return scan;
}

/* An absent room is recorded only if it was observed since the last record of its absence. */
void
add_scans(Room *room, const std::vector<Scan> &scans)
{
	std::vector<Observation> seen;
	std::size_t next = 0;
	bool news = false;

	for (const Scan &scan : scans)
	{
		const auto row = scan.rows.find(room);

		for (; next < room->observations.size() &&
			   room->observations[next].span.start <= scan.step->record->end;
			 next++)
			news = true;
		if (row != scan.rows.end())
			seen.push_back(row->second);
		else if (news)
			seen.push_back({.seen = Seen::nothing,
							.stands = true,
							.step = scan.number,
							.span = scan.step->span()});
		news = row != scan.rows.end();
	}
	room->observations.insert(room->observations.end(), seen.begin(), seen.end());
}

void
sort(Room *room)
{
	std::stable_sort(
		room->observations.begin(), room->observations.end(),
		[](const Observation &a, const Observation &b) { return a.span.start < b.span.start; });
	room->endings.sort();
	room->creations.sort();
	room->holds.sort();
	room->stays.sort();
}

/* Without a delay the rooms stay for longer than the run. */
void
add_failure(const Story &story, std::size_t number, World *world)
{
	const Step &step = story.steps[number];
	const std::string_view delay = step.record->argument("delay");
	Failure failure = {.span = {step.record->start, forever},
					   .server = world->server_named(step.record->argument("name"))};

	if (delay.empty() || !story.may_stand(step))
		return;
	failure.span.start += 1000 * std::stoll(std::string(delay));
	for (std::size_t i = number + 1; i < story.steps.size(); i++)
	{
		const Step &later = story.steps[i];

		if (later.record->operation == Operation::server && story.stands(later) &&
			later.record->argument("name") == step.record->argument("name") &&
			later.record->argument("change") == "online")
		{
			failure.span.end = story.of(later).end.end;
			break;
		}
	}
	world->failures.add(failure);
}

} // namespace

Room *
World::room_named(const std::string &name, int step)
{
	auto [at, fresh] = room_numbers.try_emplace(name, rooms.size());

	if (fresh)
		rooms.push_back(Room{.name = name, .first_step = step});
	Room *room = &rooms[at->second];

	room->first_step = std::min(room->first_step, step);
	return room;
}

int
World::server_named(std::string_view name)
{
	return server_numbers.try_emplace(std::string(name), static_cast<int>(server_numbers.size()))
		.first->second;
}

const Room *
World::room_of(const Step &step) const
{
	const auto at = room_numbers.find(step.record->room);

	return at != room_numbers.end() ? &rooms[at->second] : nullptr;
}

World
sort_by_room(const Story &story, Check *own)
{
	World world;
	std::vector<Scan> scans;
	Walker walker(story, &world, own);

	world.story = &story;
	read_settings(story, &world);
	for (std::size_t i = 0; i < story.transactions.size(); i++)
		walker.walk(static_cast<int>(i));
	for (std::size_t i = 0; i < story.steps.size(); i++)
	{
		const Step &step = story.steps[i];
		const int number = static_cast<int>(i);

		if (step.record->operation == Operation::scan && step.record->answered())
			scans.push_back(read_scan(step, number, &world));
		else if (step.record->operation == Operation::server)
			add_failure(story, i, &world);
		else if (step.record->operation == Operation::wipe && story.may_stand(step))
			for (Room &room : world.rooms)
				room.endings.add({.span = story.of(step).end, .step = number});
	}
	for (Room &room : world.rooms)
	{
		sort(&room);
		add_scans(&room, scans);
		sort(&room);
	}
	world.failures.sort();
	world.cleanups.sort();
	world.freeing.sort();
	return world;
}

} // namespace stress
