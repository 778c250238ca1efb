/*
 * status.hpp: what backends, launcher and workers tell each other.
 *
 * Present only where the library is preloaded; everything here is harmless without, and says so.
 */
#pragma once

#include "pg/compat.hpp"

namespace gxy
{

/* Whether there is shared memory of ours. */
bool is_preloaded();

/* Asks the server for the memory at start; to be called while libraries are being preloaded. */
void request_shared_memory();

/* What is counted, in the order of the columns of balancer_stats. */
enum class Counter
{
	tier_0,
	tier_1,
	tier_2,
	tier_3,
	tier_4,
	tier_5,
	tier_6,
	sticky,
	renewed,
	moved,
	freed,
	refused,
	count /* not a counter: their number */
};
inline constexpr int counters = static_cast<int>(Counter::count);

/*
 * Counts for this database. Each backend counts in a cache line of its own; the reader adds them up. Counts are of
 * calls, whatever became of their transactions.
 */
void count(Counter counter, std::int64_t by = 1);

struct Counts
{
	std::int64_t value[counters];
	TimestampTz since; /* the server's start, or the last reset */
};

/* The sums for this database; std::nullopt without shared memory. */
std::optional<Counts> read_counts();
void reset_counts();

/* How a database's worker stands. */
enum class WorkerState : std::uint8_t
{
	waiting,  /* for its next run */
	starting, /* a process was asked for, and may be waiting for a copy of its database to end */
	running,
	failed, /* the last run; the next is put off */
	absent	/* the last visit found no extension */
};

inline constexpr int error_length = 256;

/* One database that has the extension, or is being visited to see whether it has. */
struct DatabaseStatus
{
	Oid database;
	WorkerState state;
	bool called_for;		   /* a backend wants a run, the sooner the better */
	bool more_work;			   /* the last run left some for want of time */
	int failures;			   /* in a row */
	TimestampTz last_start;	   /* 0: none yet */
	std::int64_t duration;	   /* of the last run, microseconds */
	std::int64_t freed;		   /* by the last run */
	TimestampTz next_due;	   /* 0: not planned */
	TimestampTz next_failover; /* when a failover falls due or a silence counts; 0: none in sight */
	bool monitor_lost;		   /* the servers' silence has been put down to their monitor */
	char error[error_length];  /* of the last run, empty if it went well */
};

/* The status of a database, if it has one. */
std::optional<DatabaseStatus> status_of(Oid database);

/* Sets the status of its database, adding it if need be; false if there is no place for more databases. */
bool put_status(const DatabaseStatus &status);

/* The same, but a call for a run that came in meanwhile stays. */
bool update_status(DatabaseStatus status);

/* Forgets the status, unless a run has been called for. */
void drop_status(Oid database);

/* Lists the databases that have a place here, if only for their counters: max_databases at most. */
int list_places(Oid *databases);

/* Forgets a database that is gone, with its counters. */
void clear_place(Oid database);

/* Calls for a run in a database, which thereby is known to have the extension, and wakes the launcher. */
void call_for_run(Oid database);

/* The same when this transaction commits; not if it is prepared, when nothing has come about yet. */
void call_for_run_at_commit();

/* Since when the server has been open for writing: its start, the end of a crash recovery, or its promotion. */
TimestampTz writable_since();
void note_writable();

/* Of the launcher, so that it can be woken; nullptr when it ends. */
void set_launcher_latch(Latch *latch);

/* Whether there is one: none without preload, on a standby, or where max_worker_processes left it no slot at the server's start. */
bool has_launcher();

/* Copies the statuses there are: max_databases at most. */
int list_statuses(DatabaseStatus *statuses);
inline constexpr int max_databases = 512;

} // namespace gxy
