/*
 * load_cache_suspects.hpp: rooms that may have live sessions and no assignment. All of this under the board's lock.
 */
#pragma once

#include "pg/array.hpp"
#include "shared/load_cache_layout.hpp"

namespace gxy
{

/* transaction: whose end makes it one; InvalidTransactionId: the count has found it. */
void add_suspect(Board *board, std::uint64_t room, TransactionId transaction);

bool is_suspect(const Board *board, std::uint64_t room);

/*
 * Replaces them by those that a count has found, and keeps those whose transaction had not ended by its snapshot. scratch
 * has space for all.
 */
void replace_suspects(Board *board, const Array<std::uint64_t> &counted, Suspect *scratch);

} // namespace gxy
