/*
 * known_rows.hpp: where this backend found the rows of rooms the last time.
 *
 * The memory is a hint: a row is always read again, and must be the room's. It holds up to 4096
 * rooms, 24 bytes each; rooms whose hashes collide take each other's place, and are then found
 * through the index.
 */
#pragma once

#include "pg/compat.hpp"
#include "tables/assignment.hpp"

namespace gxy
{

/*
 * Remembers where an index scan has found a room's row: hash is that of the room, root the
 * start of the chain of its versions, version the one that was found, both on the page in buffer,
 * which is pinned. heap is the table.
 */
void remember_row(Relation heap, std::uint64_t hash, ItemPointerData root, ItemPointerData version,
				  Buffer buffer);

/*
 * Looks for the room's row where it was the last time, with SnapshotSelf, as find() does after an
 * index descent. nullopt: not there.
 */
std::optional<Found> find_known_row(Relation heap, const RoomKey &room);

/*
 * The same without a lock on the table, if the page itself says that the version found the last
 * time is committed and that no transaction has locked, updated or deleted it. nullopt: the page
 * does not say so, or the table has changed. Waits for nothing, writes nothing.
 */
std::optional<Found> find_settled_row(const RoomKey &room);

} // namespace gxy
