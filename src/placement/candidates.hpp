/*
 * candidates.hpp: what is needed to decide where a room goes, gathered for the policy.
 *
 * get_or_assign_server() and explain_assignment() both go through here, so that the second tells what the first does.
 */
#pragma once

#include "placement/server_load.hpp"

namespace gxy
{

struct PlacementRequest
{
	const RoomKey *room;
	std::string_view region; /* empty: none */
	std::optional<int> expected_users;
	TimestampTz now;
	Deadline deadline;
	/* The server an assigned room is to leave, which then counts as offline; empty for a new room. */
	std::string_view leaving = {};
};

/* Who says how many users a room will hold, in the order in which they are asked. */
enum class ExpectedFrom : std::uint8_t
{
	caller,
	pin,
	rooms, /* the attached ones */
	learned,
	average,
	use /* a room that is moved: what it holds now */
};

/* Everything that is read before the placement lock is taken. */
struct PlacementInput
{
	const Pool *pool = nullptr;
	Rules rules;
	SessionIndex session_index;		   /* once it has been taken */
	std::optional<int> expected_users; /* empty: the average */
	ExpectedFrom expected_from = ExpectedFrom::average;
	int occasions = 0;			  /* that a learned expectation rests on */
	const bool *silent = nullptr; /* servers not heard of for too long; nullptr: none */

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
PlacementInput gather_input(const PlacementRequest &request);

/* The same for rooms that have to leave their server, with the census: any server that is online will do. */
PlacementInput gather_input_for_move(TimestampTz now, Deadline deadline);

/* Reads the sessions into the prospect. */
void index_sessions(const PlacementRequest &request, PlacementInput *input,
					SessionColumns wanted = SessionColumns::with_servers);

/* The servers as the policy takes them, in the pool's order, without their loads; list_servers() allocates them. */
void describe_servers(const PlacementRequest &request, const PlacementInput &input,
					  Server *servers);
Server *list_servers(const PlacementRequest &request, const PlacementInput &input);

/* The same with their loads, counted as of the snapshot; nullptr if the census lacks the servers for it. */
Server *count_servers(const PlacementRequest &request, const PlacementInput &input,
					  const Assignments &assignments, Snapshot snapshot);

/* Whether a room that is to leave its server has somewhere to go. */
bool is_acceptable(const Decision &decision);

/* Why a room was placed as it was, in words; palloc'd. */
const char *reason_of(const Decision &decision, const Server &server,
					  const PlacementRequest &request, const Rules &rules);

} // namespace gxy
