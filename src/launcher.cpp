/*
 * launcher.cpp: decides when which database gets a worker.
 *
 * Runs in one process, started after recovery (so on a standby only once it is promoted), connected to no database: it
 * holds up no DROP DATABASE and no CREATE DATABASE ... TEMPLATE. It sees pg_database, nothing else, and reaches into a
 * database by starting a worker there (worker.cpp), for which it never waits: a worker that starts up may itself be
 * waiting for a template copy to end.
 *
 * What it knows of a database, and what moves it on:
 *
 *     unvisited --- a worker finds the extension -----> waiting
 *     unvisited --- a worker finds none --------------> without      (forgotten but for its OID)
 *     without   --- CREATE EXTENSION commits there, or a backend calls a function -> waiting, due at once
 *     waiting   --- its time has come, a failover is due, or it is called for -> running
 *     running   --- the worker ends well -------------> waiting, due after the interval, or at once if work is left
 *     running   --- it ends with an error, or dies ---> failed, due after a doubling delay
 *     failed    --- its time has come, or a failover is due (put off a little) -> running
 *     any       --- the database is gone -------------> forgotten
 *     any       --- a worker finds no extension ------> without
 *
 * Databases appear in pg_database; it is read once an interval. Those without the extension cost nothing else after
 * their one visit. Whatever the launcher knows it can find out again, so it may be terminated at any time: the server
 * starts it anew, and it begins with a round of visits.
 */
#include "guc.hpp"
#include "worker.hpp"

#include "array.hpp"

