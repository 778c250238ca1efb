/*
 * room_reader.cpp: reads the application's relation of rooms.
 */
#include "application/room_reader.hpp"

#include "application/source_columns.hpp"
#include "application/source_query.hpp"
#include "pg/compat.hpp"
#include "pg/row.hpp"
#include "pg/settings.hpp"
#include "pg/subtransaction.hpp"

namespace gxy
{
namespace
{

/*
 * Returns the number whose decimal text is the room's id, nullopt if there is none. Example: "7" is
 * 7, but "07" and "+7" are not, because bigint 7 has the text "7".
 */
std::optional<std::int64_t>
canonical_integer(const RoomKey &room)
{
	char text[max_name_length + 1];
	std::string_view id = room.view();
	std::int64_t value = 0;

	if (id.size() > 20)
		return std::nullopt;
	copy_bytes(id, text);
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

/* Sets parameter $1 or $2 of a query; the other is NULL. */
ParamListInfo
parameter(int number, Oid type, Datum value)
{
	ParamListInfo parameters = makeParamList(number);

	for (int i = 0; i < number; i++)
		parameters->params[i] = {
			.value = Datum(0), .isnull = true, .pflags = PARAM_FLAG_CONST, .ptype = type};
	parameters->params[number - 1].value = value;
	parameters->params[number - 1].isnull = false;
	parameters->params[number - 1].ptype = type;
	return parameters;
}

/*
 * Runs a query on the relation and calls visit(row) for each row, in the memory context of the
 * caller.
 */
template <typename F>
void
read_rows(const Attachment &rooms, const PreparedSource &source, RoomQuery query,
		  ParamListInfo parameters, Deadline deadline, F visit)
{
	MemoryContext caller = CurrentMemoryContext;

	read_as_owner(Source::rooms, rooms, source.owner, deadline, [&] {
		SPIExecuteOptions options = {};

		options.params = parameters;
		options.read_only = true;
		SPI_execute_plan_extended(plan_of(rooms, query), &options);

		MemoryContext spi = MemoryContextSwitchTo(caller);

		for (std::uint64_t i = 0; i < SPI_processed; i++)
			visit(TupleRow(SPI_tuptable->vals[i], SPI_tuptable->tupdesc));
		MemoryContextSwitchTo(spi);
	});
}

/* Adds the servers of one row of a room. first: it is the room's first row. */
void
add_servers(RoomServers *servers, const Row &row, int column, bool first)
{
	if (!first && servers->everywhere)
		return;
	servers->everywhere = !row.has_texts(column);
	for (std::string_view name : row.texts(column))
		servers->names.push(copy_of(name));
}

/* Returns the rooms' ids as an array of the type of the relation's ids. */
Datum
array_of_ids(const SourceColumns &columns, std::span<const std::string_view> ids)
{
	Datum *items = static_cast<Datum *>(palloc(sizeof(Datum) * (ids.size() + 1)));
	int count = 0;

	for (std::string_view id : ids)
	{
		RoomKey room;

		room.set(id);
		if (!columns.integer_room)
			items[count++] = PointerGetDatum(text_of(id));
		else if (std::optional<std::int64_t> number = canonical_integer(room))
			items[count++] = Int64GetDatum(*number);
	}
	return PointerGetDatum(
		columns.integer_room
			? construct_array(items, count, INT8OID, sizeof(std::int64_t), true, TYPALIGN_DOUBLE)
			: construct_array(items, count, TEXTOID, -1, false, TYPALIGN_INT));
}

void
check_region(const Attachment &rooms, const RoomKey &room, std::string_view region)
{
	if (region.size() > max_name_length)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the attached rooms have too long a region for room \"%s\"",
							   copy_of(room.view()).data()),
						errdetail("It has %zu bytes.", region.size()),
						errhint("Column region of %s is text of at most %d bytes.", name_of(rooms),
								max_name_length)));
}

/* Returns false for the end of the call or the transaction, true for every other error. */
bool
is_passed_over(int code)
{
	return ERRCODE_TO_CATEGORY(code) != ERRCODE_OPERATOR_INTERVENTION &&
		   code != ERRCODE_T_R_SERIALIZATION_FAILURE && code != ERRCODE_T_R_DEADLOCK_DETECTED;
}

} // namespace

RoomFacts
look_up_room(const Attachment &rooms, const RoomKey &room, Deadline deadline)
{
	RoomFacts facts;
	PreparedSource &source = prepare_source(Source::rooms, rooms, deadline);
	Datum key = room.as_datum();

	if (source.columns.integer_room)
	{
		std::optional<std::int64_t> number = canonical_integer(room);

		if (!number)
			return facts;
		key = Int64GetDatum(*number);
	}
	read_rows(rooms, source, RoomQuery::one_room, parameter(1, source.parameter_type, key),
			  deadline, [&facts](const Row &row) {
				  /* 0 means "not known", like NULL. */
				  std::int64_t expected = row.bigint(1).value_or(0);

				  if (!facts.exists && expected >= 1)
					  facts.expected_users =
						  static_cast<int>(std::min<std::int64_t>(expected, max_expected_users));
				  if (facts.region.empty())
					  facts.region = copy_of(row.text(2).value_or(""));
				  if (facts.home.empty())
					  facts.home = copy_of(row.text(3).value_or(""));
				  add_servers(&facts.servers, row, 4, !facts.exists);
				  facts.exists = true;
			  });
	check_region(rooms, room, facts.region);
	return facts;
}

RoomServersIndex
RoomServersIndex::read(const Attachment &rooms, std::span<const std::string_view> ids,
					   Deadline deadline)
{
	RoomServersIndex index;

	if (!rooms.exists())
		return index;

	PreparedSource &source = prepare_source(Source::rooms, rooms, deadline);

	index.silent = !source.columns.servers;
	if (index.silent || ids.empty())
		return index;
	index.rooms.prepare();
	read_rows(rooms, source, RoomQuery::servers_of_rooms,
			  parameter(2, source.array_type, array_of_ids(source.columns, ids)), deadline,
			  [&index](const Row &row) {
				  bool fresh;
				  int room = index.rooms.number(row.text(1).value_or(""), &fresh);

				  if (fresh)
					  (void) index.servers.push(RoomServers());
				  add_servers(&index.servers[room], row, 2, fresh);
			  });
	return index;
}

RoomServersIndex
RoomServersIndex::read_if_readable(const Attachment &rooms, std::span<const std::string_view> ids)
{
	RoomServersIndex index;

	if (!rooms.exists())
		return index;

	ErrorData *error = try_in_subtransaction([&] {
		/* No time is left: each lock is taken at once or, as lock_timeout allows, within 1 ms. */
		index = read(rooms, ids, Deadline::in(0));
		/* The rollback unlocks a relation that says nothing. */
		return !index.silent;
	});

	if (error != nullptr && !is_passed_over(error->sqlerrcode))
		ReThrowError(error);
	return index;
}

const RoomServers &
RoomServersIndex::of(std::string_view room) const
{
	static constexpr RoomServers all = {};
	int number = rooms.find(room);

	return number >= 0 ? servers[number] : all;
}

} // namespace gxy
