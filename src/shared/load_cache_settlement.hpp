/*
 * load_cache_settlement.hpp: which of a board's sums a transaction's changes go to when it has ended. All of this under the board's lock.
 */
#pragma once

#include "pg/array.hpp"
#include "shared/load_cache_layout.hpp"

namespace gxy
{

/* Whether the running count sees what a transaction did, provided that it has committed. */
bool is_seen(const Seen &seen, TransactionId transaction);

/* Whether a backend has in flight what the running count has seen. */
bool counted_in_flight(const Board *board);

/* A transaction has committed. */
void settle(Board *board, TransactionId transaction, int place, Burden gain, Burden loss);

/* Has the prepared transactions that have ended settle. */
void settle_prepared(Board *board);

/* Whether a transaction in progress, or prepared, has something on the board. */
bool has_told(const Board *board, TransactionId transaction);

/* The rows of all prepared transactions have to be looked for. */
void lose_prepared(Board *board);

/* The rows of prepared transactions that nobody has told the board of. */
void add_prepared(Board *board, const Array<PreparedRow> &rows);

} // namespace gxy
