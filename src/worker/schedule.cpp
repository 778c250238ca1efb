/*
 * schedule.cpp: the databases of the server, and the due time of each.
 *
 * pg_database lists the databases. The status in shared memory (shared/status.hpp), which workers
 * and backends write, says how each stands. A database without a status has not been visited, or
 * has no extension.
 */
#include "worker/schedule.hpp"

#include "pg/settings.hpp"
#include "shared/databases.hpp"
#include "shared/status.hpp"

namespace gxy
{
namespace
{

constexpr TimestampTz longest_delay = 10 * USECS_PER_MINUTE;
/*
 * The delay after a failed run if a failover is due. The longer delay between cleanups would leave
 * users without a server.
 */
constexpr TimestampTz failover_retry_delay = 2 * USECS_PER_SEC;

/*
 * Calls visit(oid) for the databases that allow connections and are no templates, until it returns
 * false.
 */
template <typename V>
void
for_each_database(V visit)
{
	MemoryContext context = CurrentMemoryContext;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	visit_pg_database([context, &visit](const FormData_pg_database &row) {
		MemoryContext caller = MemoryContextSwitchTo(context);
		bool more = true;

		if (row.datallowconn && !row.datistemplate && row.datconnlimit != -2)
			more = visit(row.oid);
		MemoryContextSwitchTo(caller);
		return more;
	});
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
}

/* Returns the delay after so many failures in a row: it doubles with each. */
TimestampTz
delay_after(int failures)
{
	TimestampTz delay = microseconds(setting::cleanup_interval);

	for (int i = 1; i < failures && delay < longest_delay; i++)
		delay *= 2;
	return std::max(std::min(delay, longest_delay), microseconds(setting::cleanup_interval));
}

/*
 * Returns when a database gets its next worker; DT_NOBEGIN: at once; DT_NOEND: not before something
 * changes.
 */
TimestampTz
due(const Database &database)
{
	std::optional<DatabaseStatus> status = status_of(database.oid);

	if (database.worker != nullptr)
		return DT_NOEND;
	if (status && status->run_requested)
		return DT_NOBEGIN;
	if (status)
	{
		TimestampTz when = status->next_due;

		for (TimestampTz earlier : {status->next_failover, status->next_announcement})
			if (earlier != 0)
				when = std::min(when, earlier);
		return when;
	}
	return database.unvisited && !database.skipped ? DT_NOBEGIN : DT_NOEND;
}

} // namespace

const Database *
Schedule::find(Oid oid) const
{
	for (const Database &database : databases)
		if (database.oid == oid)
			return &database;
	return nullptr;
}

void
Schedule::reload()
{
	MemoryContext scratch =
		AllocSetContextCreate(TopMemoryContext, "gxy_balancer round", ALLOCSET_SMALL_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(scratch);
	/*
	 * First the status, then pg_database: a database that gets its status later may be younger than
	 * the snapshot.
	 */
	Array<Oid> known = list_databases([](const DatabaseEntry &entry) { return entry.has_status; });
	Array<Oid> oids;

	for_each_database([&oids](Oid oid) {
		oids.push(oid);
		return true;
	});

	auto is_there = [&oids](Oid oid) {
		return std::find(oids.begin(), oids.end(), oid) != oids.end();
	};
	int kept = 0;

	MemoryContextSwitchTo(caller);
	for (Oid oid : oids)
		if (find(oid) == nullptr)
		{
			Database fresh;

			fresh.oid = oid;
			databases.push(fresh);
		}
	for (Database &database : databases)
	{
		database.skipped = false;
		if (database.worker != nullptr || is_there(database.oid))
			databases[kept++] = database;
	}
	databases.count = kept;
	MemoryContextSwitchTo(scratch);
	/*
	 * A database that allows no connections is not due. Backends that are still in it keep its
	 * entry.
	 */
	for (Oid oid : known)
		if (!is_there(oid))
			clear_status(oid);
	StartTransactionCommand();
	free_dropped_databases();
	CommitTransactionCommand();
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(scratch);
}

bool
Schedule::forget_if_gone(Database *database)
{
	Oid oid = database->oid;
	bool gone = true;

	for_each_database([&gone, oid](Oid other) {
		gone = other != oid;
		return gone;
	});
	if (gone)
		*database = databases[--databases.count];
	return gone;
}

bool
Schedule::lacks_requested_database() const
{
	Array<Oid> run_requested = list_databases(
		[](const DatabaseEntry &entry) { return entry.has_status && entry.status.run_requested; });
	bool lacks = std::any_of(run_requested.begin(), run_requested.end(),
							 [this](Oid oid) { return find(oid) == nullptr; });

	pfree(run_requested.items);
	return lacks;
}

bool
Schedule::is_idle() const
{
	return std::all_of(databases.begin(), databases.end(), [](const Database &database) {
		return database.worker == nullptr && !database.unvisited;
	});
}

/* The first due comes first: in a fixed order the last ones might never get a run. */
Database *
Schedule::first_due(TimestampTz *when)
{
	Database *first = nullptr;

	*when = DT_NOEND;
	for (Database &database : databases)
	{
		TimestampTz its_time = due(database);

		if (its_time < *when)
		{
			*when = its_time;
			first = &database;
		}
	}
	return first;
}

void
Schedule::replan() const
{
	for (const Database &database : databases)
	{
		std::optional<DatabaseStatus> status = status_of(database.oid);

		if (status && status->state == WorkerState::waiting)
			status->next_due = status->last_start + microseconds(setting::cleanup_interval);
		else if (status && status->state == WorkerState::failed)
			status->next_due = status->last_start + delay_after(status->failures);
		else
			continue;
		(void) update_status(*status);
	}
}

void
Schedule::limit_plans(TimestampTz now)
{
	for (Database &database : databases)
	{
		std::optional<DatabaseStatus> status = status_of(database.oid);

		database.started = std::min(database.started, now);
		if (!status)
			continue;

		TimestampTz latest =
			now + (status->state == WorkerState::failed ? delay_after(status->failures)
														: microseconds(setting::cleanup_interval));

		if (status->next_due <= latest)
			continue;
		status->next_due = latest;
		(void) update_status(*status);
	}
}

/* The status says how the worker has ended. */
void
record_worker_end(Database *database, TimestampTz now)
{
	std::optional<DatabaseStatus> status = status_of(database->oid);

	pfree(database->worker);
	database->worker = nullptr;
	if (!status)
		return;
	database->unvisited = false;
	switch (status->state)
	{
		case WorkerState::absent:
			drop_status(database->oid);
			return;
		case WorkerState::waiting:
			status->next_due = status->more_work
								   ? now
								   : status->last_start + microseconds(setting::cleanup_interval);
			break;
		case WorkerState::starting:
		case WorkerState::running:
			/* The worker has died before it could write its status. */
			status->failures++;
			status->state = WorkerState::failed;
			strlcpy(status->error, "the worker was terminated", error_length);
			[[fallthrough]];
		case WorkerState::failed:
			status->next_due = now + delay_after(status->failures);
			if (status->next_failover != 0)
				status->next_failover = std::max(status->next_failover, now + failover_retry_delay);
			break;
	}
	(void) update_status(*status);
}

} // namespace gxy
