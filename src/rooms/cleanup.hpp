/*
 * cleanup.hpp: finds the rooms that are not used, and frees them.
 */
#pragma once

#include "pg/array.hpp"
#include "pg/compat.hpp"
#include "pg/interner.hpp"
#include "pg/lock_timeout.hpp"
#include "rooms/size_sampler.hpp"
#include "servers/pool.hpp"
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

	/* Returns true if another scan would write more sizes of rooms. */
	bool more_to_learn() const { return sampler_has_more; }

private:
	struct Room
	{
		std::uint64_t hash; /* name_hash() of the room */
		ItemPointerData tid;
		bool used;
		int room_sample; /* number in the SizeSampler; none: its users are not counted */
	};

	struct Batch
	{
		int first, end; /* indexes into idle */
	};

	void scan_rooms(const Assignments &assignments, bool attached, SizeSampler *sampler,
					TimestampTz now);
	void scan_sessions(const Attachment &attached, SizeSampler *sampler, Deadline deadline);
	void recheck_sessions();
	/* Returns how many rows make a batch: such a percentage of the sessions, and at least 5000. */
	int batch_size(int percent) const
	{
		return static_cast<int>(std::clamp<std::int64_t>(sessions * percent / 100, 5000, INT_MAX));
	}
	std::int64_t free_rooms(const Batch &batch);
	bool free_unless_used(const Batch &batch, std::int64_t *freed);
	void renew_batch();
	void renew_leases();
	void note_shortfall(const char *what, const char *why);

	std::int64_t grace = 0;
	std::int64_t sessions = 0; /* live sessions that were read */
	Array<Room> rooms;		   /* rooms that may need work */
	HashInterner numbers;	   /* number of a room by the hash of its name */
	HashFilter filter;		   /* hashes of the names of rooms */
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
 * Frees the rooms that have been idle for the grace period (microseconds), in the caller's
 * transaction. Returns how many were freed.
 */
std::int64_t clean(std::int64_t grace);

} // namespace gxy
