/*
 * load_cache_settlement.cpp: what becomes of changes whose transaction has ended, and of prepared ones, whose end nobody tells.
 */
#include "shared/load_cache_settlement.hpp"

#include "shared/load_cache_state.hpp"

namespace gxy
{

bool
is_seen(const Seen &seen, TransactionId transaction)
{
	const TransactionId *end = seen.in_progress + seen.in_progress_count;

	if (transaction == seen.own || TransactionIdFollowsOrEquals(transaction, seen.next))
		return false;
	return TransactionIdPrecedes(transaction, seen.oldest_in_progress) ||
		   std::find(static_cast<const TransactionId *>(seen.in_progress), end, transaction) == end;
}

bool
counted_in_flight(const Board *board)
{
	std::span<const TransactionId> backends = transactions_in_flight();

	return std::any_of(backends.begin(), backends.end(), [board](TransactionId transaction) {
		return TransactionIdIsValid(transaction) && is_seen(board->seen, transaction);
	});
}

void
settle(Board *board, TransactionId transaction, int place, Burden gain, Burden loss)
{
	bool counted = board->counting && is_seen(board->seen, transaction);

	if (place < 0)
	{
		board->usable = false;
		return;
	}

	Burden &settled = board->servers[place].settled[board->epoch ^ (counted ? 1 : 0)];

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

void
settle_prepared(Board *board)
{
	int kept = 0;

	for (int i = 0; i < board->prepared_count; i++)
	{
		const Prepared change = board->prepared[i];
		bool committed = false;

		if (TransactionIdIsInProgress(change.transaction))
		{
			board->prepared[kept++] = change;
			continue;
		}
		if (!has_committed(change.transaction, &committed))
			board->usable = false;
		if (change.place >= 0)
			board->servers[change.place].in_flight += -change.gain;
		if (committed)
			settle(board, change.transaction, change.place, change.gain, change.loss);
	}
	board->prepared_count = kept;
}

bool
has_told(const Board *board, TransactionId transaction)
{
	std::span<const TransactionId> backends = transactions_in_flight();

	return std::find(backends.begin(), backends.end(), transaction) != backends.end() ||
		   std::any_of(
			   board->prepared, board->prepared + board->prepared_count,
			   [transaction](const Prepared &change) { return change.transaction == transaction; });
}

void
lose_prepared(Board *board)
{
	for (int i = 0; i < board->prepared_count; i++)
		if (board->prepared[i].place >= 0)
			board->servers[board->prepared[i].place].in_flight += -board->prepared[i].gain;
	board->prepared_count = 0;
	board->prepared_known = false;
	board->usable = false;
	/* It has not looked for the rows of those that were in the list. */
	board->count_is_void = true;
}

void
add_prepared(Board *board, const Array<PreparedRow> &rows)
{
	int told = board->prepared_count;

	for (const PreparedRow &row : rows)
	{
		Prepared *end = board->prepared + board->prepared_count;
		Prepared *same = std::find_if(board->prepared + told, end, [&row](const Prepared &change) {
			return change.transaction == row.transaction && change.place == row.place;
		});

		if (same != end)
			same->gain += row.burden;
		else if (std::any_of(board->prepared + told, end,
							 [&row](const Prepared &change) {
								 return change.transaction == row.transaction;
							 }) ||
				 !has_told(board, row.transaction))
		{
			if (board->prepared_count == prepared_changes)
			{
				lose_prepared(board);
				return;
			}
			*end = Prepared{
				.transaction = row.transaction, .place = row.place, .gain = row.burden, .loss = {}};
			board->prepared_count++;
		}
		else
			continue;
		board->servers[row.place].in_flight += row.burden;
	}
	board->prepared_known = true;
}

} // namespace gxy
