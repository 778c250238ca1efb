/*
 * load_cache_state.hpp: the board of a database, its blocks, and how they grow.
 */
#pragma once

#include "shared/backends.hpp"
#include "shared/databases.hpp"
#include "shared/load_cache_layout.hpp"

namespace gxy
{

/*
 * The board of this database, made at the first use; nullptr if there is no memory for it. Raises 55000 where another
 * version of the library is in use. In a transaction callback: what an earlier call has returned.
 */
Board *board_here();

/*
 * The transaction that this backend has something in flight of, and those of all backends. They are read and written
 * under the lock of the board in question. Only where there is a board.
 */
TransactionId &my_transaction();
std::span<const TransactionId> transactions_in_flight();

/* A block on a board, counted as such. 0 if there is no memory. Normal code, no lock held, like all that follows. */
SharedPointer allocate_on_board(Board *board, Size size);
void free_on_board(Board *board, SharedPointer block, Size size);

/* Makes room for twice as many servers; false if there is no memory. */
bool add_chunk(Board *board);

/*
 * Moves a table of a board to a block with slots for count entries at least, unless it has them by now; false if there
 * is no memory.
 */
template <typename E, typename K>
bool
grow_table(Board *board, Table Board::*which, K E::*key_of, int count)
{
	int size = 64;

	while (size < count * 2 + 2)
		size *= 2;

	SharedPointer fresh = allocate_on_board(board, sizeof(E) * static_cast<Size>(size));
	int unused_size = size;

	if (fresh == 0)
		return false;

	SharedPointer unused = with_lock(&board->lock, LW_EXCLUSIVE, [&]() -> SharedPointer {
		Table &table = board->*which;

		if (table.size >= size)
			return fresh;
		for (int i = 0; i < table.size; i++)
			if (const E &entry = shared<E>(table.slots)[i]; entry.*key_of != 0)
				find_entry(shared<E>(fresh), size, key_of, entry.*key_of) = entry;
		unused_size = table.size;
		table.size = size;
		return std::exchange(table.slots, fresh);
	});

	free_on_board(board, unused, sizeof(E) * static_cast<Size>(unused_size));
	return true;
}

/* A block for the changes of a prepared transaction; 0 if there is no memory. */
SharedPointer allocate_prepared(Board *board, int changes);

/* Frees the blocks of prepared changes that are not needed any more. */
void free_spent(Board *board);

/*
 * A transaction changes something that no board is told of, for want of memory: no count is of use that has not seen its
 * end.
 */
void note_untold(TransactionId transaction);

/* Whether a snapshot with this oldest transaction in progress sees the end of all such. Also under a board's lock. */
bool sees_untold(TransactionId oldest_in_progress);

/* What a board takes, to be shown, and its end with its database. */
Size bytes_of_board(SharedPointer board);
void free_board(SharedPointer board);

} // namespace gxy
