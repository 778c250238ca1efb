/*
 * launcher_claim.cpp: requests the launcher from the server, and admits the first one.
 */
#include "shared/launcher_claim.hpp"

#include "pg/compat.hpp"
#include "pg/monotonic_clock.hpp"
#include "shared/databases.hpp"
#include "shared/header.hpp"
#include "shared/segments.hpp"
#include "shared/writable_since.hpp"

namespace gxy
{
namespace
{

/* Time until the next attempt if the server had no slot. */
constexpr std::int64_t retry_delay = 1000; /* milliseconds */

/* Set in the postmaster and so in all its children: the server starts the launcher by itself. */
bool preloaded = false;

LauncherClaim &
claim()
{
	return shared_header()->launcher;
}

void
clear_claim()
{
	claim().latch = nullptr;
	claim().failed_at = 0;
	pg_atomic_write_u32(&claim().pid, 0);
}

/* Returns whether a launcher must be requested. Without the lock it is a guess. */
bool
is_needed()
{
	return !claim().requested && pg_atomic_read_u32(&claim().pid) == 0 &&
		   (claim().failed_at == 0 || monotonic_milliseconds() - claim().failed_at >= retry_delay);
}

/* Returns whether this process must request the launcher now. */
bool
begin_request()
{
	bool mine;

	LWLockAcquire(&shared_header()->lock, LW_EXCLUSIVE);
	mine = is_needed();
	if (mine)
		claim().requested = true;
	LWLockRelease(&shared_header()->lock);
	return mine;
}

void
note_failure()
{
	bool news;

	LWLockAcquire(&shared_header()->lock, LW_EXCLUSIVE);
	news = claim().failed_at == 0;
	claim().requested = false;
	claim().failed_at = monotonic_milliseconds();
	LWLockRelease(&shared_header()->lock);
	if (news)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("gxy_balancer: no background worker slot is free for the launcher"),
				 errdetail("Until there is one, inactive rooms are not freed; every call "
						   "tries again."),
				 errhint("Raise max_worker_processes.")));
}

} // namespace

extern "C"
{
	/* Runs before the segments are unmapped, and uses only the fixed memory. */
	static void release_claim(int, Datum)
	{
		LWLockAcquire(&shared_header()->lock, LW_EXCLUSIVE);
		if (pg_atomic_read_u32(&claim().pid) == static_cast<std::uint32_t>(MyProcPid))
			clear_claim();
		LWLockRelease(&shared_header()->lock);
	}
}

static BackgroundWorker
launcher_registration()
{
	BackgroundWorker worker = {};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 1;
	strlcpy(worker.bgw_library_name, "gxy_balancer", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "gxy_launcher_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "gxy_balancer launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "gxy_balancer launcher", BGW_MAXLEN);
	return worker;
}

void
register_launcher()
{
	BackgroundWorker worker = launcher_registration();

	/* pg_upgrade moves the tables; nothing may change them meanwhile. */
	if (IsBinaryUpgrade)
		return;
	preloaded = true;
	RegisterBackgroundWorker(&worker);
}

void
request_launcher()
{
	if (shared_header() == nullptr || pg_atomic_read_u32(&claim().pid) != 0)
		return;
	/* The launcher that was registered at the server's start waits for the promotion. */
	if (IsBinaryUpgrade || (preloaded && RecoveryInProgress()) || !is_needed() || !begin_request())
		return;

	BackgroundWorker worker = launcher_registration();

	if (!RegisterDynamicBackgroundWorker(&worker, nullptr))
		note_failure();
}

bool
claim_launcher()
{
	bool mine;

	LWLockAcquire(&shared_header()->lock, LW_EXCLUSIVE);

	pid_t other = static_cast<pid_t>(pg_atomic_read_u32(&claim().pid));

	mine = other == 0 || BackendPidGetProc(other) == nullptr;
	if (mine)
	{
		pg_atomic_write_u32(&claim().pid, static_cast<std::uint32_t>(MyProcPid));
		claim().latch = MyLatch;
		claim().requested = true;
		claim().failed_at = 0;
		note_writable();
	}
	LWLockRelease(&shared_header()->lock);
	if (mine)
		before_shmem_exit(release_claim, Datum(0));
	return mine;
}

bool
retire_launcher()
{
	if (preloaded)
		return false;
	return with_lock(&shared_header()->lock, LW_EXCLUSIVE, [] {
		for (int slot = 0; slot < shared_header()->directory.size; slot++)
			if (const DatabaseEntry *entry = entry_in_slot(slot);
				entry != nullptr && entry->has_status)
				return false;
		clear_claim();
		claim().requested = false;
		return true;
	});
}

LauncherState
launcher_state()
{
	LauncherState state = LauncherState::none;

	if (shared_header() == nullptr)
		return state;
	LWLockAcquire(&shared_header()->lock, LW_SHARED);
	if (pg_atomic_read_u32(&claim().pid) != 0)
		state = claim().failed_at == 0 ? LauncherState::running
									   : LauncherState::running_without_workers;
	else if (claim().requested)
		state = LauncherState::requested;
	else if (claim().failed_at != 0)
		state = LauncherState::no_slot;
	LWLockRelease(&shared_header()->lock);
	return state;
}

void
note_worker_slot(bool found)
{
	LWLockAcquire(&shared_header()->lock, LW_EXCLUSIVE);
	claim().failed_at = found ? 0 : monotonic_milliseconds();
	LWLockRelease(&shared_header()->lock);
}

bool
has_workers()
{
	LauncherState state = launcher_state();

	return state == LauncherState::running || state == LauncherState::requested;
}

void
wake_launcher()
{
	if (claim().latch != nullptr)
		SetLatch(claim().latch);
}

} // namespace gxy
