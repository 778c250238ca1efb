/*
 * source_columns.hpp: what a relation of the application offers of the columns we read.
 */
#pragma once

#include "pg/compat.hpp"

namespace gxy
{

enum class Source
{
	sessions,
	rooms
};

const char *name_of(Source source);

/* What a column of ids is read as: text is what everything can be read as, and costs the most. */
enum class IdForm
{
	text,
	integer,
	uuid
};

/* What a relation offers of the columns we read. */
struct SourceColumns
{
	const char *complaint = nullptr; /* why it cannot serve */
	bool integer_room = false;
	IdForm user = IdForm::text;
	bool gateway = false;
	bool last_seen = false;
	bool expected = false;
};

/* Whether it is a table or a view of any kind. */
bool is_table_or_view(Oid relation);

SourceColumns source_columns_of(Source source, Oid relation);

} // namespace gxy
