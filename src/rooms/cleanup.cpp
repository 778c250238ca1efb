/*
 * cleanup.cpp: frees the rooms that are not used.
 *
 * A room is freed when it has no live session and its lease has expired. The background worker and
 * clean_inactive_assignments() run this.
 *
 * - Cleanup::look() scans the rooms once and the sessions once, without row locks.
 *
 * - Idle rooms are deleted in batches, each in a subtransaction.
 *
 * - The sessions are read again after each batch. If a session has entered a room of the batch, the
 *   subtransaction is rolled back and the batch runs again without that room.
 *
 * So every deletion is older than the read of the sessions that justifies it. Rows that other
 * transactions have locked are skipped. After the last batch only the rows that were freed are
 * still locked, until the transaction ends. A row is compared again before it is deleted or
 * renewed: it may have changed since the scan, and its place in the page may belong to another room
 * by then.
 *
 * For a while after the clock was set forward nothing is freed, unless the caller's grace period is
 * shorter than that of the settings (shared/clock_watch.hpp). Time in which the server was down, or
 * not promoted yet, does not count: leases and sessions from before have their full time again from
 * the start on.
 *
 * Rooms are identified by the hashes of their names, because there can be a million of them. If two
 * rooms have the same hash, a session in one keeps the other.
 *
 * The same scan tells how large the rooms in use are; SizeSampler remembers that
 * (rooms/size_sampler.hpp).
 *
 * The leases of rooms in use are renewed (rooms/cleanup_renewals.cpp).
 */
#include "rooms/cleanup.hpp"

#include "application/session_index.hpp"
#include "application/source_query.hpp"
#include "application/source_reader.hpp"
#include "pg/debug_delay.hpp"
#include "pg/heap_access.hpp"
#include "pg/settings.hpp"
#include "pg/subtransaction.hpp"
#include "placement/server_load.hpp"
#include "policy/placement_policy.hpp"
#include "policy/time_arithmetic.hpp"
#include "rooms/freed_loads.hpp"
#include "servers/server_state.hpp"
#include "shared/load_delta.hpp"
#include "shared/status.hpp"
#include "shared/writable_since.hpp"
#include "tables/locks.hpp"

namespace gxy
{
namespace
{

/*
 * Reading the sessions takes about as many instructions as freeing 40% as many rooms. So a batch
 * spends at most half of its time reading them again. Other rows are written without that.
 */
constexpr int freed_percent = 40;
/* Estimated rows per page; gives an estimate of the number of rooms without reading the table. */
constexpr double rooms_a_page = 60;

std::int64_t
renewal_interval()
{
	return std::min(microseconds(setting::touch_interval),
					microseconds(setting::assignment_grace) / 3);
}

/*
 * Calls visit(number, row) for every session in one of the rooms that was seen since a time, or
 * that cannot die. Returns the number of all such sessions that were read.
 */
template <typename F>
std::int64_t
for_each_session(const Attachment &attached, const HashInterner &rooms, const HashFilter &filter,
				 TimestampTz since, Deadline deadline, F visit)
{
	std::int64_t sessions = 0;

	if (!attached.exists())
		return 0;
	read_sessions(attached, SessionColumns::rooms_and_users, since, deadline,
				  [&](const SessionRow &row) {
					  std::uint64_t room = row.room_known ? name_hash(row.room) : 0;
					  int number = filter.may_have(room) ? rooms.find(room) : none;

					  sessions++;
					  if (number != none)
						  visit(number, row);
				  });
	return sessions;
}

} // namespace

/* Rooms that need no work are not remembered, which saves memory if there are many rooms. */
void
Cleanup::scan_rooms(const Assignments &assignments, bool attached, SizeSampler *sampler,
					const ClockState &clock)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	std::int64_t renewal = renewal_interval();

