/*
 * load_cache.hpp: the load of each server in shared memory, so that a new room need not count it.
 *
 * Each database has one, made at its first use. How it works is explained at the head of
 * shared/load_cache.cpp. This is its public header; the other headers shared/load_cache_*.hpp are
 * private to it.
 *
 * All functions are for normal code in a transaction, with no lock of the extension's shared memory
 * held.
 */
#pragma once

#include "pg/array.hpp"
#include "pg/compat.hpp"
#include "policy/failure_detector.hpp"
#include "policy/placement_policy.hpp"
#include "shared/header.hpp"
#include "shared/load_delta.hpp"

namespace gxy
{

struct LoadCache;

/*
 * Returns the load cache of this database, made at the first use; nullptr if there is no memory for
 * it. Raises 55000 if another version of the library is in use on this server. In a transaction
 * callback it returns what an earlier call has returned.
 */
LoadCache *load_cache();

/*
 * Returns the slot of a server, given by the hash of its name, and creates it if there is none.
 * Slots are never freed. -1: there is no memory for one.
 */
int server_slot(LoadCache *cache, std::uint64_t server);

/* The same, but creates no slot: -1 if the server has none. */
int find_server_slot(LoadCache *cache, std::uint64_t server);

/*
 * The changes of the current transaction. Every change of an assignment is recorded here before or
 * after it is made, in the same (sub)transaction. A rollback takes it back.
 */

/* A server gets a room, or a room of it that has counted as none counts again. */
void record_room_added(std::string_view server, Load load);

/*
 * A server loses rooms, or a room of it has other users. inserter: of the row, if it may have been
 * this transaction; then the row before never existed for other transactions.
 */
void record_at_commit(std::string_view server, const LoadAtCommit &change,
					  TransactionId inserter = InvalidTransactionId);

/* A room that may have live sessions loses its assignment: it becomes an orphan. */
void record_orphan(std::string_view room);

/* The table is emptied as a whole. */
void record_truncation();

/*
 * Returns whether this transaction has emptied the table: then the load cache does not know what it
 * sees.
 */
bool has_truncated();

/*
 * Measured loads: what monitors report of the servers, apart from the sums.
 */

/*
 * Records a measurement of this (sub)transaction. New rooms are placed by it as soon as it has
 * committed; after a rollback never. Of a prepared transaction nothing is recorded. Does nothing if
 * there is no memory. table, here and below: balancer_health, whose measurements alone are used.
 */
void record_measurement(Oid table, std::string_view server, Measurement measurement);

/* Replaces a measurement by the recorded one of the server if that is newer. server: hash. */
void take_newer_measurement(LoadCache *cache, Oid table, std::uint64_t server,
							Measurement *measurement);

/* Records a measurement that a committed row has, after a restart for example. */
void restore_measurement(LoadCache *cache, Oid table, int slot, Measurement measurement);

/*
 * New rooms.
 */

enum class Reserved
{
	reserved,
	refused,		/* by the policy */
	needs_sessions, /* the room may have live sessions: read them, then set room_examined */
	no_baseline,	/* none is usable, or it was counted with another key */
	undecided		/* by the leader alone: all servers have to be compared */
};

/*
 * The servers of a pool for a choice by their loads alone, see decide_by_leader(). Backends with
 * the same pool and settings share one ranking, so they identify servers by slots.
 */
struct RankedPool
{
	std::uint64_t key;	   /* of everything but loads by which servers are ordered; not 0 */
	const Server *servers; /* without loads; capacity 0: default_capacity */
	bool uniform;		   /* see is_uniform() */
	std::int64_t default_capacity;
	std::span<const int> server_of_slot; /* -1, as for slots beyond its end: not in this pool */
};

struct ReserveRequest
{
	BaselineKey key;
	std::uint64_t room; /* hash of its id */
	bool room_examined; /* Server::room_sessions are filled in */
	std::int64_t expected;
	TimestampTz now;
	Oid measurement_table;
	std::int64_t measured_lifetime; /* microseconds, for is_fresh() */
	Load load;						/* what the room adds to whichever server it gets */
	const Rules *rules;
	int server_count;
	const int *slots;	   /* by server */
	const int *claimed_by; /* by server, see hand_over_claimed() */
	/*
	 * Set if no server is special for the room and there are no claims: only the leader is looked
	 * at. nullptr: all servers are compared.
	 */
	const RankedPool *ranked;
};

/*
 * Chooses a server by the loads and adds the room to the chosen one, in one step under the cache's
 * lock. Fills the loads into servers; with request.ranked, sets *servers to the chosen one.
 */
Reserved reserve(LoadCache *cache, const ReserveRequest &request, Server *servers,
				 Decision *decision);

/* Takes the last reservation back: the room has got its row from another transaction. */
void cancel_reservation();

/*
 * Moves the loads of failed servers to the servers that have claimed their rooms. The load cache
 * counts a room where its row is. users: the member that holds the load in users. claimed_by: by
 * server, the index of the claimant, or its own index; nullptr: there is no claim.
 */
template <typename T>
void
hand_over_claimed(T *servers, std::int64_t T::*users, const int *claimed_by, int count)
{
	for (int i = 0; i < count && claimed_by != nullptr; i++)
	{
		T &from = servers[i], &to = servers[claimed_by[i]];

		if (&from == &to)
			continue;
		to.rooms += std::exchange(from.rooms, 0);
		to.*users += std::exchange(from.*users, 0);
	}
}

/*
 * Reads the loads of servers as the current transaction sees them. Returns whether there is a
 * usable baseline by this key. *counted_at: 0 if a count is due.
 */
bool read_loads(LoadCache *cache, BaselineKey key, const int *slots, Load *loads, int count,
				TimestampTz *counted_at);

/*
 * The baseline.
 */

/* A count of what is in the tables, in progress. */
struct BaselineCount
{
	Snapshot snapshot = nullptr; /* registered; what it sees must be counted. nullptr: no count */
	bool wants_prepared = false; /* the rows of prepared transactions as well, separately */
};

struct BaselineServer
{
	int slot;
	Load load;
};

struct BaselineResult
{
	Array<BaselineServer> servers;
	Array<std::uint64_t> orphans; /* hashes of rooms with live sessions and no assignment */
	Array<PreparedRow> prepared;
	bool is_incomplete = false; /* there was no memory for the slot of a server */
	TimestampTz leases_count_from = DT_NOBEGIN;
	bool has_sessions = false; /* sessions are attached, which say how many users a room has */
};

/* What a count computes the loads of rooms from, besides their rows. */
struct LastBaseline
{
	TimestampTz at;
	TimestampTz leases_count_from;
	bool has_sessions;
};

/* Returns that of the last count; nullopt if there was none. A guess, made without a lock. */
std::optional<LastBaseline> last_baseline();

/*
 * Returns whether there is no baseline by this key younger than max_age (microseconds). A guess,
 * made without a lock.
 */
bool baseline_is_due(const LoadCache *cache, BaselineKey key, std::int64_t max_age);

/*
 * Begins a count as of now, if one is due and no other backend is counting. The caller counts and
 * calls finish_baseline(). An error in between abandons the count.
 */
BaselineCount start_baseline(LoadCache *cache, BaselineKey key, std::int64_t max_age,
							 TimestampTz now);

/*
 * Returns false if a transaction that the count has seen has not reported its end yet: try again
 * after a moment.
 */
bool finish_baseline(LoadCache *cache, BaselineKey key, const BaselineResult &result);

/* Gives the count up. */
void cancel_baseline(LoadCache *cache);

/*
 * If there is no usable baseline, waits for the count that another backend is making, at most so
 * long.
 */
void wait_for_baseline(LoadCache *cache, BaselineKey key, int milliseconds);

/*
 * Memory, for shared/databases.hpp.
 */

Size bytes_of_load_cache(SharedPointer cache);
void free_load_cache(SharedPointer cache);

} // namespace gxy
