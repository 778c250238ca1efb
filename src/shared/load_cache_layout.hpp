/*
 * load_cache_layout.hpp: what a database's load cache holds in shared memory. Private to the load
 * cache.
 *
 * A transaction callback cannot map a segment. It therefore touches only the LoadCache struct, the
 * slots of servers that its transaction has changed before, and blocks of its own transaction;
 * these keep their addresses. Everything else may move to a larger block while the cache's lock is
 * held exclusively.
 */
#pragma once

#include "pg/compat.hpp"
#include "policy/failure_detector.hpp"
#include "shared/header.hpp"
#include "shared/load_delta.hpp"
#include "shared/segments.hpp"

namespace gxy
{

/* The load of one server is the sum of these. Guarded by LoadCache::lock. */
struct ServerSlot
{
	Load baseline;	   /* by the last count */
	Load committed[2]; /* by transactions that the count did not see; by epoch, see LoadCache */
	Load in_flight;	   /* added by transactions that have not ended */
	/* A property of the server, apart from the sums: the newest one of a committed transaction. */
	Measurement measurement;
	Oid measurement_table; /* balancer_health; an extension created anew has another */

	Load sum() const
	{
		Load sum = baseline;

		sum += committed[0];
		sum += committed[1];
		sum += in_flight;
		return sum;
	}
	std::int64_t awaited() const
	{
		Load load = sum();

		return std::max<std::int64_t>(load.users - load.present, 0);
	}
};

/* An open hash table in a block: a power of two of entries, of which at most half are in use. */
struct Table
{
	SharedPointer entries; /* 0: none yet */
	int size;
	int count;

	bool is_full() const { return count * 2 >= size; }
};

/* Which slot a server has. Slots are taken in sequence and never freed. */
struct NamedSlot
{
	std::uint64_t server; /* hash of its name; 0: the entry is free */
	int slot;
};

/* A room that may have live sessions and has no assignment. */
struct Orphan
{
	std::uint64_t room; /* hash of its id; 0: the entry is free */
	/* Whose commit makes it one; InvalidTransactionId: found by the count. */
	TransactionId transaction;
};

struct PreparedDelta
{
	TransactionId transaction;
	int slot; /* -1: its commit makes the cache unusable */
	Load added;
	LoadAtCommit at_commit;
};

/* The changes of prepared transactions: a list of blocks. */
struct PreparedBlock
{
	SharedPointer next;
	int space;
	int count;
	PreparedDelta deltas[FLEXIBLE_ARRAY_MEMBER];
};

/*
 * What the running count sees: its snapshot, without what the counting transaction itself has
 * changed.
 */
struct BaselineSnapshot
{
	TransactionId oldest_in_progress;
	TransactionId next;
	TransactionId own;
	int in_progress_count; /* entries of LoadCache::in_progress */
};

/*
 * The slots of one pool in a Tournament, so that not all servers are read for each room: see
 * shared/load_cache_ranking.hpp.
 */
struct Ranking
{
	static constexpr int max_changes = 32;

	SharedPointer nodes; /* of the tournament; 0: none yet */
	int leaves;			 /* as many as slots */
	std::uint64_t key;	 /* RankedPool::key; 0: out of date */
	int changed_count;
	int changed[max_changes]; /* slots whose sums have changed since they were played */
};

/* Slots come in chunks: 16, 16, 32, 64 and so on, each as large as all before it together. */
inline constexpr int first_chunk = 16;
inline constexpr int max_chunks = 24;

/*
 * Every field but the lock and the condition variable is guarded by the lock. Exception:
 * baseline_is_due(), wait_for_baseline() and last_baseline() read usable, counting, key, counted,
 * count_duration, counted_at, leases_count_from and has_sessions without it, as a guess.
 */
struct LoadCache
{
	LWLock lock;
	ConditionVariable count_ended;
	Size bytes; /* of all its blocks */

