/*
 * role.hpp: runs code with the rights of another role. The extension changes roles only here.
 *
 * The code may belong to another role: a trigger, a view, a CHECK constraint, an index expression.
 * Also the extension's own SQL needs a safe search_path, because the caller sets the search_path.
 * So as_role() changes three things, and the abort of a (sub)transaction restores all three:
 *
 * - the user id, so that the code has the rights of the role;
 * - the security context, to SECURITY_RESTRICTED_OPERATION. It refuses SET ROLE and SET SESSION
 *   AUTHORIZATION, which would give the code the rights of the session user. It also refuses what
 *   would run later with other rights: deferred triggers, temporary objects, prepared statements,
 *   cursors WITH HOLD and LISTEN. NOTIFY is allowed;
 * - the settings: search_path is "pg_catalog, pg_temp", and settings that the code changes are
 *   restored at the end.
 */
#pragma once

#include "pg/compat.hpp"

namespace gxy
{

/* Calls f() with the rights of a role. f may raise errors. */
template <typename F>
void
as_role(Oid role, F f)
{
	Oid caller;
	int context;
	int level = NewGUCNestLevel();

	GetUserIdAndSecContext(&caller, &context);
	SetUserIdAndSecContext(role,
						   context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	compat::restrict_search_path();
	f();
	AtEOXact_GUC(false, level);
	SetUserIdAndSecContext(caller, context);
}

} // namespace gxy
