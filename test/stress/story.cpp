/*
 * story.cpp: groups records by transaction, and determines how each transaction ended.
 */
#include "story.hpp"

#include <algorithm>
#include <charconv>
#include <unordered_map>

namespace stress
{
namespace
{

Level
level_of(std::string_view name)
{
	if (name == "ser")
		return Level::serializable;
	return name == "rr" ? Level::repeatable_read : Level::read_committed;
}

bool
belongs_to_a_transaction(Operation operation)
{
	switch (operation)
	{
		case Operation::setting:
		case Operation::phase:
		case Operation::connect:
		case Operation::kill:
		case Operation::load:
			return false;
		default:
			return true;
	}
}

/* Walks the steps of one transaction. */
class Course
{
public:
	Course(Story *story, Transaction *transaction) : story(story), transaction(transaction) {}

	void run()
	{
		for (std::size_t i = 0; i < transaction->steps.size(); i++)
			take(i);
		if (!ended && prepare_was_lost)
			finish(Fate::aborted,
				   prepared_at); /* the run ends every prepared transaction it finds */
		else if (!ended)
			finish(Fate::unknown, {last_end, forever});
		if (transaction->fate == Fate::committed)
			return;
		for (int i : transaction->steps)
		{
			Step &step = step_at(i);

			step.void_from = std::min(step.void_from, transaction->end.start);
		}
	}

private:
	struct Savepoint
	{
		std::string_view name;
		std::size_t first; /* the first of the steps that it undoes */
	};

	Step &step_at(int index) { return story->steps[static_cast<std::size_t>(index)]; }

	void finish(Fate fate, Span end)
	{
		transaction->fate = fate;
		transaction->end = end;
		ended = true;
	}

	void take(std::size_t index)
	{
		const Record &record = *step_at(transaction->steps[index]).record;
		const Span span = {record.start, record.end};

		if (transaction->autocommit)
			finish(record.answered()				   ? Fate::committed
				   : record.outcome == Outcome::failed ? Fate::aborted
													   : Fate::unknown,
				   span);
		else if (record.outcome == Outcome::failed)
			fail(record);
		else if (record.outcome == Outcome::lost)
			lose(record);
		else
			succeed(record, index);
		last_end = record.end;
	}

	void fail(const Record &record)
	{
		switch (record.operation)
		{
			case Operation::commit:
			case Operation::prepare:
				finish(Fate::aborted, {std::min(failed_at, record.start), record.end});
				break;
			case Operation::commit_prepared:
			case Operation::rollback_prepared:
				break; /* it is still prepared */
			default:
				failed_at = std::min(failed_at, record.start);
		}
	}

	void lose(const Record &record)
	{
		switch (record.operation)
		{
			case Operation::commit:
				finish(Fate::unknown, {record.start, record.end});
				break;
			case Operation::prepare:
				prepare_was_lost = true;
				prepared_at = {record.start, record.end};
				break;
			case Operation::commit_prepared:
				finish(Fate::unknown, {record.start, forever});
				break;
			case Operation::rollback_prepared:
				finish(Fate::aborted, {record.start, forever});
				break;
			default:
				/* The server may have ended it at any time since its last answer. */
				finish(Fate::aborted, {std::min(failed_at, last_end), record.end});
		}
	}

	void succeed(const Record &record, std::size_t index)
	{
		const Span span = {record.start, record.end};

		switch (record.operation)
		{
			case Operation::commit:
			case Operation::commit_prepared:
				finish(Fate::committed, span);
				break;
			case Operation::rollback:
				finish(Fate::aborted, {std::min(failed_at, record.start), record.end});
				break;
			case Operation::rollback_prepared:
				finish(Fate::aborted, span);
				break;
			case Operation::savepoint:
				savepoints.push_back({record.argument("name"), index + 1});
				break;
			case Operation::rollback_to:
				roll_back_to(record, index);
				break;
			default:
				break;
		}
	}

	void roll_back_to(const Record &record, std::size_t index)
	{
		while (!savepoints.empty() && savepoints.back().name != record.argument("name"))
			savepoints.pop_back();

		const std::size_t first = savepoints.empty() ? 0 : savepoints.back().first;
		const Micros from = std::min(failed_at, record.start);

		for (std::size_t i = first; i < index; i++)
		{
			Step &step = step_at(transaction->steps[i]);

			if (!step.undone)
				step.void_from = from;
			step.undone = true;
		}
		failed_at = forever;
	}

	Story *story;
	Transaction *transaction;
	std::vector<Savepoint> savepoints;
	Micros failed_at = forever; /* the first error that no ROLLBACK TO has undone */
	Micros last_end = 0;
	Span prepared_at;
	bool prepare_was_lost = false;
	bool ended = false;
};

} // namespace

std::string_view
Story::setting(std::string_view name) const
{
	for (const Record &record : records)
		if (record.operation == Operation::setting && record.argument("name") == name)
			return record.argument("value");
	return {};
}

Micros
Story::milliseconds(std::string_view name, Micros otherwise) const
{
	const std::string_view text = setting(name);
	Micros value = 0;

	if (std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc())
		return otherwise;
	return value * 1000;
}

Story
tell(std::vector<Record> records)
{
	Story story;
	std::unordered_map<std::string, int> known;

	story.records = std::move(records);
	for (const Record &record : story.records)
	{
		Step step = {.record = &record};

		if (belongs_to_a_transaction(record.operation))
		{
			const int fresh = static_cast<int>(story.transactions.size());

			step.transaction = record.autocommit()
								   ? fresh
								   : known.try_emplace(record.transaction, fresh).first->second;
			if (step.transaction == fresh)
				story.transactions.push_back({.client = record.client,
											  .level = level_of(record.argument("level")),
											  .autocommit = record.autocommit(),
											  .sorted = record.argument("order") != "any",
											  .begin = record.start});
			story.transactions[static_cast<std::size_t>(step.transaction)].steps.push_back(
				static_cast<int>(story.steps.size()));
		}
		story.steps.push_back(step);
	}
	for (Transaction &transaction : story.transactions)
		Course(&story, &transaction).run();
	return story;
}

} // namespace stress
