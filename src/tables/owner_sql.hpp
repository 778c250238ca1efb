/*
 * owner_sql.hpp: SQL on the extension's own tables, run with their owner's rights.
 */
#pragma once

#include <initializer_list>

#include "pg/compat.hpp"
#include "pg/lock_timeout.hpp"
#include "tables/catalog.hpp"

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
	/* An array of texts. */
	static Argument of(std::span<const std::string_view> values);
	static Argument of(std::optional<int> value)
	{
		return {INT4OID, Int32GetDatum(value.value_or(0)), !value};
	}
	static Argument of(std::optional<float> value)
	{
		return {FLOAT4OID, Float4GetDatum(value.value_or(0)), !value};
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
 * Runs a statement on one of the extension's tables as that table's owner, with a latest snapshot
 * at every isolation level. Returns how many rows it processed. format has %s for the table's
 * qualified name and names no other table; other names are found in pg_catalog. This transaction
 * sees the changes afterwards. Waits until the deadline for transactions that have written the same
 * rows or locked the table: 55P03. Raises 55000 if the owner has altered the table in a way that
 * forbids the statement.
 */
std::int64_t run_as_owner(Oid Relations::*table, Deadline deadline, const char *format,
						  std::initializer_list<Argument> arguments);

/*
 * The same for a statement that returns one row with one text. Returns the text, palloc'd; empty if
 * there is no row.
 */
std::string_view ask_as_owner(Oid Relations::*table, Deadline deadline, const char *format,
							  std::initializer_list<Argument> arguments);

} // namespace gxy
