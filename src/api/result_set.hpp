/*
 * result_set.hpp: builds the rows of a set-returning function.
 */
#pragma once

#include "application/source_query.hpp"
#include "application/source_reader.hpp"
#include "pg/compat.hpp"

namespace gxy
{

/* Returns the time of day of a time in the session's time zone, such as 14:05:09. */
inline const char *
time_of_day(TimestampTz time)
{
	pg_tm parts;
	fsec_t fraction;
	int zone;

	if (TIMESTAMP_NOT_FINITE(time) ||
		timestamp2tm(time, &zone, &parts, &fraction, nullptr, nullptr) != 0)
		return timestamptz_to_str(time);
	return psprintf("%02d:%02d:%02d", parts.tm_hour, parts.tm_min, parts.tm_sec);
}

/* Returns "message: detail" of a failure, for a text column. */
inline const char *
in_words(const ReadFailure &failure)
{
	return failure.detail != nullptr ? psprintf("%s: %s", failure.message, failure.detail)
									 : failure.message;
}

/* Returns the detail of a failure as a part of a sentence: "22012: division by zero". */
inline const char *
in_brief(const ReadFailure &failure)
{
	std::string_view text(failure.detail != nullptr ? failure.detail : failure.message);

	if (text.starts_with(reading_raised))
		text.remove_prefix(sizeof(reading_raised) - 1);
	if (text.ends_with('.'))
		text.remove_suffix(1);

	char *brief = pnstrdup(text.data(), text.size());

	brief[0] = static_cast<char>(pg_ascii_tolower(static_cast<unsigned char>(brief[0])));
	return brief;
}

/*
 * One result row. Call add() for each column in order, then put(). The function has called
 * InitMaterializedSRF().
 */
class Row
{
public:
	explicit Row(FunctionCallInfo fcinfo)
		: result(reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo))
	{
		if (result->setDesc->natts > most_columns)
			elog(ERROR, "more than %d columns", most_columns);
	}

	void add(Datum value)
	{
		values[count] = value;
		nulls[count++] = false;
	}
	void add_null() { nulls[count++] = true; }
	/* Adds the value, or NULL if it is not known. */
	template <typename T> void add_if(bool known, T value)
	{
		if (known)
			add(value);
		else
			add_null();
	}
	void add(std::int64_t value) { add(Int64GetDatum(value)); }
	void add(int value) { add(Int32GetDatum(value)); }
	void add(bool value) { add(BoolGetDatum(value)); }
	void add(std::string_view value) { add(PointerGetDatum(text_of(value))); }
	void add(const char *value) { add(std::string_view(value)); }
	/* Adds NULL for an empty text. */
	void add_optional(std::string_view value)
	{
		if (value.empty())
			add_null();
		else
			add(value);
	}

	/* Stores the row and starts the next one. */
	void put()
	{
		Assert(count == result->setDesc->natts);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
		count = 0;
	}

private:
	static constexpr int most_columns = 32;

	ReturnSetInfo *result;
	int count = 0;
	Datum values[most_columns];
	bool nulls[most_columns];
};
static_assert(std::is_trivially_destructible_v<Row>);

} // namespace gxy
