/*
 * source_query.hpp: the prepared queries on the attached relations. Private to this folder.
 */
#pragma once

#include "application/source_columns.hpp"
#include "pg/compat.hpp"
#include "pg/lock_timeout.hpp"
#include "pg/role.hpp"
#include "servers/pool.hpp"

namespace gxy
{

/* Begins the detail of a failure that the relation's own code raised. */
inline constexpr char reading_raised[] = "Reading it raised ";

/* Which columns of sessions to read. Not reading gateway_name may save a join in the view. */
enum class SessionColumns
{
	rooms_and_users,
	with_servers
};

/* Which rows of rooms to read: all columns of one room, or the servers of many. */
enum class RoomQuery
{
	one_room,
	servers_of_rooms
};

/* An attached relation and its plans; kept in backend memory until the relation changes. */
struct PreparedSource
{
	Oid relation = InvalidOid;
	Oid owner = InvalidOid;
	Oid parameter_type = InvalidOid; /* of $1: alive_since or the room */
	Oid array_type = InvalidOid;	 /* of $2: the rooms of RoomQuery::servers_of_rooms */
	SourceColumns columns;
	NameData schema = {};	  /* in the text of the queries */
	SPIPlanPtr plans[2] = {}; /* by SessionColumns or RoomQuery */
	bool valid = false;
};
static_assert(std::is_trivially_destructible_v<PreparedSource>);

/*
 * Resolves the name of the relation and locks it ACCESS SHARE until the end of the transaction, so
 * that the relation and its owner cannot change. Raises 55000 if the relation does not exist or
 * lacks a column, or if code of an attached relation calls the extension; 55P03 after the deadline.
 */
PreparedSource &prepare_source(Source source, const Attachment &attachment, Deadline deadline);

/* Return the plan of a query; prepare it on first use. Call them inside read_as_owner() only. */
SPIPlanPtr plan_of(const Attachment &sessions, SessionColumns wanted);
SPIPlanPtr plan_of(const Attachment &rooms, RoomQuery wanted);

/*
 * Called in PG_CATCH. Raises 55000 with the caught error in the detail, 55P03 for a lock timeout;
 * raises errors of classes 40, 53, 57 and 58 unchanged.
 */
[[noreturn]] void report_read_error(Source source, const char *name, MemoryContext context);

/* Only read_as_owner() calls these two. */
void begin_reading();
void end_reading();

/*
 * Calls f() as the owner of the attached relation, with SPI connected and a new snapshot that sees
 * the caller's own changes. Lock waits end at the deadline. Raises what report_read_error() raises.
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

/* Relcache callback: the relation changed; InvalidOid: any relation may have changed. */
void invalidate_sources(Oid relation);

} // namespace gxy
