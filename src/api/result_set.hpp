/*
 * result_set.hpp: the rows of a set-returning function.
 */
#pragma once

#include "application/source_reader.hpp"

namespace gxy
{

/* Why the application's relations could not be read, for a column of text. */
inline const char *
in_words(const ReadFailure &failure)
{
	return failure.detail != nullptr ? psprintf("%s: %s", failure.message, failure.detail)
									 : failure.message;
}

/* One row of a result, filled column by column. */
class Row
{
public:
	explicit Row(FunctionCallInfo fcinfo)
		: result(reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo))
	{
	}

	void add(Datum value)
	{
		values[count] = value;
		nulls[count++] = false;
	}
	void add_null() { nulls[count++] = true; }
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
	void add_optional(std::string_view value)
	{
		if (value.empty())
			add_null();
		else
			add(value);
	}

	void put()
	{
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
		count = 0;
	}

private:
	ReturnSetInfo *result;
	int count = 0;
	Datum values[24];
	bool nulls[24];
};
static_assert(std::is_trivially_destructible_v<Row>);

} // namespace gxy
