/*
 * load_cache_state.cpp: the boards' memory, and which database has which.
 */
#include "shared/load_cache_state.hpp"

#include "shared/load_cache_layout.hpp"

namespace gxy
{
namespace
{

constexpr int boards = 8;

constexpr int most_refused = 64;

struct Shared
{
	LWLock *lock; /* for which database has which board, and for those that have none */
	Board board[boards];
	Oid refused[most_refused]; /* databases that have been warned; InvalidOid: free */
	/* Transactions with something in flight, by backend; written under the lock of the board in question. */
	TransactionId in_flight[FLEXIBLE_ARRAY_MEMBER];
};

Shared *shared = nullptr;
Board *here = nullptr;

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
		shared->board[i].in_progress = in_progress + i * snapshot_size();
		ConditionVariableInit(&shared->board[i].count_ended);
	}
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

namespace
{

Board *
board_of(Oid database)
{
	for (Board &board : shared->board)
		if (board.database == database)
			return &board;
	return nullptr;
}

/* Gives a board to this database; the caller has the lock. */
void
hand_over(Board *board)
{
	LWLockAcquire(board->lock, LW_EXCLUSIVE);
	std::memset(static_cast<void *>(&board->told_from), 0,
				sizeof(Board) - offsetof(Board, told_from));
	board->seen.in_progress = board->in_progress;
	board->database = MyDatabaseId;
	/* A transaction that has found no board had its id by then: it comes before the next one. */
	pg_memory_barrier();
	board->told_from = ReadNextTransactionId();
	LWLockRelease(board->lock);
}

/*
 * The board of this database if it has one by now; otherwise the one given, if it is still that of the other database,
 * which was looked up without the lock.
 */
Board *
take_board(Board *board, Oid from)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);

	Board *taken = board_of(MyDatabaseId);

	if (taken == nullptr && board->database == from)
	{
		hand_over(board);
		taken = board;
	}
	LWLockRelease(shared->lock);
	return taken;
}

/* By a new snapshot: the caches may not have heard of a database that was created a moment ago. */
bool
is_dropped(Oid database)
{
	if (SearchSysCacheExists1(DATABASEOID, ObjectIdGetDatum(database)))
		return false;

	Relation catalog = table_open(DatabaseRelationId, AccessShareLock);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	ScanKeyData key;

	ScanKeyInit(&key, Anum_pg_database_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(database));

	SysScanDesc scan = systable_beginscan(catalog, DatabaseOidIndexId, true, snapshot, 1, &key);
	bool exists = HeapTupleIsValid(systable_getnext(scan));

	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(catalog, AccessShareLock);
	return !exists;
}

/* The entry of this database among those that were refused, or a free one; nullptr: neither. The caller has the lock. */
Oid *
refusal_here()
{
	Oid *end = shared->refused + most_refused;
	Oid *entry = std::find(shared->refused, end, MyDatabaseId);

	if (entry == end)
		entry = std::find(shared->refused, end, InvalidOid);
	return entry != end ? entry : nullptr;
}

/* Whether this is the first time for the database. */
bool
note_refusal()
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);

	Oid *entry = refusal_here();
	bool first = entry == nullptr || *entry != MyDatabaseId;

	if (entry != nullptr)
		*entry = MyDatabaseId;
	LWLockRelease(shared->lock);
	return first;
}

} // namespace

Board *
board_here()
{
	if (here == nullptr && shared != nullptr)
		here = board_of(MyDatabaseId);
	return here;
}

Board *
claim_board()
{
	if (board_here() != nullptr || shared == nullptr)
		return here;
	for (int i = 0; i < boards && here == nullptr; i++)
	{
		Board *board = &shared->board[i];
		Oid database = board->database;

		/* No backend can be in a database that has been dropped. */
		if (!OidIsValid(database) || is_dropped(database))
			here = take_board(board, database);
	}
	if (here == nullptr && note_refusal())
		ereport(
			WARNING,
			(errmsg("no load cache is left for database \"%s\"", get_database_name(MyDatabaseId)),
			 errdetail("%d other databases have one, as many as there are. Every new room counts "
					   "all sessions and rooms here.",
					   boards),
			 errhint("A database has one from its first new room with gxy_balancer.load_max_age "
					 "above 0 until it is dropped or the server is restarted.")));
	return here;
}

BoardPlace
board_place()
{
	if (shared == nullptr)
		return BoardPlace::not_preloaded;
	if (board_here() != nullptr)
		return BoardPlace::taken;
	LWLockAcquire(shared->lock, LW_SHARED);

	const Oid *entry = refusal_here();
	bool refused = entry != nullptr && *entry == MyDatabaseId;

	LWLockRelease(shared->lock);
	return refused ? BoardPlace::refused : BoardPlace::none;
}

TransactionId &
my_transaction()
{
	return shared->in_flight[compat::backend_number()];
}

std::span<const TransactionId>
transactions_in_flight()
{
	return {shared->in_flight, static_cast<std::size_t>(MaxBackends)};
}

} // namespace gxy
