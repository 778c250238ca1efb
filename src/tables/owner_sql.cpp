/*
 * owner_sql.cpp: runs SQL on the extension's tables with their owner's rights.
 *
 * Servers, pins, sources and failovers change rarely, and the changes must check constraints and
 * fire triggers, so they use the executor. Tables may have different owners, and other roles may
 * have created triggers on them. So a statement
 *
 * - runs as the owner of its table, as a restricted operation (role.hpp), whatever role calls;
 *
 * - names only that table, without child tables, which may have other owners; other values are
 *   parameters, so the owner needs no rights on other tables;
 *
 * - runs under a lock that is taken first and keeps owner, triggers and rules as they were when
 *   they were checked;
 *
 * - is planned once, and its plan is checked to name only the locked table. Locks do not protect
 *   the name of a schema: another schema can get that name at any moment, with a table that has any
 *   role's triggers.
 */
#include "tables/owner_sql.hpp"

#include "pg/log_trigger.hpp"
#include "pg/role.hpp"

namespace gxy
{
namespace
{

constexpr int most_arguments = 8;

/*
 * Replaces each %s by the table's name. A child table's triggers would fire with the rights of the
 * table's owner, so the name is preceded by ONLY, except after INTO, where the syntax has no ONLY
 * and no child is affected.
 */
const char *
with_table(Oid table, const char *format)
{
	StringInfoData sql;
	const char *name = quote_qualified_identifier(get_namespace_name(get_rel_namespace(table)),
												  get_rel_name(table));

	initStringInfo(&sql);
	for (const char *at = format; *at != '\0'; at++)
		if (at[0] == '%' && at[1] == 's')
		{
			if (!std::string_view(sql.data, static_cast<Size>(sql.len)).ends_with("INTO "))
				appendStringInfoString(&sql, "ONLY ");
			appendStringInfoString(&sql, name);
			at++;
		}
		else
			appendStringInfoChar(&sql, *at);
	return sql.data;
}

Oid
owner_of_function(Oid function)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Oid owner = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		owner = reinterpret_cast<Form_pg_proc>(GETSTRUCT(tuple))->proowner;
		ReleaseSysCache(tuple);
	}
	return owner;
}

/*
 * Only a superuser can declare a function leakproof: it returns its result and does nothing else.
 */
bool
is_leaky(Oid function, void *)
{
	return !get_func_leakproof(function);
}

/*
 * Returns true if an expression may do more than compute its value. Only listed nodes are trusted,
 * because others call functions that check_functions_in_node() does not see. Example: JSON_ARRAY()
 * calls a cast to json, which any owner of a type can create.
 */
bool
has_side_effects(Node *node, void *context)
{
	if (node == nullptr)
		return false;
	if (check_functions_in_node(node, is_leaky, context))
		return true;
	switch (nodeTag(node))
	{
		case T_ArrayExpr:
		case T_BoolExpr:
		case T_BooleanTest:
		case T_CaseExpr:
		case T_CaseTestExpr:
		case T_CaseWhen:
		case T_CoalesceExpr:
		case T_CollateExpr:
		case T_Const:
		case T_DistinctExpr:
		case T_FieldSelect:
		case T_FuncExpr:
		case T_List:
		case T_NullIfExpr:
		case T_NullTest:
		case T_OpExpr:
		case T_RelabelType:
		case T_RowCompareExpr:
		case T_RowExpr:
		case T_ScalarArrayOpExpr:
		case T_Var:
			return compat::walk_expression(node, has_side_effects, context);
		default:
			return true;
	}
}

[[noreturn]] void
refuse_trigger(Relation table, const Trigger &trigger, const char *detail, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					errmsg("trigger \"%s\" of table \"%s\" would have the rights of role \"%s\"",
						   trigger.tgname, RelationGetRelationName(table),
						   GetUserNameFromId(table->rd_rel->relowner, true)),
					errdetail_internal("%s", detail), errhint("%s", hint)));
	pg_unreachable();
}

/*
 * Raises 55000 for a trigger by which a role would get the table owner's rights without having
 * them. The TRIGGER privilege on a table is enough to create one, with any function that the role
 * may execute and any condition and arguments.
 */
void
check_trigger(Relation table, const Trigger &trigger)
{
	Oid author = owner_of_function(trigger.tgfoid);
	Oid owner = table->rd_rel->relowner;

	/* pg_repack's function is given its statement as an argument, and runs it as a superuser. */
	if (trigger.tgenabled == TRIGGER_DISABLED || is_log_trigger(trigger))
		return;
	if (!OidIsValid(author) || !has_privs_of_role(author, owner))
		refuse_trigger(table, trigger,
					   psprintf("Its function belongs to role \"%s\", which does not have them.",
								GetUserNameFromId(author, true)),
					   "Drop the trigger, or give its function to the owner of the table.");
	if (trigger.tgqual != nullptr &&
		has_side_effects(static_cast<Node *>(stringToNode(trigger.tgqual)), nullptr))
		refuse_trigger(table, trigger, "Its condition calls functions that are not leakproof.",
					   "Drop the trigger, or test the condition in its function.");
	if (trigger.tgnargs > 0)
		refuse_trigger(table, trigger, "Its function has arguments.",
					   "Drop the trigger, or give it a function that needs none.");
}

/* Deferred triggers would run at the end of the transaction, as the caller. */
bool
has_deferred_triggers(const TriggerDesc &triggers)
{
	return std::any_of(triggers.triggers, triggers.triggers + triggers.numtriggers,
					   [](const Trigger &trigger) { return trigger.tginitdeferred; });
}

