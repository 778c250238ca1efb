/*
 * load_changes.cpp: tells the load cache what the extension's own functions have done to a row.
 */
#include "rooms/load_changes.hpp"

#include "pg/settings.hpp"
#include "placement/server_load.hpp"
#include "policy/placement_policy.hpp"
#include "policy/time_arithmetic.hpp"
#include "shared/header.hpp"
#include "shared/load_cache.hpp"
#include "shared/load_delta.hpp"
#include "shared/writable_since.hpp"

namespace gxy
{
namespace
{

/* The row that was found, as far as its load depends on it. */
Assignment
row_of(const Found &found)
{
	Assignment row;

	row.assigned_at = found.assigned_at;
	row.last_used_at = found.leased_from;
	row.expected_users = found.expected_users;
	row.reported_users = found.reported_users;
	return row;
}

} // namespace

void
note_renewed(const Found &found, TimestampTz now, std::optional<int> users)
{
	/* The cache of another version of the library cannot be told, and a renewal need not fail. */
	if (has_other_layout())
		return;

	std::optional<LastBaseline> last = last_baseline();
	LastBaseline count = last.value_or(
		LastBaseline{.at = now, .leases_count_from = ages_count_from(), .has_sessions = false});
	Rules rules = current_rules();
	Assignment row = row_of(found);
	Load change = -load_by_row(row, count, rules);

	row.last_used_at = now;
	if (users)
		row.reported_users = users;
	change += load_by_row(row, count, rules);
	/* What the first count will have is a guess: rather too much than too little. */
	if (change == Load() || (!last && change.users < 0))
		return;
	if (row.reported_users)
		record_at_commit(view_of(found.server),
						 {.load = change, .until = later(row.assigned_at, rules.join_window)},
						 found.inserter);
	else
		record_room_added(view_of(found.server), change);
}

void
note_moved(const Found &found, std::string_view server, TimestampTz now)
{
	Rules rules = current_rules();
	Assignment row = row_of(found);

	record_at_commit(view_of(found.server), removed_load_of(row, rules), found.inserter);
	row.assigned_at = now;
	record_room_added(server, added_load_of(row, rules));
}

void
note_freed(const RoomKey &room, const Found &found)
{
	record_at_commit(view_of(found.server), removed_load_of(row_of(found), current_rules()),
					 found.inserter);
	record_orphan(room.view());
}

} // namespace gxy
