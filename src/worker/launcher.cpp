/*
 * launcher.cpp: decides which database gets a worker, and when.
 *
 * Runs in one process (see shared/launcher_claim.hpp), after recovery, so on a standby only after
 * its promotion. It is connected to no database, so it delays no DROP DATABASE and no CREATE
 * DATABASE ... TEMPLATE. It reads pg_database only. For everything else it starts a worker in the
 * database (worker/run.cpp). It never waits for a worker: one that is starting may be waiting until
 * a copy of its database has ended.
 *
 * The states of a database are WorkerState and, without a status, unvisited and visited:
 *
 *     unvisited     a worker is started                     -> starting
 *     visited       CREATE EXTENSION, or a function call    -> waiting, due at once
 *     waiting       due, a failover is due, or a request    -> starting
 *     failed        due, or a failover is due               -> starting
 *     starting      the worker is connected                 -> running
 *     running       the run succeeds                        -> waiting
 *     running       the run fails                           -> failed
 *     starting,
 *     running       the worker dies                         -> failed
 *     running       there is no extension                   -> absent -> visited
 *     any           the database is dropped                 -> removed
 *
 * A waiting database is due after the interval, or at once if work is left; a failed one after a
 * delay that doubles with every failure.
 *
 * pg_database is read once an interval. After its one visit a database without the extension costs
 * nothing else. The launcher can find out again everything that it knows, so it may be terminated
 * at any time: the server restarts it, and it visits every database.
 */
#include "pg/array.hpp"
#include "pg/compat.hpp"
#include "pg/settings.hpp"
#include "shared/databases.hpp"
#include "shared/header.hpp"
#include "shared/launcher_claim.hpp"
#include "shared/status.hpp"
#include "worker/schedule.hpp"

namespace gxy
{
namespace
{

/* Workers that run at the same time. */
constexpr int max_running = 3;
/* A worker that starts for longer does not count as running, see count_running(). */
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
		if (launcher->slots_were_short)
			note_worker_slot(true);
		launcher->slots_were_short = false;
		return;
	}
	database->worker = nullptr;
	launcher->no_worker_before = now + retry_delay;
	note_worker_slot(false);
	if (!launcher->slots_were_short)
		ereport(WARNING, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
						  errmsg("gxy_balancer: no background worker slot is free for a worker"),
						  errdetail("Until there is one, inactive rooms are not freed; the "
									"launcher tries again every second."),
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

/*
 * Returns the number of running workers, without those that have been starting for long: they wait
 * until a copy of their database has ended.
 */
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

/*
 * There is no shared memory for a database's status. It is tried again in the next round, when
 * there may be some.
 */
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
 * Starts a worker. The database gets a status before that, which distinguishes a worker that has
 * died from one that has found no extension. Returns false if the server has no slot for a worker.
 */
bool
run(Launcher *launcher, Database *database, TimestampTz now)
{
	std::optional<DatabaseStatus> before = status_of(database->oid);
	DatabaseStatus status = before.value_or(DatabaseStatus());

	status.database = database->oid;
	status.state = WorkerState::starting;
	status.run_requested = false;
	status.next_announcement = 0;
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

/* Reduces times that are too far ahead because the clock has been set back. */
void
limit_plans(Launcher *launcher, TimestampTz now)
{
	launcher->schedule.limit_plans(now);
	launcher->next_round =
		std::min(launcher->next_round, now + microseconds(setting::cleanup_interval));
	launcher->no_worker_before = std::min(launcher->no_worker_before, now + retry_delay);
}

/* Records the workers that have ended and starts those that are due. Returns when to look again. */
TimestampTz
run_due(Launcher *launcher, TimestampTz now)
{
	for (Database &database : launcher->schedule.databases)
		if (has_ended(database))
			record_worker_end(&database, now);
	limit_plans(launcher, now);

	TimestampTz wake = launcher->next_round;

	for (;;)
	{
		TimestampTz when;
		Database *database = launcher->schedule.first_due(&when);

		if (when > now)
			return std::min(wake, when);
		/* Try again soon; the end of a worker wakes the launcher earlier. */
		if (count_running(*launcher, now) >= max_running || now < launcher->no_worker_before)
			return std::min(wake, now + retry_delay);
		/* A worker in a dropped database would log a FATAL. */
		if (launcher->schedule.forget_if_gone(database))
			continue;
		if (!run(launcher, database, now))
			return std::min(wake, now + retry_delay);
	}
}

/* Applies new settings at once: a shorter interval must not wait until a longer one has passed. */
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

	/* One warning as long as databases are skipped, also over several rounds. */
	launcher->memory_was_short = std::any_of(databases.begin(), databases.end(),
											 [](const Database &known) { return known.skipped; });
	launcher->schedule.reload();
	launcher->next_round = now + microseconds(setting::cleanup_interval);
}

/*
 * Returns false if there is no shared memory, or if it is that of another version of the library.
 */
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
