/*
 * lock_timeout.cpp: bounded lock waits.
 *
 * begin_lock_timeout() sets lock_timeout at a new GUC nest level. If an error occurs, the abort of
 * the (sub)transaction restores the old value.
 */
#include "pg/lock_timeout.hpp"

namespace gxy
{

int
Deadline::milliseconds_left() const
{
	return static_cast<int>(std::clamp<std::int64_t>(at - monotonic_milliseconds(), 1, INT_MAX));
}

int
begin_lock_timeout(Deadline deadline)
{
	int level = NewGUCNestLevel();
	int left = deadline.milliseconds_left();
	char value[16];

	if (LockTimeout > 0 && LockTimeout <= left)
		return level;
	pg_lltoa(left, value);
	(void) set_config_option("lock_timeout", value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
	return level;
}

void
end_lock_timeout(int guc_nest_level)
{
	/* false: as at abort, undo also settings that other code changed at this level. */
	AtEOXact_GUC(false, guc_nest_level);
}

bool
is_plain_lock_timeout(MemoryContext context)
{
	if (geterrcode() != ERRCODE_LOCK_NOT_AVAILABLE)
		return false;

	MemoryContext error_context = MemoryContextSwitchTo(context);
	ErrorData *error = CopyErrorData();
	bool plain = error->hint == nullptr;

	FreeErrorData(error);
	MemoryContextSwitchTo(error_context);
	return plain;
}

LOCKTAG
side_lock_tag(Oid relation)
{
	LOCKTAG tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, RelationRelationId, relation, 1);
	return tag;
}

void
lock_relation(Oid relation, LOCKMODE mode, Deadline deadline)
{
	if (ConditionalLockRelationOid(relation, mode))
		return;
	wait_or_report(
		deadline, [relation, mode] { LockRelationOid(relation, mode); },
		[relation] {
			const char *name = get_rel_name(relation);

			ereport(
				ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("timed out waiting for relation \"%s\"", name != nullptr ? name : "?"),
				 errhint("Another transaction holds a lock on the whole relation; see pg_locks.")));
		});
}

} // namespace gxy
