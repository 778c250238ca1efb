/*
 * load_cache_baseline.hpp: the count that a board rests on: when it is due, and how a new one is installed.
 */
#pragma once

#include "pg/array.hpp"
#include "shared/load_cache_state.hpp"
#include "shared/load_delta.hpp"

namespace gxy
{

/* A count of what is in the tables, being made. */
struct BoardCount
{
	Snapshot snapshot = nullptr; /* registered; what it sees has to be counted */
	bool wants_prepared = false; /* rows of prepared transactions, too, apart */
};

/* Whether there is no count by these rules that is younger than max_age (microseconds). A guess, made without a lock. */
bool count_is_due(const Board *board, Basis basis, TimestampTz now, std::int64_t max_age);

/* nullptr snapshot: it is not due, or somebody else makes it. */
BoardCount begin_count(Board *board, Basis basis, TimestampTz now, std::int64_t max_age);

struct CountedServer
{
	int place;
	Burden burden;
};

struct CountResult
{
	Array<CountedServer> servers;
	Array<std::uint64_t> suspects; /* rooms with live sessions and no assignment */
	Array<PreparedRow> prepared;
};

/* False: a transaction that the count has seen has yet to say so on the board; try again in a moment. */
bool install_count(Board *board, Basis basis, const CountResult &result);
void abandon_count(Board *board);

/* Rooms and sessions have changed in a way the board has not been told: counts are due at once. */
void outdate_count(Board *board);

/* Without a count that can be used, waits for the one somebody else is making, but no longer than so many milliseconds. */
void wait_for_count(Board *board, Basis basis, int milliseconds);

} // namespace gxy
