/*
 * load_cache_suspects.hpp: rooms that may have live sessions and no assignment: a set by their hashes, which says yes to every
 * room if there is no memory for it. All of this under the board's lock.
 */
#pragma once

#include "pg/array.hpp"
#include "shared/load_cache_layout.hpp"

namespace gxy
{

/*
 * transaction: whose end makes it one; InvalidTransactionId: the count has found it. False: the table is full; grow it and
 * try again.
 */
bool add_suspect(Board *board, std::uint64_t room, TransactionId transaction);

/* There is no memory for the room that a transaction, if valid, makes a suspect: all are, until a count has seen its end. */
void suspect_all(Board *board, TransactionId transaction);

bool is_suspect(const Board *board, std::uint64_t room);

/* Enters those that a count has found into a table that is not on the board yet: for this, no lock is needed. */
void enter_suspects(Table *table, const Array<std::uint64_t> &counted);

/*
 * Has a table with those that a count has found take the place of the board's, and keeps those whose transaction had not
 * ended by its snapshot. False: the table is too small for both. The board's old table is left in table.
 */
bool replace_suspects(Board *board, Table *table);

} // namespace gxy
