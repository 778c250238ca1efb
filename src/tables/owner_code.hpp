/*
 * owner_code.hpp: code that the owner of a table has given to it, where rows are written beneath the executor.
 *
 * CHECK constraints, index expressions and index predicates are evaluated when a row is written. Whoever may alter a table
 * may give it such code, and whoever calls the extension must not run it with the caller's rights.
 */
#pragma once

#include "pg/role.hpp"

namespace gxy
{

/*
 * Whether to write a row of room_server_assignments or balancer_room_sizes, which is locked, evaluates anything but what
 * the install script brings.
 */
bool has_owner_code(Relation table);

/*
 * Calls f(), which writes rows of such a table or opens its indexes for that: with the rights of the table's owner if
 * code of theirs may run. To change the role costs more than to renew a lease, so it is not done without need.
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
