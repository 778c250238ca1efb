/*
 * install.hpp: functions that only the scripts of the versions call.
 */
#pragma once

namespace gxy
{

/*
 * Raises 42P07 if the extension's schema has a table room_server_assignments, which then belongs to
 * the application. The hint says how to take it over. Call it before the script creates its own.
 */
void refuse_existing_table();

/* Raises a NOTICE that names the default pool, which CREATE EXTENSION starts with. */
void notice_default_pool();

} // namespace gxy
