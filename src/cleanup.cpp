/*
 * cleanup.cpp: frees the rooms nobody uses.
 *
 * A room is freed when no live session is in it and its lease has run out. Both are looked at without any lock first;
 * what is found idle is deleted in batches, each in a subtransaction of its own, and then the sessions are read again:
 * a room that somebody entered in between takes its whole batch back, and the batch is tried again without it. So a
 * deletion is always older than the look that justifies it, rows that others have in hand are passed over, and what is
 * still locked at the end is exactly what was freed, however long the caller's transaction goes on.
 *
 * Rooms found in use have their leases renewed, so that sessions which vanish from the application's table (a nightly
 * TRUNCATE) do not take the rooms with them before the grace is over.
 */
#include "lease.hpp"

#include "delays.hpp"
#include "shmem.hpp"

namespace gxy
{
namespace
{

constexpr int batch_size = 10000;

struct Idle
{
	ItemPointerData tid;
	std::string_view room;
};

struct Sweep
{
	Array<Idle> idle;
	Array<ItemPointerData> in_use; /* whose leases are due to be renewed */
};

Sweep
look_around(const Assignments &assignments, const Census &census, std::int64_t grace,
			TimestampTz now)
{
	Sweep sweep;
	std::int64_t renewal = std::min(microseconds(setting::touch_interval),
									microseconds(setting::assignment_grace) / 3);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());

	assignments.for_each_row(snapshot, [&](const Assignment &row, ItemPointer tid) {
		std::int64_t unused = now - row.leased_from();

		if (census.users_in(row.room) > 0)
		{
			if (unused >= renewal)
				sweep.in_use.push(*tid);
		}
		else if (unused >= grace)
			sweep.idle.push(Idle{.tid = *tid, .room = copy_of(row.room)});
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

/* Deletes the batch and keeps that if nobody is in its rooms afterwards; otherwise empties the batch of those. */
bool
free_unless_used(Assignments *assignments, const Pool &pool, Array<Idle> *batch,
				 std::int64_t *freed)
{
	bool keep = true;

	in_subtransaction([&] {
		Array<Idle> still_idle;

		*freed = 0;
		for (Idle &idle : *batch)
			if (assignments->remove(&idle.tid) == Assignments::Change::done)
				(*freed)++;
		CommandCounterIncrement();
		pause_here();
		if (!pool.sessions.exists())
			return true;

		TimestampTz now = GetCurrentTimestamp();
		Census census = Census::take(pool.sessions, now, Deadline::of_this_call(now));

		for (const Idle &idle : *batch)
			if (census.users_in(idle.room) == 0)
				still_idle.push(idle);
		keep = still_idle.count == batch->count;
		*batch = still_idle;
		return keep;
	});
	return keep;
}

} // namespace

Cleaned
clean(std::int64_t grace, int limit)
{
	TimestampTz now = GetCurrentTimestamp();
	Deadline deadline = Deadline::of_this_call(now);
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context =
		AllocSetContextCreate(caller, "gxy_balancer cleanup", ALLOCSET_DEFAULT_SIZES);
	Cleaned cleaned;

	MemoryContextSwitchTo(context);

	const Pool &current = pool();
	Census census = Census::take(current.sessions, now, deadline);
	Assignments assignments = open_assignments(RowExclusiveLock, deadline);
	Sweep sweep = look_around(assignments, census, grace, now);

	pause_here();
	cleaned.more_work = sweep.in_use.count > limit || sweep.idle.count > limit;
	sweep.in_use.count = std::min(sweep.in_use.count, limit);
	sweep.idle.count = std::min(sweep.idle.count, limit);
	for (ItemPointerData &tid : sweep.in_use)
		(void) assignments.renew(&tid, now, std::nullopt);
	for (int first = 0; first < sweep.idle.count; first += batch_size)
	{
		Array<Idle> batch;
		std::int64_t freed = 0;

		for (int i = first; i < std::min(first + batch_size, sweep.idle.count); i++)
			batch.push(sweep.idle[i]);
		while (batch.count > 0 && !free_unless_used(&assignments, current, &batch, &freed))
			freed = 0;
		cleaned.freed += freed;
	}
	assignments.close();
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	count(Counter::freed, cleaned.freed);
	return cleaned;
}

} // namespace gxy
