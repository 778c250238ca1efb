/*
 * totals.cpp: loads after the run, and the spread of new rooms.
 */
#include "checks.hpp"

#include <map>

namespace stress
{
namespace
{

struct Count
{
	const Record *view = nullptr;
	const Record *sql = nullptr;
};

/* "gxy1 gxy2 gxy3" */
std::map<std::string, std::int64_t>
pool_of(const Story &story)
{
	std::map<std::string, std::int64_t> rooms;
	std::string_view rest = story.setting("servers");

	while (!rest.empty())
	{
		const std::string_view name = rest.substr(0, rest.find(' '));

		rooms[std::string(name)] = 0;
		rest.remove_prefix(std::min(name.size() + 1, rest.size()));
	}
	return rooms;
}

std::string
in_words(const std::map<std::string, std::int64_t> &rooms)
{
	std::string words;

	for (const auto &[server, count] : rooms)
		words += (words.empty() ? "" : ", ") + server + " " + std::to_string(count);
	return words;
}

} // namespace

void
check_totals(const World &world, Verdict *verdict)
{
	Check *totals = verdict->begin("balancer_load agrees with an independent count");
	std::map<std::string, Count> counts;
	const Record *last_scan = nullptr;
	const Record *final = nullptr;

	for (const Record &record : world.story->records)
	{
		if (record.operation == Operation::scan && record.answered())
			last_scan = &record;
		if (record.operation == Operation::phase && record.argument("name") == "final")
			final = &record;
		if (record.operation != Operation::load)
			continue;

		Count &count = counts[std::string(record.argument("server"))];

		(record.argument("source") == "sql" ? count.sql : count.view) = &record;
	}
	for (const auto &[server, count] : counts)
	{
		totals->looked();
		if (count.view == nullptr || count.sql == nullptr)
			totals->found("only one of them has " + server,
						  {count.view != nullptr ? count.view : count.sql});
		else if (count.view->answer != count.sql->answer)
			totals->found("they differ", {count.view, count.sql});
	}
	if (final == nullptr || last_scan == nullptr || last_scan->start < final->start)
		totals->found("the history has no end: the table was not read after the run", {});
}

void
check_spread(const World &world, Verdict *verdict)
{
	Check *spread = verdict->begin("new rooms of equal size spread evenly");
	const Story &story = *world.story;
	std::map<std::string, std::int64_t> rooms = pool_of(story);

	for (const Record &phase : story.records)
	{
		const Record *last = &phase;

		if (phase.operation != Operation::phase || !phase.argument("name").starts_with("spread"))
			continue;
		for (const Step &step : story.steps)
		{
			if (step.record->operation != Operation::assign || step.record->start < phase.start ||
				step.record->end > phase.end)
				continue;
			if (!step.record->answered() || !story.stands(step))
				spread->found("a new room that was not committed", {step.record, &phase});
			else
				rooms[step.record->answer]++;
			last = step.record;
			spread->looked();
		}

		const auto [least, most] =
			std::minmax_element(rooms.begin(), rooms.end(),
								[](const auto &a, const auto &b) { return a.second < b.second; });

		if (!rooms.empty() && most->second - least->second > 1)
			spread->found("uneven: " + in_words(rooms), {&phase, last});
	}
}

} // namespace stress