namespace gxy
{
namespace
{

/* Workers that may run at once. */
constexpr int max_running = 3;
constexpr TimestampTz startup_patience = 2 * USECS_PER_SEC;
constexpr TimestampTz longest_delay = 10 * USECS_PER_MINUTE;
constexpr TimestampTz retry_delay = 1 * USECS_PER_SEC;
/* For a failover that is due after a run that failed: the delay between cleanups would leave users without a server. */
constexpr TimestampTz failover_retry_delay = 2 * USECS_PER_SEC;

struct Database
{
	Oid oid = InvalidOid;
	bool unvisited = true;
	bool left_out = false; /* in this round, for want of a place in shared memory */
	BackgroundWorkerHandle *worker = nullptr;
	TimestampTz started = 0;
};

struct Launcher
{
	Array<Database> databases;
	TimestampTz next_round = 0;
	TimestampTz no_worker_before = 0; /* the server had no free worker slot */
	bool slots_were_short = false;
	bool places_were_short = false;
};
static_assert(std::is_trivially_destructible_v<Launcher>);

Database *
find_database(Launcher *launcher, Oid oid)
{
	for (Database &database : launcher->databases)
		if (database.oid == oid)
			return &database;
	return nullptr;
}

/* Databases that people may connect to; templates are copied, not used. */
Array<Oid>
read_databases()
{
	Array<Oid> oids;
	MemoryContext context = CurrentMemoryContext;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();

	Relation catalog = table_open(DatabaseRelationId, AccessShareLock);
	TableScanDesc scan = table_beginscan_catalog(catalog, 0, nullptr);
	HeapTuple tuple;

	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != nullptr)
	{
		Form_pg_database row = reinterpret_cast<Form_pg_database>(GETSTRUCT(tuple));
		MemoryContext caller = MemoryContextSwitchTo(context);

		if (row->datallowconn && !row->datistemplate && row->datconnlimit != -2)
			oids.push(row->oid);
		MemoryContextSwitchTo(caller);
	}
	table_endscan(scan);
	table_close(catalog, AccessShareLock);
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
	return oids;
}

/* Takes note of new databases, forgets those that are gone. */
void
begin_round(Launcher *launcher)
{
	MemoryContext scratch =
		AllocSetContextCreate(TopMemoryContext, "gxy_balancer round", ALLOCSET_SMALL_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(scratch);
	Array<Oid> oids = read_databases();
	Array<Database> &known = launcher->databases;
	int kept = 0;

	MemoryContextSwitchTo(caller);
	launcher->places_were_short = false;
	for (Oid oid : oids)
		if (find_database(launcher, oid) == nullptr)
		{
			Database fresh;

			fresh.oid = oid;
			known.push(fresh);
		}
	for (Database &database : known)
	{
		launcher->places_were_short |= database.left_out;
		database.left_out = false;
		if (database.worker != nullptr ||
			std::find(oids.begin(), oids.end(), database.oid) != oids.end())
			known[kept++] = database;
	}
	known.count = kept;
	keep_only(oids.begin(), oids.count);
	MemoryContextDelete(scratch);
}

void
start_worker(Launcher *launcher, Database *database, TimestampTz now)
{
	BackgroundWorker worker = {};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_main_arg = ObjectIdGetDatum(database->oid);
	worker.bgw_notify_pid = MyProcPid;
	strlcpy(worker.bgw_library_name, "gxy_balancer", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "gxy_worker_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "gxy_balancer worker", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "gxy_balancer worker", BGW_MAXLEN);

	MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);
	bool registered = RegisterDynamicBackgroundWorker(&worker, &database->worker);

	MemoryContextSwitchTo(caller);
	if (registered)
	{
		database->started = now;
		launcher->slots_were_short = false;
		return;
	}
	database->worker = nullptr;
	launcher->no_worker_before = now + retry_delay;
	if (!launcher->slots_were_short)
		ereport(WARNING, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
						  errmsg("gxy_balancer: no background worker slot is free, will retry"),
						  errhint("Raise max_worker_processes.")));
	launcher->slots_were_short = true;
}

/* The delay doubles with every failure in a row. */
TimestampTz
delay_after(int failures)
{
	TimestampTz delay = microseconds(setting::cleanup_interval);

	for (int i = 1; i < failures && delay < longest_delay; i++)
		delay *= 2;
	return std::max(std::min(delay, longest_delay), microseconds(setting::cleanup_interval));
}

/* A worker has ended: what it left in the status tells how. */
void
settle(Database *database, TimestampTz now)
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
			/* It did not live to say. */
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

bool
has_ended(const Database &database)
{
	pid_t pid;

	return database.worker != nullptr &&
		   GetBackgroundWorkerPid(database.worker, &pid) == BGWH_STOPPED;
}

/* When a database is to get its next worker. */
TimestampTz
due(const Database &database)
{
	std::optional<DatabaseStatus> status = status_of(database.oid);

	if (database.worker != nullptr)
		return DT_NOEND;
	if (status && status->called_for)
		return DT_NOBEGIN;
	if (status && status->next_failover != 0)
		return std::min(status->next_due, status->next_failover);
	if (status)
		return status->next_due;
	return database.unvisited && !database.left_out ? DT_NOBEGIN : DT_NOEND;
}

/* The database that has been due for longest: if they came in a fixed order, those at its end might never get a run. */
Database *
first_due(Launcher *launcher, TimestampTz *when)
{
	Database *first = nullptr;

	*when = DT_NOEND;
	for (Database &database : launcher->databases)
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

/* Those that are stuck in start-up, waiting for a copy of their database to end, do not count. */
int
count_running(const Launcher &launcher, TimestampTz now)
{
	int running = 0;

	for (const Database &database : launcher.databases)
	{
		std::optional<DatabaseStatus> status = status_of(database.oid);
		bool stuck = status && status->state == WorkerState::starting &&
					 now - database.started >= startup_patience;

		if (database.worker != nullptr && !stuck)
			running++;
	}
	return running;
}

/* It is tried again in the next round: another may have lost the extension by then. */
void
leave_out(Launcher *launcher, Database *database)
{
	database->left_out = true;
	if (!launcher->places_were_short)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("gxy_balancer: more than %d databases have the extension, so not all get a "
						"background worker",
						max_databases),
				 errhint("Have clean_inactive_assignments() called every minute where "
						 "balancer_stats shows no last_run.")));
	launcher->places_were_short = true;
}

