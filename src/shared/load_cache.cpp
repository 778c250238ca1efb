/*
 * load_cache.cpp: the shared boards and their locks.
 *
 * What a server carries is, for every server,
 *
 *     counted          as of the snapshot S of the last count,
 *     + settled        by transactions that have committed and that S did not see,
 *     + in flight      added by transactions that have not ended.
 *
 * What a transaction takes away counts for itself only, until it is committed: it may yet be rolled back.
 *
 * A new room is placed by reading these sums, deciding, and adding the room to what is in flight, in one step under the
 * board's lock. So of any number of callers each sees every reservation before its own, and rooms of equal size are
 * spread as evenly as if one caller had placed them one after the other.
 *
 * Each change of a transaction is in exactly one of the three sums at any time:
 *
 * - It is in flight from the moment it is written until the callback at its transaction's end. Aborted, it vanishes;
 *   committed, it settles.
 * - A count flips the epoch of what settles and takes S in one step under the lock. Callbacks run after a commit has
 *   become visible. Hence what settled before the flip is seen by S: it is in the old epoch, which goes when the count
 *   is installed. What settles after the flip may or may not be seen by S, and is asked: if it is, it goes to the old
 *   epoch as well; otherwise to the new one, which stays.
 * - A transaction that S sees may not have run its callback when the count is installed: then it would be counted and
 *   in flight at once. Therefore every backend with something in flight shows its transaction id, and as long as one is
 *   shown that S sees the count is not installed. (It is a matter of microseconds; the old sums hold meanwhile.) So
 *   after the installation nothing settles that S has seen, and there is nothing to ask while no count is being made.
 * - The counting transaction's own changes are in flight: it counts the table as S sees it without them, and shows S
 *   with its own id among those in progress.
 * - Nobody is called at COMMIT PREPARED. A transaction that is prepared leaves its changes in a list; whoever reads or
 *   installs looks which of those have ended and has them settle as above, under the lock. If there is no memory for
 *   the list, or after a restart, which forgets it, the board is unusable until a count has picked the rows of prepared
 *   transactions from the table.
 * - If there is no memory for a board, or for a server on it, a change is not told at all. Then no count is of use whose
 *   snapshot does not see the end of its transaction.
 * - A TRUNCATE makes the count unusable at commit, before its lock on the table is gone: nobody reads the board without
 *   a lock on the table. No count can be running then, for the same reason.
 *
 * If a count fails, both epochs stay, and are added up before the next one. A backend that dies runs the callbacks of an
 * abort, or, killed, takes the shared memory with it.
 *
 * A room with live sessions but without an assignment goes where its sessions are. Nobody wants to read the sessions for
 * every new room, so the board keeps a set of suspects: rooms that the last count has seen in that state, and those that
 * lose their assignment otherwise than by a cleanup. The latter stay for as long as the count's snapshot has not seen
 * the end of the transaction in question. If there is no memory for one, every room is suspect until a count has seen its
 * end.
 *
 * The lock is held for a step per server and never while waiting for anything else but other short locks.
 */
#include "shared/load_cache.hpp"

#include "shared/load_cache_settlement.hpp"
#include "shared/load_cache_suspects.hpp"

