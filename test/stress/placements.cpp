/*
 * placements.cpp: a room's first call returns a server that takes new rooms.
 *
 * The state of a server at a time is a set of possibilities: the last edits, and edits in progress,
 * which may have taken effect. Rooms that have sessions go where those are, and a pool without an
 * online server has other rules, so both are left out.
 */
#include "checks.hpp"

#include <map>

namespace stress
{
namespace
{

struct Edit
{
	Span span;
	bool certain;
	bool online;
	const Record *record;
};

class Pool
{
public:
	explicit Pool(const Story &story)
	{
		std::string_view rest = story.setting("servers");

		while (!rest.empty())
		{
			const std::string_view name = rest.substr(0, rest.find(' '));

			edits[std::string(name)].push_back({{-forever, -forever}, true, true, nullptr});
			rest.remove_prefix(std::min(name.size() + 1, rest.size()));
		}
		for (const Step &step : story.steps)
			add(story, step);
	}

	bool may_be(bool online, const std::string &server, Span time, const Record **last) const
	{
		const auto at = edits.find(server);

		if (at == edits.end())
			return !online;
		for (const Edit &edit : at->second)
			if (edit.online == online && edit.span.start <= time.end &&
				!superseded(edit, at->second, time.start, last))
				return true;
		return false;
	}

	bool one_is_online(Span time) const
	{
		const Record *unused = nullptr;

		return std::any_of(edits.begin(), edits.end(), [&](const auto &server) {
			return !may_be(false, server.first, time, &unused);
		});
	}

private:
	void add(const Story &story, const Step &step)
	{
		const Record &record = *step.record;
		const std::string_view change = record.argument("change");

		if (record.operation != Operation::server || change == "priority" ||
			!story.may_stand(step) || (record.answered() && record.answer == "0"))
			return;
		edits[std::string(record.argument("name"))].push_back(
			{story.of(step).end, story.stands(step), change == "online" || change == "add",
			 &record});
	}

	static bool superseded(const Edit &edit, const std::vector<Edit> &all, Micros by,
						   const Record **last)
	{
		return std::any_of(all.begin(), all.end(), [&](const Edit &other) {
			if (!other.certain || other.span.start <= edit.span.end || other.span.end > by)
				return false;
			*last = other.record;
			return true;
		});
	}

	std::map<std::string, std::vector<Edit>> edits;
};

/* Whether the application may have inserted the room on the server of the first answer. */
bool
put_by_hand(const World &world, const Room &room, const Record &first)
{
	return room.creations.any({first.start, first.end}, [&](const Creation &made) {
		return world.record(made.step).operation == Operation::upsert;
	});
}

} // namespace

void
check_placements(const World &world, Verdict *verdict)
{
	Check *check = verdict->begin("new rooms go to servers that take them");
	const Pool pool(*world.story);

	for (const Room &room : world.rooms)
	{
		const Record &first = world.record(room.first_step);
		const Record *last = nullptr;

		if (first.operation != Operation::assign || !first.answered() ||
			room.stays.any({-forever, first.end}) || put_by_hand(world, room, first))
			continue;
		check->looked();
		if (!pool.one_is_online({first.start, first.end}) ||
			pool.may_be(true, first.answer, {first.start, first.end}, &last))
			continue;
		check->found("a new room on a server that was not online",
					 last != nullptr ? std::vector<const Record *>{last, &first}
									 : std::vector<const Record *>{&first});
	}
}

} // namespace stress
