/*
 * status.hpp: counters, and the status of the workers, which backends, launcher and workers share.
 *
 * All functions are for normal code, with no lock held. Without shared memory (see shared_header())
 * they do nothing, and those that return something return nothing.
 */
#pragma once

#include "pg/compat.hpp"
#include "shared/databases.hpp"

namespace gxy
{

/*
 * Adds to a counter of this database. Each backend has counters in its own cache line; a reader
 * adds them up. Calls are counted even if their transaction rolls back.
 */
void count(Counter counter, std::int64_t by = 1);

/* Counts a room that was placed by a count, and keeps the reason. */
void count_placed_by_count(CountReason reason);

struct Counts
{
	std::int64_t value[counters];
	CountReason counted; /* of the last room that was placed by a count */
	TimestampTz since;	 /* when the server's shared memory was made, or the last reset */
};

/* Returns the sums for this database; std::nullopt without shared memory. */
std::optional<Counts> read_counts();
void reset_counts();

/* Returns the status of a database; std::nullopt if it has none. */
std::optional<DatabaseStatus> status_of(Oid database);

/* Sets the status of status.database. Returns false if there is no memory for it. */
bool put_status(const DatabaseStatus &status);

/* The same, but requests for a run that have come in meanwhile stay. */
bool update_status(DatabaseStatus status);

/* Removes the status, unless a run is requested. */
void drop_status(Oid database);

/* Removes the status. */
void clear_status(Oid database);

/* Requests a run in a database, which has the extension, and wakes the launcher. */
void request_run(Oid database);

/*
 * The same when this transaction commits, but not if it is prepared. Raises 55000 if another
 * version of the library is in use on this server.
 */
void request_run_at_commit();

/*
 * The same for a run within half a second, so that many transactions request one run. For the
 * notifications of rooms/move_events.hpp.
 */
void request_announcement_at_commit();

} // namespace gxy
