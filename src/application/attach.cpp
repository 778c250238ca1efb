/*
 * attach.cpp: what attach_sessions() and attach_rooms() do.
 *
 * A relation is read with its owner's rights from then on, so only its owner can attach it. Columns, types and rights
 * are tried at once: whoever attaches should hear what is wrong, not the next caller.
 */
#include "application/attach.hpp"

#include "tables/catalog.hpp"

namespace gxy
{
namespace
{

void
check_attachable(Source source, Oid relation)
{
	lock_relation(relation, AccessShareLock, Deadline::of_call_starting_now());

	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("relation with OID %u does not exist", relation),
						errhint("Name the relation as schema.name.")));

	char kind = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple))->relkind;
	Oid owner = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple))->relowner;
	const char *name = get_rel_name(relation);

	ReleaseSysCache(tuple);
	if (kind != RELKIND_RELATION && kind != RELKIND_VIEW && kind != RELKIND_MATVIEW &&
		kind != RELKIND_FOREIGN_TABLE && kind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("\"%s\" is not a table or view", name),
				 errhint("Attach a view that shows the application's %s.", name_of(source))));
	if (!compat::owns_relation(relation, GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of relation %s to attach it", name),
				 errhint("It will be read with its owner's rights, so only they can attach it.")));
	if (isTempNamespace(get_rel_namespace(relation)))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("temporary relation \"%s\" cannot be attached", name),
						errhint("Other sessions could not read it.")));

	Shape shape = shape_of(source, relation);

	if (shape.complaint != nullptr)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("relation \"%s\" cannot serve as the source of %s", name, name_of(source)),
				 errdetail_internal("%s", shape.complaint),
				 source == Source::sessions
					 ? errhint("Attach a view with columns room_id, user_id and, optionally, "
							   "gateway_name and last_seen_at timestamptz.")
					 : errhint("Attach a view with columns room_id and, optionally, "
							   "expected_users int.")));
	if (superuser_arg(owner))
		ereport(NOTICE,
				(errmsg("relation \"%s\" is owned by a superuser and will be read as one", name),
				 errhint("Give it to the application's role: ALTER VIEW ... OWNER TO ....")));
}

/* Reads a fresh attachment once, so that what is wrong with it is told to whoever attaches it. */
void
try_out(Source source)
{
	Deadline deadline = Deadline::of_call_starting_now();
	RoomKey nobody;

	nobody.set(std::string_view("0"));
	if (source == Source::sessions)
		read_sessions(pool(deadline).sessions, Reading::servers_too, DT_NOEND, deadline,
					  [](const SessionRow &) {});
	else
		(void) look_up_room(pool(deadline).rooms, nobody, deadline);
}

} // namespace

void
attach(Source source, Oid relation)
{
	Oid caller;
	int context;
	Relations known = relations();
	const char *statement =
		psprintf(OidIsValid(relation)
					 ? "INSERT INTO %s (source, schema_name, relation_name) VALUES ($1, $2, $3) "
					   "ON CONFLICT (source) DO UPDATE SET schema_name = excluded.schema_name, "
					   "relation_name = excluded.relation_name"
					 : "DELETE FROM %s WHERE source OPERATOR(pg_catalog.=) $1",
				 quote_qualified_identifier(get_namespace_name(get_rel_namespace(known.sources)),
											get_rel_name(known.sources)));
	Oid types[] = {TEXTOID, TEXTOID, TEXTOID};
	Datum values[] = {CStringGetTextDatum(name_of(source)), 0, 0};

	if (OidIsValid(relation))
	{
		check_attachable(source, relation);
		values[1] = CStringGetTextDatum(get_namespace_name(get_rel_namespace(relation)));
		values[2] = CStringGetTextDatum(get_rel_name(relation));
	}
	GetUserIdAndSecContext(&caller, &context);
	SetUserIdAndSecContext(owner_of(known.sources), context | SECURITY_LOCAL_USERID_CHANGE);
	SPI_connect();
	SPI_execute_with_args(statement, OidIsValid(relation) ? 3 : 1, types, values, nullptr, false,
						  0);
	SPI_finish();
	SetUserIdAndSecContext(caller, context);
	CommandCounterIncrement();
	if (OidIsValid(relation))
		try_out(source);
}

} // namespace gxy
