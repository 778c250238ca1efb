/*
 * server_load.hpp: what each server carries.
 *
 * Counted in two steps, because only the second has to be exact to the row: first the application's sessions, read
 * without any lock and condensed into a Census; then the assignments, read under the placement lock and matched with
 * it. The formula is that of policy/placement_policy.hpp, room_load().
 */
#pragma once

#include "application/session_index.hpp"
#include "shared/load_cache_xact.hpp"
#include "tables/assignments.hpp"

namespace gxy
{

/* What one server carries. */
struct ServerLoad
{
	std::int64_t rooms = 0;
	std::int64_t users = 0;		/* distinct users in sessions that belong to it */
	std::int64_t connected = 0; /* distinct users in sessions that name it */
	std::int64_t expected = 0;	/* users expected in its rooms beyond those in them */

	std::int64_t load(const Rules &rules) const;
};

/* The load of every server of a pool, in the pool's order; a claimed room counts at the standby that has claimed it. */
class ServerLoads
{
public:
	/*
	 * Counts the rooms that the snapshot sees or that may yet be committed. The snapshot has to be a latest one,
	 * registered or active; exact for as long as the placement lock is held.
	 */
	static ServerLoads count(const Assignments &assignments, const Pool &pool,
							 const SessionIndex &session_index, const Rules &rules,
							 Snapshot snapshot, TimestampTz now);

	/*
	 * Counts the rooms that the snapshot would see without this transaction's changes: what the board's count rests on.
	 * Each at the server that its row names, so that the board can be told of every row that is moved.
	 */
	static ServerLoads count_for_board(const Assignments &assignments, const Pool &pool,
									   const SessionIndex &session_index, const Rules &rules,
									   Snapshot snapshot, TimestampTz now);

	/*
	 * There are sessions that count at the server they name, which this census does not have: their rooms have no
	 * assignment. The loads are worth nothing then.
	 */
	bool lacks_servers() const { return without_servers && has_homeless; }

	/* Rooms with live sessions for which no assignment was counted. */
	const Array<std::uint64_t> &unassigned() const { return unassigned_rooms; }

	const ServerLoad &operator[](int server) const { return loads[server]; }

	/* Reckons with a room that was put on a server since the count. */
	void add(int server, std::int64_t room_load)
	{
		loads[server].rooms++;
		loads[server].expected += room_load;
	}

private:
	template <typename S>
	void count_with(const Pool &pool, const SessionIndex &session_index, const Rules &rules,
					TimestampTz now, bool for_board, S scan);

	ServerLoad *loads = nullptr;
	bool has_homeless = false;	  /* sessions of rooms without an assignment, or of no room */
	bool without_servers = false; /* the census */
	Array<std::uint64_t> unassigned_rooms; /* hashes, for the board */
};

/* What is known of one assigned room's use. */
RoomUse room_use(const Assignment &row, const Pool &pool, const SessionIndex &session_index,
				 const Rules &rules, TimestampTz now);

/*
 * What a room adds to its server beyond the sessions that are in it: those, the next count of the board sees. active:
 * users in it, as far as they are known.
 */
Burden burden_of(const RoomUse &use, const Rules &rules);
Burden burden_of(const Assignment &row, const Rules &rules, TimestampTz now);

} // namespace gxy
