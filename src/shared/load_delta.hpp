/*
 * load_delta.hpp: the load of a server, and changes of it.
 */
#pragma once

#include "pg/compat.hpp"

namespace gxy
{

/* The load of a server, or a change of it. */
struct Load
{
	std::int64_t users = 0; /* present or expected */
	std::int64_t rooms = 0;

	Load &operator+=(const Load &other)
	{
		users += other.users;
		rooms += other.rooms;
		return *this;
	}
	Load operator-() const { return {-users, -rooms}; }
};

/* By how much a (sub)transaction changes the load of a server. */
struct LoadDelta
{
	int slot;	  /* of the server; -1: the table has been emptied */
	int level;	  /* nest level of the (sub)transaction */
	Load added;	  /* counts for all transactions from the start */
	Load removed; /* <= 0; counts for other transactions after the commit */
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
