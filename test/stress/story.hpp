/*
 * story.hpp: a history's records, grouped into transactions whose outcome is known as far as
 * possible.
 *
 * A client sees less than the server does, so everything is an interval: a call takes effect
 * between its start and its end, and a transaction's writes become visible at some moment of its
 * last call. A transaction whose connection was lost is aborted if COMMIT had not been sent.
 * Otherwise its outcome is unknown: it may have written, and proves nothing.
 */
#pragma once

#include "history.hpp"

namespace stress
{

struct Span
{
	Micros start = 0;
	Micros end = 0;
};

inline bool
meet(Span a, Span b)
{
	return a.start <= b.end && b.start <= a.end;
}

enum class Level : std::uint8_t
{
	read_committed,
	repeatable_read,
	serializable
};

enum class Fate : std::uint8_t
{
	committed,
	aborted,
	unknown
};

struct Transaction
{
	int client = 0;
	Level level = Level::read_committed;
	bool autocommit = false;
	bool sorted = true; /* it takes its rooms in the common order */
	Fate fate = Fate::unknown;
	Micros begin = 0;
	Span end = {};				 /* when it took effect, or was undone */
	std::vector<int> steps = {}; /* in order, the transaction's own statements included */
};

/* A record as part of its transaction. */
struct Step
{
	const Record *record = nullptr;
	int transaction = -1;		/* -1: none, as a phase */
	bool undone = false;		/* by ROLLBACK TO, in a transaction that may have committed */
	Micros void_from = forever; /* the earliest time at which its effects may have been undone */

	Span span() const { return {record->start, record->end}; }
};

struct Story
{
	std::vector<Record> records;
	std::vector<Step> steps; /* one for each record, in its order */
	std::vector<Transaction> transactions;

	const Transaction &of(const Step &step) const
	{
		return transactions[static_cast<std::size_t>(step.transaction)];
	}
	bool stands(const Step &step) const { return !step.undone && of(step).fate == Fate::committed; }
	bool may_stand(const Step &step) const
	{
		return !step.undone && of(step).fate != Fate::aborted;
	}

	/* A setting of the run, as the history records it. */
	std::string_view setting(std::string_view name) const;
	Micros milliseconds(std::string_view name, Micros otherwise) const; /* in microseconds */
};

/* The story owns the records; it may be moved, but not copied. */
Story tell(std::vector<Record> records);

} // namespace stress
