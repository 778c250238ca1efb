/*
 * run.cpp: one run in one database.
 *
 * Started by the launcher (worker/launcher.cpp). It is connected to its database only as long as a
 * run takes, so that it does not delay DROP, ALTER RENAME or a copy of the database. A run is a
 * series of short transactions: it declares servers unhealthy that have sent no heartbeat, moves
 * the rooms of failed servers, and frees inactive rooms. An error ends the run. It is kept in the
 * status that balancer_stats shows, and logged if it differs from the last one.
 *
 * The process reports the freed rows to the cumulative statistics when it exits, so autovacuum
 * learns of them.
 *
 * It runs as the owner of the assignments, restricted (pg/role.hpp). Statements on the other tables
 * run as their owners (tables/owner_sql.cpp), and the application's relations are read as their
 * owners (application/source_reader.cpp). So no code of a role that is no superuser runs with a
 * superuser's rights.
 */
#include "pg/compat.hpp"
#include "pg/lock_timeout.hpp"
#include "pg/role.hpp"
#include "pg/settings.hpp"
#include "rooms/cleanup.hpp"
#include "rooms/drains.hpp"
#include "rooms/failover_moves.hpp"
#include "rooms/load_comparison.hpp"
#include "rooms/move_events.hpp"
#include "rooms/relocation.hpp"
#include "servers/failover.hpp"
#include "servers/pool.hpp"
#include "servers/server_state.hpp"
#include "shared/databases.hpp"
#include "shared/header.hpp"
#include "shared/status.hpp"
#include "tables/catalog.hpp"
#include "worker/run_outcome.hpp"

