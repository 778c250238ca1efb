/*
 * source_query.cpp: resolves attached relations by name and keeps the plans of their queries.
 *
 * This is the only place where a query of the extension runs code of the application, such as the
 * functions of a view. The query runs as the owner of the relation in a restricted security
 * context (pg/role.hpp), so the author of a view gains no rights of the caller, and the caller
 * cannot replace an object through its search_path.
 *
 * balancer_sources holds names; each use resolves the name and locks the relation. A plan is kept
 * until the relation changes. The server may parse the text of a kept query again at any time, and
 * by then the name may belong to another relation, because ALTER SCHEMA ... RENAME takes no lock
 * on the relations in the schema. Example: app.sessions is locked; another session renames schema
 * app to old and schema fake to app; the name app.sessions now means fake's relation. Therefore a
 * parser hook compares the relation in the query with the locked one and raises an error if they
 * differ, before any code of the relation runs.
 */
#include "application/source_query.hpp"

#include "tables/catalog.hpp"

namespace gxy
{
namespace
{

PreparedSource prepared[2]; /* by Source */

bool busy = false; /* a query of an attached relation is running in this backend */

PreparedSource &
prepared_for(Source source)
{
	return prepared[static_cast<int>(source)];
}

const char *
type_of(IdForm form)
{
	switch (form)
	{
		case IdForm::integer:
			return "int8";
		case IdForm::uuid:
			return "uuid";
		case IdForm::text:
			break;
	}
	return "text";
}

char *
query_for(const SourceColumns &columns, const Attachment &sessions, SessionColumns wanted)
{
	return psprintf(
		"SELECT s.room_id::%s, s.user_id::%s, %s FROM %s s%s",
		type_of(columns.integer_room ? IdForm::integer : IdForm::text), type_of(columns.user),
		columns.gateway && wanted == SessionColumns::with_servers ? "s.gateway_name::text"
																  : "NULL::text",
		name_of(sessions),
		columns.last_seen ? " WHERE s.last_seen_at IS NULL OR s.last_seen_at >= $1" : "");
}

/* An integer room_id is compared without a cast, so that an index on it can be used. */
char *
query_for(const SourceColumns &columns, const Attachment &rooms, RoomQuery wanted)
{
	const char *from = name_of(rooms);
	const char *room = columns.integer_room ? "r.room_id" : "r.room_id::text";

	if (wanted == RoomQuery::servers_of_rooms)
		return psprintf("SELECT r.room_id::text, r.servers::text[] FROM %s r WHERE %s = ANY ($2)",
						from, room);
	return psprintf("SELECT %s::int8, %s::text, %s::text, %s::text[] FROM %s r WHERE %s = $1 "
					"ORDER BY 1 DESC NULLS LAST, 2, 3",
					columns.expected ? "r.expected_users" : "NULL",
					columns.region ? "r.region" : "NULL", columns.home ? "r.home_server" : "NULL",
					columns.servers ? "r.servers" : "NULL", from, room);
}

[[noreturn]] void
report_unusable(Source source, const Attachment &attachment, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("the attached relation of %s, %s, cannot be read", name_of(source),
					name_of(attachment)),
			 errdetail_internal("%s", detail),
			 errhint("Create it again, attach another one with attach_%s(), or detach it with "
					 "attach_%s(NULL).",
					 name_of(source), name_of(source))));
	pg_unreachable();
}

Oid
find_attached(const Attachment &attachment)
{
	Oid schema = attachment.schema != nullptr ? get_namespace_oid(attachment.schema, true)
											  : relations().schema;

	return OidIsValid(schema) ? get_relname_relid(attachment.relation, schema) : InvalidOid;
}

Oid
lock_attached(Source source, const Attachment &attachment, Deadline deadline)
{
	for (;;)
	{
		Oid relation = find_attached(attachment);

		if (!OidIsValid(relation))
			report_unusable(source, attachment, "It does not exist.");
		lock_relation(relation, AccessShareLock, deadline);
		if (find_attached(attachment) == relation)
			return relation;
		UnlockRelationOid(relation, AccessShareLock);
	}
}

/* Returns true for errors that the relation did not cause; they keep their SQLSTATE. */
bool
is_unrelated_error(int code)
{
	switch (ERRCODE_TO_CATEGORY(code))
	{
		case ERRCODE_TRANSACTION_ROLLBACK:
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_SYSTEM_ERROR:
			return true;
		default:
			return false;
	}
}

/*
 * Fixes the settings that change how values are cast to text, so that an id has the same text for
 * every caller; postgres_fdw does the same. Does not change TimeZone, because a view may depend on
 * it to convert local times.
 */
void
fix_output_formats()
{
	const auto set = [](const char *name, const char *value) {
		(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
								 false);
	};

	if (bytea_output != BYTEA_OUTPUT_HEX)
		set("bytea_output", "hex");
	if (DateStyle != USE_ISO_DATES)
		set("datestyle", "ISO");
	if (IntervalStyle != INTSTYLE_POSTGRES)
		set("intervalstyle", "postgres");
	if (extra_float_digits < 1)
		set("extra_float_digits", "1");
}

} // namespace

