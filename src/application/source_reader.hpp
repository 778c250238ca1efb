/*
 * source_reader.hpp: the application's own relations of sessions and rooms.
 */
#pragma once

#include "servers/pool.hpp"
#include "application/source_columns.hpp"
#include "tables/locks.hpp"

namespace gxy
{

struct SessionRow
{
	bool room_known = false;
	bool user_known = false;
	std::string_view room;
	std::string_view user;	  /* the bytes of its id, in whatever form */
	std::string_view gateway; /* empty: none */
};

/* What is to be read of sessions. A view that joins the servers' names to them does without where none are wanted. */
enum class Reading
{
	rooms_and_users,
	servers_too
};

/*
 * Calls visit(const SessionRow &) for every session that has not ended and was seen after alive_since, as of now.
 * visit runs inside the executor: it changes to a memory context of its own for what it keeps. Raises 55000 if the
 * relation is gone or has lost its columns.
 */
template <typename F>
void read_sessions(const Attachment &sessions, Reading reading, TimestampTz alive_since,
				   Deadline deadline, F visit);

struct RoomFacts
{
	bool exists = false;
	std::optional<int> expected_users; /* at least 1 */
};

/* What the application says of a room, as of now. */
RoomFacts look_up_room(const Attachment &rooms, const RoomKey &room, Deadline deadline);

/* Called by the server when a relation changed (0: any). */
void forget_sources(Oid relation);

using SessionVisitor = void (*)(void *context, const SessionRow &row);
void read_sessions_with(const Attachment &sessions, Reading reading, TimestampTz alive_since,
						Deadline deadline, SessionVisitor visit, void *context);

template <typename F>
void
read_sessions(const Attachment &sessions, Reading reading, TimestampTz alive_since,
			  Deadline deadline, F visit)
{
	read_sessions_with(
		sessions, reading, alive_since, deadline,
		[](void *context, const SessionRow &row) { (*static_cast<F *>(context))(row); }, &visit);
}

} // namespace gxy