	numbers.prepare();
	assignments.for_each_row(snapshot, [&](const Assignment &row, ItemPointer tid) {
		std::int64_t unused = elapsed(row.leased_from(), clock.now);
		Room room = {.hash = name_hash(row.room),
					 .tid = *tid,
					 .used = false,
					 .has_old_time = clock.is_old_time(row.leased_from()),
					 .room_sample = none};
		bool fresh;

		room.room_sample = sampler->track_room(row.room, room.hash, row.assigned_at);
		if (room.room_sample != none && !attached)
			sampler->note_users(room.room_sample, row.reported_users.value_or(0));
		if (room.room_sample == none && unused < std::min(grace, renewal) && !room.has_old_time)
			return;
		if (numbers.number(room.hash, &fresh) != rooms.count)
			return;
		if (is_idle(row, clock.now))
			idle.push(rooms.count);
		if (unused >= renewal || room.has_old_time)
			due.push(rooms.count);
		rooms.push(room);
	});
	UnregisterSnapshot(snapshot);
	filter.prepare(rooms.count);
	for (const Room &room : rooms)
		filter.add(room.hash);
}

TimestampTz
Cleanup::sessions_alive_since(TimestampTz now) const
{
	return counts_from >= alive_since(now) ? DT_NOBEGIN : alive_since(now);
}

/*
 * Several sessions of one user in a room count as one user. Those that may be alive only because
 * they could not be seen for a while keep their rooms, but their users are not counted.
 */
void
Cleanup::scan_sessions(const Attachment &attached, SizeSampler *sampler, TimestampTz now,
					   Deadline deadline)
{
	MemoryContext context = CurrentMemoryContext;
	HashInterner presences;

	presences.prepare();
	sessions = for_each_session(
		attached, numbers, filter, alive_since(now), deadline,
		[this, sampler, context, &presences](int number, const SessionRow &row) {
			Room &room = rooms[number];
			bool fresh = true;

			room.used = true;
			if (room.room_sample == none)
				return;

			MemoryContext executor = MemoryContextSwitchTo(context);

			if (row.user_known)
				(void) presences.number(hash_combine64(room.hash, name_hash(row.user)), &fresh);
			if (fresh)
				sampler->note_users(room.room_sample, 1);
			MemoryContextSwitchTo(executor);
		});
	if (sessions_alive_since(now) != alive_since(now))
		sessions = std::max(sessions, mark_used(attached, now, deadline));
}

/* Marks the rooms with sessions that may be alive. Returns the number of these sessions. */
std::int64_t
Cleanup::mark_used(const Attachment &attached, TimestampTz now, Deadline deadline)
{
	return for_each_session(attached, numbers, filter, sessions_alive_since(now), deadline,
							[this](int number, const SessionRow &) { rooms[number].used = true; });
}

/*
 * Marks all rooms that are in use, not only those of one batch. now: by which the leases of the
 * batch were judged, so that the clock is not set between the two.
 */
void
Cleanup::recheck_sessions(TimestampTz now)
{
	Deadline deadline = Deadline::of_call_starting_now();

	(void) mark_used(pool(deadline).sessions, now, deadline);
}

Cleanup
Cleanup::look(std::int64_t grace)
{
	Cleanup cleanup;

	require_write_to("free rooms");
	cleanup.grace = grace;
	cleanup.counts_from = cleanup.overrides_leases() ? DT_NOBEGIN : ages_count_from();

	ClockState clock = look_at_clock();

	Deadline deadline = Deadline::of_call_starting_now();
	Assignments assignments = open_assignments(AccessShareLock, deadline);
	Attachment attached = pool(deadline).sessions;
	SizeSampler sampler = SizeSampler::prepare(
		clock.now, RelationGetNumberOfBlocks(assignments.table()) * rooms_a_page);

	cleanup.scan_rooms(assignments, attached.exists(), &sampler, clock);
	assignments.close();
	cleanup.scan_sessions(attached, &sampler, clock.now, deadline);
	cleanup.note_shortfall("the sizes of rooms could not be written", attempt([&] {
							   cleanup.sampler_has_more =
								   sampler.finish(cleanup.batch_size(written_percent));
						   }));

	auto is_used = [&cleanup](int number) { return cleanup.rooms[number].used; };
	auto keep = [](Array<int> *numbers, auto wanted) {
		numbers->count = static_cast<int>(
			std::copy_if(numbers->begin(), numbers->end(), numbers->begin(), wanted) -
			numbers->begin());
	};

	keep(&cleanup.idle, [&is_used](int number) { return !is_used(number); });
	keep(&cleanup.due,
		 [&](int number) { return is_used(number) || cleanup.rooms[number].has_old_time; });
	if (!cleanup.may_free(clock))
	{
		cleanup.held = cleanup.idle.count;
		cleanup.idle.count = 0;
	}
	debug_pause("rooms read");
	return cleanup;
}

