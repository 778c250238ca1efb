/*
 * source_reader.cpp: reads what the application attached.
 *
 * SQL is the adapter, so this is the one place that goes through SPI with the application's code in the query. It runs
 * as the relation's owner, in a security-restricted context, with search_path = pg_catalog, pg_temp: a view's author
 * gains no right by being read, and a caller cannot slip an object of his own in. Rows are read with a latest
 * snapshot, the caller's own changes included, and straight from the executor's slots.
 *
 * Attachments are names. They are resolved at every use, and the plan of a query is kept until the relation changes.
 */
#include "application/source_reader.hpp"

namespace gxy
{
namespace
{

struct Prepared
{
	Oid relation = InvalidOid;
	Oid owner = InvalidOid;
	Shape shape;
	SPIPlanPtr plans[2] = {}; /* by Reading */
	bool valid = false;
};
static_assert(std::is_trivially_destructible_v<Prepared>);

Prepared prepared[2];

bool busy = false; /* the application's code is running */

Prepared &
prepared_for(Source source)
{
	return prepared[static_cast<int>(source)];
}

/* The type a form is read as. */
const char *
type_of(IdForm form)
{
	switch (form)
	{
		case IdForm::integer:
			return "pg_catalog.int8";
		case IdForm::uuid:
			return "pg_catalog.uuid";
		case IdForm::text:
			break;
	}
	return "pg_catalog.text";
}

char *
query_for(Source source, const Shape &shape, const Attachment &attachment, Reading reading)
{
	const char *from = psprintf("%s.%s", quote_identifier(attachment.schema),
								quote_identifier(attachment.relation));

	if (source == Source::sessions)
		return psprintf(
			"SELECT s.room_id::%s, s.user_id::%s, %s FROM %s s%s",
			type_of(shape.integer_room ? IdForm::integer : IdForm::text), type_of(shape.user),
			shape.gateway && reading == Reading::servers_too ? "s.gateway_name::pg_catalog.text"
															 : "NULL::pg_catalog.text",
			from,
			shape.last_seen ? " WHERE s.last_seen_at IS NULL OR s.last_seen_at "
							  "OPERATOR(pg_catalog.>=) $1"
							: "");
	/* A room listed twice counts with the larger number. An integer column is asked by its own index. */
	return psprintf("SELECT %s::pg_catalog.int8 FROM %s r WHERE %s OPERATOR(pg_catalog.=) $1 "
					"ORDER BY 1 DESC NULLS LAST LIMIT 1",
					shape.expected ? "r.expected_users" : "NULL", from,
					shape.integer_room ? "r.room_id" : "r.room_id::pg_catalog.text");
}

/*
 * Runs f as the owner of a relation, with nothing of the caller's in reach, and undoes whatever settings the
 * application's code changes meanwhile.
 */
template <typename F>
void
as_owner(Oid owner, Deadline deadline, F f)
{
	Oid caller;
	int context;
	int level = begin_lock_timeout(deadline);

	GetUserIdAndSecContext(&caller, &context);
	SetUserIdAndSecContext(owner, context | SECURITY_RESTRICTED_OPERATION);
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	/* Compiling a query takes longer than counting sessions, and would be done anew for every room. */
	(void) set_config_option("jit", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
							 false);
	/* Sessions that a policy hides from the owner would be taken for gone: rather an error. */
	(void) set_config_option("row_security", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
	PushActiveSnapshot(GetLatestSnapshot());
	SPI_connect();
	busy = true;
	PG_TRY();
	{
		f();
	}
	PG_FINALLY();
	{
		busy = false;
	}
	PG_END_TRY();
	SPI_finish();
	PopActiveSnapshot();
	end_lock_timeout(level);
	SetUserIdAndSecContext(caller, context);
}

[[noreturn]] void
report_unusable(Source source, const Attachment &attachment, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("the attached relation of %s, %s, cannot be read", name_of(source),
					quote_qualified_identifier(attachment.schema, attachment.relation)),
			 errdetail_internal("%s", detail),
			 errhint("Create it again, attach another one with attach_%s(), or detach it with "
					 "attach_%s(NULL).",
					 name_of(source), name_of(source))));
	pg_unreachable();
}

Oid
find_attached(const Attachment &attachment)
{
	Oid schema = get_namespace_oid(attachment.schema, true);

	return OidIsValid(schema) ? get_relname_relid(attachment.relation, schema) : InvalidOid;
}

/*
 * The attached relation, locked: until the end of the transaction it is what it is now, and so is its owner, as whom
 * it is going to be read.
 */
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

Prepared &
resolve(Source source, const Attachment &attachment, Deadline deadline)
{
	Prepared &known = prepared_for(source);

	/* A count that counts has no end, and would have us replace a plan that is in use. */
	if (busy)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("an attached relation calls gxy_balancer"),
						errhint("Attach a relation that shows the application's own tables.")));

	Oid relation = lock_attached(source, attachment, deadline);

	if (known.valid && known.relation == relation)
		return known;

	for (SPIPlanPtr plan : known.plans)
		if (plan != nullptr)
			SPI_freeplan(plan);
	known = Prepared();
	known.relation = relation;
	known.shape = shape_of(source, relation);
	if (known.shape.complaint != nullptr)
		report_unusable(source, attachment, known.shape.complaint);

	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));

	if (!HeapTupleIsValid(tuple))
		report_unusable(source, attachment, "It does not exist.");
	known.owner = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	known.valid = true;
	return known;
}

