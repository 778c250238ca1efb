/*
 * databases.hpp: the part of shared memory that belongs to one database, found by its OID.
 *
 * An entry is made by the first call in a database. It keeps its address until the database is
 * dropped, so a backend may keep the address of its own database's entry. The launcher frees the
 * entries of dropped databases.
 */
#pragma once

#include "pg/array.hpp"
#include "pg/compat.hpp"
#include "shared/header.hpp"
#include "shared/segments.hpp"

namespace gxy
{

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
	placed_by_cache,
	placed_by_count,
	failovers,
	count /* not a counter: their number */
};
inline constexpr int counters = static_cast<int>(Counter::count);

/* Why a room was placed by a count and not by the load cache. */
enum class CountReason : std::uint32_t
{
	no_reason,	/* no room was */
	setting,	/* load_max_age is 0 */
	emptied,	/* its transaction has truncated the assignments */
	no_memory,	/* for the load cache, or for a server's slot */
	no_baseline /* no count for the pool and the settings in force was ready in time */
};

/* The state of a database's worker. */
enum class WorkerState : std::uint8_t
{
	waiting,  /* for its next run */
	starting, /* a process was requested; it may wait until a copy of its database has ended */
	running,
	failed, /* the last run failed; the next run is delayed */
	absent	/* the last run found no extension; the launcher then drops the status */
};

inline constexpr int error_length = 256;

/* The worker of a database that has the extension, or of one that is being visited to find out. */
struct DatabaseStatus
{
	Oid database;
	WorkerState state;
	bool run_requested;		   /* a backend has requested a run at once */
	bool more_work;			   /* the last run stopped before it was done */
	int failures;			   /* in a row */
	TimestampTz last_start;	   /* 0: none yet */
	std::int64_t duration;	   /* of the last run, microseconds */
	std::int64_t freed;		   /* by the last run */
	TimestampTz next_due;	   /* 0: not planned */
	TimestampTz next_failover; /* when a failover or a heartbeat timeout is due; 0: none */
	/* when the worker is to tell listeners of rooms that calls have moved; 0: none. Set by calls */
	TimestampTz next_announcement;
	/* so many servers are silent that the monitor is assumed to have failed */
	bool monitor_lost;
	char error[error_length]; /* of the last run, empty if it went well */
};

struct DatabaseCounts
{
	std::int64_t folded[counters]; /* from backends whose slots have been taken by others */
	std::int64_t zero[counters];   /* the sums at the last reset */
	TimestampTz since;
};

/* Guarded by the header's lock, unless a field says otherwise. */
struct DatabaseEntry
{
	Oid database;
	bool has_status; /* false: no worker has been there yet, or it has found no extension */
	/* backends may have the entry's address, so it stays until the database is dropped */
	bool kept;
	bool created_since_start; /* the extension, since the server's start or promotion; no lock */
	DatabaseStatus status;
	DatabaseCounts counts;
	/* Counted, of the last room placed by a count; written without a lock */
	pg_atomic_uint32 counted;
	SharedPointer load_cache; /* see shared/load_cache.hpp; 0: none yet */
	/*
	 * The latest transaction with a change that the load cache was not told of, see
	 * record_unreported(). With its epoch: an idle database may keep it past a wraparound.
	 */
	FullTransactionId last_unreported;
};

/*
 * Returns the entry of this database, made at the first call; nullptr if there is no memory for it.
 * Normal code, no lock held. In a transaction callback it returns what an earlier call has
 * returned.
 */
DatabaseEntry *my_database();

/*
 * Runs f(entry) under the header's lock. Returns false if there is no memory for an entry. Normal
 * code, no lock held.
 */
template <typename F> bool with_database(Oid database, F f);

/* Returns the entry of a database, or nullptr. The caller holds the header's lock. */
DatabaseEntry *find_database(Oid database);

/*
 * Returns the entry in a slot of the directory, or nullptr if the slot is free. The caller holds
 * the header's lock.
 */
DatabaseEntry *entry_in_slot(int slot);

/*
 * Runs f(entry) for every entry under the header's lock. f must not fail. Normal code, no lock
 * held.
 */
template <typename F>
void
for_each_database_entry(LWLockMode mode, F f)
{
	with_lock(&shared_header()->lock, mode, [&f] {
		for (int slot = 0; slot < shared_header()->directory.size; slot++)
			if (DatabaseEntry *entry = entry_in_slot(slot); entry != nullptr)
				f(entry);
	});
}

/*
 * Returns what item_of(entry) makes of the entries, without those of which it makes std::nullopt.
 * item_of must not fail. Normal code, no lock held.
 */
template <typename T, typename F>
Array<T>
collect_from_databases(F item_of)
{
	Array<T> items;
	bool fits;

	do
	{
		items.count = 0;
		items.reserve(shared_header()->directory.count + 16);
		fits = true;
		for_each_database_entry(LW_SHARED, [&](DatabaseEntry *entry) {
			std::optional<T> item = item_of(*entry);

			if (!item)
				return;
			fits = fits && items.count < items.space;
			if (fits)
				items.push(*item);
		});
	} while (!fits);
	return items;
}

/* Returns the databases whose entries satisfy a condition. Normal code, no lock held. */
template <typename F>
Array<Oid>
list_databases(F condition)
{
	return collect_from_databases<Oid>([&condition](const DatabaseEntry &entry) {
		return condition(entry) ? std::optional<Oid>(entry.database) : std::nullopt;
	});
}

/*
 * Frees the entry of a database if condition(entry) holds under the header's lock. Normal code, no
 * lock held.
 */
void free_database(Oid database, bool (*condition)(const DatabaseEntry &));

/* Frees the entries of all dropped databases. In a transaction, no lock held. */
void free_dropped_databases();

/*
 * Sets how the load cache of a database is freed and measured; it is built on top of this file.
 * Called by _PG_init.
 */
void set_load_cache_functions(void (*free)(SharedPointer load_cache),
							  Size (*bytes)(SharedPointer load_cache));

/* Returns the bytes of shared memory that a database takes. The caller holds the header's lock. */
Size bytes_of(const DatabaseEntry &entry);

/*
 * Makes an entry if there is none. Returns false if there is no memory for it. Normal code, no lock
 * held.
 */
bool make_database(Oid database);

template <typename F>
bool
with_database(Oid database, F f)
{
	while (make_database(database))
		if (with_lock(&shared_header()->lock, LW_EXCLUSIVE, [database, &f] {
				DatabaseEntry *entry = find_database(database);

				if (entry != nullptr)
					f(entry);
				return entry != nullptr;
			}))
			return true;
	return false;
}

/* Calls visit(row) for the rows of pg_database until it returns false. In a transaction. */
template <typename V>
void
visit_pg_database(V visit)
{
	InvalidateCatalogSnapshot();

	Relation catalog = table_open(DatabaseRelationId, AccessShareLock);
	TableScanDesc scan = table_beginscan_catalog(catalog, 0, nullptr);
	HeapTuple tuple;
	bool more = true;

	while (more && (tuple = heap_getnext(scan, ForwardScanDirection)) != nullptr)
		more = visit(*reinterpret_cast<Form_pg_database>(GETSTRUCT(tuple)));
	table_endscan(scan);
	table_close(catalog, AccessShareLock);
}

} // namespace gxy
