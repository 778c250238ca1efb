/*
 * attach.cpp: implements attach_sessions() and attach_rooms().
 *
 * The extension reads an attached relation with the rights of the relation's owner, so only its
 * owner can attach it. attach() also checks the columns and types and reads the relation once, so
 * that an unusable relation fails here and not in a later get_or_assign_server().
 *
 * Runs in the backend of the caller. Locks the relation ACCESS SHARE until the end of the
 * transaction.
 */
#include "application/attach.hpp"

#include "application/room_reader.hpp"
#include "application/source_query.hpp"
#include "application/source_reader.hpp"
#include "pg/lock_timeout.hpp"
#include "servers/pool.hpp"
#include "servers/server_state.hpp"
#include "tables/assignments.hpp"
#include "tables/catalog.hpp"
#include "tables/owner_sql.hpp"

namespace gxy
{
namespace
{

/* Returns the owner. Raises 42P01 if the relation is missing, 42501 if the caller is not owner. */
Oid
check_owner(Oid relation)
{
	Oid owner = owner_of(relation);

	if (!OidIsValid(owner))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("relation with OID %u does not exist", relation),
						errhint("Name the relation as schema.name; NULL detaches.")));
	if (!compat::owns_relation(relation, GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of relation %s to attach it", get_rel_name(relation)),
				 errhint("It will be read with its owner's rights, so only they can attach it.")));
	return owner;
}

void
check_attachable(Source source, Oid relation, Deadline deadline)
{
	/*
	 * Checked before the lock, so that a role cannot lock relations of other roles, and again
	 * after it, because the owner may change during the wait.
	 */
	(void) check_owner(relation);
	lock_relation(relation, AccessShareLock, deadline);

	Oid owner = check_owner(relation);
	const char *name = get_rel_name(relation);

	if (!is_table_or_view(relation))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("\"%s\" is not a table or view", name),
				 errhint("Attach a view that shows the application's %s.", name_of(source))));
	if (isTempNamespace(get_rel_namespace(relation)))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("temporary relation \"%s\" cannot be attached", name),
						errhint("Other sessions could not read it.")));

	SourceColumns columns = source_columns_of(source, relation);

	if (columns.complaint != nullptr)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("relation \"%s\" cannot serve as the source of %s", name, name_of(source)),
				 errdetail_internal("%s", columns.complaint),
				 source == Source::sessions
					 ? errhint("Attach a view with columns room_id, user_id and, optionally, "
							   "gateway_name and last_seen_at timestamptz.")
					 : errhint("Attach a view with columns room_id and, optionally, "
							   "expected_users int, region text, home_server text and servers "
							   "text[].")));
	if (superuser_arg(owner))
		ereport(
			NOTICE,
			(errmsg("relation \"%s\" is owned by a superuser and will be read as one", name),
			 errhint("ALTER TABLE %s OWNER TO gives it to the application's role, also if it is a "
					 "view.",
					 quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)),
												name))));
}

/* Reads the new attachment once. Raises 55000 if it cannot be read. */
void
check_readable(Source source, Deadline deadline)
{
	RoomKey any_room;

	any_room.set(std::string_view("0"));
	if (source == Source::sessions)
		read_sessions(pool(deadline).sessions, SessionColumns::with_servers, DT_NOEND, deadline,
					  [](const SessionRow &) {});
	else
		(void) look_up_room(pool(deadline).rooms, any_room, deadline);
}

} // namespace

void
attach(Source source, std::optional<Oid> relation)
{
	Deadline deadline = Deadline::of_call_starting_now();
	std::string_view name = name_of(source);

	require_write_to("attach a relation");
	if (!relation)
	{
		(void) run_as_owner(&Relations::sources, deadline, "DELETE FROM %s WHERE source = $1",
							{Argument::of(name)});
		return;
	}
	check_attachable(source, *relation, deadline);

	Oid schema = get_rel_namespace(*relation);

	(void) run_as_owner(
		&Relations::sources, deadline,
		"INSERT INTO %s (source, schema_name, relation_name) VALUES ($1, $2, $3) ON CONFLICT "
		"(source) "
		"DO UPDATE SET schema_name = excluded.schema_name, relation_name = excluded.relation_name",
		{Argument::of(name),
		 Argument::of_name(schema == relations().schema ? "" : get_namespace_name(schema)),
		 Argument::of(std::string_view(get_rel_name(*relation)))});
	check_readable(source, deadline);
}

} // namespace gxy
