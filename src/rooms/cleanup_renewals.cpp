/*
 * cleanup_renewals.cpp: a cleanup renews the leases of rooms in use.
 *
 * If the sessions vanish from the application's table (a nightly TRUNCATE), the rooms then stay for
 * the whole grace period.
 *
 * If the clock was set back, leases with times of the old clock are renewed too, whether or not the
 * room is in use: they would last until the clock is there again. From then on they expire as any.
 */
#include "rooms/cleanup.hpp"

#include "pg/array.hpp"
#include "pg/compat.hpp"
#include "pg/lock_timeout.hpp"
#include "pg/subtransaction.hpp"
#include "shared/databases.hpp"
#include "tables/assignments.hpp"
#include "tables/locks.hpp"

namespace gxy
{

/* Renews the next leases that are due. Skips rows that have changed, or that are locked. */
void
Cleanup::renew_batch()
{
	int end = static_cast<int>(std::min<std::int64_t>(
		due.count, static_cast<std::int64_t>(next_due) + batch_size(written_percent)));
	TimestampTz now = GetCurrentTimestamp();
	Assignments assignments = open_assignments(RowExclusiveLock, Deadline::of_call_starting_now());
	BlockNumber last = RelationGetNumberOfBlocks(assignments.table());
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext row_context =
		AllocSetContextCreate(caller, "gxy_balancer renewal", ALLOCSET_DEFAULT_SIZES);

	MemoryContextSwitchTo(row_context);
	for (; next_due < end; next_due++)
	{
		Room &room = rooms[due[next_due]];
		std::optional<TimestampTz> assigned_at;

		CHECK_FOR_INTERRUPTS();
		visit_if_same_room(assignments, last, &room.tid, room.hash,
						   [&](const Assignment &row) { assigned_at = row.assigned_at; });
		if (assigned_at && room.has_old_time)
			(void) assignments.restamp(&room.tid, std::min(*assigned_at, now), now);
		else if (assigned_at)
			(void) assignments.renew(&room.tid, now, std::nullopt);
		MemoryContextReset(row_context);
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(row_context);
	assignments.close();
}

/*
 * Renews a batch of the leases of rooms in use. If that fails, as on a full disk, the reason is
 * noted and the rest is left to the next run. Does nothing in a transaction block: the rows would
 * stay locked until its end.
 */
void
Cleanup::renew_leases()
{
	const char *failure = nullptr;

	if (next_due < due.count && !IsTransactionBlock())
		failure = attempt([this] { renew_batch(); });
	if (failure != nullptr || IsTransactionBlock())
		next_due = due.count;
	note_shortfall("the leases of rooms in use could not be renewed", failure);
}

/* Records what could not be written, and why. Nothing without a reason; the first one stays. */
void
Cleanup::note_shortfall(const char *what, const char *why)
{
	if (why == nullptr || *fell_short != '\0')
		return;
	(void) snprintf(fell_short, error_length, "%s: %s", what, why);
	fell_short[pg_mbcliplen(fell_short, static_cast<int>(std::strlen(fell_short)),
							error_length - 1)] = '\0';
}

} // namespace gxy
