/*
 * placement.hpp: what is needed to decide where a room goes, gathered for the policy.
 *
 * get_or_assign_server() and explain_assignment() both go through here, so that the second tells what the first does.
 */
#pragma once

#include "load.hpp"

namespace gxy
{

struct PlacementRequest
{
	const RoomKey *room;
	std::string_view region; /* empty: none */
	std::optional<int> expected_users;
	TimestampTz now;
	Deadline deadline;
};

/* Who says how many users a room will hold, in the order in which they are asked. */
enum class ExpectedFrom : std::uint8_t
{
	caller,
	pin,
	rooms, /* the attached ones */
	learned,
	average
};

/* Everything that is read before the placement lock is taken. */
struct Prospect
{
	const Pool *pool = nullptr;
	Rules rules;
	Census census;					   /* once it has been taken */
	std::optional<int> expected_users; /* empty: the average */
	ExpectedFrom expected_from = ExpectedFrom::average;
	int occasions = 0; /* that a learned expectation rests on */

	/* Users the policy reckons with. */
	std::int64_t expected() const
	{
		return expected_users.value_or(static_cast<int>(rules.avg_room_occupancy));
	}
};

/*
 * Without the census. Raises P0002 for a room that is not among the attached rooms, 55000 for a source that cannot be read. Allocates in
 * the current memory context.
 */
Prospect look_ahead(const PlacementRequest &request);

/* Reads the sessions into the prospect. */
void take_census(const PlacementRequest &request, Prospect *prospect);

/* The servers as the policy takes them, in the pool's order, without their loads. */
Server *list_servers(const PlacementRequest &request, const Prospect &prospect);

/* The same with their loads, counted as of the snapshot. */
Server *count_servers(const PlacementRequest &request, const Prospect &prospect,
					  const Assignments &assignments, Snapshot snapshot);

/* Why a room was placed as it was, in words; palloc'd. */
const char *reason_of(const Decision &decision, const Server &server,
					  const PlacementRequest &request, const Rules &rules);

} // namespace gxy
