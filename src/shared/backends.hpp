/*
 * backends.hpp: the part of shared memory that belongs to one backend, by the backend's number.
 */
#pragma once

#include "pg/compat.hpp"
#include "shared/databases.hpp"

namespace gxy
{

/* Written by its backend only, without a lock; taken by a backend under the header's lock. */
struct alignas(PG_CACHE_LINE_SIZE) BackendCounts
{
	Oid database; /* InvalidOid: no backend has counted here */
	std::int64_t value[counters];
};

/*
 * Makes the memory for all backends at the first use. Returns false if there is none. Normal code,
 * no lock held.
 */
bool make_backends();

/*
 * Returns the counters by backend number; empty before make_backends(), which every process calls
 * that uses them.
 */
std::span<BackendCounts> counts_of_backends();

/*
 * Returns, by backend number, the transaction that has changes in flight in the load cache of the
 * backend's database. Guarded by that cache's lock.
 */
std::span<TransactionId> transactions_of_backends();

} // namespace gxy
