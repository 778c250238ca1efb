/*
 * room_reader.hpp: reads the application's relation of rooms.
 */
#pragma once

#include "pg/array.hpp"
#include "pg/interner.hpp"
#include "pg/lock_timeout.hpp"
#include "servers/pool.hpp"
#include "tables/assignments.hpp"

namespace gxy
{

/* The servers on which a room exists. */
struct RoomServers
{
	bool everywhere = true;
	Array<std::string_view> names; /* unless everywhere; those that are not in the pool too */

	bool include(std::string_view server) const
	{
		return everywhere || std::find(names.begin(), names.end(), server) != names.end();
	}
};

/* What the attached relation of rooms says of a room. */
struct RoomFacts
{
	bool exists = false;
	std::optional<int> expected_users; /* at least 1 */
	std::string_view region;		   /* a RegionList; empty: none */
	std::string_view home;			   /* name of a server; empty: none */
	RoomServers servers;
};

/*
 * Looks a room up in the attached relation of rooms. If it has several rows, the largest
 * expected_users counts, the first region and home in that order of the rows, and the room exists
 * on the servers of all rows. Allocates in the current memory context. Raises what read_sessions()
 * raises, and 55000 for a region that is too long.
 */
RoomFacts look_up_room(const Attachment &rooms, const RoomKey &room, Deadline deadline);

/*
 * The servers of many rooms, read at once. A room that is not in the relation exists everywhere:
 * its assignment ends with its users.
 */
class RoomServersIndex
{
public:
	/*
	 * Reads the relation, if one with a column servers is attached. Allocates in the current memory
	 * context. Raises what read_sessions() raises.
	 */
	static RoomServersIndex read(const Attachment &rooms, std::span<const std::string_view> ids,
								 Deadline deadline);

	/*
	 * The same without waiting, for a failover, which goes on in any case: every room exists
	 * everywhere if a lock is not free or the relation cannot be read. Raises only errors of class
	 * 57 (cancellation, shutdown), 40001 and 40P01.
	 */
	static RoomServersIndex read_if_readable(const Attachment &rooms,
											 std::span<const std::string_view> ids);

	/* Returns whether all rooms exist everywhere because the relation says nothing of servers. */
	bool is_silent() const { return silent; }

	const RoomServers &of(std::string_view room) const;

private:
	bool silent = true;
	NameInterner rooms;
	Array<RoomServers> servers; /* by number of the room */
};
static_assert(std::is_trivially_destructible_v<RoomServersIndex>);

} // namespace gxy
