/*
 * launcher.cpp: decides when which database gets a worker.
 *
 * Runs in one process (shared/launcher_claim.hpp says who starts it), after recovery, so on a standby only once it is
 * promoted; connected to no database: it holds up no DROP DATABASE and no CREATE DATABASE ... TEMPLATE. It sees pg_database, nothing else, and reaches into a
 * database by starting a worker there (worker/run.cpp), for which it never waits: a worker that starts up may itself be
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
#include "pg/settings.hpp"
#include "worker/schedule.hpp"
#include "shared/status.hpp"

namespace gxy
{
namespace
{

/* Workers that may run at once. */
constexpr int max_running = 3;
constexpr TimestampTz startup_patience = 2 * USECS_PER_SEC;
constexpr TimestampTz retry_delay = 1 * USECS_PER_SEC;

struct Launcher
{
	Schedule schedule;
	TimestampTz next_round = 0;
	TimestampTz no_worker_before = 0; /* the server had no free worker slot */
	bool slots_were_short = false;
	bool memory_was_short = false;
};
static_assert(std::is_trivially_destructible_v<Launcher>);

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

bool
has_ended(const Database &database)
{
	pid_t pid;

	return database.worker != nullptr &&
		   GetBackgroundWorkerPid(database.worker, &pid) == BGWH_STOPPED;
}

/* Those that are stuck in start-up, waiting for a copy of their database to end, do not count. */
int
count_running(const Launcher &launcher, TimestampTz now)
{
	int running = 0;

	for (const Database &database : launcher.schedule.databases)
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
skip_database(Launcher *launcher, Database *database)
{
	database->skipped = true;
	if (!launcher->memory_was_short)
		ereport(WARNING, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
						  errmsg("gxy_balancer: not all databases get a background worker, for "
								 "want of shared memory"),
						  errhint("Raise gxy_balancer.max_shared_memory and reload the "
								  "configuration.")));
	launcher->memory_was_short = true;
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
	status.run_requested = false;
	if (!put_status(status))
	{
		skip_database(launcher, database);
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

/* Nothing waits for longer than was planned, also if the clock has been set back since. */
void
limit_plans(Launcher *launcher, TimestampTz now)
{
	launcher->schedule.limit_plans(now);
	launcher->next_round =
		std::min(launcher->next_round, now + microseconds(setting::cleanup_interval));
	launcher->no_worker_before = std::min(launcher->no_worker_before, now + retry_delay);
}

/* Settles what has ended and starts what is due; returns when to look again. */
TimestampTz
run_due(Launcher *launcher, TimestampTz now)
{
	for (Database &database : launcher->schedule.databases)
		if (has_ended(database))
			settle(&database, now);
	limit_plans(launcher, now);

	TimestampTz wake = launcher->next_round;

	for (;;)
	{
		TimestampTz when;
		Database *database = launcher->schedule.first_due(&when);

		if (when > now)
			return std::min(wake, when);
		/* One that cannot run yet is tried again soon; the end of another wakes us sooner. */
		if (count_running(*launcher, now) >= max_running || now < launcher->no_worker_before)
			return std::min(wake, now + retry_delay);
		/* Else a worker would find out, which is a FATAL in the log. */
		if (launcher->schedule.forget_if_gone(database))
			continue;
		if (!run(launcher, database, now))
			return std::min(wake, now + retry_delay);
	}
}

/* New settings apply at once: an interval that has shrunk from an hour to a second must not be waited out. */
void
reload(Launcher *launcher, TimestampTz now)
{
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	launcher->next_round = now;
	launcher->schedule.replan();
}

void
begin_round(Launcher *launcher, TimestampTz now)
{
	const Array<Database> &databases = launcher->schedule.databases;

	/* One warning for as long as some are left out, round after round. */
	launcher->memory_was_short = std::any_of(databases.begin(), databases.end(),
											 [](const Database &known) { return known.skipped; });
	launcher->schedule.reload();
	launcher->next_round = now + microseconds(setting::cleanup_interval);
}

/* False if there is none, or it is that of another version of the library. */
bool
find_shared_memory()
{
	bool found;

	StartTransactionCommand();
	found = shared_header() != nullptr;
	CommitTransactionCommand();
	return found;
}

} // namespace

extern "C"
{
	PGDLLEXPORT void gxy_launcher_main(Datum argument);

	void gxy_launcher_main(Datum)
	{
		Launcher launcher;

		pqsignal(SIGHUP, SignalHandlerForConfigReload);
		pqsignal(SIGTERM, die);
		BackgroundWorkerUnblockSignals();
		BackgroundWorkerInitializeConnection(nullptr, nullptr, 0);
		if (!find_shared_memory() || !claim_launcher())
			proc_exit(0);

		MemoryContextSwitchTo(TopMemoryContext);
		for (;;)
		{
			TimestampTz now = GetCurrentTimestamp();

			if (ConfigReloadPending)
				reload(&launcher, now);
			if (now >= launcher.next_round || launcher.schedule.lacks_requested_database())
				begin_round(&launcher, now);
			if (launcher.schedule.is_idle() && retire_launcher())
				proc_exit(0);

			TimestampTz wake = run_due(&launcher, now);
			long timeout = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), wake);

			(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, timeout,
							 PG_WAIT_EXTENSION);
			ResetLatch(MyLatch);
			CHECK_FOR_INTERRUPTS();
		}
	}
}

} // namespace gxy
