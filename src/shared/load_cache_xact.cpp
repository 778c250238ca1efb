/*
 * load_cache_xact.cpp: changes by nest level, and the callbacks that say what became of them.
 *
 * Changes are added up by server and level of subtransaction, so that the ledger of a transaction is no longer than
 * servers times levels. The callbacks run at a point where nothing may fail: they allocate nothing and take one lock.
 */
#include "shared/load_cache_xact.hpp"

#include "pg/debug_delay.hpp"

namespace gxy
{
namespace
{

Array<BoardChange> changes; /* in TopMemoryContext; levels never decrease */
TransactionId transaction = InvalidTransactionId;
int truncated_level = 0; /* 0: the table has not been emptied */
int counting_level = 0;	 /* 0: no count is running */
/* Of the innermost (sub)transaction that may have written sessions before this transaction's count saw them; 0: none. */
int counted_level = 0;
std::int64_t counted = 0; /* that count, for outdate_count() */
bool listening = false;
BoardChange reservation;
SharedPointer prepared_block = 0; /* for the changes, once they are to be prepared */

/* Before anything is written on the board, because nothing may fail between that and its entry here. */
void
make_space()
{
	MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);

	changes.make_space();
	MemoryContextSwitchTo(caller);
}

/* There is space for it. */
void
enter(const BoardChange &change)
{
	for (int i = changes.count - 1; i >= 0 && changes[i].level == change.level; i--)
		if (changes[i].place == change.place)
		{
			changes[i].gain += change.gain;
			changes[i].loss += change.loss;
			return;
		}
	changes.push(change);
}

/* The end of a transaction that cannot or must not undo anything any more. */
void
forget()
{
	changes.count = 0;
	transaction = InvalidTransactionId;
	truncated_level = 0;
	counted_level = 0;
}

int
first_at(int level)
{
	int first = changes.count;

	while (first > 0 && changes[first - 1].level >= level)
		first--;
	return first;
}

void
undo(int level)
{
	Board *board = board_here();
	int first = first_at(level);

	if (counting_level >= level)
	{
		abandon_count(board);
		counting_level = 0;
	}
	if (counted_level >= level)
	{
		outdate_count(board, counted);
		counted_level = 0;
	}
	if (truncated_level >= level)
		truncated_level = 0;
	if (changes.count > first || (level <= 1 && TransactionIdIsValid(transaction)))
		take_from_board(board, changes.items + first, changes.count - first, level <= 1);
	changes.count = first;
}

void
hand_to_parent(int level)
{
	int first = first_at(level);
	int count = changes.count;

	/* No longer than before, so that there is space. */
	changes.count = first;
	for (int i = first; i < count; i++)
	{
		BoardChange change = changes[i];

		change.level = level - 1;
		enter(change);
	}
	for (int *at : {&truncated_level, &counting_level, &counted_level})
		if (*at >= level)
			*at = level - 1;
}

} // namespace

extern "C"
{
	static void at_transaction_end(XactEvent event, void *)
	{
		switch (event)
		{
			case XACT_EVENT_COMMIT:
				debug_pause();
				if (TransactionIdIsValid(transaction))
					settle_on_board(board_here(), transaction, changes.items, changes.count);
				forget();
				break;
			case XACT_EVENT_PRE_PREPARE:
				if (changes.count > 0)
					prepared_block = allocate_prepared(board_here(), changes.count);
				break;
			case XACT_EVENT_PREPARE:
				/* No callback runs if it is rolled back. */
				if (counted_level > 0)
					outdate_count(board_here(), counted);
				if (TransactionIdIsValid(transaction))
					leave_on_board(board_here(), transaction, changes.items, changes.count,
								   std::exchange(prepared_block, 0));
				forget();
				break;
			case XACT_EVENT_ABORT:
				undo(1);
				if (prepared_block != 0)
					discard_prepared(board_here(), std::exchange(prepared_block, 0));
				forget();
				break;
			default:
				break;
		}
	}

	static void at_subtransaction_end(SubXactEvent event, SubTransactionId, SubTransactionId,
									  void *)
	{
		int level = GetCurrentTransactionNestLevel();

		if (event == SUBXACT_EVENT_ABORT_SUB)
			undo(level);
		else if (event == SUBXACT_EVENT_COMMIT_SUB)
			hand_to_parent(level);
	}
}