/*
 * Deletes the idle rooms of a batch and tells the load cache. Skips rows that other transactions
 * have locked. Returns how many rooms were deleted.
 */
std::int64_t
Cleanup::free_rooms(const Batch &batch, const ClockState &clock)
{
	Assignments assignments = open_assignments(RowExclusiveLock, Deadline::of_call_starting_now());
	BlockNumber end = RelationGetNumberOfBlocks(assignments.table());
	Rules rules = current_rules();
	FreedLoads freed_loads;
	std::int64_t freed = 0;

	for (int i = batch.first; i < batch.end; i++)
	{
		Room &room = rooms[idle[i]];
		bool still_idle = false;
		int server = none;
		LoadAtCommit load;

		CHECK_FOR_INTERRUPTS();
		if (room.used)
			continue;
		visit_if_same_room(assignments, end, &room.tid, room.hash, [&](const Assignment &row) {
			still_idle = is_idle(row, clock.now);
			server = freed_loads.number(row.server);
			load = removed_load_of(row, rules);
		});
		/*
		 * If another transaction has locked the row, the room is not freed; the next run tries
		 * again.
		 */
		if (still_idle && assignments.remove(&room.tid) == Change::done)
		{
			freed_loads.add(server, load);
			freed++;
		}
	}
	freed_loads.report();
	assignments.close();
	CommandCounterIncrement();
	return freed;
}

/*
 * Frees a batch. Keeps the deletions and returns true if no session has entered one of the freed
 * rooms meanwhile; otherwise rolls them back and returns false. Rooms already marked as used were
 * not freed, so more marks after the second read mean that a session has entered.
 */
bool
Cleanup::free_unless_used(const Batch &batch, std::int64_t *freed)
{
	ClockState clock = look_at_clock();
	bool keep = true;

	if (!may_free(clock))
		return true;
	in_subtransaction([&] {
		int used_before = 0, used_after = 0;
		auto count_used = [&](int *used) {
			for (int i = batch.first; i < batch.end; i++)
				*used += rooms[idle[i]].used ? 1 : 0;
		};

		*freed = free_rooms(batch, clock);
		debug_pause("rooms freed");
		count_used(&used_before);
		recheck_sessions(clock.now);
		count_used(&used_after);
		keep = used_after == used_before;
		return keep;
	});
	return keep;
}

std::int64_t
Cleanup::run_batch()
{
	std::int64_t freed = 0;

	require_write_to("free rooms");
	if (next_idle < idle.count)
	{
		Batch batch = {
			.first = next_idle,
			.end = static_cast<int>(std::min<std::int64_t>(
				idle.count, static_cast<std::int64_t>(next_idle) + batch_size(freed_percent)))};

		while (!free_unless_used(batch, &freed))
			freed = 0;
		next_idle = batch.end;
	}
	renew_leases();
	count(Counter::freed, freed);
	return freed;
}

std::int64_t
clean(std::int64_t grace)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context =
		AllocSetContextCreate(caller, "gxy_balancer cleanup", ALLOCSET_DEFAULT_SIZES);
	std::int64_t freed = 0;

	MemoryContextSwitchTo(context);

	Cleanup cleanup = Cleanup::look(grace);

	while (!cleanup.finished())
		freed += cleanup.run_batch();
	if (cleanup.rooms_held() > 0)
		ereport(WARNING, (errmsg_plural("%lld inactive room was not freed",
										"%lld inactive rooms were not freed",
										static_cast<unsigned long>(cleanup.rooms_held()),
										static_cast<long long>(cleanup.rooms_held())),
						  errdetail("The system clock was set forward; rooms in use have to renew "
									"their leases first."),
						  errhint("balancer_alerts says until when.")));
	if (*cleanup.shortfall() != '\0')
		ereport(WARNING, (errmsg_internal("%s", cleanup.shortfall()),
						  errdetail("Inactive rooms were freed all the same.")));
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	return freed;
}

} // namespace gxy
