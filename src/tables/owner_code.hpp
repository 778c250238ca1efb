/*
 * owner_code.hpp: runs code that a table's owner has added, with the rights of that owner.
 *
 * CHECK constraints, index expressions and index predicates are evaluated when a row is written. A
 * role that may alter a table can add such code. It must not run with the rights of the role that
 * calls the extension.
 */
#pragma once

#include "pg/compat.hpp"
#include "pg/role.hpp"

namespace gxy
{

/*
 * Returns whether writing a row of room_server_assignments or balancer_room_sizes evaluates code
 * that is not from the install script. The caller has locked the table.
 */
bool has_owner_code(Relation table);

/*
 * Calls f(), which writes rows of such a table or opens its indexes. Uses the rights of the table's
 * owner if the owner's code may run. A change of role costs more than a lease renewal, so it is
 * done only if needed.
 */
template <typename F>
void
as_table_owner(Relation table, F f)
{
	if (has_owner_code(table))
		as_role(table->rd_rel->relowner, f);
	else
		f();
}

} // namespace gxy
