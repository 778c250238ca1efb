/*
 * board.cpp: the shared boards and their locks.
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
 *   installs looks which of those have ended and has them settle as above, under the lock. If the list is full, or
 *   after a restart, which forgets it, the board is unusable until a count has picked the rows of prepared
 *   transactions from the table.
 * - A TRUNCATE makes the count unusable at commit, before its lock on the table is gone: nobody reads the board without
 *   a lock on the table. No count can be running then, for the same reason.
 *
 * If a count fails, both epochs are added up and everything is as before. A backend that dies runs the callbacks of an
 * abort, or, killed, takes the shared memory with it.
 *
 * A room with live sessions but without an assignment goes where its sessions are. Nobody wants to read the sessions for
 * every new room, so the board keeps a set of suspects: rooms that the last count has seen in that state, and those that
 * lose their assignment otherwise than by a cleanup. The latter stay for as long as the count's snapshot has not seen
 * the end of the transaction in question. If the set overflows, every room is suspect until the next count.
 *
 * The lock is held for a step per server and never while waiting for anything else but other short locks.
 */
#include "board.hpp"

namespace gxy
{
namespace
{

constexpr int boards = 8;
constexpr int places = 2048; /* at most half of them taken; a power of two, like the next */
constexpr int suspect_places = 16384;
constexpr int prepared_changes = 1024;
/* Counts take no more than a twentieth of the time; for callers who cannot use the last one, a third. */
constexpr int count_share = 20;
constexpr int other_basis_share = 2;

struct Carried
{
	std::uint64_t server; /* hash of its name, 0: free */
	Burden counted;
	Burden settled[2];
	Burden in_flight;

	Burden sum() const
	{
		Burden sum = counted;

		sum += settled[0];
		sum += settled[1];
		sum += in_flight;
		return sum;
	}
};

struct Suspect
{
	std::uint64_t room; /* hash of its id, 0: free */
	TransactionId transaction;
};

struct Prepared
{
	TransactionId transaction;
	int place; /* -1: it has emptied the table */
	Burden gain;
	Burden loss;
};

/* Which transactions the snapshot of the running count sees. */
struct Seen
{
	TransactionId oldest_in_progress;
	TransactionId next;
	TransactionId own;
	int in_progress_count;
	TransactionId *in_progress; /* top-level ids */
};

} // namespace

struct Board
{
	LWLock *lock;
	Oid database; /* InvalidOid: free */
	bool off;	  /* for want of places */

	/* The count. */
	bool usable;
	bool counting;
	bool prepared_known;
	int epoch; /* of what settles now; nothing is in the other unless a count is running */
	Basis basis;
	TimestampTz counted_at;
	TimestampTz count_begun;
	std::int64_t count_duration;
	Seen seen;
	ConditionVariable counted;

