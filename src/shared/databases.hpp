/*
 * databases.hpp: what shared memory has of each database that called, found by its OID.
 *
 * An entry is made by the first call in a database and keeps its address until the database is dropped: so a backend may
 * keep the address of its own. Entries of dropped databases are freed by the launcher, and by whoever finds the memory
 * limit reached.
 */
#pragma once

#include "pg/array.hpp"
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
	count /* not a counter: their number */
};
inline constexpr int counters = static_cast<int>(Counter::count);

/* Why a room was placed by a count of its own and not by the load cache. */
enum class CountReason : std::uint32_t
{
	no_reason,	/* none was */
	setting,	/* load_max_age is 0 */
	emptied,	/* its transaction has emptied the table */
	no_memory,	/* for the load cache, or for a server's slot */
	no_baseline /* none was of use by the time */
};

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
	bool run_requested;		   /* a backend wants a run, the sooner the better */
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

struct DatabaseCounts
{
	std::int64_t folded[counters]; /* of backends whose slots others have taken */
	std::int64_t zero[counters];   /* the sums at the last reset */
	TimestampTz since;
};

/* All of it guarded by the header's lock, but for what says otherwise. */
struct DatabaseEntry
{
	Oid database;
	bool known; /* it has a status; false: only its counters are in use */
	bool kept;	/* backends have its address */
	DatabaseStatus status;
	DatabaseCounts counts;
	pg_atomic_uint32 counted; /* Counted, of the last room placed by a count; without a lock */
	SharedPointer load_cache; /* see shared/load_cache.hpp; 0: none yet */
};

/*
 * The entry of this database, made at the first call; nullptr if there is no memory for it. Normal code, no lock held.
 * In a transaction callback: what an earlier call has returned.
 */
DatabaseEntry *my_database();

/* Runs f(entry) under the header's lock; false if there is no memory for an entry. Normal code, no lock held. */
template <typename F> bool with_database(Oid database, F f);

/* The entry of a database or nullptr. Under the header's lock. */
DatabaseEntry *find_database(Oid database);

/* The entry in a slot of the directory, nullptr if the slot is free. Under the header's lock. */
DatabaseEntry *entry_in_slot(int slot);

/* Runs f(entry) for every entry, under the header's lock, where nothing may fail. Normal code, no lock held. */
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

/* Lists the databases whose entries satisfy a condition. Normal code, no lock held. */
template <typename F>
Array<Oid>
list_databases(F condition)
{
	Array<Oid> listed;
	bool fits;

	do
	{
		listed.count = 0;
		listed.reserve(shared_header()->directory.count + 16);
		fits = true;
		for_each_database_entry(LW_SHARED, [&](DatabaseEntry *entry) {
			if (!condition(*entry))
				return;
			fits = fits && listed.count < listed.space;
			if (fits)
				listed.push(entry->database);
		});
	} while (!fits);
	return listed;
}

/* Frees the entry of a database, if condition(entry) is true under the header's lock. Normal code, no lock held. */
void free_database(Oid database, bool (*condition)(const DatabaseEntry &));

/* Frees the entries of all databases that are not in pg_database any more. In a transaction, no lock held. */
void free_dropped_databases();

/* How the load cache of a database is freed, and what it takes: it is built on top of this. To be called at the start. */
void set_load_cache_functions(void (*free)(SharedPointer load_cache),
							  Size (*bytes)(SharedPointer load_cache));

/* The shared memory that a database takes. Under the header's lock. */
Size bytes_of(const DatabaseEntry &entry);

/* Makes an entry if there is none; false if there is no memory for it. Normal code, no lock held. */
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

/* Visits every row of pg_database until visit(row) is false. In a transaction. */
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
