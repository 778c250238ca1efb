/*
 * owner_sql.cpp: what heap access would be no better at.
 *
 * Changes of servers, pins and failovers are rare, touch constraints and fire triggers, so they go through the
 * executor. Operators are written as OPERATOR(pg_catalog.…): the search_path is the caller's.
 */
#include "tables/owner_sql.hpp"

#include "tables/catalog.hpp"

namespace gxy
{
namespace
{

constexpr int most_arguments = 8;

const char *
with_table(Oid table, const char *format)
{
	StringInfoData sql;
	const char *name = quote_qualified_identifier(get_namespace_name(get_rel_namespace(table)),
												  get_rel_name(table));

	initStringInfo(&sql);
	for (const char *at = format; *at != '\0'; at++)
		if (at[0] == '%' && at[1] == 's')
		{
			appendStringInfoString(&sql, name);
			at++;
		}
		else
			appendStringInfoChar(&sql, *at);
	return sql.data;
}

/* Between SPI_connect() and SPI_finish(). */
void
execute(const char *sql, std::initializer_list<Argument> arguments)
{
	Oid types[most_arguments];
	Datum values[most_arguments];
	char nulls[most_arguments];
	int count = 0;

	for (const Argument &argument : arguments)
	{
		types[count] = argument.type;
		values[count] = argument.value;
		nulls[count++] = argument.is_null ? 'n' : ' ';
	}

	SPIPlanPtr plan = SPI_prepare(sql, count, types);

	if (plan == nullptr)
		elog(ERROR, "could not prepare \"%s\": %s", sql, SPI_result_code_string(SPI_result));

	int result = SPI_execute_snapshot(plan, values, nulls, GetLatestSnapshot(), InvalidSnapshot,
									  false, true, 0);

	if (result < 0)
		elog(ERROR, "could not run \"%s\": %s", sql, SPI_result_code_string(result));
}

/* Runs f inside SPI as the owner; an error puts user and connection back with the transaction. */
template <typename F>
void
as_owner(F f)
{
	Oid caller;
	int context;

	GetUserIdAndSecContext(&caller, &context);
	SetUserIdAndSecContext(relations().owner, context | SECURITY_LOCAL_USERID_CHANGE);
	SPI_connect();
	f();
	SPI_finish();
	SetUserIdAndSecContext(caller, context);
	CommandCounterIncrement();
}

} // namespace

std::int64_t
run_as_owner(Oid table, const char *format, std::initializer_list<Argument> arguments)
{
	const char *sql = with_table(table, format);
	std::int64_t processed = 0;

	as_owner([&] {
		execute(sql, arguments);
		processed = static_cast<std::int64_t>(SPI_processed);
	});
	return processed;
}

std::string_view
ask_as_owner(Oid table, const char *format, std::initializer_list<Argument> arguments)
{
	const char *sql = with_table(table, format);
	MemoryContext caller = CurrentMemoryContext;
	std::string_view answer;

	as_owner([&] {
		execute(sql, arguments);
		if (SPI_processed == 0)
			return;

		const char *value = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);

		if (value != nullptr)
			answer = MemoryContextStrdup(caller, value);
	});
	return answer;
}

} // namespace gxy
