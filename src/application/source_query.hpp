/*
 * source_query.hpp: the query by which an attached relation is read. Private to this folder.
 */
#pragma once

#include "application/source_columns.hpp"
#include "pg/role.hpp"
#include "servers/pool.hpp"

namespace gxy
{

/* What is to be read of sessions. A view that joins the servers' names to them does without where none are wanted. */
enum class SessionColumns
{
	rooms_and_users,
	with_servers
};

/* An attached relation and its queries, remembered until it changes. */
struct PreparedSource
{
	Oid relation = InvalidOid;
	Oid owner = InvalidOid;
	Oid parameter_type = InvalidOid; /* of $1, the one parameter of its queries */
	SourceColumns columns;
	NameData schema = {};	  /* as the queries name it */
	SPIPlanPtr plans[2] = {}; /* by Reading */
	bool valid = false;
};
static_assert(std::is_trivially_destructible_v<PreparedSource>);

/*
 * Looks the relation up by name and locks it until the end of the transaction: until then it and its owner stay what they
 * are. Raises 55000 if it is gone, has not the columns, or is being read already: its code calls the extension.
 */
PreparedSource &prepare_source(Source source, const Attachment &attachment, Deadline deadline);

/* The plan of its query; to be called in read_as_owner(). */
SPIPlanPtr plan_of(Source source, const Attachment &attachment, SessionColumns wanted);

/* Raises, in a PG_CATCH, the error that reading a relation has ended with as one that names it. */
[[noreturn]] void report_read_error(Source source, const char *name, MemoryContext context);

/* For read_as_owner(). */
void begin_reading();
void end_reading();

/*
 * Calls f() with SPI connected and a latest snapshot, the caller's own changes included, as the owner of an attached
 * relation. Errors of the application's code become 55000 with theirs in the detail.
 */
template <typename F>
void
read_as_owner(Source source, const Attachment &attachment, Oid owner, Deadline deadline, F f)
{
	const char *name = name_of(attachment);
	MemoryContext caller = CurrentMemoryContext;
	int level = begin_lock_timeout(deadline);

	PG_TRY();
	{
		as_role(owner, [&] {
			begin_reading();
			f();
			end_reading();
		});
	}
	PG_CATCH();
	{
		report_read_error(source, name, caller);
	}
	PG_END_TRY();
	end_lock_timeout(level);
}

/* Called by the server when a relation changed (0: any). */
void invalidate_sources(Oid relation);

} // namespace gxy
