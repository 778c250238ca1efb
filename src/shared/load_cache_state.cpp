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
