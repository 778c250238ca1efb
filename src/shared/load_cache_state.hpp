/*
 * load_cache_state.hpp: the boards in shared memory, one for each of a few databases.
 *
 * Present where the library is preloaded.
 */
#pragma once

#include "pg/compat.hpp"

namespace gxy
{

struct Board;

/* To be called while libraries are being preloaded. */
void request_boards();

/*
 * The board of this database; nullptr if it has none (yet). In a transaction that has an id and looks before each of its
 * changes: either it finds the board, or no count is made before it has ended.
 */
Board *board_here();

/*
 * The same, taking a free one if there is one. nullptr: none is left, of which the first call in the database that finds
 * it so warns. Not for transaction callbacks.
 */
Board *claim_board();

enum class BoardPlace
{
	not_preloaded,
	none, /* not claimed yet */
	taken,
	refused, /* none was left at the last claim */
};

/* How this database stands. */
BoardPlace board_place();

/*
 * The transaction that this backend has something in flight of, and those of all backends. They are read and written
 * under the lock of the board in question.
 */
TransactionId &my_transaction();
std::span<const TransactionId> transactions_in_flight();

} // namespace gxy
