/*
 * cleanup.cpp: frees the rooms nobody uses.
 *
 * A room is freed when no live session is in it and its lease has run out. Both are looked at without any lock first;
 * what is found idle is deleted in batches, each in a subtransaction of its own, and then the sessions are read again:
 * a room that somebody entered in between takes its whole batch back, and the batch is tried again without it. So a
 * deletion is always older than the look that justifies it, rows that others have in hand are passed over, and what is
 * still locked at the end is exactly what was freed, however long the caller's transaction goes on.
 *
 * The same look at the sessions tells how large the rooms in use are, which is remembered (learner.hpp).
 *
 * Rooms found in use have their leases renewed, so that sessions which vanish from the application's table (a nightly
 * TRUNCATE) do not take the rooms with them before the grace is over. Not so in a transaction block, see
 * renew_used().
 */
#include "lease.hpp"

#include "delays.hpp"
#include "learner.hpp"
#include "shmem.hpp"

namespace gxy
{
namespace
{

/* Each batch costs a look at all sessions. */
constexpr int batch_size = 100000;
/* Rows that one cleanup adds to, changes in and takes from what is remembered of rooms, each. */
constexpr int learning_limit = 5000;

struct Idle
{
	ItemPointerData tid;
	int server; /* see Sweep::servers */
	std::int64_t load;
	std::string_view room;
};

struct Sweep
{
	Array<Idle> idle;
	Array<std::string_view> servers; /* of the idle ones */
	Array<ItemPointerData> in_use;	 /* whose leases are due to be renewed */
};

Sweep
look_around(const Assignments &assignments, const Census &census, Learner *learner,
			std::int64_t grace, TimestampTz now)
{
	Sweep sweep;
	std::int64_t renewal = std::min(microseconds(setting::touch_interval),
									microseconds(setting::assignment_grace) / 3);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	Rules rules = current_rules();
	Numbering servers;

	servers.prepare();
	assignments.for_each_row(snapshot, [&](const Assignment &row, ItemPointer tid) {
		std::int64_t unused = now - row.leased_from();
		std::int64_t users = census.users_in(row.room);

		learner->sample(row.room, row.assigned_at,
						census.attached() ? users : row.reported_users.value_or(0));
		if (users > 0)
		{
			if (unused >= renewal)
				sweep.in_use.push(*tid);
		}
		else if (unused >= grace)
		{
			bool fresh;
			int server = servers.number(row.server, &fresh);

			if (fresh)
				sweep.servers.push(copy_of(row.server));
			sweep.idle.push(Idle{.tid = *tid,
								 .server = server,
								 .load = burden_of(row, rules, now).load,
								 .room = copy_of(row.room)});
		}
	});
	UnregisterSnapshot(snapshot);
	return sweep;
}

/* Runs f in a subtransaction, which is kept if f returns true. */
template <typename F>
void
in_subtransaction(F f)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *error = nullptr;

	BeginInternalSubTransaction(nullptr);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		bool keep = f();

		if (keep)
			ReleaseCurrentSubTransaction();
		else
			RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		ReThrowError(error);
	}
	PG_END_TRY();
}

/* Deletes a batch as far as nobody else has its rows in hand, and tells the board; how many. */
std::int64_t
free_batch(Assignments *assignments, const Array<std::string_view> &servers, Array<Idle> *batch)
{
	Burden *freed = static_cast<Burden *>(palloc0(sizeof(Burden) * (servers.count + 1)));
	std::int64_t rooms = 0;

	for (Idle &idle : *batch)
		if (assignments->remove(&idle.tid) == Change::done)
		{
			freed[idle.server] += Burden{.load = idle.load, .rooms = 1};
			rooms++;
		}
	for (int i = 0; i < servers.count; i++)
		if (freed[i].rooms > 0)
			note_loss(servers[i], freed[i]);
	return rooms;
}