extern "C"
{
	static Node *check_relation_of_query(ParseState *state, ColumnRef *)
	{
		const PreparedSource *source = static_cast<const PreparedSource *>(state->p_ref_hook_state);
		const RangeTblEntry *entry = static_cast<RangeTblEntry *>(linitial(state->p_rtable));

		if (entry->relid != source->relation)
			ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
							errmsg("its name has passed to another relation")));
		return nullptr;
	}

	static Node *parameter_of_query(ParseState *state, ParamRef *reference)
	{
		const PreparedSource *source = static_cast<const PreparedSource *>(state->p_ref_hook_state);
		Param *parameter = makeNode(Param);

		parameter->paramkind = PARAM_EXTERN;
		parameter->paramid = reference->number;
		parameter->paramtype = reference->number == 1 ? source->parameter_type : source->array_type;
		parameter->paramtypmod = -1;
		parameter->paramcollid = get_typcollation(parameter->paramtype);
		parameter->location = reference->location;
		return reinterpret_cast<Node *>(parameter);
	}

	static void set_parser_up(ParseState *state, void *source)
	{
		state->p_ref_hook_state = source;
		state->p_pre_columnref_hook = check_relation_of_query;
		state->p_paramref_hook = parameter_of_query;
	}
}

PreparedSource &
prepare_source(Source source, const Attachment &attachment, Deadline deadline)
{
	PreparedSource &known = prepared_for(source);

	/* Code of the relation called the extension: it could recurse or free a plan in use. */
	if (busy)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("an attached relation calls gxy_balancer"),
						errhint("Attach a relation that shows the application's own tables.")));

	Oid relation = lock_attached(source, attachment, deadline);

	/* Renaming the schema sends no invalidation for the relation, so compare the schema too. */
	if (known.valid && known.relation == relation &&
		namestrcmp(&known.schema, schema_of(attachment)) == 0)
		return known;

	for (SPIPlanPtr plan : known.plans)
		if (plan != nullptr)
			SPI_freeplan(plan);
	known = PreparedSource();
	known.relation = relation;
	known.owner = owner_of(relation);
	known.columns = source_columns_of(source, relation);
	namestrcpy(&known.schema, schema_of(attachment));
	if (known.columns.complaint != nullptr)
		report_unusable(source, attachment, known.columns.complaint);
	known.parameter_type = source == Source::sessions	? TIMESTAMPTZOID
						   : known.columns.integer_room ? INT8OID
														: TEXTOID;
	known.array_type = known.columns.integer_room ? INT8ARRAYOID : TEXTARRAYOID;
	known.valid = true;
	return known;
}

/* Wanted: SessionColumns or RoomQuery. */
template <typename Wanted>
static SPIPlanPtr
prepared_plan(Source source, const Attachment &attachment, Wanted wanted)
{
	PreparedSource &known = prepared_for(source);
	SPIPlanPtr &plan = known.plans[static_cast<int>(wanted)];

	if (plan == nullptr)
	{
		SPIPlanPtr fresh = SPI_prepare_params(query_for(known.columns, attachment, wanted),
											  set_parser_up, &known, 0);

		if (fresh == nullptr || SPI_keepplan(fresh) != 0)
			report_unusable(source, attachment, SPI_result_code_string(SPI_result));
		plan = fresh;
	}
	return plan;
}

SPIPlanPtr
plan_of(const Attachment &sessions, SessionColumns wanted)
{
	return prepared_plan(Source::sessions, sessions, wanted);
}

SPIPlanPtr
plan_of(const Attachment &rooms, RoomQuery wanted)
{
	return prepared_plan(Source::rooms, rooms, wanted);
}

void
report_read_error(Source source, const char *name, MemoryContext context)
{
	busy = false;
	if (is_unrelated_error(geterrcode()))
		PG_RE_THROW();
	MemoryContextSwitchTo(context);

	ErrorData *error = CopyErrorData();

	FlushErrorState();
	if (error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
		ereport(
			ERROR,
			(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
			 errmsg("timed out waiting for the attached relation of %s, %s", name_of(source), name),
			 errhint("Another transaction has locked it, or a table that it reads, as a whole; see "
					 "pg_locks.")));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("the attached relation of %s, %s, cannot be read", name_of(source), name),
			 errdetail_internal("%s%s: %s.", reading_raised, unpack_sql_state(error->sqlerrcode),
								error->message),
			 error->context != nullptr ? errcontext("%s", error->context) : 0,
			 errhint("Mend it, attach another one with attach_%s(), or detach it with "
					 "attach_%s(NULL).",
					 name_of(source), name_of(source))));
	pg_unreachable();
}

void
begin_reading()
{
	fix_output_formats();
	/* JIT would compile the query for each call, which takes longer than running it. */
	(void) set_config_option("jit", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
							 false);
	/* Sessions hidden by a row security policy would look ended. With "off" they raise an error. */
	(void) set_config_option("row_security", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
	PushActiveSnapshot(GetLatestSnapshot());
	SPI_connect();
	busy = true;
}

void
end_reading()
{
	busy = false;
	SPI_finish();
	PopActiveSnapshot();
}

void
invalidate_sources(Oid relation)
{
	for (PreparedSource &source : prepared)
		if (relation == InvalidOid || relation == source.relation)
			source.valid = false;
}

} // namespace gxy
