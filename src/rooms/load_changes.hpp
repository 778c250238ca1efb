/*
 * load_changes.hpp: tells the load cache what the extension's own functions have done to a room's
 * row. Called after the change, in the same (sub)transaction. What applications do to rows is told
 * by api/triggers.cpp.
 */
#pragma once

#include <optional>
#include <string_view>

#include "pg/compat.hpp"
#include "tables/assignment.hpp"

namespace gxy
{

/*
 * The row, which was found so, has a new lease from now on and, if given, a new number of users.
 * Most often that changes no load.
 */
void note_renewed(const Found &found, TimestampTz now, std::optional<int> users);

/* The row, which was found so, has another server and a new lease. */
void note_moved(const Found &found, std::string_view server, TimestampTz now);

/* The row is gone. The sessions of the room, if any, are counted where they are. */
void note_freed(const RoomKey &room, const Found &found);

} // namespace gxy
