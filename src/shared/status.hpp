/*
 * status.hpp: what backends, launcher and workers tell each other.
 *
 * Without shared memory (shared/header.hpp says when that is) everything here does nothing, or says so. All of it is for normal
 * code, with no lock held.
 */
#pragma once

#include "shared/databases.hpp"
#include "shared/launcher_claim.hpp"

namespace gxy
{

/*
 * Counts for this database. Each backend counts in a cache line of its own; the reader adds them up. Counts are of
 * calls, whatever became of their transactions.
 */
void count(Counter counter, std::int64_t by = 1);

/* Counts a room that was placed by a count of its own. */
void count_placed_by_count(CountReason reason);

struct Counts
{
	std::int64_t value[counters];
	CountReason counted; /* why the last of those placed_by_count was */
	TimestampTz since;	 /* when the server's shared memory was made, or the last reset */
};

/* The sums for this database; std::nullopt without shared memory. */
std::optional<Counts> read_counts();
void reset_counts();

/* The status of a database, if it has one. */
std::optional<DatabaseStatus> status_of(Oid database);

/* Sets the status of its database, adding it if need be; false if there is no memory for it. */
bool put_status(const DatabaseStatus &status);

/* The same, but a call for a run that came in meanwhile stays. */
bool update_status(DatabaseStatus status);

/* Forgets the status, unless a run has been called for. */
void drop_status(Oid database);

/* Forgets it in any case. */
void clear_status(Oid database);

/* Calls for a run in a database, which thereby is known to have the extension, and wakes the launcher. */
void request_run(Oid database);

/*
 * The same when this transaction commits. Not if it is prepared: nothing has come about yet. Raises 55000 where another
 * version of the library is in use.
 */
void request_run_at_commit();

} // namespace gxy
