/*
 * schedule.hpp: what the launcher knows of the server's databases, and when each is due.
 */
#pragma once

#include "pg/array.hpp"
#include "shared/status.hpp"

namespace gxy
{

struct Database
{
	Oid oid = InvalidOid;
	bool unvisited = true;
	bool skipped = false; /* in this round, for want of shared memory */
	BackgroundWorkerHandle *worker = nullptr;
	TimestampTz started = 0;
};

struct Schedule
{
	Array<Database> databases;

	/* Takes note of new databases, forgets those that are gone; what was left out may be tried again. */
	void reload();

	/* Forgets one that was dropped, or closed, since it was read; true if so. */
	bool forget_if_gone(Database *database);

	/* Whether backends have called for runs in databases that have been created since it was read. */
	bool lacks_requested_database() const;

	/* Whether all are visited and no worker runs. */
	bool is_idle() const;

	/* The database that has been due for longest, and since when; nullptr and DT_NOEND if none ever will be. */
	Database *first_due(TimestampTz *when);

	/* Puts all plans by the settings as they are now. */
	void replan() const;

	/* Moves times that lie further ahead than planned, because the clock was set back, to where they would be now. */
	void limit_plans(TimestampTz now);

	const Database *find(Oid oid) const;
};
static_assert(std::is_trivially_destructible_v<Schedule>);

/* Takes note of how a database's worker has ended, and plans the next run. */
void settle(Database *database, TimestampTz now);

} // namespace gxy
