/*
 * load_delta.hpp: what a server carries, and changes of it, as the parts of the board tell each other.
 */
#pragma once

#include "pg/compat.hpp"

namespace gxy
{

/* What a server carries, or by how much that changes. */
struct Burden
{
	std::int64_t load = 0; /* users, there or expected */
	std::int64_t rooms = 0;

	Burden &operator+=(const Burden &other)
	{
		load += other.load;
		rooms += other.rooms;
		return *this;
	}
	Burden operator-() const { return {-load, -rooms}; }
};

/* By how much a transaction has changed what a server carries. */
struct BoardChange
{
	int place;	 /* -1: the table has been emptied */
	int level;	 /* nest level of the (sub)transaction */
	Burden gain; /* counts for everybody from the start */
	Burden loss; /* negative; counts for others once it is committed */
};

/* A room of a prepared transaction, as a count has found it in the table. */
struct PreparedRow
{
	TransactionId transaction;
	int place;
	Burden burden;
};

/* What a count was made with: another basis gives other numbers. */
using Basis = std::uint64_t;

} // namespace gxy
