/*
 * load_cache_baseline.cpp: when a count is due, and how it takes the place of the last one.
 */
#include "shared/load_cache_baseline.hpp"

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
is_due(const Board *board, Basis basis, TimestampTz now, std::int64_t max_age)
{
	std::int64_t age = now - board->counted_at;

	/* A clock that was set back makes every count too old. */
	if (!board->usable || age < 0)
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
count_is_due(const Board *board, Basis basis, TimestampTz now, std::int64_t max_age)
{
	return is_due(board, basis, now, max_age);
}

BoardCount
begin_count(Board *board, Basis basis, TimestampTz now, std::int64_t max_age)
{
	return locked(board, LW_EXCLUSIVE, [=] {
		BoardCount count;

		if (board->counting || !is_due(board, basis, now, max_age))
			return count;
		/* May fail, so it comes before any change. */
		count.snapshot = RegisterSnapshot(GetLatestSnapshot());
		count.wants_prepared = !board->prepared_known;
		board->seen.oldest_in_progress = count.snapshot->xmin;
		board->seen.next = count.snapshot->xmax;
		board->seen.own = GetTopTransactionIdIfAny();
		board->seen.in_progress_count = static_cast<int>(count.snapshot->xcnt);
		std::copy_n(count.snapshot->xip, count.snapshot->xcnt, board->seen.in_progress);
		board->counting = true;
		board->count_begun = now;
		board->epoch ^= 1;
		return count;
	});
}

bool
install_count(Board *board, Basis basis, const CountResult &result)
{
	Suspect *scratch =
		static_cast<Suspect *>(palloc(sizeof(Suspect) * static_cast<Size>(suspect_places)));
	bool installed = locked(board, LW_EXCLUSIVE, [&] {
		settle_prepared(board);
		if (counted_in_flight(board))
			return false;
		for (Carried &server : std::span(board->servers, board->taken))
		{
			server.counted = Burden();
			server.settled[board->epoch ^ 1] = Burden();
		}
		for (const CountedServer &server : result.servers)
			board->servers[server.place].counted = server.burden;
		replace_suspects(board, result.suspects, scratch);
		board->usable = true;
		if (!board->prepared_known)
			add_prepared(board, result.prepared);
		board->basis = basis;
		board->counted_at = board->count_begun;
		board->count_duration =
			std::max<std::int64_t>(GetCurrentTimestamp() - board->count_begun, 0);
		end_count(board);
		return true;
	});

	pfree(scratch);
	if (installed)
		ConditionVariableBroadcast(&board->counted);
	return installed;
}

void
abandon_count(Board *board)
{
	locked(board, LW_EXCLUSIVE, [=] {
		for (Carried &server : std::span(board->servers, board->taken))
		{
			server.settled[board->epoch] += server.settled[board->epoch ^ 1];
			server.settled[board->epoch ^ 1] = Burden();
		}
		end_count(board);
	});
	ConditionVariableBroadcast(&board->counted);
}

void
outdate_count(Board *board)
{
	locked(board, LW_EXCLUSIVE, [=] { board->counted_at = 0; });
}

void
wait_for_count(Board *board, Basis basis, int milliseconds)
{
	auto is_missing = [board, basis] { return !board->usable || board->basis != basis; };

	if (!is_missing())
		return;

	TimestampTz end = GetCurrentTimestamp() + static_cast<std::int64_t>(milliseconds) * 1000;

	ConditionVariablePrepareToSleep(&board->counted);
	while (board->counting && is_missing())
	{
		std::int64_t left = (end - GetCurrentTimestamp()) / 1000;

		if (left <= 0 || ConditionVariableTimedSleep(&board->counted, static_cast<long>(left),
													 PG_WAIT_EXTENSION))
			break;
	}
	ConditionVariableCancelSleep();
}

} // namespace gxy