/* Those of a batch that no live session is in now: one step a session, because a census of all costs ten times that. */
Array<Idle>
still_unused(const Pool &pool, const Array<Idle> &batch)
{
	Numbering rooms;
	bool fresh;
	Array<Idle> unused;
	bool *used = static_cast<bool *>(palloc0(static_cast<Size>(batch.count)));
	TimestampTz now = GetCurrentTimestamp();

	rooms.prepare();
	for (const Idle &idle : batch)
		(void) rooms.number(idle.room, &fresh);
	read_sessions(pool.sessions, alive_since(now), Deadline::of_call(now),
				  [&rooms, used](const SessionRow &row) {
					  int room = row.room_known ? rooms.find(row.room) : none;

					  if (room != none)
						  used[room] = true;
				  });
	/* A room has one row, so its number is its place in the batch. */
	for (int i = 0; i < batch.count; i++)
		if (!used[i])
			unused.push(batch[i]);
	return unused;
}

/* Deletes the batch and keeps that if nobody is in its rooms afterwards; otherwise empties the batch of those. */
bool
free_unless_used(Assignments *assignments, const Pool &pool, const Array<std::string_view> &servers,
				 Array<Idle> *batch, std::int64_t *freed)
{
	bool keep = true;

	in_subtransaction([&] {
		*freed = free_batch(assignments, servers, batch);
		CommandCounterIncrement();
		pause_here();
		if (!pool.sessions.exists())
			return true;

		Array<Idle> still_idle = still_unused(pool, *batch);

		keep = still_idle.count == batch->count;
		*batch = still_idle;
		return keep;
	});
	return keep;
}

void
require_write()
{
	if (XactReadOnly)
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("cannot free rooms in a read-only transaction"),
				 RecoveryInProgress() ? errhint("This server is a standby: call the primary.")
									  : errhint("Call it in a READ WRITE transaction.")));
}

/*
 * Renews the leases of rooms in use; how many. Not inside a transaction block: the rows would stay locked until its
 * end, and the next run renews them as well.
 */
int
renew_used(Assignments *assignments, Sweep *sweep, TimestampTz now, int limit)
{
	int renewed = 0;

	if (IsTransactionBlock())
		return 0;
	for (ItemPointerData &tid : sweep->in_use)
	{
		if (renewed == limit)
			break;
		if (assignments->renew(&tid, now, std::nullopt) == Assignments::Change::done)
			renewed++;
	}
	return renewed;
}

} // namespace

Cleaned
clean(std::int64_t grace, int limit)
{
	TimestampTz now = GetCurrentTimestamp();
	Deadline deadline = Deadline::of_call(now);
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context =
		AllocSetContextCreate(caller, "gxy_balancer cleanup", ALLOCSET_DEFAULT_SIZES);
	Cleaned cleaned;

	require_write();
	MemoryContextSwitchTo(context);

	const Pool &current = pool(deadline);
	Census census = Census::take(current.sessions, now, deadline);
	Assignments assignments = open_assignments(RowExclusiveLock, deadline);
	Learner learner = Learner::prepare(now, std::min(limit, learning_limit));
	Sweep sweep = look_around(assignments, census, &learner, grace, now);

	pause_here();

	int renewed = renew_used(&assignments, &sweep, now, limit);
	int next = 0;

	/* Rows that others have in hand do not count: behind them may be some that can be freed. */
	while (next < sweep.idle.count && cleaned.freed < limit)
	{
		int size = static_cast<int>(std::min<std::int64_t>(batch_size, limit - cleaned.freed));
		Array<Idle> batch;
		std::int64_t freed = 0;

		while (next < sweep.idle.count && batch.count < size)
			batch.push(sweep.idle[next++]);
		while (batch.count > 0 &&
			   !free_unless_used(&assignments, current, sweep.servers, &batch, &freed))
			freed = 0;
		cleaned.freed += freed;
	}
	cleaned.more_work = learner.finish() || renewed == limit || next < sweep.idle.count;
	assignments.close();
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	count(Counter::freed, cleaned.freed);
	return cleaned;
}

} // namespace gxy
