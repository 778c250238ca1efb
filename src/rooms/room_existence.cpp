/*
 * room_existence.cpp: asks the attached rooms on which servers assigned rooms exist.
 */
#include "rooms/room_existence.hpp"

#include "pg/array.hpp"
#include "policy/placement_policy.hpp"

namespace gxy
{

RoomServersIndex
servers_of(const Pool &pool, std::span<const Assignment> rooms, bool needs_rooms, Deadline deadline)
{
	Array<std::string_view> ids;

	if (!pool.rooms.exists())
		return RoomServersIndex();
	for (const Assignment &room : rooms)
		ids.push(room.room);
	return needs_rooms ? RoomServersIndex::read(pool.rooms, ids.span(), deadline)
					   : RoomServersIndex::read_if_readable(pool.rooms, ids.span());
}

bool
has_destination(const Pool &pool, const RoomServersIndex &servers, const Assignment &room,
				std::string_view target)
{
	const RoomServers &exists_on = servers.of(room.room);
	auto is_open = [&](const PoolServer &server) {
		return server.state == ServerState::online && server.name != room.server &&
			   exists_on.include(server.name);
	};

	if (exists_on.everywhere || !target.empty())
		return exists_on.include(target);
	return std::any_of(pool.servers.begin(), pool.servers.end(), is_open);
}

bool
claim_holds(const Pool &pool, const RoomLocation &where, std::string_view room)
{
	/* During a parallel query the relation cannot be read. */
	if (!where.moved || !pool.rooms.exists() || IsInParallelMode())
		return true;
	return RoomServersIndex::read_if_readable(pool.rooms, {&room, 1})
		.of(room)
		.include(pool.servers[where.server].name);
}

} // namespace gxy