static void
listen()
{
	if (listening)
		return;
	RegisterXactCallback(at_transaction_end, nullptr);
	RegisterSubXactCallback(at_subtransaction_end, nullptr);
	listening = true;
}

static void
note(std::string_view server, Burden gain, Burden loss)
{
	TransactionId own = GetTopTransactionId();
	Board *board = board_here();
	int place = board != nullptr ? place_on_board(board, name_hash(server)) : -1;

	if (place < 0)
	{
		note_untold(own);
		return;
	}
	listen();
	make_space();
	transaction = own;

	BoardChange change = {place, GetCurrentTransactionNestLevel(), gain, loss};

	write_on_board(board, transaction, change);
	enter(change);
}

void
note_room(std::string_view server, Burden burden)
{
	note(server, burden, {});
}

void
note_loss(std::string_view server, Burden burden, TransactionId inserter)
{
	if (TransactionIdIsCurrentTransactionId(inserter))
		note(server, -burden, {});
	else
		note(server, {}, -burden);
}

void
note_lost_room(std::string_view room)
{
	TransactionId own = GetTopTransactionId();
	Board *board = board_here();

	if (board != nullptr)
		suspect_on_board(board, own, name_hash(room));
	else
		note_untold(own);
}

void
note_truncation()
{
	TransactionId own = GetTopTransactionId();

	if (board_here() == nullptr)
	{
		note_untold(own);
		return;
	}
	listen();

	int level = GetCurrentTransactionNestLevel();

	make_space();
	transaction = own;
	enter(BoardChange{.place = -1, .level = level, .gain = {}, .loss = {}});
	if (truncated_level == 0)
		truncated_level = level;
}

bool
has_truncated()
{
	return truncated_level > 0;
}

Reserved
reserve(Board *board, ReserveRequest request, Server *servers, const int *places, int count,
		Decision *decision)
{
	listen();
	make_space();
	request.own = {changes.items, static_cast<std::size_t>(changes.count)};

	Reserved reserved = reserve_on_board(board, request, servers, places, count, decision);

	if (reserved == Reserved::yes)
	{
		reservation = BoardChange{.place = places[decision->server],
								  .level = GetCurrentTransactionNestLevel(),
								  .gain = request.burden,
								  .loss = {}};
		transaction = GetTopTransactionId();
		enter(reservation);
	}
	return reserved;
}

void
take_back_reservation()
{
	BoardChange back = reservation;

	back.gain = -back.gain;
	enter(back);
	take_from_board(board_here(), &reservation, 1, false);
}

BoardCount
start_count(Board *board, Basis basis, std::int64_t max_age)
{
	listen();

	BoardCount count = begin_count(board, basis, max_age);

	if (count.snapshot != nullptr)
		counting_level = GetCurrentTransactionNestLevel();
	return count;
}

bool
finish_count(Board *board, Basis basis, const CountResult &result)
{
	Installed installed = install_count(board, basis, result, &counted);

	if (installed == Installed::not_yet)
		return false;
	counting_level = 0;
	/* A (sub)transaction that has no id has written nothing. */
	if (installed == Installed::yes)
		counted_level = !result.has_sessions ? 0
						: TransactionIdIsValid(GetCurrentTransactionIdIfAny())
							? GetCurrentTransactionNestLevel()
						: TransactionIdIsValid(GetTopTransactionIdIfAny())
							? GetCurrentTransactionNestLevel() - 1
							: 0;
	return true;
}

void
give_up_count(Board *board)
{
	abandon_count(board);
	counting_level = 0;
}

} // namespace gxy