namespace gxy
{
namespace
{

constexpr int time_budget = 1000; /* milliseconds */
constexpr TimestampTz busy_delay = USECS_PER_SEC / 2;
/*
 * DROP DATABASE waits five seconds for connected backends, so a run with slow views must end
 * before. Unless a session wants the database, each step has this time for itself.
 */
constexpr TimestampTz longest_run = 4 * USECS_PER_SEC;
/* After that the process exits, because application code may catch the cancellation. */
constexpr TimestampTz last_resort = 4500 * USECS_PER_SEC / 1000;

TimestampTz step_started = 0;
TimeoutId last_resort_timeout;
bool ended_by_force = false;
emit_log_hook_type other_log_hook = nullptr;

Oid
installed_extension()
{
	return get_extension_oid("gxy_balancer", true);
}

/*
 * Locks the extension before any of its tables, as DROP EXTENSION does, so that the two cannot
 * deadlock. Returns false if the extension is not installed, or was dropped during the wait; if it
 * was created again, that has requested another run.
 */
bool
hold_extension()
{
	Oid extension = installed_extension();

	if (!OidIsValid(extension))
		return false;
	wait_or_report(
		Deadline::of_call_starting_now(),
		[extension] { LockDatabaseObject(ExtensionRelationId, extension, 0, AccessShareLock); },
		[] {
			ereport(ERROR, (errcode(ERRCODE_LOCK_NOT_AVAILABLE),
							errmsg("timed out waiting for extension gxy_balancer"),
							errdetail("Another transaction is dropping or altering it.")));
		});
	return installed_extension() == extension;
}

/*
 * Returns whether another session is about to drop or copy the database: it has locked the database
 * then. Call it in a transaction.
 */
bool
database_is_wanted()
{
	LOCKTAG tag;

	SET_LOCKTAG_OBJECT(tag, InvalidOid, DatabaseRelationId, MyDatabaseId, 0);
	if (LockAcquire(&tag, RowExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return true;
	(void) LockRelease(&tag, RowExclusiveLock, false);
	return false;
}

void
begin_step()
{
	step_started = GetCurrentTimestamp();
	enable_timeout_at(last_resort_timeout, step_started + last_resort);
}

/*
 * Runs f in a transaction as the owner of the assignments. Returns false if the extension is not
 * installed.
 */
template <typename F>
bool
in_batch(const char *activity, F f)
{
	bool installed;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	if (!database_is_wanted())
		begin_step();
	enable_timeout_at(STATEMENT_TIMEOUT, step_started + longest_run);
	PushActiveSnapshot(GetTransactionSnapshot());
	pgstat_report_activity(STATE_RUNNING, activity);
	installed = hold_extension();
	if (installed)
		as_role(owner_of(relations().assignments), f);
	PopActiveSnapshot();
	disable_timeout(STATEMENT_TIMEOUT, false);
	CommitTransactionCommand();
	pgstat_report_activity(STATE_IDLE, nullptr);
	return installed;
}

/* Warns when the monitor fails, and not again before it has recovered. */
void
note_monitor(DatabaseStatus *status, bool lost)
{
	if (lost && !status->monitor_lost)
		ereport(
			WARNING,
			(errmsg("gxy_balancer: most servers have fallen silent at once, which is put down to "
					"their monitor"),
			 errhint("None of them is declared unhealthy; see that the monitor runs.")));
	status->monitor_lost = lost;
}

/*
 * Tells listeners which rooms calls have moved. Returns false if the extension is not installed.
 */
bool
tell_moves_on_call()
{
	bool installed;
	bool more = false;

	do
	{
		CHECK_FOR_INTERRUPTS();
		installed = in_batch("gxy_balancer: telling which rooms have moved", [&more] {
			more = announce_moves_on_call(failover_batch, Deadline::of_call_starting_now());
		});
	} while (installed && more);
	return installed;
}

/* The urgent part of a run: servers without heartbeats, and failovers that are due. */
bool
watch_and_move(DatabaseStatus *status, Deadline end)
{
	TimestampTz next = 0;
	MoveResult moved;
	auto sooner = [&next](TimestampTz time) {
		if (time != 0 && (next == 0 || time < next))
			next = time;
	};
	bool installed =
		tell_moves_on_call() && in_batch("gxy_balancer: looking after the servers", [&] {
			Watch watch = watch_servers(Deadline::of_call_starting_now());

			sooner(watch.next);
			note_monitor(status, watch.monitor_lost);
		});

	/* First those with a standby, which do not depend on the application's sessions. */
	for (Destination destination : {Destination::standby, Destination::policy})
	{
		do
		{
			CHECK_FOR_INTERRUPTS();
			installed = installed && in_batch("gxy_balancer: moving rooms", [&] {
							/*
							 * Read before: what becomes due while rooms are moved is left for the
							 * next batch.
							 */
							TimestampTz now = GetCurrentTimestamp();
							Deadline deadline = Deadline::of_call_starting_now();

							moved = carry_out_failovers(destination, failover_batch, now, deadline);
							sooner(next_failover(pool(deadline), now));
						});
		} while (installed && moved.more && !end.passed());
		/* Rooms that other transactions have locked are tried again soon. */
		if (moved.more || moved.busy)
			sooner(GetCurrentTimestamp() + (moved.more ? 0 : busy_delay));
	}
	status->next_failover = next;
	return installed;
}

/* Looks for inactive rooms once, and frees them in batches until the time is over. */
bool
free_inactive_rooms(DatabaseStatus *status, char *shortfall, Deadline end)
{
	Cleanup cleanup;
	bool installed = in_batch("gxy_balancer: looking for inactive rooms", [&cleanup] {
		MemoryContext transaction = MemoryContextSwitchTo(TopMemoryContext);

		cleanup = Cleanup::look(microseconds(setting::assignment_grace));
		MemoryContextSwitchTo(transaction);
	});

	while (installed && !cleanup.finished())
	{
		CHECK_FOR_INTERRUPTS();
		installed = in_batch("gxy_balancer: freeing inactive rooms",
							 [&cleanup, status] { status->freed += cleanup.run_batch(); });
		if (end.passed())
			break;
	}
	status->more_work = !cleanup.finished() || cleanup.more_to_learn();
	strlcpy(shortfall, cleanup.shortfall(), error_length);
	return installed;
}

/* Tells listeners of servers that have become empty. */
bool
tell_of_drains()
{
	return in_batch("gxy_balancer: looking for drained servers",
					[] { tell_drained_servers(Deadline::of_call_starting_now()); });
}

void
run_batches(DatabaseStatus *status, char *shortfall)
{
	Deadline end = Deadline::in(time_budget);

	status->freed = 0;
	if (watch_and_move(status, end) && free_inactive_rooms(status, shortfall, end) &&
		tell_of_drains() && in_batch("gxy_balancer: comparing loads with measured ones", [] {
			compare_measured_loads(Deadline::of_call_starting_now());
			forget_old_failovers(Deadline::of_call_starting_now());
		}))
		status->state = WorkerState::waiting;
	else
		status->state = WorkerState::absent;
}

/*
 * Overrides settings of the database that are meant for other sessions: a SERIALIZABLE worker would
 * make the application's transactions fail, and one that waits for a synchronous standby would
 * delay DROP DATABASE.
 */
void
override_settings()
{
	static const struct
	{
		const char *name;
		const char *value;
	} settings[] = {
		{"lock_timeout", "1s"},
		/* In a deadlock the worker is the first to notice, and so the one to be cancelled. */
		{"deadlock_timeout", "10ms"},
		{"statement_timeout", "0"},
		{"idle_in_transaction_session_timeout", "0"},
#if PG_VERSION_NUM >= 170000
		{"transaction_timeout", "0"},
#endif
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_read_only", "off"},
		{"default_transaction_deferrable", "off"},
		{"synchronous_commit", "local"},
		{"search_path", "pg_catalog, pg_temp"}
	};

	for (const auto &setting : settings)
		SetConfigOption(setting.name, setting.value, PGC_SUSET, PGC_S_OVERRIDE);
}

/* Returns the name of the database, for the log. */
const char *
name_database()
{
	const char *name;

	StartTransactionCommand();
	check_layout();
	name = get_database_name(MyDatabaseId);
	name = MemoryContextStrdup(TopMemoryContext, name != nullptr ? name : "?");
	CommitTransactionCommand();
	return name;
}

} // namespace

extern "C"
{
	static void name_database_in_log(void *name)
	{
		if (ended_by_force)
			errcontext("an attached relation caught the cancellation of a run that took too long");
		errcontext("gxy_balancer worker in database \"%s\"", static_cast<const char *>(name));
	}

	/* Handler of a timeout. The same as SIGTERM. */
	static void end_by_force()
	{
		ended_by_force = true;
		InterruptPending = true;
		ProcDiePending = true;
		SetLatch(MyLatch);
	}

	/*
	 * Called for errors of connecting. A database that was dropped after the launcher has looked is
	 * no error: exit as after a run. A database whose folder is missing has the same SQLSTATE, but
	 * a path in the detail.
	 */
	static void leave_dropped_database(ErrorData *error)
	{
		bool dropped = error->elevel == FATAL && error->sqlerrcode == ERRCODE_UNDEFINED_DATABASE &&
					   (error->detail == nullptr || std::strchr(error->detail, '/') == nullptr);

		if (dropped)
			proc_exit(0);
		if (other_log_hook != nullptr)
			other_log_hook(error);
	}

	PGDLLEXPORT void gxy_worker_main(Datum database);

	void gxy_worker_main(Datum database)
	{
		pqsignal(SIGHUP, SignalHandlerForConfigReload);
		pqsignal(SIGTERM, die);
		BackgroundWorkerUnblockSignals();
		other_log_hook = emit_log_hook;
		emit_log_hook = leave_dropped_database;
		BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(database), InvalidOid, 0);
		emit_log_hook = other_log_hook;
		override_settings();

		const char *name = name_database();
		ErrorContextCallback callback = {error_context_stack, name_database_in_log,
										 const_cast<char *>(name)};
		DatabaseStatus status = status_of(MyDatabaseId).value_or(DatabaseStatus());
		char last_error[error_length];
		char shortfall[error_length] = "";

		std::memcpy(last_error, status.error, error_length);
		error_context_stack = &callback;
		status.database = MyDatabaseId;
		status.state = WorkerState::running;
		status.last_start = GetCurrentTimestamp();
		(void) update_status(status);
		last_resort_timeout = RegisterTimeout(USER_TIMEOUT, end_by_force);
		begin_step();
		PG_TRY();
		{
			run_batches(&status, shortfall);
			note_success(&status, shortfall, last_error);
		}
		PG_CATCH();
		{
			note_failure(&status, last_error);
		}
		PG_END_TRY();
		/* The clock may have been set back. */
		status.duration = std::max<TimestampTz>(GetCurrentTimestamp() - status.last_start, 0);
		(void) update_status(status);
		proc_exit(0);
	}
}

} // namespace gxy
