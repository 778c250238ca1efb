/*
 * status.cpp: the shared structures and their one lock.
 *
 * Counters: a slot per backend, written by its backend alone and without a lock, so that a call costs one addition. What
 * a backend leaves behind counts as it is; the next one in its slot folds it into the totals of the database. A reset
 * does not touch other backends' slots; it remembers the sums as the new zero.
 *
 * Everything else changes a few times a minute and is kept under the lock.
 */
#include "shared/status.hpp"

namespace gxy
{
namespace
{

struct alignas(PG_CACHE_LINE_SIZE) BackendCounts
{
	Oid database; /* InvalidOid: nobody has counted here */
	std::int64_t value[counters];
};

struct DatabaseCounts
{
	std::int64_t folded[counters]; /* of backends whose slots others have taken */
	std::int64_t zero[counters];   /* the sums at the last reset */
	TimestampTz since;
};

struct Database
{
	DatabaseStatus status; /* database InvalidOid: free */
	bool known;			   /* false: only its counters are in use */
};

struct Shared
{
	LWLock *lock;
	Latch *launcher;
	TimestampTz started;
	TimestampTz writable_since; /* 0: the launcher has not run yet */
	Database databases[max_databases];
	DatabaseCounts counts[max_databases];
	BackendCounts backends[FLEXIBLE_ARRAY_MEMBER];
};

Shared *shared = nullptr;
BackendCounts *mine = nullptr;
bool call_at_end = false; /* of this transaction */
bool listening = false;

shmem_request_hook_type previous_request_hook = nullptr;
shmem_startup_hook_type previous_startup_hook = nullptr;

Size
shared_size()
{
	return add_size(offsetof(Shared, backends), mul_size(MaxBackends, sizeof(BackendCounts)));
}

/* The place of a database, or of its counters; a new one if make is set and one is free. */
int
place_of(Oid database, bool make)
{
	int free = -1;

	for (int i = 0; i < max_databases; i++)
	{
		if (shared->databases[i].status.database == database)
			return i;
		if (free < 0 && shared->databases[i].status.database == InvalidOid)
			free = i;
	}
	if (make && free >= 0)
	{
		shared->databases[free] = Database();
		shared->databases[free].status.database = database;
		shared->counts[free] = DatabaseCounts();
		shared->counts[free].since = shared->started;
		return free;
	}
	return -1;
}

/* Takes this backend's slot, and folds what the last one there has left in it. */
void
claim_slot()
{
	mine = &shared->backends[compat::backend_number()];
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);

	int place = OidIsValid(mine->database) ? place_of(mine->database, true) : -1;

	for (int i = 0; i < counters; i++)
	{
		if (place >= 0)
			shared->counts[place].folded[i] += mine->value[i];
		mine->value[i] = 0;
	}
	mine->database = MyDatabaseId;
	LWLockRelease(shared->lock);
}

/* The sums of a database, not reckoning with its zero; under the lock. */
void
add_up(Oid database, int place, std::int64_t *sums)
{
	for (int i = 0; i < counters; i++)
		sums[i] = place >= 0 ? shared->counts[place].folded[i] : 0;
	for (int backend = 0; backend < MaxBackends; backend++)
		if (shared->backends[backend].database == database)
			for (int i = 0; i < counters; i++)
				sums[i] += shared->backends[backend].value[i];
}

/* Whether anything has been counted for a database; under the lock. */
bool
has_counted(int place)
{
	std::int64_t sums[counters];

	add_up(shared->databases[place].status.database, place, sums);
	return std::any_of(sums, sums + counters, [](std::int64_t sum) { return sum != 0; });
}

} // namespace

extern "C"
{
	static void request_hook()
	{
		if (previous_request_hook != nullptr)
			previous_request_hook();
		RequestAddinShmemSpace(shared_size());
		RequestNamedLWLockTranche("gxy_balancer", 1);
	}

	static void startup_hook()
	{
		bool found;

		if (previous_startup_hook != nullptr)
			previous_startup_hook();
		LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
		shared = static_cast<Shared *>(ShmemInitStruct("gxy_balancer", shared_size(), &found));
		if (!found)
		{
			std::memset(static_cast<void *>(shared), 0, shared_size());
			shared->lock = &GetNamedLWLockTranche("gxy_balancer")->lock;
			shared->started = GetCurrentTimestamp();
		}
		LWLockRelease(AddinShmemInitLock);
	}

	static void call_at_commit(XactEvent event, void *)
	{
		if (call_at_end && event == XACT_EVENT_COMMIT)
			call_for_run(MyDatabaseId);
		if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
			call_at_end = false;
	}
}

bool
is_preloaded()
{
	return shared != nullptr;
}

