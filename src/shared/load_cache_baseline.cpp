/*
 * load_cache_baseline.cpp: when a count is due, and how it takes the place of the last one.
 */
#include "shared/load_cache_baseline.hpp"

#include "pg/monotonic_clock.hpp"
#include "shared/load_cache_settlement.hpp"
#include "shared/load_cache_suspects.hpp"

namespace gxy
{
namespace
{

/* Counts take no more than a twentieth of the time; for callers who cannot use the last one, a third. */
constexpr int count_share = 20;
constexpr int other_basis_share = 2;

bool
is_due(const Board *board, Basis basis, std::int64_t max_age)
{
	std::int64_t age = monotonic_microseconds() - board->counted;

	if (!board->usable)
		return true;
	return board->basis == basis ? age >= std::max(max_age, board->count_duration * count_share)
								 : age >= board->count_duration * other_basis_share;
}

void
end_count(Board *board)
{
	board->counting = false;
	board->seen.in_progress_count = 0;
}

} // namespace

bool
count_is_due(const Board *board, Basis basis, std::int64_t max_age)
{
	return is_due(board, basis, max_age);
}

/* What settled during a count that was not installed stays where it is until the next one begins. */
static void
flip_epoch(Board *board)
{
	for (int i = 0; i < board->taken; i++)
	{
		Carried &server = carried(board, i);

		server.settled[board->epoch] += std::exchange(server.settled[board->epoch ^ 1], Burden());
	}
	board->epoch ^= 1;
}

BoardCount
begin_count(Board *board, Basis basis, std::int64_t max_age)
{
	return locked(board, [=] {
		BoardCount count;

		if (board->counting || !is_due(board, basis, max_age))
			return count;
		/* May fail, so it comes before any change. */
		count.snapshot = RegisterSnapshot(GetLatestSnapshot());
		if (!sees_untold(count.snapshot->xmin))
		{
			UnregisterSnapshot(count.snapshot);
			count.snapshot = nullptr;
			return count;
		}
		count.wants_prepared = !board->prepared_known;
		board->count_is_void = false;
		board->seen.oldest_in_progress = count.snapshot->xmin;
		board->seen.next = count.snapshot->xmax;
		board->seen.own = GetTopTransactionIdIfAny();
		board->seen.in_progress_count = static_cast<int>(count.snapshot->xcnt);
		std::copy_n(count.snapshot->xip, count.snapshot->xcnt, board->in_progress);
		board->counting = true;
		board->count_begun = monotonic_microseconds();
		flip_epoch(board);
		return count;
	});
}

/* A table for the suspects that a count has found and those of the board; none if there is no memory. */
static Table
make_suspects(Board *board, const Array<std::uint64_t> &counted)
{
	Table table = {};
	int size = 64;

	while (size < (counted.count + board->suspects.count + 32) * 2)
		size *= 2;
	table.slots = allocate_on_board(board, sizeof(Suspect) * static_cast<Size>(size));
	if (table.slots == 0)
		return Table();
	table.size = size;
	enter_suspects(&table, counted);
	return table;
}

static Installed
install_under_lock(Board *board, Basis basis, const CountResult &result, Table *suspects,
				   SharedPointer prepared)
{
	settle_prepared(board);
	if (counted_in_flight(board))
		return Installed::not_yet;
	if (board->count_is_void || result.is_incomplete)
	{
		end_count(board);
		return Installed::discarded;
	}
	if (suspects->size == 0)
		suspect_all(board, InvalidTransactionId);
	else if (!replace_suspects(board, suspects))
		return Installed::lacks_space;
	for (int i = 0; i < board->taken; i++)
	{
		Carried &server = carried(board, i);

		server.counted = Burden();
		server.settled[board->epoch ^ 1] = Burden();
	}
	for (const CountedServer &server : result.servers)
		carried(board, server.place).counted = server.burden;
	board->usable = true;
	if (!board->prepared_known)
		add_prepared_rows(board, result.prepared, prepared);
	else if (prepared != 0)
		add_prepared_block(board, prepared);
	board->usable = board->usable && sees_untold(board->seen.oldest_in_progress);
	board->basis = basis;
	board->counted = board->count_begun;
	board->count_duration = monotonic_microseconds() - board->count_begun;
	board->counted_at = GetCurrentTimestamp() - board->count_duration;
	end_count(board);
	return Installed::yes;
}

Installed
install_count(Board *board, Basis basis, const CountResult &result, std::int64_t *counted)
{
	SharedPointer prepared = 0;
	Installed installed;

	if (result.prepared.count > 0)
		prepared = allocate_prepared(board, result.prepared.count);
	do
	{
		Table suspects = make_suspects(board, result.suspects);

		installed = locked(board, [&] {
			Installed outcome = install_under_lock(board, basis, result, &suspects, prepared);

			*counted = board->counted;
			return outcome;
		});
		free_on_board(board, suspects.slots, sizeof(Suspect) * static_cast<Size>(suspects.size));
	} while (installed == Installed::lacks_space);
	if (installed != Installed::yes && prepared != 0)
		locked(board, [=] { add_prepared_block(board, prepared); });
	if (installed != Installed::not_yet)
		ConditionVariableBroadcast(&board->count_ended);
	return installed;
}

void
abandon_count(Board *board)
{
	locked_in_callback(board, [=] { end_count(board); });
	ConditionVariableBroadcast(&board->count_ended);
}

void
outdate_count(Board *board, std::int64_t counted)
{
	locked_in_callback(board, [=] {
		if (board->counted == counted)
			board->counted = 0;
	});
}

void
wait_for_count(Board *board, Basis basis, int milliseconds)
{
	auto is_missing = [board, basis] { return !board->usable || board->basis != basis; };

	if (!is_missing())
		return;

	TimestampTz end = GetCurrentTimestamp() + static_cast<std::int64_t>(milliseconds) * 1000;

	ConditionVariablePrepareToSleep(&board->count_ended);
	while (board->counting && is_missing())
	{
		std::int64_t left = (end - GetCurrentTimestamp()) / 1000;

		if (left <= 0 || ConditionVariableTimedSleep(&board->count_ended, static_cast<long>(left),
													 PG_WAIT_EXTENSION))
			break;
	}
	ConditionVariableCancelSleep();
}

} // namespace gxy
