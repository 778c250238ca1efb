/*
 * load_cache_suspects.cpp: a set of rooms by their hashes, which says yes to every room if there is no memory for it.
 */
#include "shared/load_cache_suspects.hpp"

#include "shared/load_cache_settlement.hpp"

namespace gxy
{
namespace
{

Suspect &
find(const Table &table, std::uint64_t room)
{
	return find_entry(shared<Suspect>(table.slots), table.size, &Suspect::room, room);
}

void
enter(Table *table, const Suspect &suspect)
{
	Suspect &entry = find(*table, suspect.room);

	if (entry.room == 0)
		table->count++;
	entry = suspect;
}

} // namespace

bool
add_suspect(Board *board, std::uint64_t room, TransactionId transaction)
{
	Table &table = board->suspects;

	if (table.is_full() && (table.size == 0 || find(table, room).room == 0))
		return false;
	enter(&table, Suspect{.room = room, .transaction = transaction});
	return true;
}

bool
is_suspect(const Board *board, std::uint64_t room)
{
	return board->all_suspect ||
		   (board->suspects.count > 0 && find(board->suspects, room).room != 0);
}

void
enter_suspects(Table *table, const Array<std::uint64_t> &counted)
{
	for (std::uint64_t room : counted)
		enter(table, Suspect{.room = room, .transaction = InvalidTransactionId});
}

bool
replace_suspects(Board *board, Table *table)
{
	const Suspect *known =
		board->suspects.size > 0 ? shared<Suspect>(board->suspects.slots) : nullptr;

	if ((table->count + board->suspects.count) * 2 > table->size)
		return false;
	for (const Suspect &suspect : std::span(known, static_cast<std::size_t>(board->suspects.size)))
		if (suspect.room != 0 && TransactionIdIsValid(suspect.transaction) &&
			!is_seen(board, suspect.transaction))
			enter(table, suspect);
	std::swap(board->suspects, *table);
	/* Those that could not be entered are found by a count that has seen the end of their transactions. */
	if (!TransactionIdIsValid(board->not_entered) ||
		TransactionIdPrecedes(board->not_entered, board->seen.oldest_in_progress))
	{
		board->all_suspect = false;
		board->not_entered = InvalidTransactionId;
	}
	return true;
}

void
suspect_all(Board *board, TransactionId transaction)
{
	board->all_suspect = true;
	if (TransactionIdIsValid(transaction) &&
		(!TransactionIdIsValid(board->not_entered) ||
		 TransactionIdPrecedes(board->not_entered, transaction)))
		board->not_entered = transaction;
}

} // namespace gxy
