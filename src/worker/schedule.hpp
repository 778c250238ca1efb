/*
 * schedule.hpp: the databases that the launcher knows, and when each of them gets its next worker.
 */
#pragma once

#include "pg/array.hpp"
#include "pg/compat.hpp"

namespace gxy
{

struct Database
{
	Oid oid = InvalidOid;
	bool unvisited = true;
	bool skipped = false; /* in this round, because there is no shared memory for its status */
	BackgroundWorkerHandle *worker = nullptr;
	TimestampTz started = 0;
};

struct Schedule
{
	Array<Database> databases;

	/*
	 * Reads pg_database: adds new databases, removes dropped ones, and admits skipped ones again.
	 */
	void reload();

	/*
	 * Removes a database that was dropped, or closed to connections, since pg_database was read.
	 * Returns whether it was.
	 */
	bool forget_if_gone(Database *database);

	/*
	 * Returns whether runs are requested in databases that were created since pg_database was read.
	 */
	bool lacks_requested_database() const;

	/* Returns whether all databases are visited and no worker runs. */
	bool is_idle() const;

	/*
	 * Returns the database that is due first, and *when that is; nullptr and DT_NOEND if none is.
	 */
	Database *first_due(TimestampTz *when);

	/* Computes all due times again by the current settings. */
	void replan() const;

	/* Reduces due times that are too far ahead because the clock was set back. */
	void limit_plans(TimestampTz now);

	const Database *find(Oid oid) const;
};
static_assert(std::is_trivially_destructible_v<Schedule>);

/* Records how a database's worker has ended, and sets the time of the next run. */
void record_worker_end(Database *database, TimestampTz now);

} // namespace gxy
