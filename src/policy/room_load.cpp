/*
 * room_load.cpp: how much a room loads its server, and the order in which rooms leave one.
 */
#include "policy/placement_policy.hpp"

#include <algorithm>

namespace gxy
{

std::int64_t
room_load(const RoomUse &room, const Rules &rules)
{
	const std::int64_t age = std::max<std::int64_t>(room.age, 0); /* a clock may step back */
	const std::int64_t expected = std::max<std::int64_t>(room.expected, 0);

	if (!room.active_known)
		return room.leased || room.pinned_size ? expected : 0;

	const std::int64_t active = std::max<std::int64_t>(room.active, 0);
	const std::int64_t missing = expected - active;
	if (missing <= 0)
		return active;
	if (room.pinned_size)
		return expected;
	if (age >= rules.join_window)
		return active;
	/* Servers are filled up, so space must be kept for every expected user. */
	if (rules.strategy == Strategy::sequential)
		return expected;
	/* Rounded to the nearest user. */
	return active +
		   static_cast<std::int64_t>((2 * __int128{missing} * missing + expected) / (2 * expected));
}

bool
leaves_before(const LeavingRoom &a, const LeavingRoom &b)
{
	return a.load != b.load ? a.load > b.load : a.id < b.id;
}

} // namespace gxy
