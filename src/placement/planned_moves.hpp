/*
 * planned_moves.hpp: moves of rooms that are planned and not written.
 *
 * what_if() and a dry run plan moves with the code that would do them. To that code each row reads
 * as it would after the moves planned so far.
 */
#pragma once

#include "pg/array.hpp"
#include "pg/compat.hpp"
#include "pg/interner.hpp"
#include "tables/assignments.hpp"

namespace gxy
{

/* Everything is allocated in the memory context that is current at the call. */
class PlannedMoves
{
public:
	/* now: when the moves would be done. */
	explicit PlannedMoves(TimestampTz now) : now(now) { rooms.prepare(); }

	/* The target's text must outlive the plan. A second move of a room replaces the first. */
	void add(std::string_view room, std::string_view target)
	{
		bool fresh;
		int number = rooms.number(room, &fresh);

		if (fresh)
			targets.push(target);
		else
			targets[number] = target;
	}

	/* Returns the row as it would be after the moves. */
	Assignment after(const Assignment &row) const
	{
		int number = rooms.find(row.room);
		Assignment moved = row;

		if (number < 0)
			return moved;
		moved.server = targets[number];
		moved.assigned_at = now;
		moved.last_used_at = now;
		return moved;
	}

	int count() const { return targets.count; }

private:
	TimestampTz now;
	NameInterner rooms;
	Array<std::string_view> targets; /* by the room's number */
};
static_assert(std::is_trivially_destructible_v<PlannedMoves>);

} // namespace gxy
