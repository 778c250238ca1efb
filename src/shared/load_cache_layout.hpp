/*
 * load_cache_layout.hpp: what is on a board, for the files that keep it. How it all fits together is told in shared/load_cache.cpp.
 */
#pragma once

#include "shared/load_delta.hpp"

namespace gxy
{

inline constexpr int places = 1024; /* servers, of one pool or several */
inline constexpr int suspect_places = 16384;
inline constexpr int prepared_changes = 1024;

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

/* Which transactions the snapshot of the running count sees. */
struct Seen
{
	TransactionId oldest_in_progress;
	TransactionId next;
	TransactionId own;
	int in_progress_count;
	TransactionId *in_progress; /* top-level ids, in the board's space for them */
};

struct Board
{
	/* These stay when another database gets the board. */
	LWLock *lock; /* for all that follows told_from */
	ConditionVariable count_ended;
	TransactionId *in_progress; /* space for seen.in_progress */
	Oid database;				/* InvalidOid: free; see claim_board() */

	/* Transactions before this one may have changed rooms without telling the board; InvalidTransactionId: none may. */
	TransactionId told_from;

	/* The count. */
	bool usable;
	bool counting;
	bool count_is_void; /* the running count must not be installed */
	bool prepared_known;
	int epoch; /* of what settles now; nothing is in the other unless a count is running */
	Basis basis;
	std::int64_t counted;	  /* when the count began, by monotonic_microseconds(); 0: one is due */
	std::int64_t count_begun; /* the running one */
	std::int64_t count_duration; /* microseconds */
	TimestampTz counted_at;		 /* when the count began, for the eye */
	Seen seen;

	int taken;
	Carried servers[places];
	NamedPlace
		names[2 * places]; /* an open table, like the next: powers of two, at most half full */
	int suspect_count;
	bool all_suspect;
	Suspect suspects[suspect_places];
	int prepared_count;
	Prepared prepared[prepared_changes];
};

/* Runs f under a board's lock. */
template <typename F>
auto
locked(const Board *board, LWLockMode mode, F f)
{
	LWLockAcquire(board->lock, mode);
	if constexpr (std::is_void_v<decltype(f())>)
	{
		f();
		LWLockRelease(board->lock);
	}
	else
	{
		auto result = f();

		LWLockRelease(board->lock);
		return result;
	}
}

/* The entry of a key in an open table, or the free one where it would go. */
template <typename E, typename K>
int
find_entry(const E *table, int size, K E::*key_of, K key)
{
	int at = static_cast<int>(key & static_cast<K>(size - 1));

	while (table[at].*key_of != 0 && table[at].*key_of != key)
		at = (at + 1) & (size - 1);
	return at;
}

} // namespace gxy
