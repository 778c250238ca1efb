/*
 * cleanup.hpp: finds the rooms that are not used, and frees them.
 */
#pragma once

#include "pg/array.hpp"
#include "pg/compat.hpp"
#include "pg/interner.hpp"
#include "pg/lock_timeout.hpp"
#include "pg/settings.hpp"
#include "policy/time_arithmetic.hpp"
#include "rooms/size_sampler.hpp"
#include "servers/pool.hpp"
#include "shared/clock_watch.hpp"
#include "shared/databases.hpp"
#include "tables/assignments.hpp"

namespace gxy
{

/*
 * The result of one scan of all rooms and sessions, and the work that follows from it. It lives in
 * the memory context that is current in look(). The scan and each batch may run in different
 * transactions. Raises 25006 in a read-only transaction, 55000 if the attached sessions cannot be
 * read.
 */
class Cleanup
{
public:
	/*
	 * Scans, and writes the learned room sizes. grace: microseconds without use after which a room
	 * is idle.
	 */
	static Cleanup look(std::int64_t grace);

	/*
	 * Frees a batch of idle rooms and renews a batch of the leases of rooms in use. Returns how
	 * many rooms were freed. Their rows stay locked until the transaction ends.
	 */
	std::int64_t run_batch();

	bool finished() const { return next_idle == idle.count && next_due == due.count; }

	/*
	 * What could not be written besides the freed rooms, and why; empty if everything was written.
	 */
	const char *shortfall() const { return fell_short; }

	/* How many idle rooms are kept, because the clock was set forward. */
	std::int64_t rooms_held() const { return held; }

	/* Returns true if another scan would write more sizes of rooms. */
	bool more_to_learn() const { return sampler_has_more; }

private:
	struct Room
	{
		std::uint64_t hash; /* name_hash() of the room */
		ItemPointerData tid;
		bool used;
		bool has_old_time; /* its lease is from before the clock was set back */
		int room_sample;   /* number in the SizeSampler; none: its users are not counted */
	};

	struct Batch
	{
		int first, end; /* indexes into idle */
	};

	/* A grace period below the setting overrides leases. */
	bool overrides_leases() const { return grace < microseconds(setting::assignment_grace); }
	bool may_free(const ClockState &clock) const
	{
		return clock.ages_count() || overrides_leases();
	}
	bool is_idle(const Assignment &row, TimestampTz now) const
	{
		return elapsed(row.leased_from(), now) >= grace &&
			   elapsed(counts_from, now) >= microseconds(setting::assignment_grace);
	}
	/* Returns since when sessions are alive: DT_NOBEGIN if all sessions may be. */
	TimestampTz sessions_alive_since(TimestampTz now) const;
	void scan_rooms(const Assignments &assignments, bool attached, SizeSampler *sampler,
					const ClockState &clock);
	void scan_sessions(const Attachment &attached, SizeSampler *sampler, TimestampTz now,
					   Deadline deadline);
	std::int64_t mark_used(const Attachment &attached, TimestampTz now, Deadline deadline);
	void recheck_sessions(TimestampTz now);
	/* Returns how many rows make a batch: such a percentage of the sessions, and at least 5000. */
	int batch_size(int percent) const
	{
		return static_cast<int>(std::clamp<std::int64_t>(sessions * percent / 100, 5000, INT_MAX));
	}
	std::int64_t free_rooms(const Batch &batch, const ClockState &clock);
	bool free_unless_used(const Batch &batch, std::int64_t *freed);
	void renew_batch();
	void renew_leases();
	void note_shortfall(const char *what, const char *why);

	/* Of the rows that are written without reading the sessions again. */
	static constexpr int written_percent = 10;

	std::int64_t grace = 0;
	TimestampTz counts_from = 0; /* leases and sessions that are older were as good as new then */
	std::int64_t held = 0;		 /* idle rooms that are not freed */
	std::int64_t sessions = 0;	 /* live sessions that were read */
	Array<Room> rooms;			 /* rooms that may need work */
	HashInterner numbers;		 /* number of a room by the hash of its name */
	HashFilter filter;			 /* hashes of the names of rooms */
	/*
	 * Numbers of rooms. idle: the lease has expired. due: the lease is to be renewed if the room is
	 * in use.
	 */
	Array<int> idle, due;
	int next_idle = 0, next_due = 0;
	bool sampler_has_more = false;
	char fell_short[error_length] = "";
};
static_assert(std::is_trivially_destructible_v<Cleanup>);

/*
 * Calls visit(row) if the row at tid still belongs to the room. After a TRUNCATE tid may lie beyond
 * the end of the table; the lock of the batch keeps the table from shrinking below end.
 */
template <typename F>
void
visit_if_same_room(const Assignments &assignments, BlockNumber end, ItemPointer tid,
				   std::uint64_t hash, F visit)
{
	if (ItemPointerGetBlockNumber(tid) < end)
		(void) assignments.look_at(tid, [hash, &visit](const Assignment &row) {
			if (name_hash(row.room) == hash)
				visit(row);
		});
}

/*
 * Frees the rooms that have been idle for the grace period (microseconds), in the caller's
 * transaction. Returns how many were freed.
 */
std::int64_t clean(std::int64_t grace);

} // namespace gxy
