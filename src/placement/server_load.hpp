/*
 * server_load.hpp: the load of each server.
 *
 * It is counted in two steps. First the application's sessions are read without a lock and
 * condensed into a SessionIndex. Then the assignments are read and matched with it; only this step
 * needs the placement lock, because it must be exact. The formula is room_load() of
 * policy/placement_policy.hpp.
 */
#pragma once

#include "application/session_index.hpp"
#include "pg/array.hpp"
#include "pg/compat.hpp"
#include "pg/lock_timeout.hpp"
#include "placement/planned_moves.hpp"
#include "policy/placement_policy.hpp"
#include "servers/pool.hpp"
#include "shared/load_cache.hpp"
#include "shared/load_delta.hpp"
#include "tables/assignments.hpp"

namespace gxy
{

/* The load of one server. */
struct ServerLoad
{
	std::int64_t rooms = 0;
	std::int64_t users = 0;		/* distinct users in sessions of its rooms */
	std::int64_t connected = 0; /* distinct users in sessions that name it */
	/* users expected in its rooms in addition to those who are there */
	std::int64_t expected = 0;
	/* Rooms with users whose sessions name another server, and these users; see count_splits(). */
	std::int64_t split_rooms = 0;
	std::int64_t split_users = 0;

	std::int64_t load(const Rules &rules) const;
};

/*
 * The load of every server of a pool, in the pool's order. A claimed room counts on the standby
 * that claims it.
 */
class ServerLoads
{
public:
	/*
	 * Counts the rooms that the snapshot sees or that transactions in progress have inserted. The
	 * snapshot is a latest one, registered or active. The result is exact as long as the placement
	 * lock is held. planned: rooms count as if these moves were done.
	 */
	static ServerLoads count(const Assignments &assignments, const Pool &pool,
							 const SessionIndex &session_index, const Rules &rules,
							 Snapshot snapshot, TimestampTz now,
							 const PlannedMoves *planned = nullptr);

	/*
	 * Counts the rooms that the snapshot would see without this transaction's changes: the baseline
	 * of the load cache. Each room counts on the server that its row names, so that the cache can
	 * follow every row that is moved.
	 */
	static ServerLoads count_for_cache(const Assignments &assignments, const Pool &pool,
									   const SessionIndex &session_index, const Rules &rules,
									   Snapshot snapshot, TimestampTz now);

	/*
	 * Returns true if sessions without an assignment count on the server that they name, and the
	 * index lacks these names. The loads are unusable then.
	 */
	bool lacks_servers() const { return without_servers && has_unassigned; }

	/* Hashes of the rooms that have live sessions but no counted assignment. */
	const Array<std::uint64_t> &unassigned() const { return unassigned_rooms; }

	const ServerLoad &operator[](int server) const { return loads[server]; }

	/* Fills in what the policy compares; servers are in the pool's order. */
	void fill_in(Server *servers, int count, const Rules &rules) const;

	/* Counts the split rooms by the index that the loads were counted with. */
	void count_splits(const Pool &pool, const SessionIndex &session_index);

	/* Adds a room that was placed after the count. */
	void add(int server, std::int64_t room_load)
	{
		loads[server].rooms++;
		loads[server].expected += room_load;
	}

private:
	template <typename S>
	void count_with(const Pool &pool, const SessionIndex &session_index, const Rules &rules,
					TimestampTz now, bool for_cache, S scan);

	ServerLoad *loads = nullptr;
	/* by number of a room in the session index; nullptr: no sessions are attached */
	const int *server_of_room = nullptr;
	/* there are sessions without a room, or of rooms without an assignment */
	bool has_unassigned = false;
	bool without_servers = false;		   /* the index lacks the servers that sessions name */
	Array<std::uint64_t> unassigned_rooms; /* hashes, for the load cache */
};

/*
 * Returns the pool followed by the servers that are not in it but have rooms. They get the state
 * offline, as placement treats them.
 */
Pool with_outside_servers(const Pool &pool, const Assignments &assignments, Snapshot snapshot);

/*
 * Counts the loads of the pool's servers with a latest snapshot and no placement lock. If extended
 * is not nullptr, sets it to the pool with with_outside_servers() and counts its servers. Locks
 * room_server_assignments ACCESS SHARE; 55P03 at the deadline.
 */
ServerLoads count_now(const Pool &pool, const SessionIndex &session_index, const Rules &rules,
					  TimestampTz now, Deadline deadline, Pool *extended = nullptr);

/* Returns what is known about the use of an assigned room. */
RoomUse room_use(const Assignment &row, const Pool &pool, const SessionIndex &session_index,
				 const Rules &rules, TimestampTz now);

/*
 * Returns the load that a room adds to its server beyond the sessions in it; the next baseline
 * counts those.
 */
Load load_of(const RoomUse &use, const Rules &rules);

/*
 * Returns the load of a room as a count has it, by the room's row alone. Attached sessions are not
 * read: the room is taken for empty then. A pin's size is left out. Locks nothing.
 */
Load load_by_row(const Assignment &row, const LastBaseline &count, const Rules &rules);

/*
 * Return the changes of the load cache by a row that is written, and by one that is deleted or
 * replaced. Both are load_by_row() of the last count, also for a row that is newer, so that one row
 * adds and removes the same. Lock nothing.
 */
Load added_load_of(const Assignment &row, const Rules &rules);
LoadAtCommit removed_load_of(const Assignment &row, const Rules &rules);

} // namespace gxy