void
request_shared_memory()
{
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = request_hook;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup_hook;
}

void
count(Counter counter, std::int64_t by)
{
	if (shared == nullptr)
		return;
	if (mine == nullptr)
		claim_slot();
	mine->value[static_cast<int>(counter)] += by;
}

std::optional<Counts>
read_counts()
{
	Counts counts;

	if (shared == nullptr)
		return std::nullopt;
	LWLockAcquire(shared->lock, LW_SHARED);

	int place = place_of(MyDatabaseId, false);

	add_up(MyDatabaseId, place, counts.value);
	counts.since = place >= 0 ? shared->counts[place].since : shared->started;
	for (int i = 0; i < counters && place >= 0; i++)
		counts.value[i] -= shared->counts[place].zero[i];
	LWLockRelease(shared->lock);
	return counts;
}

void
reset_counts()
{
	if (shared == nullptr)
		return;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);

	int place = place_of(MyDatabaseId, true);

	if (place >= 0)
	{
		add_up(MyDatabaseId, place, shared->counts[place].zero);
		shared->counts[place].since = GetCurrentTimestamp();
	}
	LWLockRelease(shared->lock);
}

std::optional<DatabaseStatus>
status_of(Oid database)
{
	std::optional<DatabaseStatus> status;

	if (shared == nullptr)
		return status;
	LWLockAcquire(shared->lock, LW_SHARED);

	int place = place_of(database, false);

	if (place >= 0 && shared->databases[place].known)
		status = shared->databases[place].status;
	LWLockRelease(shared->lock);
	return status;
}

static bool
write_status(const DatabaseStatus &status, bool keep_call)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);

	int place = place_of(status.database, true);

	if (place >= 0)
	{
		Database &database = shared->databases[place];
		bool called_for = keep_call && database.known && database.status.called_for;

		database.status = status;
		database.status.called_for = status.called_for || called_for;
		database.known = true;
	}
	LWLockRelease(shared->lock);
	return place >= 0;
}

bool
put_status(const DatabaseStatus &status)
{
	return write_status(status, false);
}

bool
update_status(DatabaseStatus status)
{
	status.called_for = false;
	return write_status(status, true);
}

void
drop_status(Oid database)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);

	int place = place_of(database, false);

	if (place >= 0 && !shared->databases[place].status.called_for)
	{
		/* Its counters stay: backends may still be adding to them. */
		bool counted = has_counted(place);

		shared->databases[place] = Database();
		if (counted)
			shared->databases[place].status.database = database;
	}
	LWLockRelease(shared->lock);
}

int
list_places(Oid *databases)
{
	int listed = 0;

	LWLockAcquire(shared->lock, LW_SHARED);
	for (const Database &place : shared->databases)
		if (OidIsValid(place.status.database))
			databases[listed++] = place.status.database;
	LWLockRelease(shared->lock);
	return listed;
}

void
clear_place(Oid database)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);

	int place = place_of(database, false);

	if (place >= 0)
		shared->databases[place] = Database();
	LWLockRelease(shared->lock);
}

void
call_for_run(Oid database)
{
	if (shared == nullptr)
		return;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);

	int place = place_of(database, true);

	if (place >= 0)
	{
		shared->databases[place].known = true;
		shared->databases[place].status.called_for = true;
	}
	if (shared->launcher != nullptr)
		SetLatch(shared->launcher);
	LWLockRelease(shared->lock);
}

void
call_for_run_at_commit()
{
	if (shared == nullptr)
		return;
	if (!listening)
		RegisterXactCallback(call_at_commit, nullptr);
	listening = true;
	call_at_end = true;
}

/* The launcher starts when recovery has ended. Without it, the postmaster's start has to do. */
TimestampTz
writable_since()
{
	if (shared == nullptr)
		return PgStartTime;
	return shared->writable_since != 0 ? shared->writable_since : GetCurrentTimestamp();
}

void
note_writable()
{
	if (shared->writable_since == 0)
		shared->writable_since = GetCurrentTimestamp();
}

void
set_launcher_latch(Latch *latch)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	shared->launcher = latch;
	LWLockRelease(shared->lock);
}

bool
has_launcher()
{
	if (!is_preloaded())
		return false;
	LWLockAcquire(shared->lock, LW_SHARED);

	bool there = shared->launcher != nullptr;

	LWLockRelease(shared->lock);
	return there;
}

int
list_statuses(DatabaseStatus *statuses)
{
	int listed = 0;

	LWLockAcquire(shared->lock, LW_SHARED);
	for (const Database &place : shared->databases)
		if (place.known)
			statuses[listed++] = place.status;
	LWLockRelease(shared->lock);
	return listed;
}

} // namespace gxy
