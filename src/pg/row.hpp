/*
 * row.hpp: reads the columns of a row.
 *
 * All code of the project reads column values through Row. Each accessor checks the null flag and
 * the type, because rows are read without the executor, where a column may have been altered, and
 * in BEFORE triggers, which run before the server checks NOT NULL.
 */
#pragma once

#include "pg/array.hpp"
#include "pg/compat.hpp"

namespace gxy
{

/* A row. Text values point into the row unless they are compressed or stored out of line. */
class Row
{
public:
	Row(TupleDesc descriptor, const Datum *values, const bool *nulls)
		: descriptor(descriptor), values(values), nulls(nulls)
	{
	}

	/* The caller has called slot_getallattrs(). */
	explicit Row(TupleTableSlot *slot)
		: Row(slot->tts_tupleDescriptor, slot->tts_values, slot->tts_isnull)
	{
	}

	/*
	 * Each returns the value of a column (numbered from 1), nullopt if it is NULL. Raises 55000 if
	 * the row has no such column or the column has another type.
	 */
	std::optional<std::string_view> text(int column) const;
	std::optional<bool> boolean(int column) const;
	std::optional<std::int32_t> integer(int column) const;
	std::optional<std::int64_t> bigint(int column) const;
	std::optional<float> real(int column) const;
	std::optional<TimestampTz> time(int column) const;
	std::optional<std::string_view> uuid(int column) const; /* 16 bytes */

	/* Returns the elements of a text[] that are not NULL; none if the array is NULL. */
	Array<std::string_view> texts(int column) const;
	bool has_texts(int column) const { return value(column, TEXTARRAYOID).has_value(); }

private:
	std::optional<Datum> value(int column, Oid type) const
	{
		if (column > descriptor->natts || TupleDescAttr(descriptor, column - 1)->atttypid != type)
			report_altered_column(column, type);
		if (nulls[column - 1])
			return std::nullopt;
		return values[column - 1];
	}
	/* Makes a palloc'd copy only if the value is compressed or stored out of line. */
	static std::string_view text_in(Datum value)
	{
		const varlena *stored = reinterpret_cast<const varlena *>(DatumGetPointer(value));

		if (VARATT_IS_1B(stored) && !VARATT_IS_1B_E(stored))
			return {VARDATA_1B(stored), VARSIZE_1B(stored) - VARHDRSZ_SHORT};
		return detoasted_text(value);
	}
	static std::string_view detoasted_text(Datum value);
	[[noreturn]] void report_altered_column(int column, Oid type) const;

	TupleDesc descriptor;
	const Datum *values;
	const bool *nulls;
};
static_assert(std::is_trivially_destructible_v<Row>);

/* The row of a heap tuple. Its arrays have room for the maximum number of columns (about 15 kB). */
class TupleRow : public Row
{
public:
	TupleRow(HeapTuple tuple, TupleDesc descriptor) : Row(descriptor, values, nulls)
	{
		heap_deform_tuple(tuple, descriptor, values, nulls);
	}
	TupleRow(const TupleRow &) = delete;
	TupleRow &operator=(const TupleRow &) = delete;

private:
	Datum values[MaxHeapAttributeNumber];
	bool nulls[MaxHeapAttributeNumber];
};
static_assert(std::is_trivially_destructible_v<TupleRow>);

inline std::optional<std::string_view>
Row::text(int column) const
{
	std::optional<Datum> found = value(column, TEXTOID);

	return found ? std::optional<std::string_view>(text_in(*found)) : std::nullopt;
}

inline std::optional<bool>
Row::boolean(int column) const
{
	std::optional<Datum> found = value(column, BOOLOID);

	return found ? std::optional<bool>(DatumGetBool(*found)) : std::nullopt;
}

inline std::optional<std::int32_t>
Row::integer(int column) const
{
	std::optional<Datum> found = value(column, INT4OID);

	return found ? std::optional<std::int32_t>(DatumGetInt32(*found)) : std::nullopt;
}

inline std::optional<std::int64_t>
Row::bigint(int column) const
{
	std::optional<Datum> found = value(column, INT8OID);

	return found ? std::optional<std::int64_t>(DatumGetInt64(*found)) : std::nullopt;
}

inline std::optional<float>
Row::real(int column) const
{
	std::optional<Datum> found = value(column, FLOAT4OID);

	return found ? std::optional<float>(DatumGetFloat4(*found)) : std::nullopt;
}

inline std::optional<TimestampTz>
Row::time(int column) const
{
	std::optional<Datum> found = value(column, TIMESTAMPTZOID);

	return found ? std::optional<TimestampTz>(DatumGetTimestampTz(*found)) : std::nullopt;
}

} // namespace gxy
