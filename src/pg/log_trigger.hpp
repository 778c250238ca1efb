/*
 * log_trigger.hpp: fires the trigger by which pg_repack learns what is written while it copies a
 * table.
 *
 * The extension's direct writes fire no triggers (pg/heap_access.hpp). pg_repack would lose them,
 * since it puts its copy in the place of the table. So its trigger is fired after each such write,
 * and no other: a trigger named repack_trigger whose function is pg_repack's own. That function
 * runs as its owner, a superuser, whichever role fires it.
 */
#pragma once

#include "pg/compat.hpp"

namespace gxy
{

/* Returns whether this is pg_repack's trigger. May read catalogs. */
bool is_log_trigger(const Trigger &trigger);

/* Returns whether the table has pg_repack's trigger. Reads catalogs only if it has one so named. */
bool has_log_trigger(Relation table);

/* Makes a target with no triggers but pg_repack's. */
ResultRelInfo *target_with_log_trigger(Relation table);

/* If the table has pg_repack's trigger: calls queue(EState *, ResultRelInfo *), and fires it. */
template <typename F>
void
fire_log_trigger(Relation table, F queue)
{
	if (!has_log_trigger(table))
		return;

	EState *estate = CreateExecutorState();

	AfterTriggerBeginQuery();
	queue(estate, target_with_log_trigger(table));
	AfterTriggerEndQuery(estate);
	ExecCloseResultRelations(estate);
	ExecResetTupleTable(estate->es_tupleTable, false);
	FreeExecutorState(estate);
}

} // namespace gxy
