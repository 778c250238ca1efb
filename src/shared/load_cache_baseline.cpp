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

/*
 * Whether a transaction that the snapshot sees in progress may have changed rooms without telling the board, because it
 * began before the database had one. The rows of a prepared transaction are looked for, unless it has told of some.
 */
bool
may_not_tell(const Board *board, TransactionId transaction)
{
	int pid = BackendXidGetPid(transaction);
	const PGPROC *backend = pid != 0 ? BackendPidGetProc(pid) : nullptr;

	if (backend != nullptr)
		return backend->databaseId == MyDatabaseId;
	/* Prepared, or it has ended since the snapshot was taken. */
	return !TransactionIdIsInProgress(transaction) || has_told(board, transaction);
}

bool
all_tell(Board *board, Snapshot snapshot)
{
	TransactionId own = GetTopTransactionIdIfAny();

	if (!TransactionIdIsValid(board->told_from))
		return true;
	if (TransactionIdIsValid(own) && TransactionIdPrecedes(own, board->told_from))
		return false;
	for (std::uint32_t i = 0; i < snapshot->xcnt; i++)
		if (TransactionIdPrecedes(snapshot->xip[i], board->told_from) &&
			may_not_tell(board, snapshot->xip[i]))
			return false;
	/* Nor does the snapshot see the ids from xmax on, which it does not list. */
	for (TransactionId id = snapshot->xmax; TransactionIdPrecedes(id, board->told_from);)
	{
		if (may_not_tell(board, id))
			return false;
		TransactionIdAdvance(id);
	}
	board->told_from = InvalidTransactionId;
	return true;
}

void
end_count(Board *board)
{
	board->counting = false;
	board->seen.in_progress_count = 0;
}

/* As if it had never begun. */
void
discard_count(Board *board)
{
	for (Carried &server : std::span(board->servers, board->taken))
	{
		server.settled[board->epoch] += server.settled[board->epoch ^ 1];
		server.settled[board->epoch ^ 1] = Burden();
	}
	end_count(board);
}

} // namespace

bool
count_is_due(const Board *board, Basis basis, std::int64_t max_age)
{
	return is_due(board, basis, max_age);
}

BoardCount
begin_count(Board *board, Basis basis, std::int64_t max_age)
{
	return locked(board, LW_EXCLUSIVE, [=] {
		BoardCount count;

		if (board->counting || !is_due(board, basis, max_age))
			return count;
		/* May fail, so it comes before any change. */
		count.snapshot = RegisterSnapshot(GetLatestSnapshot());
		if (!all_tell(board, count.snapshot))
		{
			UnregisterSnapshot(count.snapshot);
			return BoardCount();
		}
		count.wants_prepared = !board->prepared_known;
		board->count_is_void = false;
		board->seen.oldest_in_progress = count.snapshot->xmin;
		board->seen.next = count.snapshot->xmax;
		board->seen.own = GetTopTransactionIdIfAny();
		board->seen.in_progress_count = static_cast<int>(count.snapshot->xcnt);
		std::copy_n(count.snapshot->xip, count.snapshot->xcnt, board->seen.in_progress);
		board->counting = true;
		board->count_begun = monotonic_microseconds();
		board->epoch ^= 1;
		return count;
	});
}

Installed
install_count(Board *board, Basis basis, const CountResult &result, std::int64_t *counted)
{
	Suspect *scratch =
		static_cast<Suspect *>(palloc(sizeof(Suspect) * static_cast<Size>(suspect_places)));
	Installed installed = locked(board, LW_EXCLUSIVE, [&] {
		settle_prepared(board);
		if (counted_in_flight(board))
			return Installed::not_yet;
		if (board->count_is_void)
		{
			discard_count(board);
			return Installed::discarded;
		}
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
		board->counted = board->count_begun;
		board->count_duration = monotonic_microseconds() - board->count_begun;
		board->counted_at = GetCurrentTimestamp() - board->count_duration;
		*counted = board->counted;
		end_count(board);
		return Installed::yes;
	});

	pfree(scratch);
	if (installed != Installed::not_yet)
		ConditionVariableBroadcast(&board->count_ended);
	return installed;
}

void
abandon_count(Board *board)
{
	locked(board, LW_EXCLUSIVE, [=] { discard_count(board); });
	ConditionVariableBroadcast(&board->count_ended);
}

void
outdate_count(Board *board, std::int64_t counted)
{
	locked(board, LW_EXCLUSIVE, [=] {
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
