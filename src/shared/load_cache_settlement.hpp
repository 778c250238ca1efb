/*
 * load_cache_settlement.hpp: moves the changes of ended transactions from in flight to committed.
 * Private to the load cache. The caller of each function holds the lock of the load cache.
 */
#pragma once

#include "pg/array.hpp"
#include "pg/compat.hpp"
#include "shared/header.hpp"
#include "shared/load_cache_layout.hpp"
#include "shared/load_delta.hpp"

namespace gxy
{

/* Returns whether the running count sees what a transaction has changed, if that has committed. */
bool is_in_snapshot(const LoadCache *cache, TransactionId transaction);

/*
 * Returns whether a backend still has changes in flight of a transaction that the running count
 * sees as ended.
 */
bool snapshot_is_in_flight(const LoadCache *cache);

/*
 * Adds a change of a committed transaction to the committed sums, or makes the cache unusable if
 * the transaction has emptied the table (slot -1). Also in a transaction callback.
 */
void apply_commit(LoadCache *cache, TransactionId transaction, int slot, Load added,
				  const LoadAtCommit &at_commit);

/* Applies or drops the changes of prepared transactions that have ended by now. */
void resolve_prepared(LoadCache *cache);

/*
 * The changes of a prepared transaction are not listed, for want of memory: the cache is unusable
 * until a count has looked for the rows of prepared transactions, and the running count is void.
 * Also in a transaction callback.
 */
void forget_prepared(LoadCache *cache);

/*
 * Adds a block to the list of prepared changes; an empty block to those to be freed. Also in a
 * transaction callback, for a block of its transaction.
 */
void add_prepared_block(LoadCache *cache, SharedPointer block);

/*
 * Lists the rows of prepared transactions that have reported nothing to the cache. block: by
 * allocate_prepared(), with space for all rows; 0: there was no memory, then forget_prepared().
 */
void add_prepared_rows(LoadCache *cache, const Array<PreparedRow> &rows, SharedPointer block);

} // namespace gxy
