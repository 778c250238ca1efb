/*
 * status.cpp: counters, and the status of the worker of each database.
 *
 * Counters: each backend has a slot that only it writes, without a lock, so that a call costs one
 * addition. After the backend has exited its slot still counts, until another backend takes it and
 * adds the values to the database's totals. A reset does not touch the slots; it keeps the current
 * sums as the new zero.
 *
 * Everything else changes a few times a minute and is guarded by the header's lock.
 */
#include "shared/status.hpp"

#include "shared/backends.hpp"
#include "shared/header.hpp"
#include "shared/launcher_claim.hpp"
#include "shared/segments.hpp"

namespace gxy
{
namespace
{

BackendCounts *mine = nullptr;
DatabaseEntry *requested_at_commit = nullptr; /* for which this transaction requests a run */
/* Whether at once; otherwise within announcement_delay. */
bool requested_at_once = false;
constexpr TimestampTz announcement_delay = USECS_PER_SEC / 2;
bool listening = false;

LWLock *
lock()
{
	return &shared_header()->lock;
}

/*
 * Takes this backend's slot. Adds what the last backend has left there to the totals of its
 * database.
 */
bool
claim_slot()
{
	if (!make_backends() || my_database() == nullptr)
		return false;
	with_lock(lock(), LW_EXCLUSIVE, [] {
		BackendCounts &slot =
			counts_of_backends()[static_cast<std::size_t>(compat::backend_number())];
		DatabaseEntry *last = OidIsValid(slot.database) ? find_database(slot.database) : nullptr;

		for (int i = 0; i < counters; i++)
		{
			if (last != nullptr)
				last->counts.folded[i] += slot.value[i];
			slot.value[i] = 0;
		}
		slot.database = MyDatabaseId;
		mine = &slot;
	});
	return true;
}

/*
 * Writes the sums of a database, without subtracting its zero, to sums. The caller holds the lock.
 */
void
add_up(const DatabaseEntry &entry, std::int64_t *sums)
{
	std::copy_n(entry.counts.folded, counters, sums);
	for (const BackendCounts &backend : counts_of_backends())
		if (backend.database == entry.database)
			for (int i = 0; i < counters; i++)
				sums[i] += backend.value[i];
}

} // namespace

extern "C"
{
	/* Nothing here may fail; the entry was made before. */
	static void request_at_commit(XactEvent event, void *)
	{
		if (requested_at_commit != nullptr && event == XACT_EVENT_COMMIT)
		{
			LWLockAcquire(lock(), LW_EXCLUSIVE);
			requested_at_commit->has_status = true;
			requested_at_commit->status.database = MyDatabaseId;
			if (requested_at_once)
				requested_at_commit->status.run_requested = true;
			else if (requested_at_commit->status.next_announcement == 0)
				requested_at_commit->status.next_announcement =
					GetCurrentTimestamp() + announcement_delay;
			wake_launcher();
			LWLockRelease(lock());
			request_launcher();
		}
		if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		{
			requested_at_commit = nullptr;
			requested_at_once = false;
		}
	}
}

void
count(Counter counter, std::int64_t by)
{
	if (mine == nullptr && !claim_slot())
		return;
	mine->value[static_cast<int>(counter)] += by;
	request_launcher();
}

void
count_placed_by_count(CountReason reason)
{
	DatabaseEntry *entry = my_database();

	count(Counter::placed_by_count);
	if (entry != nullptr)
		pg_atomic_write_u32(&entry->counted, static_cast<std::uint32_t>(reason));
}

std::optional<Counts>
read_counts()
{
	DatabaseEntry *entry = my_database();
	Counts counts;

	if (entry == nullptr)
		return std::nullopt;
	with_lock(lock(), LW_SHARED, [&] {
		add_up(*entry, counts.value);
		counts.since = entry->counts.since;
		counts.counted = static_cast<CountReason>(pg_atomic_read_u32(&entry->counted));
		for (int i = 0; i < counters; i++)
			counts.value[i] -= entry->counts.zero[i];
	});
	return counts;
}

void
reset_counts()
{
	DatabaseEntry *entry = my_database();

	if (entry == nullptr)
		return;
	with_lock(lock(), LW_EXCLUSIVE, [entry] {
		add_up(*entry, entry->counts.zero);
		entry->counts.since = GetCurrentTimestamp();
		pg_atomic_write_u32(&entry->counted, 0);
	});
}

std::optional<DatabaseStatus>
status_of(Oid database)
{
	if (shared_header() == nullptr)
		return std::nullopt;
	return with_lock(lock(), LW_SHARED, [database]() -> std::optional<DatabaseStatus> {
		const DatabaseEntry *entry = find_database(database);

		if (entry == nullptr || !entry->has_status)
			return std::nullopt;
		return entry->status;
	});
}

static bool
write_status(const DatabaseStatus &status, bool keep_requests)
{
	return with_database(status.database, [&status, keep_requests](DatabaseEntry *entry) {
		bool keep = keep_requests && entry->has_status;
		bool run_requested = keep && entry->status.run_requested;
		TimestampTz next_announcement =
			keep ? entry->status.next_announcement : status.next_announcement;

		entry->status = status;
		entry->status.run_requested = status.run_requested || run_requested;
		entry->status.next_announcement = next_announcement;
		entry->has_status = true;
	});
}

bool
put_status(const DatabaseStatus &status)
{
	return write_status(status, false);
}

bool
update_status(DatabaseStatus status)
{
	status.run_requested = false;
	return write_status(status, true);
}

static void
forget_status(Oid database, bool even_if_requested)
{
	with_lock(lock(), LW_EXCLUSIVE, [=] {
		DatabaseEntry *entry = find_database(database);

		if (entry == nullptr || (entry->status.run_requested && !even_if_requested))
			return;
		entry->has_status = false;
		entry->status = DatabaseStatus();
	});
	free_database(database,
				  [](const DatabaseEntry &entry) { return !entry.kept && !entry.has_status; });
}

void
drop_status(Oid database)
{
	forget_status(database, false);
}

void
clear_status(Oid database)
{
	forget_status(database, true);
}

void
request_run(Oid database)
{
	bool noted = with_database(database, [database](DatabaseEntry *entry) {
		entry->has_status = true;
		entry->status.database = database;
		entry->status.run_requested = true;
		wake_launcher();
	});

	if (noted)
		request_launcher();
}

static void
request_at_next_commit(bool at_once)
{
	check_layout();

	DatabaseEntry *entry = my_database();

	if (entry == nullptr)
		return;
	if (!listening)
		RegisterXactCallback(request_at_commit, nullptr);
	listening = true;
	requested_at_commit = entry;
	requested_at_once = requested_at_once || at_once;
}

void
request_run_at_commit()
{
	request_at_next_commit(true);
}

void
request_announcement_at_commit()
{
	request_at_next_commit(false);
}

} // namespace gxy
