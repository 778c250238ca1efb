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

/* That of this database, claimed at the first use; nullptr: none. Not for transaction callbacks. */
Board *board_here();

/*
 * The transaction that this backend has something in flight of, and those of all backends. They are read and written
 * under the lock of the board in question.
 */
TransactionId &my_transaction();
std::span<const TransactionId> transactions_in_flight();

} // namespace gxy
