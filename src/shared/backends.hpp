/*
 * backends.hpp: what shared memory has of each backend, by its number.
 */
#pragma once

#include "shared/databases.hpp"

namespace gxy
{

/* Written by its backend alone, without a lock; claimed under the header's lock. */
struct alignas(PG_CACHE_LINE_SIZE) BackendCounts
{
	Oid database; /* InvalidOid: no backend has counted here */
	std::int64_t value[counters];
};

/* Makes the memory for all backends at the first use; false if there is none. Normal code, no lock held. */
bool make_backends();

/* By number; empty if they have not been made. Every process that uses them has called make_backends(). */
std::span<BackendCounts> counts_of_backends();

/* The transaction that each has something in flight of on the board of its database, under whose lock it is written. */
std::span<TransactionId> transactions_of_backends();

} // namespace gxy