/*
 * A database under visit has a status from the start, so that a worker that died is told from one that found no
 * extension. False if no worker could be had.
 */
bool
run(Launcher *launcher, Database *database, TimestampTz now)
{
	std::optional<DatabaseStatus> before = status_of(database->oid);
	DatabaseStatus status = before.value_or(DatabaseStatus());

	status.database = database->oid;
	status.state = WorkerState::starting;
	status.called_for = false;
	if (!put_status(status))
	{
		leave_out(launcher, database);
		return true;
	}
	start_worker(launcher, database, now);
	if (database->worker != nullptr)
		return true;
	if (before)
		(void) put_status(*before);
	else
		drop_status(database->oid);
	return false;
}

/* Settles what has ended and starts what is due; returns when to look again. */
TimestampTz
attend(Launcher *launcher, TimestampTz now)
{
	TimestampTz wake = launcher->next_round;

	for (Database &database : launcher->databases)
		if (has_ended(database))
			settle(&database, now);

	for (;;)
	{
		TimestampTz when;
		Database *database = first_due(launcher, &when);

		if (when > now)
			return std::min(wake, when);
		/* One that cannot run yet is tried again soon; the end of another wakes us sooner. */
		if (count_running(*launcher, now) >= max_running || now < launcher->no_worker_before ||
			!run(launcher, database, now))
			return std::min(wake, now + retry_delay);
	}
}

/* Backends may have called for runs in databases that pg_database has shown since. */
bool
unknown_called_for(Launcher *launcher)
{
	DatabaseStatus *statuses =
		static_cast<DatabaseStatus *>(palloc(sizeof(DatabaseStatus) * max_databases));
	int count = list_statuses(statuses, max_databases);
	bool unknown = false;

	for (int i = 0; i < count; i++)
		unknown = unknown || (statuses[i].called_for &&
							  find_database(launcher, statuses[i].database) == nullptr);
	pfree(statuses);
	return unknown;
}

/* New settings apply at once: an interval that has shrunk from an hour to a second must not be waited out. */
void
reload(Launcher *launcher, TimestampTz now)
{
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	launcher->next_round = now;
	for (const Database &database : launcher->databases)
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

} // namespace

extern "C"
{
	static void forget_launcher(int, Datum)
	{
		set_launcher_latch(nullptr);
	}

	PGDLLEXPORT void gxy_launcher_main(Datum argument);

	void gxy_launcher_main(Datum)
	{
		Launcher launcher;

		pqsignal(SIGHUP, SignalHandlerForConfigReload);
		pqsignal(SIGTERM, die);
		BackgroundWorkerUnblockSignals();
		BackgroundWorkerInitializeConnection(nullptr, nullptr, 0);
		before_shmem_exit(forget_launcher, Datum(0));
		set_launcher_latch(MyLatch);
		note_writable();

		MemoryContextSwitchTo(TopMemoryContext);
		for (;;)
		{
			TimestampTz now = GetCurrentTimestamp();

			if (ConfigReloadPending)
				reload(&launcher, now);
			if (now >= launcher.next_round || unknown_called_for(&launcher))
			{
				begin_round(&launcher);
				launcher.next_round = now + microseconds(setting::cleanup_interval);
			}

			TimestampTz wake = attend(&launcher, now);
			long timeout = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), wake);

			(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, timeout,
							 PG_WAIT_EXTENSION);
			ResetLatch(MyLatch);
			CHECK_FOR_INTERRUPTS();
		}
	}
}

void
register_launcher()
{
	BackgroundWorker worker = {};

	/* pg_upgrade moves the tables; nobody is to change them meanwhile. */
	if (IsBinaryUpgrade)
		return;
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 1;
	strlcpy(worker.bgw_library_name, "gxy_balancer", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "gxy_launcher_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "gxy_balancer launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "gxy_balancer launcher", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}

} // namespace gxy
