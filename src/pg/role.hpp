/*
 * role.hpp: how this extension runs anything with the rights of another role. There is no other way.
 *
 * What runs may be another role's code: a trigger, a view, a CHECK constraint, the expression of an index. And what runs
 * may have been written by us, but names are looked up in the search_path, which is the caller's. So three things change
 * together, and an error restores all three with the (sub)transaction, also where an exception block catches it:
 *
 * - the user id, so that the rights are those of the role;
 * - the security context: SECURITY_RESTRICTED_OPERATION. SET ROLE and SET SESSION AUTHORIZATION, which would give the
 *   code the rights of the session's user, are refused, and so is all that would run later, outside of this context:
 *   deferred triggers, temporary objects, prepared statements, cursors WITH HOLD, LISTEN. NOTIFY is allowed;
 * - the settings: search_path is "pg_catalog, pg_temp", and whatever the code sets is undone at the end.
 */
#pragma once

#include "pg/compat.hpp"

namespace gxy
{

/* Calls f() with the rights of a role. */
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
