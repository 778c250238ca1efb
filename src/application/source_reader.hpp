/*
 * source_reader.hpp: the application's own relations of sessions and rooms.
 */
#pragma once

#include "application/source_query.hpp"
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

/*
 * Calls visit(const SessionRow &) for every session that has not ended and was seen after alive_since, as of now.
 * visit runs inside the executor: it changes to a memory context of its own for what it keeps. Raises 55000 if the
 * relation is gone, has lost its columns, or its code fails.
 */
template <typename F>
void read_sessions(const Attachment &sessions, SessionColumns wanted, TimestampTz alive_since,
				   Deadline deadline, F visit);

struct RoomFacts
{
	bool exists = false;
	std::optional<int> expected_users; /* at least 1 */
};

/* What the application says of a room, as of now. */
RoomFacts look_up_room(const Attachment &rooms, const RoomKey &room, Deadline deadline);

/* Why the application's relations could not be read, in the current memory context. */
struct ReadFailure
{
	const char *message;
	const char *detail; /* nullptr: none */
};

/*
 * Calls f(), which reads the application's relations and writes nothing, in a subtransaction, for callers that can do
 * without the answer: nullopt if all went well, else what was wrong with the relation (55000, or 55P03 after a wait for
 * it). Other errors are raised as ever: a cancellation, a deadlock, a serialization failure. What f allocates in the
 * current memory context stays.
 */
template <typename F> std::optional<ReadFailure> try_reading(F f);

using SessionVisitor = void (*)(void *context, const SessionRow &row);
void read_sessions_with(const Attachment &sessions, SessionColumns wanted, TimestampTz alive_since,
						Deadline deadline, SessionVisitor visit, void *context);

template <typename F>
void
read_sessions(const Attachment &sessions, SessionColumns wanted, TimestampTz alive_since,
			  Deadline deadline, F visit)
{
	read_sessions_with(
		sessions, wanted, alive_since, deadline,
		[](void *context, const SessionRow &row) { (*static_cast<F *>(context))(row); }, &visit);
}

std::optional<ReadFailure> try_reading_with(void (*read)(void *context), void *context);

template <typename F>
std::optional<ReadFailure>
try_reading(F f)
{
	return try_reading_with([](void *context) { (*static_cast<F *>(context))(); }, &f);
}

} // namespace gxy
