/*
 * cleanup.hpp: finds the rooms that nobody uses, and frees them.
 */
#pragma once

#include "rooms/size_sampler.hpp"
#include "servers/pool.hpp"
#include "shared/status.hpp"

namespace gxy
{

/*
 * One look at all rooms and sessions, and what it has found to do. Kept in the memory context that is current when it is
 * made; the look and each batch may be transactions of their own. Raises 25006 in a read-only transaction, 55000 if the
 * attached sessions cannot be read.
 */
class Cleanup
{
public:
	/* grace: microseconds without use after which a room is idle. Updates the learned sizes as well. */
	static Cleanup look(std::int64_t grace);

	/*
	 * Frees idle rooms, and renews the leases of rooms in use, a batch of each; how many were freed. Their rows stay
	 * locked until the transaction ends.
	 */
	std::int64_t run_batch();

	bool finished() const { return next_idle == idle.count && next_due == due.count; }

	/* What could not be written beside the rooms that were freed, and why; empty: nothing. */
	const char *shortfall() const { return fell_short; }

	/* Another look would have more to do. */
	bool more_to_learn() const { return sampler_has_more; }

private:
	struct Room
	{
		std::uint64_t name; /* its hash */
		ItemPointerData tid;
		bool used;
		int room_sample;
	};

	struct Batch
	{
		int first, end; /* in idle */
	};

	void scan_rooms(const Assignments &assignments, bool attached, SizeSampler *sampler,
					TimestampTz now);
	void scan_sessions(const Attachment &attached, SizeSampler *sampler, Deadline deadline);
	void recheck_sessions();
	int batch_size() const;
	std::int64_t free_rooms(const Batch &batch);
	bool free_unless_used(const Batch &batch, std::int64_t *freed);
	void renew_batch();
	void renew_leases();
	void note_shortfall(const char *what, const char *why);

	std::int64_t grace = 0;
	std::int64_t sessions = 0; /* that were read */
	Array<Room> rooms;		   /* that there may be something to do for */
	HashInterner numbers;	   /* of those */
	HashFilter filter;		   /* of those as well */
	Array<int> idle, due; /* of those; due: leases that are to be renewed, if the room is in use */
	int next_idle = 0, next_due = 0;
	bool sampler_has_more = false;
	char fell_short[error_length] = "";
};
static_assert(std::is_trivially_destructible_v<Cleanup>);

/* Frees what has been idle for the grace (microseconds) in the caller's transaction; how many. */
std::int64_t clean(std::int64_t grace);

} // namespace gxy
