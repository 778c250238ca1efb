/*
 * load_cache_settlement.hpp: which of a board's sums a transaction's changes go to when it has ended. All of this under the board's lock.
 */
#pragma once

#include "pg/array.hpp"
#include "shared/load_cache_layout.hpp"

namespace gxy
{

/* Whether the running count sees what a transaction did, provided that it has committed. */
bool is_seen(const Board *board, TransactionId transaction);

/* Whether a backend has in flight what the running count has seen. */
bool counted_in_flight(const Board *board);

/* A transaction has committed. Also in its callback. */
void settle(Board *board, TransactionId transaction, int place, Burden gain, Burden loss);

/* Has the prepared transactions that have ended settle. */
void settle_prepared(Board *board);

/* The changes of a prepared transaction are lost, for want of memory. Also in its callback. */
void lose_prepared(Board *board);

/* A transaction has been prepared. Also in its callback; block: of its own, with its changes; without any it is spent. */
void add_prepared_block(Board *board, SharedPointer block);

/*
 * The rows of prepared transactions that the board has not been told of; block: with room for all of them, 0 if there
 * was no memory for it, and then they have to be looked for again.
 */
void add_prepared_rows(Board *board, const Array<PreparedRow> &rows, SharedPointer block);

} // namespace gxy
