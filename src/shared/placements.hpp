/*
 * placements.hpp: counts of the rooms that backends have placed. By them a backend learns that no
 * call has placed its room since it looked for the room's row.
 *
 * A count serves all rooms with the same low bits of the hash, in all databases. A backend that
 * places a room counts it after it has written the row, while it holds the room's lock.
 *
 * A caller reads the count, finds that the room has no row, takes the room's lock and finds the
 * same count. Then no call of the extension has written a row meanwhile: the search would have
 * found the index entry of an earlier one, and a later one would have been counted before its lock
 * was released. Rows that the application inserts are not counted.
 *
 * Processes: backends. The counts are atomic; a lock on a page and the room's lock order them.
 */
#pragma once

#include "pg/compat.hpp"
#include "shared/header.hpp"

namespace gxy
{

/* Returns the count for a room; nullopt without shared memory. */
inline std::optional<std::uint32_t>
placements_like(std::uint64_t room_hash)
{
	SharedHeader *header = shared_header();

	if (header == nullptr)
		return std::nullopt;
	return pg_atomic_read_u32(&header->placements[room_hash % placement_counts]);
}

/*
 * Returns whether a room whose row was missing after the count was read has got none by a call of
 * the extension since. The caller holds the room's lock.
 */
inline bool
none_placed_since(std::uint64_t room_hash, std::optional<std::uint32_t> count)
{
	return count && placements_like(room_hash) == count;
}

/* Counts a room. The caller holds its lock and has written its row. */
inline void
count_placement(std::uint64_t room_hash)
{
	SharedHeader *header = shared_header();

	if (header != nullptr)
		pg_atomic_fetch_add_u32(&header->placements[room_hash % placement_counts], 1);
}

} // namespace gxy