/* To be called with SPI connected, as the owner. */
SPIPlanPtr
plan_of(Source source, const Attachment &attachment, Reading reading)
{
	Prepared &known = prepared_for(source);
	SPIPlanPtr &plan = known.plans[static_cast<int>(reading)];

	if (plan == nullptr)
	{
		Oid type = source == Source::sessions ? TIMESTAMPTZOID
				   : known.shape.integer_room ? INT8OID
											  : TEXTOID;
		SPIPlanPtr fresh =
			SPI_prepare(query_for(source, known.shape, attachment, reading), 1, &type);

		if (fresh == nullptr || SPI_keepplan(fresh) != 0)
			report_unusable(source, attachment, SPI_result_code_string(SPI_result));
		plan = fresh;
	}
	return plan;
}

/* Hands the rows of a query to a visitor as the executor makes them. */
struct SessionReceiver
{
	DestReceiver receiver; /* first, as the server knows it */
	Shape shape;
	SessionVisitor visit;
	void *context;
};

ParamListInfo
one_parameter(Oid type, Datum value)
{
	ParamListInfo parameters = makeParamList(1);

	parameters->params[0].value = value;
	parameters->params[0].isnull = false;
	parameters->params[0].pflags = PARAM_FLAG_CONST;
	parameters->params[0].ptype = type;
	return parameters;
}

std::optional<std::int64_t>
canonical_integer(const RoomKey &room)
{
	char text[max_name_length + 1];
	std::string_view id = room.view();
	std::int64_t value = 0;

	if (id.size() > 20)
		return std::nullopt;
	std::memcpy(text, id.data(), id.size());
	text[id.size()] = '\0';

	char *end;

	errno = 0;
	value = strtoll(text, &end, 10);

	char again[32];
	int length = pg_lltoa(value, again);

	if (errno != 0 || std::string_view(again, static_cast<std::size_t>(length)) != id)
		return std::nullopt;
	return value;
}

} // namespace

extern "C"
{
	static bool receive_session(TupleTableSlot *slot, DestReceiver *self)
	{
		SessionReceiver *receiver = reinterpret_cast<SessionReceiver *>(self);
		SessionRow row;
		char room[32];
		std::int64_t user;

		slot_getallattrs(slot);
		row.room_known = !slot->tts_isnull[0];
		row.user_known = !slot->tts_isnull[1];
		if (row.room_known && receiver->shape.integer_room)
			row.room = {
				room, static_cast<std::size_t>(pg_lltoa(DatumGetInt64(slot->tts_values[0]), room))};
		else if (row.room_known)
			row.room = view_of(slot->tts_values[0]);
		if (row.user_known && receiver->shape.user == IdForm::text)
			row.user = view_of(slot->tts_values[1]);
		else if (row.user_known && receiver->shape.user == IdForm::uuid)
			row.user = {reinterpret_cast<const char *>(DatumGetPointer(slot->tts_values[1])),
						UUID_LEN};
		else if (row.user_known)
		{
			user = DatumGetInt64(slot->tts_values[1]);
			row.user = {reinterpret_cast<const char *>(&user), sizeof(user)};
		}
		if (!slot->tts_isnull[2])
			row.gateway = view_of(slot->tts_values[2]);
		receiver->visit(receiver->context, row);
		return true;
	}

	static void start_sessions(DestReceiver *, int, TupleDesc) {}
	static void end_sessions(DestReceiver *) {}
}

void
read_sessions_with(const Attachment &sessions, Reading reading, TimestampTz alive_since,
				   Deadline deadline, SessionVisitor visit, void *context)
{
	Prepared &source = resolve(Source::sessions, sessions, deadline);

	as_owner(source.owner, deadline, [&] {
		SessionReceiver receiver = {};
		SPIExecuteOptions options = {};

		receiver.receiver.receiveSlot = receive_session;
		receiver.receiver.rStartup = start_sessions;
		receiver.receiver.rShutdown = end_sessions;
		receiver.receiver.rDestroy = end_sessions;
		receiver.receiver.mydest = DestNone;
		receiver.shape = source.shape;
		receiver.visit = visit;
		receiver.context = context;
		options.params = one_parameter(TIMESTAMPTZOID, TimestampTzGetDatum(alive_since));
		options.read_only = true;
		options.dest = &receiver.receiver;
		SPI_execute_plan_extended(plan_of(Source::sessions, sessions, reading), &options);
	});
}

RoomFacts
look_up_room(const Attachment &rooms, const RoomKey &room, Deadline deadline)
{
	RoomFacts facts;
	Prepared &source = resolve(Source::rooms, rooms, deadline);
	Datum key = room.as_datum();

	if (source.shape.integer_room)
	{
		std::optional<std::int64_t> number = canonical_integer(room);

		if (!number)
			return facts;
		key = Int64GetDatum(*number);
	}
	as_owner(source.owner, deadline, [&] {
		SPIExecuteOptions options = {};

		options.params = one_parameter(source.shape.integer_room ? INT8OID : TEXTOID, key);
		options.read_only = true;
		SPI_execute_plan_extended(plan_of(Source::rooms, rooms, Reading::rooms_and_users),
								  &options);
		facts.exists = SPI_processed > 0;
		if (!facts.exists)
			return;

		bool is_null;
		Datum expected = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null);

		/* An application's 0 stands for "not known" as NULL does. */
		if (!is_null && DatumGetInt64(expected) >= 1)
			facts.expected_users = static_cast<int>(
				std::min<std::int64_t>(DatumGetInt64(expected), max_expected_users));
	});
	return facts;
}

void
forget_sources(Oid relation)
{
	for (Prepared &source : prepared)
		if (relation == InvalidOid || relation == source.relation)
			source.valid = false;
}

} // namespace gxy
