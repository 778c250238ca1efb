/*
 * extension_row.cpp: reads pg_extension. The package brings the library, ALTER EXTENSION the SQL
 * objects, so the two can be of different versions.
 */
#include "tables/extension_row.hpp"

#include "pg/row.hpp"

#include <span>

namespace gxy
{
namespace
{

/*
 * The versions whose functions and tables this library has, oldest first, its own last. A version
 * leaves the list when the library loses a C function or a column that its scripts name.
 */
constexpr const char *sql_versions[] = {"1.0", GXY_VERSION};

bool
is_known(const char *version)
{
	for (const char *known : std::span{sql_versions})
		if (strcmp(known, version) == 0)
			return true;
	return false;
}

/*
 * Returns true if a version is a later one than the library's: its numbers are compared from the
 * left, as in 1.9 and 1.10.
 */
bool
is_later(const char *version)
{
	const char *own = GXY_VERSION;

	while (*version != '\0' || *own != '\0')
	{
		char *version_end;
		char *own_end;
		long number = strtol(version, &version_end, 10);
		long own_number = strtol(own, &own_end, 10);

		if (number != own_number)
			return number > own_number;
		if (version_end == version || own_end == own)
			return strcmp(version, own) > 0;
		version = version_end + (*version_end == '.');
		own = own_end + (*own_end == '.');
	}
	return false;
}

} // namespace

ExtensionRow
read_extension_row()
{
	ExtensionRow row = {get_extension_oid("gxy_balancer", true), InvalidOid, ""};

	if (!OidIsValid(row.oid))
		return row;

	Relation catalog = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;

	ScanKeyInit(&key, Anum_pg_extension_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(row.oid));

	SysScanDesc scan = systable_beginscan(catalog, ExtensionOidIndexId, true, nullptr, 1, &key);
	HeapTuple tuple = systable_getnext(scan);

	if (HeapTupleIsValid(tuple))
	{
		row.schema = reinterpret_cast<Form_pg_extension>(GETSTRUCT(tuple))->extnamespace;

		const TupleRow columns(tuple, RelationGetDescr(catalog));
		const std::string_view version = columns.text(Anum_pg_extension_extversion).value_or("");

		version.copy(row.version, sizeof(row.version) - 1);
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return row;
}

void
check_version(const ExtensionRow &row)
{
	if (!OidIsValid(row.schema) || is_known(row.version))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("extension gxy_balancer is of version %s in this database, its library of %s",
					row.version, GXY_VERSION),
			 is_later(row.version)
				 ? errhint("Install the package of version %s, and connect again; a library that "
						   "is preloaded needs a restart of the server.",
						   row.version)
				 : errhint("Run ALTER EXTENSION gxy_balancer UPDATE in this database.")));
}

} // namespace gxy
