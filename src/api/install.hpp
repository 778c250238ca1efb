/*
 * install.hpp: what the install script calls.
 */
#pragma once

#include "pg/compat.hpp"

namespace gxy
{

/* Raises 42P07, with the way to take the table over, if the schema has a table of the assignments' name already. */
void refuse_existing_table();

/* Raises a NOTICE if the library is not preloaded. */
void notice_missing_preload();

/* Raises a NOTICE that names the default pool, which CREATE EXTENSION starts with. */
void notice_default_pool();

} // namespace gxy