namespace gxy
{

int
place_on_board(Board *board, std::uint64_t server)
{
	enum class Lack
	{
		nothing,
		names,
		chunk
	};

	for (;;)
	{
		int place = -1;
		Lack lack = locked(board, [&] {
			Table &names = board->names;
			NamedPlace *known = names.size > 0
									? &find_entry(shared<NamedPlace>(names.slots), names.size,
												  &NamedPlace::server, server)
									: nullptr;

			if (known != nullptr && known->server == server)
				place = known->place;
			else if (names.is_full())
				return Lack::names;
			else if (board->taken == places_in(board->chunks))
				return Lack::chunk;
			else
			{
				*known = NamedPlace{.server = server, .place = board->taken++};
				names.count++;
				place = known->place;
			}
			return Lack::nothing;
		});

		if (lack == Lack::nothing)
			return place;
		if (!(lack == Lack::names
				  ? grow_table(board, &Board::names, &NamedPlace::server, board->names.count + 1)
				  : add_chunk(board)))
			return -1;
	}
}

void
write_on_board(Board *board, TransactionId transaction, const BoardChange &change)
{
	locked(board, [=] {
		my_transaction() = transaction;
		carried(board, change.place).in_flight += change.gain;
	});
}

static void
undo_on_board(Board *board, const BoardChange *changes, int count)
{
	for (int i = 0; i < count; i++)
		if (changes[i].place >= 0)
			carried(board, changes[i].place).in_flight += -changes[i].gain;
}

void
take_from_board(Board *board, const BoardChange *changes, int count, bool transaction_ends)
{
	locked_in_callback(board, [=] {
		undo_on_board(board, changes, count);
		if (transaction_ends)
			my_transaction() = InvalidTransactionId;
	});
}

void
settle_on_board(Board *board, TransactionId transaction, const BoardChange *changes, int count)
{
	locked_in_callback(board, [=] {
		undo_on_board(board, changes, count);
		for (int i = 0; i < count; i++)
			settle(board, transaction, changes[i].place, changes[i].gain, changes[i].loss);
		my_transaction() = InvalidTransactionId;
	});
}

void
leave_on_board(Board *board, TransactionId transaction, const BoardChange *changes, int count,
			   SharedPointer block)
{
	if (block != 0)
		for (int i = 0; i < count; i++)
			shared<PreparedBlock>(block)->changes[i] = Prepared{.transaction = transaction,
																.place = changes[i].place,
																.gain = changes[i].gain,
																.loss = changes[i].loss};
	locked_in_callback(board, [=] {
		if (block != 0)
		{
			shared<PreparedBlock>(block)->count = count;
			add_prepared_block(board, block);
		}
		else
		{
			undo_on_board(board, changes, count);
			lose_prepared(board);
		}
		my_transaction() = InvalidTransactionId;
	});
}

void
discard_prepared(Board *board, SharedPointer block)
{
	locked_in_callback(board, [=] { add_prepared_block(board, block); });
}

void
suspect_on_board(Board *board, TransactionId transaction, std::uint64_t room)
{
	for (;;)
	{
		bool entered = locked(board, [=] { return add_suspect(board, room, transaction); });

		if (entered)
			return;
		if (!grow_table(board, &Board::suspects, &Suspect::room, board->suspects.count + 1))
			break;
	}
	locked(board, [=] { suspect_all(board, transaction); });
}

Reserved
reserve_on_board(Board *board, const ReserveRequest &request, Server *servers, const int *places,
				 int count, Decision *decision)
{
	TransactionId transaction = GetTopTransactionId();

	return locked(board, [&] {
		settle_prepared(board);
		if (!board->usable || board->basis != request.basis)
			return Reserved::no_count;
		if (!request.room_examined && is_suspect(board, request.room))
			return Reserved::suspect;
		for (int i = 0; i < count; i++)
		{
			Burden sum = carried(board, places[i]).sum();

			for (const BoardChange &change : request.own)
				if (change.place == places[i])
					sum += change.loss;
			servers[i].rooms = std::max<std::int64_t>(sum.rooms, 0);
			servers[i].load = request.rules->metric == LoadMetric::rooms
								  ? servers[i].rooms * request.rules->avg_room_occupancy
								  : std::max<std::int64_t>(sum.load, 0);
		}
		hand_over_claimed(servers, request.claimed_by, count);
		*decision = decide(servers, count, request.expected, *request.rules);
		if (decision->outcome != Outcome::placed)
			return Reserved::refused;
		carried(board, places[decision->server]).in_flight += request.burden;
		my_transaction() = transaction;
		return Reserved::yes;
	});
}

bool
read_board(Board *board, Basis basis, const int *places, Burden *burdens, int count,
		   TimestampTz *counted_at)
{
	return locked(board, [=] {
		settle_prepared(board);
		for (int i = 0; i < count; i++)
			burdens[i] = carried(board, places[i]).sum();
		*counted_at = board->counted != 0 ? board->counted_at : 0;
		return board->usable && board->basis == basis;
	});
}

} // namespace gxy
