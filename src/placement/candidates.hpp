/*
 * candidates.hpp: gathers what the policy needs to decide where a room goes.
 *
 * get_or_assign_server() and explain_assignment() both use it, so the second explains what the
 * first does.
 */
#pragma once

#include "application/room_reader.hpp"
#include "application/session_index.hpp"
#include "application/source_query.hpp"
#include "pg/compat.hpp"
#include "pg/lock_timeout.hpp"
#include "policy/failure_detector.hpp"
#include "policy/placement_policy.hpp"
#include "servers/pool.hpp"
#include "tables/assignments.hpp"

namespace gxy
{

struct PlacementRequest
{
	const RoomKey *room;
	std::string_view region; /* the caller's RegionList; empty: none */
	std::optional<int> expected_users;
	TimestampTz now;
	Deadline deadline;
	/*
	 * The server that an assigned room leaves, which then counts as offline; empty for a new room.
	 */
	std::string_view leaving = {};
	/* The room has a row. It may then be missing among the attached rooms. */
	bool assigned = false;
	/*
	 * For a new room: placements_like() it, read before its row was looked for and found missing;
	 * nullopt: unknown.
	 */
	std::optional<std::uint32_t> placements_before = std::nullopt;
};

/* The sources of a room's expected users, in the order in which they are asked. */
enum class ExpectedFrom : std::uint8_t
{
	caller,
	pin,
	rooms, /* the attached rooms */
	learned,
	average,
	use /* for a room that is moved: its current users */
};

/* Everything that is read before the placement lock is taken. */
struct PlacementInput
{
	const Pool *pool = nullptr;
	Rules rules;
	SessionIndex session_index;		   /* empty until index_sessions() */
	std::optional<int> expected_users; /* empty: avg_room_occupancy */
	ExpectedFrom expected_from = ExpectedFrom::average;
	int occasions = 0; /* occasions behind a learned size */
	/* a RegionList: the caller's, else that of the attached rooms; of an assigned room its row's */
	std::string_view region = {};
	std::string_view home = {}; /* by the attached rooms; empty: none */
	RoomServers exists_on;		/* by the attached rooms */
	/* by server: no heartbeat for heartbeat_timeout; nullptr: none */
	const bool *silent = nullptr;
	/* by server; nullptr: read with the sessions, or filled in by the load cache */
	const Measurement *measurements = nullptr;

	/* Returns the users that the policy expects in the room. */
	std::int64_t expected() const
	{
		return expected_users.value_or(static_cast<int>(rules.avg_room_occupancy));
	}
};

/*
 * Reads the input, without the sessions. Raises P0002 for a room that is not among the attached
 * rooms, 55000 for a source that cannot be read. Allocates in the current memory context.
 */
PlacementInput gather_input(const PlacementRequest &request);

/*
 * The same for rooms that leave their server, with the sessions. Any online server of this pool may
 * take them.
 */
PlacementInput gather_input_for_move(const Pool &pool, TimestampTz now, Deadline deadline);

/* Reads the sessions and the measured loads into the input. */
void index_sessions(const PlacementRequest &request, PlacementInput *input,
					SessionColumns wanted = SessionColumns::with_servers);

/*
 * Fills in the servers for the policy, in the pool's order, without their loads. list_servers()
 * also allocates the array.
 */
void describe_servers(const PlacementRequest &request, const PlacementInput &input,
					  Server *servers);
Server *list_servers(const PlacementRequest &request, const PlacementInput &input);

/*
 * The same with their loads, counted as of the snapshot. Returns nullptr if the count needs the
 * servers that sessions name, and the index does not have them.
 */
Server *count_servers(const PlacementRequest &request, const PlacementInput &input,
					  const Assignments &assignments, Snapshot snapshot);

/*
 * Returns whether no server is special for the room, so that list_servers() would give the pool's
 * plain servers, apart from what the room's sessions say. See decide_by_leader().
 */
bool treats_servers_alike(const PlacementRequest &request, const PlacementInput &input);

/* Returns whether a room that leaves its server may go to the chosen server. */
bool is_acceptable(const Decision &decision);

/* Returns why a room was placed as it was, as text; palloc'd. */
const char *reason_of(const Decision &decision, const Server &server, const PlacementInput &input);

} // namespace gxy
