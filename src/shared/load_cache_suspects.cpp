/*
 * load_cache_suspects.cpp: a set of rooms by their hashes, which says yes to every room when it overflows.
 */
#include "shared/load_cache_suspects.hpp"

#include "shared/load_cache_settlement.hpp"

namespace gxy
{

void
add_suspect(Board *board, std::uint64_t room, TransactionId transaction)
{
	Suspect &suspect =
		board->suspects[find_entry(board->suspects, suspect_places, &Suspect::room, room)];

	if (suspect.room == 0)
	{
		if (board->suspect_count >= suspect_places / 2)
		{
			board->all_suspect = true;
			return;
		}
		board->suspect_count++;
		suspect.room = room;
	}
	suspect.transaction = transaction;
}

bool
is_suspect(const Board *board, std::uint64_t room)
{
	return board->all_suspect ||
		   board->suspects[find_entry(board->suspects, suspect_places, &Suspect::room, room)]
				   .room != 0;
}

void
replace_suspects(Board *board, const Array<std::uint64_t> &counted, Suspect *scratch)
{
	int kept = 0;

	for (const Suspect &suspect : board->suspects)
		if (suspect.room != 0 && TransactionIdIsValid(suspect.transaction) &&
			!is_seen(board->seen, suspect.transaction))
			scratch[kept++] = suspect;
	if (board->suspect_count > 0)
		std::memset(static_cast<void *>(board->suspects), 0, sizeof(board->suspects));
	board->suspect_count = 0;
	board->all_suspect = false;
	for (std::uint64_t room : counted)
		add_suspect(board, room, InvalidTransactionId);
	for (int i = 0; i < kept; i++)
		add_suspect(board, scratch[i].room, scratch[i].transaction);
}

} // namespace gxy
