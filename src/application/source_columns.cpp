/*
 * source_columns.cpp: looks up the columns of a source in the system catalogs.
 */
#include "application/source_columns.hpp"

namespace gxy
{

const char *
name_of(Source source)
{
	return source == Source::sessions ? "sessions" : "rooms";
}

namespace
{

/* Returns the type of a column, for a domain its base type; InvalidOid without such a column. */
Oid
column_type(Oid relation, const char *column)
{
	AttrNumber number = get_attnum(relation, column);

	return number > 0 ? getBaseType(get_atttype(relation, number)) : InvalidOid;
}

bool
is_integer(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID;
}

IdForm
form_of(Oid type)
{
	return is_integer(type) ? IdForm::integer : type == UUIDOID ? IdForm::uuid : IdForm::text;
}

/* Returns whether values are names: text, or a type that is used like text. */
bool
is_text(Oid type)
{
	char category;
	bool preferred;

	get_type_category_preferred(getBaseType(type), &category, &preferred);
	return category == TYPCATEGORY_STRING || category == TYPCATEGORY_ENUM;
}

/*
 * Returns whether the text of a value depends on a setting of the session that is not fixed while
 * sources are read (source_query.cpp): TimeZone, lc_monetary.
 */
bool
depends_on_session(Oid type)
{
	Oid element = get_element_type(type);

	switch (getBaseType(OidIsValid(element) ? element : type))
	{
		case TIMESTAMPTZOID:
		case TSTZRANGEOID:
		case TSTZMULTIRANGEOID:
		case CASHOID:
			return true;
		default:
			return false;
	}
}

/* Finds the columns of a relation of rooms. */
void
find_columns_of_rooms(Oid relation, SourceColumns *columns)
{
	Oid expected = column_type(relation, "expected_users");
	Oid region = column_type(relation, "region");
	Oid home = column_type(relation, "home_server");
	Oid servers = column_type(relation, "servers");
	Oid server = OidIsValid(servers) ? get_element_type(servers) : InvalidOid;

	columns->expected = OidIsValid(expected);
	columns->region = OidIsValid(region);
	columns->home = OidIsValid(home);
	columns->servers = OidIsValid(servers);
	if (columns->expected && !is_integer(expected) && expected != NUMERICOID)
		columns->complaint = "Its column expected_users is not a number.";
	else if (columns->region && !is_text(region))
		columns->complaint = "Its column region is not text.";
	else if (columns->home && !is_text(home))
		columns->complaint = "Its column home_server is not text.";
	else if (columns->servers && (!OidIsValid(server) || !is_text(server)))
		columns->complaint = "Its column servers is not an array of text.";
}

} // namespace

bool
is_table_or_view(Oid relation)
{
	switch (get_rel_relkind(relation))
	{
		case RELKIND_RELATION:
		case RELKIND_VIEW:
		case RELKIND_MATVIEW:
		case RELKIND_FOREIGN_TABLE:
		case RELKIND_PARTITIONED_TABLE:
			return true;
		default:
			return false;
	}
}

SourceColumns
source_columns_of(Source source, Oid relation)
{
	SourceColumns columns;
	Oid room = column_type(relation, "room_id");

	columns.integer_room = is_integer(room);
	if (!is_table_or_view(relation))
		columns.complaint = "It is neither a table nor a view.";
	else if (!OidIsValid(room))
		columns.complaint = "It has no column room_id.";
	else if (depends_on_session(room))
		columns.complaint =
			"The text of its column room_id depends on a setting of the session, such as "
			"TimeZone. Give it a fixed form in the view, for example with to_char().";
	else if (source == Source::sessions)
	{
		Oid last_seen = column_type(relation, "last_seen_at");

		columns.gateway = OidIsValid(column_type(relation, "gateway_name"));
		columns.last_seen = OidIsValid(last_seen);
		Oid user = column_type(relation, "user_id");

		columns.user = form_of(user);
		if (!OidIsValid(user))
			columns.complaint = "It has no column user_id.";
		else if (columns.last_seen && last_seen != TIMESTAMPTZOID)
			columns.complaint = "Its column last_seen_at is not a timestamp with time zone.";
	}
	else
		find_columns_of_rooms(relation, &columns);
	return columns;
}

} // namespace gxy
