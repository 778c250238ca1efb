/*
 * source_reader.hpp: reads the application's relation of sessions.
 *
 * It is read in the caller's backend with a new snapshot, and stays locked ACCESS SHARE until the
 * end of the transaction.
 */
#pragma once

#include "application/source_query.hpp"
#include "pg/compat.hpp"
#include "pg/function_ref.hpp"
#include "pg/lock_timeout.hpp"
#include "servers/pool.hpp"

namespace gxy
{

/* A row of the relation of sessions. The text is valid during the call of the visitor. */
struct SessionRow
{
	bool room_known = false;
	bool user_known = false;
	std::string_view room;
	std::string_view user;	  /* the bytes of user_id, as IdForm says */
	std::string_view gateway; /* empty: none */
};

/*
 * Calls visit(row) for every session with last_seen_at NULL or not before alive_since. visit runs
 * inside the executor, so it must switch to another memory context for what it keeps. Raises 55000
 * if the relation is missing, lacks a column, or its code fails; 55P03 if a lock wait reaches the
 * deadline.
 */
void read_sessions(const Attachment &sessions, SessionColumns wanted, TimestampTz alive_since,
				   Deadline deadline, FunctionRef<const SessionRow &> visit);

/* Why a relation could not be read; allocated in the current memory context. */
struct ReadFailure
{
	const char *message;
	const char *detail; /* nullptr: none */
};

/*
 * Calls f(), which reads attached relations, in a subtransaction. Returns nullopt on success and
 * the reason if f raises 55000 or 55P03. Raises every other error, such as a cancellation, a
 * deadlock or a serialization failure. f must not write. Memory that f allocates in the current
 * memory context stays allocated.
 */
std::optional<ReadFailure> try_reading(FunctionRef<> f);

} // namespace gxy