/*
 * Returns the owner of a locked table. Raises 55000 if rules, triggers or row security would change
 * what a statement does.
 */
Oid
checked_owner_of(Oid id)
{
	Relation table = table_open(id, NoLock);
	Oid owner = table->rd_rel->relowner;
	const char *obstacle = table->rd_rules != nullptr ? "It has rules."
						   : table->trigdesc != nullptr && has_deferred_triggers(*table->trigdesc)
							   ? "It has triggers that are initially deferred."
						   : check_enable_rls(id, owner, true) == RLS_ENABLED
							   ? "Row security is forced on its owner."
							   : nullptr;

	if (obstacle != nullptr)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("table \"%s\" is not as the extension made it",
							   RelationGetRelationName(table)),
						errdetail_internal("%s", obstacle),
						errhint("Take away what was added to the table.")));
	/*
	 * A copy, because the checks read catalogs. That may rebuild the relcache entry, which frees
	 * its triggers, whenever another transaction has changed the table.
	 */
	if (const TriggerDesc *triggers = CopyTriggerDesc(table->trigdesc); triggers != nullptr)
		for (const Trigger &trigger : std::span(triggers->triggers, triggers->numtriggers))
			check_trigger(table, trigger);
	table_close(table, NoLock);
	return owner;
}

bool
names_another_table(Node *node, void *context)
{
	Oid table = *static_cast<Oid *>(context);

	if (node == nullptr)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *entry = reinterpret_cast<RangeTblEntry *>(node);

		return entry->rtekind == RTE_RELATION && entry->relid != table;
	}
	if (IsA(node, Query))
		return compat::walk_query(reinterpret_cast<Query *>(node), names_another_table, context);
	return compat::walk_expression(node, names_another_table, context);
}

/*
 * Raises 55000 if a plan names another table. SPI does not analyse an unsaved plan again before it
 * runs it.
 */
void
check_plan(SPIPlanPtr plan, Oid table)
{
	ListCell *at;
	ListCell *at_query;

	foreach (at, SPI_plan_get_plan_sources(plan))
		foreach (at_query, static_cast<CachedPlanSource *>(lfirst(at))->query_list)
			if (names_another_table(static_cast<Node *>(lfirst(at_query)), &table))
				ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
								errmsg("the extension's tables were renamed meanwhile"),
								errhint("Retry.")));
}

/* The caller has called SPI_connect(). */
void
execute(Oid table, const char *sql, std::initializer_list<Argument> arguments)
{
	Oid types[most_arguments];
	Datum values[most_arguments];
	char nulls[most_arguments];
	int count = 0;

	for (const Argument &argument : arguments)
	{
		types[count] = argument.type;
		values[count] = argument.value;
		nulls[count++] = argument.is_null ? 'n' : ' ';
	}

	SPIPlanPtr plan = SPI_prepare(sql, count, types);

	if (plan == nullptr)
		elog(ERROR, "could not prepare \"%s\": %s", sql, SPI_result_code_string(SPI_result));
	check_plan(plan, table);

	int result = SPI_execute_snapshot(plan, values, nulls, GetLatestSnapshot(), InvalidSnapshot,
									  false, true, 0);

	if (result < 0)
		elog(ERROR, "could not run \"%s\": %s", sql, SPI_result_code_string(result));
}

/* Runs a statement, then calls take_result() while the result exists. */
template <typename F>
void
run(Oid Relations::*member, Deadline deadline, const char *format,
	std::initializer_list<Argument> arguments, F take_result)
{
	Oid table = lock_table(member, RowExclusiveLock, deadline);
	Oid owner = checked_owner_of(table);
	const char *name = get_rel_name(table);
	const char *sql = with_table(table, format);

	wait_or_report(
		deadline,
		[&] {
			as_role(owner, [&] {
				SPI_connect();
				deadline.enclose([&] { execute(table, sql, arguments); });
				take_result();
				SPI_finish();
			});
		},
		[name] {
			ereport(ERROR, (errcode(ERRCODE_LOCK_NOT_AVAILABLE),
							errmsg("timed out waiting for a row of table \"%s\"", name),
							errdetail("Another transaction has written it and has not ended yet."),
							errhint("Retry; pg_locks and pg_stat_activity show who holds what.")));
		});
	CommandCounterIncrement();
}

} // namespace

Argument
Argument::of(std::span<const std::string_view> values)
{
	int count = static_cast<int>(values.size());
	Datum *elements = static_cast<Datum *>(palloc(sizeof(Datum) * (values.size() + 1)));

	for (int i = 0; i < count; i++)
		elements[i] = PointerGetDatum(text_of(values[i]));
	return {TEXTARRAYOID,
			PointerGetDatum(construct_array(elements, count, TEXTOID, -1, false, TYPALIGN_INT))};
}

std::int64_t
run_as_owner(Oid Relations::*table, Deadline deadline, const char *format,
			 std::initializer_list<Argument> arguments)
{
	std::int64_t processed = 0;

	run(table, deadline, format, arguments,
		[&processed] { processed = static_cast<std::int64_t>(SPI_processed); });
	return processed;
}

std::string_view
ask_as_owner(Oid Relations::*table, Deadline deadline, const char *format,
			 std::initializer_list<Argument> arguments)
{
	MemoryContext caller = CurrentMemoryContext;
	std::string_view answer;

	run(table, deadline, format, arguments, [&answer, caller] {
		if (SPI_processed == 0)
			return;

		const char *value = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);

		if (value != nullptr)
			answer = MemoryContextStrdup(caller, value);
	});
	return answer;
}

} // namespace gxy
