/*
 * row.cpp: accessors for text, uuid and array columns, and the error for an altered column.
 */
#include "pg/row.hpp"

namespace gxy
{

std::string_view
Row::detoasted_text(Datum value)
{
	return view_of(reinterpret_cast<::text *>(
		pg_detoast_datum_packed(reinterpret_cast<varlena *>(DatumGetPointer(value)))));
}

std::optional<std::string_view>
Row::uuid(int column) const
{
	std::optional<Datum> found = value(column, UUIDOID);

	if (!found)
		return std::nullopt;
	return std::string_view(reinterpret_cast<const char *>(DatumGetPointer(*found)), UUID_LEN);
}

Array<std::string_view>
Row::texts(int column) const
{
	std::optional<Datum> found = value(column, TEXTARRAYOID);
	Array<std::string_view> texts;
	Datum *elements;
	bool *missing;
	int count;

	if (!found)
		return texts;
	deconstruct_array(DatumGetArrayTypeP(*found), TEXTOID, -1, false, TYPALIGN_INT, &elements,
					  &missing, &count);
	for (int i = 0; i < count; i++)
		if (!missing[i])
			texts.push(text_in(elements[i]));
	return texts;
}

void
Row::report_altered_column(int column, Oid type) const
{
	Oid table = descriptor->natts > 0 ? TupleDescAttr(descriptor, 0)->attrelid : InvalidOid;
	const char *name = get_rel_name(table);

	ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					errmsg("column %d of table \"%s\" is not as the extension made it", column,
						   name != nullptr ? name : ""),
					errhint("It has to be %s.", format_type_be(type))));
	pg_unreachable();
}

} // namespace gxy
