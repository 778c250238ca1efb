/*
 * walk.cpp: the effect of each operation of a transaction on its room.
 */
#include "walk.hpp"

#include <charconv>

namespace stress
{
namespace
{

bool
is_yes(const Record &record)
{
	return record.answer == "t" || record.answer == "1";
}

bool
cleans(const Story &story, const Transaction &transaction)
{
	return std::any_of(transaction.steps.begin(), transaction.steps.end(), [&story](int step) {
		return story.steps[static_cast<std::size_t>(step)].record->operation == Operation::clean;
	});
}

bool
by_own_hand(const Visit &visit)
{
	return visit.standing.mine == Mine::present || visit.standing.mine == Mine::absent;
}

} // namespace

Observation
seen_in(std::string_view answer, World *world)
{
	Observation seen;

	if (answer.empty())
		return seen;

	const std::string_view server = answer.substr(0, answer.find('@'));
	const std::string_view time = answer.substr(std::min(server.size() + 1, answer.size()));

	seen.seen = Seen::server;
	seen.server = world->server_named(server);
	seen.untouched = !answer.ends_with('*');
	std::from_chars(time.data(), time.data() + time.size(), seen.generation);
	return seen;
}

Walker::Walker(const Story &story, World *world, Check *own) : story(story), world(world), own(own)
{
	for (const Step &step : story.steps)
	{
		if (step.record->operation != Operation::leave || !story.may_stand(step))
			continue;

		/* Another cleanup of the same transaction sees it at once. */
		const Micros from =
			cleans(story, story.of(step)) ? step.record->start : story.of(step).end.start;
		auto [at, fresh] = left.try_emplace(std::string(step.record->argument("session")), from);

		at->second = std::min(at->second, from);
	}
}

void
Walker::expect(bool true_to_it, const Visit &visit)
{
	own->looked();
	if (!true_to_it)
		own->found("a transaction was shown something else than it had written itself",
				   visit.lines);
}

void
Walker::observe(const Step &step, int number, Room *room, Visit *visit, Observation seen)
{
	if (murky)
		return;
	seen.creates = seen.creates || visit->standing.mine == Mine::may_own;
	seen.stands = story.stands(step);
	seen.step = number;
	if (seen.span.end == 0)
		seen.span = step.span();
	seen.void_from = std::min(seen.void_from, step.void_from);
	seen.visible_from = !seen.creates ? seen.span.end
						: seen.stands ? story.of(step).end.end
									  : forever;
	visit->observations.push_back(room->observations.size());
	room->observations.push_back(seen);
}

void
Walker::create(const Step &step, int number, Room *room, int server)
{
	if (story.may_stand(step))
		room->creations.add({.span = {step.record->start, story.of(step).end.end},
							 .server = server,
							 .step = number});
}

/*
 * The transaction frees the room, or writes a server of its own choice: from now on other callers
 * may get another answer.
 */
void
Walker::end(const Step &step, int number, Room *room, Visit *visit, int spares)
{
	for (std::size_t i : visit->observations)
		room->observations[i].void_from =
			std::min(room->observations[i].void_from, step.record->start);
	if (story.may_stand(step))
		room->endings.add({.span = story.of(step).end,
						   .spares = spares,
						   .hard = spares == no_server,
						   .step = number});
}

void
Walker::assign(const Step &step, int number, Room *room, Visit *visit)
{
	const int server = world->server_named(step.record->answer);
	Standing &standing = visit->standing;

	if (standing.mine == Mine::present)
		return expect(server == standing.server, *visit);
	if (standing.mine == Mine::absent)
		standing = {Mine::present, server};
	else
	{
		observe(step, number, room, visit,
				{.seen = Seen::server, .creates = true, .renews = true, .server = server});
		standing.mine = Mine::may_own;
	}
	create(step, number, room, server);
}

void
Walker::touch(const Step &step, int number, Room *room, Visit *visit)
{
	const bool there = is_yes(*step.record);

	if (by_own_hand(*visit))
		return expect(there == (visit->standing.mine == Mine::present), *visit);
	observe(step, number, room, visit,
			{.seen = there ? Seen::something : Seen::nothing, .renews = there});
}

/*
 * When a plain statement's snapshot may have been taken. The balancer's functions read the latest
 * state.
 */
Span
Walker::span_of_snapshot(const Step &step) const
{
	const Transaction &transaction = story.of(step);
	const bool fresh =
		transaction.level == Level::read_committed || step.record->operation == Operation::release;

	return {fresh ? step.record->start : transaction.begin, step.record->end};
}

void
Walker::free(const Step &step, int number, Room *room, Visit *visit)
{
	const bool gone = is_yes(*step.record);

	if (by_own_hand(*visit))
		expect(gone == (visit->standing.mine == Mine::present), *visit);
	else if (gone) /* it was there before */
		observe(step, number, room, visit,
				{.seen = Seen::something, .void_from = step.record->start});
	else
		observe(step, number, room, visit, {.seen = Seen::nothing, .span = span_of_snapshot(step)});
	if (!gone)
		return;
	end(step, number, room, visit, no_server);
	visit->standing = {Mine::absent, no_server};
}

void
Walker::upsert(const Step &step, int number, Room *room, Visit *visit)
{
	const int server = world->server_named(step.record->argument("server"));

	end(step, number, room, visit, server);
	create(step, number, room, server);
	visit->standing = {Mine::present, server};
}

void
Walker::look(const Step &step, int number, Room *room, Visit *visit)
{
	const bool current = story.of(step).level == Level::read_committed;
	Observation seen = seen_in(step.record->answer, world);

	if (by_own_hand(*visit))
	{
		/* An older snapshot shows versions that the transaction's own changes have not replaced. */
		if (current)
			expect(seen.server == visit->standing.server, *visit);
		return;
	}
	seen.untouched = seen.untouched && current;
	seen.span = span_of_snapshot(step);
	observe(step, number, room, visit, seen);
}

void
Walker::enter(const Step &step, int number, Room *room)
{
	const Transaction &transaction = story.of(step);

	if (!story.stands(step) || step.record->answer != "1")
		return;

	const auto leave = left.find(std::string(step.record->argument("session")));
	Micros until = leave != left.end() ? leave->second : forever;

	if (world->dead_session > 0)
		until = std::min(until, transaction.begin + world->dead_session);
	if (until >= transaction.end.end)
		room->stays.add({.span = {transaction.end.end, until}, .step = number});
}

void
Walker::clean(const Step &step, int number)
{
	const Transaction &transaction = story.of(step);
	const Record &record = *step.record;
	const std::string_view grace = record.argument("grace");
	const bool freed =
		record.outcome == Outcome::lost || (record.answered() && record.answer != "0");
	Cleanup cleanup = {.span = {record.start, transaction.end.end},
					   .call = step.span(),
					   .effect = transaction.end,
					   .grace = world->grace,
					   .step = number,
					   .counts = freed && story.may_stand(step)};
	Micros milliseconds = 0;

	if (!grace.empty())
	{
		std::from_chars(grace.data(), grace.data() + grace.size(), milliseconds);
		cleanup.grace = milliseconds * 1000;
	}
	world->cleanups.add(cleanup);
	if (cleanup.counts)
	{
		cleanup.span = cleanup.effect;
		world->freeing.add(cleanup);
	}
	murky = true;
}

void
Walker::step_in_room(const Step &step, int number, Room *room, Visit *visit)
{
	const Record &record = *step.record;

	visit->lines.push_back(&record);
	visit->last_step = number;
	visit->kept = visit->kept && story.stands(step) && record.answered();
	if (record.answered())
		switch (record.operation)
		{
			case Operation::assign:
				return assign(step, number, room, visit);
			case Operation::touch:
				return touch(step, number, room, visit);
			case Operation::release:
			case Operation::erase:
				return free(step, number, room, visit);
			case Operation::upsert:
				return upsert(step, number, room, visit);
			case Operation::look:
				return look(step, number, room, visit);
			default:
				return;
		}
	/*
	 * The connection was lost, but the operation may have been done. Only these operations change
	 * other callers' answers.
	 */
	if (record.operation == Operation::release || record.operation == Operation::erase)
		end(step, number, room, visit, no_server);
	else if (record.operation == Operation::upsert)
		upsert(step, number, room, visit);
}

void
Walker::roll_back_to(std::string_view savepoint)
{
	while (savepoints.size() > 1 && savepoints.back().name != savepoint)
		savepoints.pop_back();
	for (auto &[room, visit] : visits)
		visit.standing = savepoints.empty() ? Standing() : savepoints.back().standings[room];
}

void
Walker::visit(int number, const Transaction &transaction)
{
	const Step &step = story.steps[static_cast<std::size_t>(number)];
	const Record &record = *step.record;

	switch (record.operation)
	{
		case Operation::clean:
			return clean(step, number);
		case Operation::savepoint:
			savepoints.push_back({record.argument("name"), {}});
			for (const auto &[room, visit] : visits)
				savepoints.back().standings[room] = visit.standing;
			return;
		case Operation::rollback_to:
			return record.answered() ? roll_back_to(record.argument("name")) : void();
		case Operation::enter:
			return enter(step, number, world->room_named(record.room, number));
		case Operation::leave:
			return;
		default:
			break;
	}
	if (record.room == "-")
		return;

	Room *room = world->room_named(record.room, number);
	auto [at, fresh] = visits.try_emplace(room);

	if (fresh)
		at->second.since = record.start;
	/* A failed call had no effect. A lost call may have had one, if it was its own transaction. */
	if (record.answered() || (transaction.autocommit && story.may_stand(step)))
		step_in_room(step, number, room, &at->second);
	else
		at->second.kept = false;
}

void
Walker::walk(int number)
{
	const Transaction &transaction = story.transactions[static_cast<std::size_t>(number)];

	visits.clear();
	savepoints.clear();
	murky = false;
	for (int step : transaction.steps)
		visit(step, transaction);
	finish(number, transaction);
}

void
Walker::finish(int number, const Transaction &transaction)
{
	for (auto &[room, visit] : visits)
	{
		room->holds.add({.span = {visit.since, transaction.end.end},
						 .transaction = number,
						 .kept = visit.kept});
		if (transaction.fate != Fate::committed || visit.standing.mine != Mine::present || murky)
			continue;
		room->observations.push_back({.seen = Seen::server,
									  .creates = true,
									  .stands = true,
									  .server = visit.standing.server,
									  .step = visit.last_step,
									  .span = transaction.end,
									  .visible_from = transaction.end.end});
	}
}

} // namespace stress
