/*
 * source_reader.cpp: reads the application's relation of sessions.
 *
 * Sessions pass from the executor's slots to the visitor through a DestReceiver, so a million rows
 * need no tuplestore.
 */
#include "application/source_reader.hpp"

#include "application/source_columns.hpp"
#include "pg/row.hpp"
#include "pg/subtransaction.hpp"

namespace gxy
{
namespace
{

/* A DestReceiver that passes each row to a visitor. */
struct SessionReceiver
{
	DestReceiver receiver; /* must be first: the server casts the pointer */
	SourceColumns columns;
	FunctionRef<const SessionRow &> visit;
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

/* Writes the decimal digits of a number to text and returns them. */
std::optional<std::string_view>
digits_of(std::optional<std::int64_t> number, char *text)
{
	if (!number)
		return std::nullopt;
	return std::string_view(text, static_cast<std::size_t>(pg_lltoa(*number, text)));
}

/* Copies a number to storage and returns its bytes. */
std::optional<std::string_view>
bytes_of(std::optional<std::int64_t> number, std::int64_t *storage)
{
	if (!number)
		return std::nullopt;
	*storage = *number;
	return std::string_view(reinterpret_cast<const char *>(storage), sizeof(*storage));
}

/* Returns the bytes of the user id, nullopt if it is NULL. */
std::optional<std::string_view>
user_in(const Row &row, IdForm form, std::int64_t *storage)
{
	switch (form)
	{
		case IdForm::integer:
			return bytes_of(row.bigint(2), storage);
		case IdForm::uuid:
			return row.uuid(2);
		case IdForm::text:
			break;
	}
	return row.text(2);
}

} // namespace

extern "C"
{
	static bool receive_session(TupleTableSlot *slot, DestReceiver *self)
	{
		SessionReceiver *receiver = reinterpret_cast<SessionReceiver *>(self);
		SessionRow session;
		char digits[32];
		std::int64_t number;

		slot_getallattrs(slot);

		Row row(slot);
		std::optional<std::string_view> room =
			receiver->columns.integer_room ? digits_of(row.bigint(1), digits) : row.text(1);
		std::optional<std::string_view> user = user_in(row, receiver->columns.user, &number);

		session.room_known = room.has_value();
		session.room = room.value_or("");
		session.user_known = user.has_value();
		session.user = user.value_or("");
		session.gateway = row.text(3).value_or("");
		receiver->visit(session);
		return true;
	}

	static void start_sessions(DestReceiver *, int, TupleDesc) {}
	static void end_sessions(DestReceiver *) {}
}

void
read_sessions(const Attachment &sessions, SessionColumns wanted, TimestampTz alive_since,
			  Deadline deadline, FunctionRef<const SessionRow &> visit)
{
	PreparedSource &source = prepare_source(Source::sessions, sessions, deadline);

	read_as_owner(Source::sessions, sessions, source.owner, deadline, [&] {
		SessionReceiver receiver = {.receiver = {}, .columns = source.columns, .visit = visit};
		SPIExecuteOptions options = {};

		receiver.receiver.receiveSlot = receive_session;
		receiver.receiver.rStartup = start_sessions;
		receiver.receiver.rShutdown = end_sessions;
		receiver.receiver.rDestroy = end_sessions;
		receiver.receiver.mydest = DestNone;
		options.params = one_parameter(source.parameter_type, TimestampTzGetDatum(alive_since));
		options.read_only = true;
		options.dest = &receiver.receiver;
		SPI_execute_plan_extended(plan_of(sessions, wanted), &options);
	});
}

std::optional<ReadFailure>
try_reading(FunctionRef<> f)
{
	ErrorData *error = try_in_subtransaction([f] {
		f();
		return true;
	});

	if (error == nullptr)
		return std::nullopt;
	if (error->sqlerrcode != ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE &&
		error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE)
		ReThrowError(error);
	return ReadFailure{.message = error->message, .detail = error->detail};
}

} // namespace gxy
