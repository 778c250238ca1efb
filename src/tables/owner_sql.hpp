/*
 * owner_sql.hpp: SQL on the extension's own tables, run with their owner's rights.
 */
#pragma once

#include <initializer_list>

#include "pg/compat.hpp"

namespace gxy
{

struct Argument
{
	Oid type;
	Datum value;
	bool is_null = false;

	static Argument of(std::string_view value)
	{
		return {TEXTOID, PointerGetDatum(text_of(value))};
	}
	static Argument of(bool value) { return {BOOLOID, BoolGetDatum(value)}; }
	static Argument of(std::int64_t value) { return {INT8OID, Int64GetDatum(value)}; }
	static Argument of_time(TimestampTz value)
	{
		return {TIMESTAMPTZOID, TimestampTzGetDatum(value)};
	}
	static Argument of(std::optional<int> value)
	{
		return {INT4OID, Int32GetDatum(value.value_or(0)), !value};
	}
	/* An empty name is NULL. */
	static Argument of_name(std::string_view value)
	{
		Argument argument = of(value);

		argument.is_null = value.empty();
		return argument;
	}
};

/*
 * Runs a statement with a latest snapshot, whatever the isolation level, as the owner of the tables; how many rows it
 * processed. format has %s for the table's qualified name; everything else in it is qualified by whoever wrote it, or
 * found in pg_catalog. The changes are visible to this transaction afterwards.
 */
std::int64_t run_as_owner(Oid table, const char *format, std::initializer_list<Argument> arguments);

/* The same, for one that gives one row of one text; empty if it gave none. palloc'd. */
std::string_view ask_as_owner(Oid table, const char *format,
							  std::initializer_list<Argument> arguments);

} // namespace gxy
