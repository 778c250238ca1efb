/*
 * load_cache_layout.hpp: what is in a database's load cache, for the files that keep it. How it all fits together is told
 * in shared/load_cache.cpp.
 *
 * The board itself and what transaction callbacks touch keep their addresses: a callback cannot map a segment, so it
 * touches nothing but the board, the servers that its transaction has changed, and blocks of its own. All else may move
 * to a larger block, under the lock.
 */
#pragma once

#include "shared/load_delta.hpp"
#include "shared/segments.hpp"

namespace gxy
{

struct Carried
{
	Burden counted;
	Burden settled[2];
	Burden in_flight;

	Burden sum() const
	{
		Burden sum = counted;

		sum += settled[0];
		sum += settled[1];
		sum += in_flight;
		return sum;
	}
};

/* An open hash table in a block: a power of two of slots, at most half of them taken. */
struct Table
{
	SharedPointer slots; /* 0: none yet */
	int size;
	int count;

	bool is_full() const { return count * 2 >= size; }
};

/* Where a server has its place. They are taken one after the other, so that a pool's are together. */
struct NamedPlace
{
	std::uint64_t server; /* hash of its name, 0: free */
	int place;
};

struct Suspect
{
	std::uint64_t room; /* hash of its id, 0: free */
	TransactionId transaction;
};

struct Prepared
{
	TransactionId transaction;
	int place; /* -1: it has emptied the table */
	Burden gain;
	Burden loss;
};

/* The changes of prepared transactions, in a list of blocks. */
struct PreparedBlock
{
	SharedPointer next;
	int space;
	int count;
	Prepared changes[FLEXIBLE_ARRAY_MEMBER];
};

/* Which transactions the snapshot of the running count sees. */
struct Seen
{
	TransactionId oldest_in_progress;
	TransactionId next;
	TransactionId own;
	int in_progress_count; /* top-level ids, in the board's in_progress */
};

/* The first chunk has so many servers, the second as many, and each further one as many as all before it. */
inline constexpr int first_chunk = 16;
inline constexpr int max_chunks = 24;

/* Guarded by its lock, but for what a guess may read (count_is_due()). */
struct Board
{
	LWLock lock;
	ConditionVariable count_ended;
	Size bytes; /* of all its blocks */

	/* The count. */
	bool usable;
	bool counting;
	bool count_is_void;	 /* the running count must not be installed */
	bool prepared_known; /* false: the rows of prepared transactions have to be looked for */
	int epoch;			 /* of what settles now */
	Basis basis;
	std::int64_t counted;	  /* when the count began, by monotonic_microseconds(); 0: one is due */
	std::int64_t count_begun; /* the running one */
	std::int64_t count_duration; /* microseconds */
	TimestampTz counted_at;		 /* when the count began, for the eye */
	Seen seen;

	int taken; /* servers that have a place */
	int chunks;
	SharedPointer servers[max_chunks];
	Table names;
	bool all_suspect;		   /* for want of memory */
	TransactionId not_entered; /* the latest of those whose suspects are not in the table */
	Table suspects;
	SharedPointer prepared;
	SharedPointer spent; /* blocks of prepared changes to be freed by the next one who can */
	TransactionId in_progress[FLEXIBLE_ARRAY_MEMBER];
};

inline int
places_in(int chunks)
{
	return chunks == 0 ? 0 : first_chunk << (chunks - 1);
}

/* A server's sums. Under the lock; in a callback only if the transaction has changed them. */
inline Carried &
carried(const Board *board, int place)
{
	int chunk = place < first_chunk
					? 0
					: pg_leftmost_one_pos32(static_cast<std::uint32_t>(place / first_chunk)) + 1;

	return shared<Carried>(board->servers[chunk])[place - places_in(chunk)];
}

/* The entry of a key in an open table, or the free one where it would go. */
template <typename E, typename K>
E &
find_entry(E *table, int size, K E::*key_of, K key)
{
	int at = static_cast<int>(key & static_cast<K>(size - 1));

	while (table[at].*key_of != 0 && table[at].*key_of != key)
		at = (at + 1) & (size - 1);
	return table[at];
}

/*
 * Runs f under a board's lock, with everything on it to be followed. Normal code, no lock held. Frees what has become
 * free in the meantime.
 */
void free_spent(Board *board);

template <typename F>
auto
locked(Board *board, F f)
{
	free_spent(board);
	return with_lock(&board->lock, LW_EXCLUSIVE, f);
}

/* The same in a callback, for what it may touch. */
template <typename F>
void
locked_in_callback(Board *board, F f)
{
	LWLockAcquire(&board->lock, LW_EXCLUSIVE);
	f();
	LWLockRelease(&board->lock);
}

} // namespace gxy
