/*
 * load_delta.hpp: the load of a server, and changes of it.
 */
#pragma once

#include <algorithm>

#include "pg/compat.hpp"

namespace gxy
{

/* The load of a server, or a change of it. */
struct Load
{
	std::int64_t users = 0; /* present or expected */
	std::int64_t rooms = 0;
	std::int64_t present = 0; /* of the users; all others are expected */

	Load &operator+=(const Load &other)
	{
		users += other.users;
		rooms += other.rooms;
		present += other.present;
		return *this;
	}
	Load operator-() const { return {-users, -rooms, -present}; }
	bool operator==(const Load &) const = default;
};

/*
 * A change of the load of a server that counts for other transactions after the commit: what leaves
 * it, and other users of its rooms. Computed from what the last count had. A later count may have
 * less, because a lease or join_window ends: then only who is present changes.
 */
struct LoadAtCommit
{
	Load load;
	TimestampTz until = DT_NOEND; /* a count from then on has no expected users of it */

	LoadAtCommit &operator+=(const LoadAtCommit &other)
	{
		load += other.load;
		until = std::min(until, other.until);
		return *this;
	}
	/* Returns the change of the sums that rest on a count of this time. */
	Load for_count_at(TimestampTz time) const
	{
		Load change = load;

		if (time >= until)
			change.users = load.present;
		return change;
	}
	bool is_nothing() const { return load == Load(); }
};

/* By how much a (sub)transaction changes the load of a server. */
struct LoadDelta
{
	int slot;				/* of the server; -1: the table has been emptied */
	int level;				/* nest level of the (sub)transaction */
	Load added;				/* counts for all transactions from the start */
	LoadAtCommit at_commit; /* counts for other transactions after the commit */
};

/* A room of a prepared transaction, as a count has found it in the table. */
struct PreparedRow
{
	TransactionId transaction;
	int slot; /* of its server; -1: the transaction has removed or moved a room */
	Load load;
};

/*
 * Hash of the pool and the settings that a baseline was counted with. Another key means other
 * numbers.
 */
using BaselineKey = std::uint64_t;

} // namespace gxy
