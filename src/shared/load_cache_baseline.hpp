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
bool count_is_due(const Board *board, Basis basis, std::int64_t max_age);

/* nullptr snapshot: it is not due, or another backend makes it. */
BoardCount begin_count(Board *board, Basis basis, std::int64_t max_age);

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
	bool is_incomplete = false; /* for want of memory */
	bool has_sessions = false;	/* which the counting transaction may have written itself */
};

enum class Installed
{
	yes,
	not_yet, /* a transaction that the count has seen has yet to say so on the board; try again in a moment */
	discarded,
	lacks_space, /* the new table of suspects is too small by now; not returned by install_count() */
};

Installed install_count(Board *board, Basis basis, const CountResult &result,
						std::int64_t *counted);
void abandon_count(Board *board);

/* A count, by the clock that install_count() gave, has seen what is rolled back: the next one is due at once. */
void outdate_count(Board *board, std::int64_t counted);

/* Without a count that can be used, waits for the one somebody else is making, but no longer than so many milliseconds. */
void wait_for_count(Board *board, Basis basis, int milliseconds);

} // namespace gxy