	int taken;
	Carried servers[places];
	int suspect_count;
	bool all_suspect;
	Suspect suspects[suspect_places];
	int prepared_count;
	Prepared prepared[prepared_changes];
};

namespace
{

struct Shared
{
	LWLock *lock; /* for claiming a board */
	Board board[boards];
	/* Transactions with something in flight, by backend; written under the lock of the board in question. */
	TransactionId in_flight[FLEXIBLE_ARRAY_MEMBER];
};

Shared *shared = nullptr;
Board *here = nullptr;
bool none_here = false;

shmem_request_hook_type previous_request_hook = nullptr;
shmem_startup_hook_type previous_startup_hook = nullptr;

int
snapshot_size()
{
	return MaxBackends + max_prepared_xacts + 1;
}

Size
shared_size()
{
	Size size = offsetof(Shared, in_flight);

	size = add_size(size, mul_size(MaxBackends, sizeof(TransactionId)));
	return add_size(size, mul_size(boards, mul_size(snapshot_size(), sizeof(TransactionId))));
}

void
prepare_shared()
{
	LWLockPadded *locks = GetNamedLWLockTranche("gxy_balancer_board");
	TransactionId *in_progress = shared->in_flight + MaxBackends;

	std::memset(static_cast<void *>(shared), 0, shared_size());
	shared->lock = &locks[boards].lock;
	for (int i = 0; i < boards; i++)
	{
		shared->board[i].lock = &locks[i].lock;
		shared->board[i].seen.in_progress = in_progress + i * snapshot_size();
		ConditionVariableInit(&shared->board[i].counted);
	}
}

TransactionId &
my_transaction()
{
	return shared->in_flight[compat::backend_number()];
}

/* Runs f under a board's lock. */
template <typename F>
auto
locked(const Board *board, LWLockMode mode, F f)
{
	LWLockAcquire(board->lock, mode);
	if constexpr (std::is_void_v<decltype(f())>)
	{
		f();
		LWLockRelease(board->lock);
	}
	else
	{
		auto result = f();

		LWLockRelease(board->lock);
		return result;
	}
}

/* The entry of a key in an open table, or the free one where it would go. */
template <typename E, typename K>
int
find_entry(const E *table, int size, K E::*key_of, K key)
{
	int at = static_cast<int>(key & static_cast<K>(size - 1));

	while (table[at].*key_of != 0 && table[at].*key_of != key)
		at = (at + 1) & (size - 1);
	return at;
}

/*
 * From here on: under the lock.
 */

/* Whether the running count sees what a transaction did, provided that it has committed. */
bool
is_seen(const Seen &seen, TransactionId transaction)
{
	const TransactionId *end = seen.in_progress + seen.in_progress_count;

	if (transaction == seen.own || TransactionIdFollowsOrEquals(transaction, seen.next))
		return false;
	return TransactionIdPrecedes(transaction, seen.oldest_in_progress) ||
		   std::find(static_cast<const TransactionId *>(seen.in_progress), end, transaction) == end;
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
bool
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

/* Has the prepared transactions that have ended settle. */
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

/* The rows of all prepared transactions have to be looked for. */
void
lose_prepared(Board *board)
{
	for (int i = 0; i < board->prepared_count; i++)
		if (board->prepared[i].place >= 0)
			board->servers[board->prepared[i].place].in_flight += -board->prepared[i].gain;
	board->prepared_count = 0;
	board->prepared_known = false;
	board->usable = false;
}

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

/* Keeps those whose transaction had not ended by the count's snapshot; scratch has space for all. */
void
replace_suspects(Board *board, const Array<std::uint64_t> &counted, Suspect *scratch)
{
	int kept = 0;

	for (const Suspect &suspect : board->suspects)
		if (suspect.room != 0 && TransactionIdIsValid(suspect.transaction) &&
			!is_seen(board->seen, suspect.transaction))
			scratch[kept++] = suspect;
	std::memset(static_cast<void *>(board->suspects), 0, sizeof(board->suspects));
	board->suspect_count = 0;
	board->all_suspect = false;
	for (std::uint64_t room : counted)
		add_suspect(board, room, InvalidTransactionId);
	for (int i = 0; i < kept; i++)
		add_suspect(board, scratch[i].room, scratch[i].transaction);
}

bool
is_due(const Board *board, Basis basis, TimestampTz now, std::int64_t max_age)
{
	std::int64_t age = now - board->counted_at;

	if (board->off)
		return false;
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

/* Whether a backend has in flight what the running count has seen. */
bool
counted_in_flight(const Board *board)
{
	return std::any_of(
		shared->in_flight, shared->in_flight + MaxBackends, [board](TransactionId transaction) {
			return TransactionIdIsValid(transaction) && is_seen(board->seen, transaction);
		});
}

/* The rows of prepared transactions that nobody has told the board of. */
void
add_prepared(Board *board, const Array<PreparedRow> &rows)
{
	auto has_told = [board](TransactionId transaction) {
		const TransactionId *backends = shared->in_flight;

		return std::find(backends, backends + MaxBackends, transaction) != backends + MaxBackends ||
			   std::any_of(board->prepared, board->prepared + board->prepared_count,
						   [transaction](const Prepared &change) {
							   return change.transaction == transaction;
						   });
	};
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
				 !has_told(row.transaction))
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

void
put_off(Board *board)
{
	board->off = true;
	board->usable = false;
}

} // namespace

extern "C"
{
	static void board_request_hook()
	{
		if (previous_request_hook != nullptr)
			previous_request_hook();
		RequestAddinShmemSpace(shared_size());
		RequestNamedLWLockTranche("gxy_balancer_board", boards + 1);
	}

	static void board_startup_hook()
	{
		bool found;

		if (previous_startup_hook != nullptr)
			previous_startup_hook();
		LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
		shared =
			static_cast<Shared *>(ShmemInitStruct("gxy_balancer boards", shared_size(), &found));
		if (!found)
			prepare_shared();
		LWLockRelease(AddinShmemInitLock);
	}
}

void
request_boards()
{
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = board_request_hook;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = board_startup_hook;
}

/* A board whose database has been dropped is free; nobody can be in there. */
static Board *
claim_board()
{
	Board *claimed = nullptr;
	bool dropped[boards];

	for (int i = 0; i < boards; i++)
	{
		Oid database = shared->board[i].database;

		dropped[i] =
			OidIsValid(database) && !SearchSysCacheExists1(DATABASEOID, ObjectIdGetDatum(database));
	}
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < boards; i++)
		if (shared->board[i].database == MyDatabaseId)
			claimed = &shared->board[i];
	for (int i = 0; i < boards && claimed == nullptr; i++)
	{
		Board *board = &shared->board[i];

		if (OidIsValid(board->database) && !dropped[i])
			continue;

		LWLock *lock = board->lock;
		TransactionId *in_progress = board->seen.in_progress;

		std::memset(static_cast<void *>(board), 0, sizeof(Board));
		ConditionVariableInit(&board->counted);
		board->lock = lock;
		board->seen.in_progress = in_progress;
		board->database = MyDatabaseId;
		claimed = board;
	}
	LWLockRelease(shared->lock);
	return claimed;
}

Board *
board_here()
{
	if (here == nullptr && shared != nullptr && !none_here)
	{
		here = claim_board();
		none_here = here == nullptr;
	}
	return here;
}

int
place_on_board(Board *board, std::uint64_t server)
{
	/* Places are never given back, so that a server which is found without the lock has its place. */
	int place = find_entry(board->servers, places, &Carried::server, server);

	if (board->servers[place].server == server)
		return place;
	return locked(board, LW_EXCLUSIVE, [=] {
		int place = find_entry(board->servers, places, &Carried::server, server);

		if (board->servers[place].server == server)
			return place;
		if (board->taken == places / 2)
		{
			put_off(board);
			return -1;
		}
		board->taken++;
		board->servers[place].server = server;
		return place;
	});
}

void
write_on_board(Board *board, TransactionId transaction, const BoardChange &change)
{
	locked(board, LW_EXCLUSIVE, [=] {
		my_transaction() = transaction;
		board->servers[change.place].in_flight += change.gain;
	});
}

void
take_from_board(Board *board, const BoardChange *changes, int count, bool transaction_ends)
{
	locked(board, LW_EXCLUSIVE, [=] {
		for (int i = 0; i < count; i++)
			if (changes[i].place >= 0)
				board->servers[changes[i].place].in_flight += -changes[i].gain;
		if (transaction_ends)
			my_transaction() = InvalidTransactionId;
	});
}

void
settle_on_board(Board *board, TransactionId transaction, const BoardChange *changes, int count)
{
	locked(board, LW_EXCLUSIVE, [=] {
		for (int i = 0; i < count; i++)
		{
			if (changes[i].place >= 0)
				board->servers[changes[i].place].in_flight += -changes[i].gain;
			settle(board, transaction, changes[i].place, changes[i].gain, changes[i].loss);
		}
		my_transaction() = InvalidTransactionId;
	});
}

void
leave_on_board(Board *board, TransactionId transaction, const BoardChange *changes, int count)
{
	locked(board, LW_EXCLUSIVE, [=] {
		if (board->prepared_count + count > prepared_changes)
			settle_prepared(board);

		bool fits = board->prepared_count + count <= prepared_changes;

		for (int i = 0; i < count; i++)
			if (fits)
				board->prepared[board->prepared_count++] = Prepared{.transaction = transaction,
																	.place = changes[i].place,
																	.gain = changes[i].gain,
																	.loss = changes[i].loss};
			else if (changes[i].place >= 0)
				board->servers[changes[i].place].in_flight += -changes[i].gain;
		if (!fits)
			lose_prepared(board);
		my_transaction() = InvalidTransactionId;
	});
}

void
suspect_on_board(Board *board, TransactionId transaction, std::uint64_t room)
{
	locked(board, LW_EXCLUSIVE, [=] { add_suspect(board, room, transaction); });
}

Reserved
reserve_on_board(Board *board, const ReserveRequest &request, Server *servers, const int *places,
				 int count, Decision *decision)
{
	TransactionId transaction = GetTopTransactionId();

	return locked(board, LW_EXCLUSIVE, [&] {
		settle_prepared(board);
		if (!board->usable || board->basis != request.basis)
			return Reserved::no_count;
		if (!request.room_examined && is_suspect(board, request.room))
			return Reserved::suspect;
		for (int i = 0; i < count; i++)
		{
			Burden sum = board->servers[places[i]].sum();

			for (const BoardChange &change : request.own)
				if (change.place == places[i])
					sum += change.loss;
			servers[i].rooms = std::max<std::int64_t>(sum.rooms, 0);
			servers[i].load = request.rules->metric == LoadMetric::rooms
								  ? servers[i].rooms * request.rules->avg_room_occupancy
								  : std::max<std::int64_t>(sum.load, 0);
		}
		*decision = decide(servers, count, request.expected, *request.rules);
		if (decision->outcome != Outcome::placed)
			return Reserved::refused;
		board->servers[places[decision->server]].in_flight += request.burden;
		my_transaction() = transaction;
		return Reserved::yes;
	});
}

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
		for (Carried &server : board->servers)
		{
			server.counted = Burden();
			server.settled[board->epoch ^ 1] = Burden();
		}
		for (const CountedServer &server : result.servers)
			board->servers[server.place].counted = server.burden;
		replace_suspects(board, result.suspects, scratch);
		board->usable = !board->off;
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
		for (Carried &server : board->servers)
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

bool
read_board(Board *board, Basis basis, const int *places, Burden *burdens, int count,
		   TimestampTz *counted_at)
{
	return locked(board, LW_EXCLUSIVE, [=] {
		settle_prepared(board);
		for (int i = 0; i < count; i++)
			burdens[i] = board->servers[places[i]].sum();
		*counted_at = board->counted_at;
		return board->usable && board->basis == basis;
	});
}

} // namespace gxy
