/*
 * load_cache_state.cpp: makes boards, has them grow, and frees them.
 */
#include "shared/load_cache_state.hpp"

namespace gxy
{
namespace
{

Board *here = nullptr;

Size
board_size()
{
	Size transactions = static_cast<Size>(MaxBackends) + static_cast<Size>(max_prepared_xacts) + 1;

	return offsetof(Board, in_progress) + sizeof(TransactionId) * transactions;
}

Size
size_of_prepared(int changes)
{
	return offsetof(PreparedBlock, changes) + sizeof(Prepared) * static_cast<Size>(changes);
}

/* The board of an entry, made if there is none; 0 if there is no memory. */
SharedPointer
make_board(DatabaseEntry *entry)
{
	SharedPointer fresh = allocate_shared(board_size());
	SharedPointer found = 0;

	if (fresh == 0)
		return 0;

	Board *board = shared<Board>(fresh);

	LWLockInitialize(&board->lock, shared_header()->tranche);
	ConditionVariableInit(&board->count_ended);
	board->bytes = block_size(board_size());
	found = with_lock(&shared_header()->lock, LW_EXCLUSIVE, [entry, fresh] {
		if (entry->board == 0)
			entry->board = fresh;
		return entry->board;
	});
	if (found != fresh)
		free_shared(fresh, board_size());
	return found;
}

void
free_prepared(Board *board, SharedPointer first)
{
	while (first != 0)
	{
		PreparedBlock *block = shared<PreparedBlock>(first);
		SharedPointer next = block->next;

		free_on_board(board, first, size_of_prepared(block->space));
		first = next;
	}
}

} // namespace

Board *
board_here()
{
	if (here != nullptr || !IsTransactionState())
		return here;
	check_layout();

	DatabaseEntry *entry = my_database();

	if (entry == nullptr || !make_backends())
		return nullptr;

	SharedPointer board =
		with_lock(&shared_header()->lock, LW_SHARED, [entry] { return entry->board; });

	if (board == 0)
		board = make_board(entry);
	if (board != 0)
	{
		map_segments();
		here = shared<Board>(board);
	}
	return here;
}

TransactionId &
my_transaction()
{
	return transactions_of_backends()[static_cast<std::size_t>(compat::backend_number())];
}

std::span<const TransactionId>
transactions_in_flight()
{
	return transactions_of_backends();
}

SharedPointer
allocate_on_board(Board *board, Size size)
{
	SharedPointer block = allocate_shared(size);

	if (block != 0)
		with_lock(&board->lock, LW_EXCLUSIVE, [=] { board->bytes += block_size(size); });
	return block;
}

void
free_on_board(Board *board, SharedPointer block, Size size)
{
	if (block == 0)
		return;
	with_lock(&board->lock, LW_EXCLUSIVE, [=] { board->bytes -= block_size(size); });
	free_shared(block, size);
}

bool
add_chunk(Board *board)
{
	int chunks = board->chunks;
	Size size = sizeof(Carried) * static_cast<Size>(places_in(chunks + 1) - places_in(chunks));

	if (chunks == max_chunks)
		return false;

	SharedPointer fresh = allocate_on_board(board, size);

	if (fresh == 0)
		return false;

	bool used = with_lock(&board->lock, LW_EXCLUSIVE, [board, chunks, fresh] {
		if (board->chunks != chunks)
			return false;
		board->servers[board->chunks++] = fresh;
		return true;
	});

	if (!used)
		free_on_board(board, fresh, size);
	return true;
}

SharedPointer
allocate_prepared(Board *board, int changes)
{
	SharedPointer block = allocate_on_board(board, size_of_prepared(changes));

	if (block != 0)
		shared<PreparedBlock>(block)->space = changes;
	return block;
}

void
free_spent(Board *board)
{
	if (board->spent != 0)
		free_prepared(board, with_lock(&board->lock, LW_EXCLUSIVE, [board] {
						  return std::exchange(board->spent, SharedPointer{0});
					  }));
}

void
note_untold(TransactionId transaction)
{
	if (shared_header() == nullptr)
		return;

	/* Another backend may have made the board in the meantime, and counted. */
	SharedPointer board = with_lock(&shared_header()->lock, LW_EXCLUSIVE, [transaction] {
		TransactionId &untold = shared_header()->untold;
		const DatabaseEntry *entry = find_database(MyDatabaseId);

		if (!TransactionIdIsValid(untold) || TransactionIdPrecedes(untold, transaction))
			untold = transaction;
		return entry != nullptr ? entry->board : 0;
	});

	if (board != 0)
		with_lock(&shared<Board>(board)->lock, LW_EXCLUSIVE,
				  [board] { shared<Board>(board)->usable = false; });
}

bool
sees_untold(TransactionId oldest_in_progress)
{
	TransactionId &untold = shared_header()->untold;
	bool seen;

	LWLockAcquire(&shared_header()->lock, LW_EXCLUSIVE);
	/* Forgotten, before numbers of transactions begin anew. */
	if (TransactionIdIsValid(untold) && TransactionIdPrecedes(untold, oldest_in_progress))
		untold = InvalidTransactionId;
	seen = !TransactionIdIsValid(untold);
	LWLockRelease(&shared_header()->lock);
	return seen;
}

Size
bytes_of_board(SharedPointer board)
{
	return board != 0 ? shared<Board>(board)->bytes : 0;
}

void
free_board(SharedPointer pointer)
{
	if (pointer == 0)
		return;
	map_segments();

	Board *board = shared<Board>(pointer);

	for (int i = 0; i < board->chunks; i++)
		free_on_board(board, board->servers[i],
					  sizeof(Carried) * static_cast<Size>(places_in(i + 1) - places_in(i)));
	free_on_board(board, board->names.slots,
				  sizeof(NamedPlace) * static_cast<Size>(board->names.size));
	free_on_board(board, board->suspects.slots,
				  sizeof(Suspect) * static_cast<Size>(board->suspects.size));
	free_prepared(board, board->prepared);
	free_prepared(board, board->spent);
	free_shared(pointer, board_size());
}

} // namespace gxy