	/* The baseline. */
	bool usable;		 /* the sums are right; false: a count is needed before they are used */
	bool prepared_known; /* false: a count has to look for the rows of prepared transactions */
	BaselineKey key;
	std::int64_t counted;	/* when the count began, monotonic microseconds; 0: a new one is due */
	TimestampTz counted_at; /* as of when leases and ages were judged; 0: never */
	TimestampTz leases_count_from; /* ages_count_from() of the count */
	bool has_sessions;			   /* sessions were attached, and say how many users a room has */
	std::int64_t count_duration;   /* microseconds */

	/* The running count. */
	bool counting;
	bool is_void;			  /* it must not become the baseline */
	std::int64_t count_begun; /* monotonic microseconds */
	TimestampTz counting_at;  /* LoadCache::counted_at of the count */
	BaselineSnapshot snapshot;
	/*
	 * Which element of ServerSlot::committed new commits are added to. A count flips it when it
	 * takes its snapshot; the other element is empty unless a count runs or has failed.
	 */
	int epoch;

	int slot_count; /* slots in use */
	int chunk_count;
	SharedPointer chunk[max_chunks];
	Table names;
	Table orphans;
	bool all_orphans; /* every room may be one, because memory was lacking for a list of them */
	TransactionId last_unlisted; /* the latest transaction whose orphans are not listed */
	SharedPointer prepared;		 /* first block */
	SharedPointer unused_blocks; /* of prepared transactions, to be freed by the next normal code */
	Ranking ranking;
	TimestampTz measured_at; /* at least that of each measurement */
	TransactionId
		in_progress[FLEXIBLE_ARRAY_MEMBER]; /* of the running count's snapshot, top-level */
};

/* The number of slots in so many chunks. */
inline int
slots_in(int chunks)
{
	return chunks == 0 ? 0 : first_chunk << (chunks - 1);
}

inline void
assert_locked([[maybe_unused]] const LoadCache *cache)
{
	Assert(LWLockHeldByMe(const_cast<LWLock *>(&cache->lock)));
}

/*
 * A server's slot. The caller holds the lock; a callback may ask only for slots that its
 * transaction has changed.
 */
inline ServerSlot &
slot_at(const LoadCache *cache, int slot)
{
	assert_locked(cache);
	Assert(slot >= 0 && slot < cache->slot_count);

	int chunk = slot < first_chunk
					? 0
					: pg_leftmost_one_pos32(static_cast<std::uint32_t>(slot / first_chunk)) + 1;

	return shared<ServerSlot>(cache->chunk[chunk])[slot - slots_in(chunk)];
}

/*
 * The same, for a change of the sum: the ranking is told. Also in a callback, which may not touch
 * the ranking itself.
 */
inline ServerSlot &
changing_slot(LoadCache *cache, int slot)
{
	Ranking &ranking = cache->ranking;

	if (ranking.changed_count > 0 && ranking.changed[ranking.changed_count - 1] == slot)
		return slot_at(cache, slot);
	if (ranking.changed_count == Ranking::max_changes)
	{
		ranking.key = 0;
		ranking.changed_count = 0;
	}
	ranking.changed[ranking.changed_count++] = slot;
	return slot_at(cache, slot);
}

/* Returns the entry of a key in an open hash table, or the free entry where the key would go. */
template <typename E, typename K>
E &
find_entry(E *entries, int size, K E::*key_of, K key)
{
	int at = static_cast<int>(key & static_cast<K>(size - 1));

	while (entries[at].*key_of != 0 && entries[at].*key_of != key)
		at = (at + 1) & (size - 1);
	return entries[at];
}

/*
 * Frees the blocks of prepared transactions that are no longer needed. Normal code, no lock held.
 */
void free_unused_blocks(LoadCache *cache);

/* Runs f under the lock, with all segments mapped. Normal code, no lock held. */
template <typename F>
auto
locked(LoadCache *cache, F f)
{
	free_unused_blocks(cache);
	return with_lock(&cache->lock, LW_EXCLUSIVE, f);
}

/* The same in a transaction callback. */
template <typename F>
void
locked_in_callback(LoadCache *cache, F f)
{
	LWLockAcquire(&cache->lock, LW_EXCLUSIVE);
	f();
	LWLockRelease(&cache->lock);
}

} // namespace gxy
