/*
 * load_cache_settlement.cpp: what becomes of changes whose transaction has ended, and of prepared ones, whose end nobody tells.
 */
#include "shared/load_cache_settlement.hpp"

#include "shared/load_cache_state.hpp"

namespace gxy
{

bool
is_seen(const Board *board, TransactionId transaction)
{
	const Seen &seen = board->seen;
	const TransactionId *end = board->in_progress + seen.in_progress_count;

	if (transaction == seen.own || TransactionIdFollowsOrEquals(transaction, seen.next))
		return false;
	return TransactionIdPrecedes(transaction, seen.oldest_in_progress) ||
		   std::find(static_cast<const TransactionId *>(board->in_progress), end, transaction) ==
			   end;
}

bool
counted_in_flight(const Board *board)
{
	std::span<const TransactionId> backends = transactions_in_flight();

	return std::any_of(backends.begin(), backends.end(), [board](TransactionId transaction) {
		return TransactionIdIsValid(transaction) && is_seen(board, transaction);
	});
}

void
settle(Board *board, TransactionId transaction, int place, Burden gain, Burden loss)
{
	bool counted = board->counting && is_seen(board, transaction);

	if (place < 0)
	{
		board->usable = false;
		return;
	}

	Burden &settled = carried(board, place).settled[board->epoch ^ (counted ? 1 : 0)];

	settled += gain;
	settled += loss;
}

/* What is known of a transaction that is no longer in progress; false if it is too long ago to be told. */
static bool
has_committed(TransactionId transaction, bool *committed)
{
	bool known;

	LWLockAcquire(XactTruncationLock, LW_SHARED);
	known = TransactionIdPrecedesOrEquals(compat::oldest_known_transaction(), transaction);
	if (known)
		*committed = TransactionIdDidCommit(transaction);
	LWLockRelease(XactTruncationLock);
	return known;
}

/* What is left in a block when those of its changes have settled whose transactions have ended. */
static void
settle_block(Board *board, PreparedBlock *block)
{
	int kept = 0;

	for (int i = 0; i < block->count; i++)
	{
		const Prepared change = block->changes[i];
		bool committed = false;

		if (TransactionIdIsInProgress(change.transaction))
		{
			block->changes[kept++] = change;
			continue;
		}
		if (!has_committed(change.transaction, &committed))
			board->usable = false;
		if (change.place >= 0)
			carried(board, change.place).in_flight += -change.gain;
		if (committed)
			settle(board, change.transaction, change.place, change.gain, change.loss);
	}
	block->count = kept;
}

void
settle_prepared(Board *board)
{
	SharedPointer *link = &board->prepared;

	while (*link != 0)
	{
		SharedPointer pointer = *link;
		PreparedBlock *block = shared<PreparedBlock>(pointer);

		settle_block(board, block);
		if (block->count > 0)
		{
			link = &block->next;
			continue;
		}
		*link = block->next;
		block->next = board->spent;
		board->spent = pointer;
	}
}

void
lose_prepared(Board *board)
{
	board->prepared_known = false;
	board->usable = false;
	/* It has not looked for the rows of those that were in the list. */
	board->count_is_void = true;
}

void
add_prepared_block(Board *board, SharedPointer pointer)
{
	PreparedBlock *block = shared<PreparedBlock>(pointer);
	SharedPointer &list = block->count > 0 ? board->prepared : board->spent;

	block->next = list;
	list = pointer;
}

static bool
has_told(const Board *board, TransactionId transaction)
{
	std::span<const TransactionId> backends = transactions_in_flight();

	if (std::find(backends.begin(), backends.end(), transaction) != backends.end())
		return true;
	for (SharedPointer at = board->prepared; at != 0; at = shared<PreparedBlock>(at)->next)
	{
		const PreparedBlock *block = shared<PreparedBlock>(at);

		for (int i = 0; i < block->count; i++)
			if (block->changes[i].transaction == transaction)
				return true;
	}
	return false;
}

void
add_prepared_rows(Board *board, const Array<PreparedRow> &rows, SharedPointer pointer)
{
	if (rows.count > 0 && pointer == 0)
	{
		lose_prepared(board);
		return;
	}
	for (const PreparedRow &row : rows)
	{
		if (has_told(board, row.transaction))
			continue;

		PreparedBlock *block = shared<PreparedBlock>(pointer);

		block->changes[block->count++] = Prepared{
			.transaction = row.transaction, .place = row.place, .gain = row.burden, .loss = {}};
		carried(board, row.place).in_flight += row.burden;
	}
	if (pointer != 0)
		add_prepared_block(board, pointer);
	board->prepared_known = true;
}

} // namespace gxy
