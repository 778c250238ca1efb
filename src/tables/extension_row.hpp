/*
 * extension_row.hpp: the extension's row of pg_extension, and which versions of the SQL objects
 * this library works with.
 */
#pragma once

#include "pg/compat.hpp"

namespace gxy
{

struct ExtensionRow
{
	Oid oid;				   /* InvalidOid if the database does not have the extension */
	Oid schema;				   /* InvalidOid likewise */
	char version[NAMEDATALEN]; /* that CREATE or ALTER EXTENSION has installed; cut to fit */
};

/* Reads the extension's row as the latest catalog snapshot sees it. */
ExtensionRow read_extension_row();

/*
 * Raises 55000 if the library does not know the functions and tables of this version: the package
 * was changed and the database was not, or the reverse.
 */
void check_version(const ExtensionRow &row);

} // namespace gxy
