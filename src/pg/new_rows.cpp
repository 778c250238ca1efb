/*
 * new_rows.cpp: evaluates constraints, generated columns and defaults of a table for a new row.
 *
 * A backend keeps the compiled CHECK constraints of two tables. While they are evaluated they are
 * out of the cache and their memory belongs to the transaction, so that an error frees them.
 */
#include "pg/new_rows.hpp"

namespace gxy
{
namespace
{

/* The CHECK constraints of one table. */
struct Checks
{
	Oid table = InvalidOid;
	bool valid = true;
	EState *estate = nullptr; /* its context holds compiled and mentioned */
	ExprState **compiled = nullptr;
	Bitmapset *mentioned =
		nullptr; /* columns in the constraints, as pull_varattnos() numbers them */

	void forget()
	{
		if (estate != nullptr)
			FreeExecutorState(estate);
		*this = Checks();
	}
};
static_assert(std::is_trivially_destructible_v<Checks>);

Checks kept[2];			   /* of room_server_assignments and balancer_room_sizes */
std::uint64_t changes = 0; /* number of forget_constraints() calls */

Checks *
kept_for(Oid table)
{
	for (Checks &checks : kept)
		if (checks.table == table)
			return &checks;
	return nullptr;
}

Bitmapset *
columns_mentioned(const TupleConstr *constraints)
{
	Bitmapset *columns = nullptr;

	for (int i = 0; i < constraints->num_check; i++)
		pull_varattnos(static_cast<Node *>(stringToNode(constraints->check[i].ccbin)), 1, &columns);
	return columns;
}

Checks
look_up(Relation heap)
{
	Checks checks;

	checks.table = RelationGetRelid(heap);
	checks.estate = CreateExecutorState();

	MemoryContext caller = MemoryContextSwitchTo(checks.estate->es_query_cxt);

	checks.mentioned = columns_mentioned(RelationGetDescr(heap)->constr);
	MemoryContextSwitchTo(caller);
	return checks;
}

/*
 * Removes the constraints of a table from the cache and returns them; builds them if they are
 * missing or outdated. An error before keep() frees them with the transaction.
 */
Checks
take(Relation heap)
{
	Checks *found = kept_for(RelationGetRelid(heap));

	if (found != nullptr && !found->valid)
	{
		found->forget();
		found = nullptr;
	}

	Checks checks = found != nullptr ? *found : look_up(heap);

	if (found != nullptr)
		*found = Checks();
	MemoryContextSetParent(checks.estate->es_query_cxt, CurTransactionContext);
	return checks;
}

/*
 * Puts constraints back into the cache. Frees them instead if a relation has changed since take(),
 * or if the cache has this table already, because a constraint's function wrote to it.
 */
void
keep(Checks checks, std::uint64_t changes_before)
{
	Checks *place = kept_for(InvalidOid);

	if (changes != changes_before || kept_for(checks.table) != nullptr || place == nullptr)
	{
		checks.forget();
		return;
	}
	MemoryContextSetParent(checks.estate->es_query_cxt, TopMemoryContext);
	*place = checks;
}

/* Raises 23502 or 23514 if the type is a domain that refuses NULL. */
void
check_null(Oid type)
{
	if (get_typtype(type) == TYPTYPE_DOMAIN)
		domain_check(Datum(0), true, type, nullptr, nullptr);
}

/* For tables with generated columns. Keeps nothing, because such tables are rare. */
void
compute_and_check(ResultRelInfo *target, TupleTableSlot *row)
{
	EState *estate = CreateExecutorState();

	if (RelationGetDescr(target->ri_RelationDesc)->constr->has_generated_stored)
		ExecComputeStoredGenerated(target, estate, row, CMD_INSERT);
	ExecConstraints(target, row, estate);
	FreeExecutorState(estate);
}

} // namespace

void
check_new_row(ResultRelInfo *target, TupleTableSlot *row)
{
	Relation heap = target->ri_RelationDesc;
	const TupleConstr *constraints = RelationGetDescr(heap)->constr;

	if (constraints == nullptr)
		return;
	if (compat::has_generated_columns(constraints))
	{
		compute_and_check(target, row);
		return;
	}

	std::uint64_t changes_before = changes;
	Checks checks = take(heap);

	ResetPerTupleExprContext(checks.estate);
	compat::compiled_checks(target) = checks.compiled;
	ExecConstraints(target, row, checks.estate);
	checks.compiled = compat::compiled_checks(target);
	keep(checks, changes_before);
}

bool
have_to_check(Relation heap, std::span<const int> columns)
{
	const TupleConstr *constraints = RelationGetDescr(heap)->constr;

	if (constraints == nullptr)
		return false;
	if (compat::has_generated_columns(constraints))
		return true;
	if (constraints->num_check == 0)
		return false;

	std::uint64_t changes_before = changes;
	Checks checks = take(heap);
	auto is_mentioned = [&checks](int column) {
		return bms_is_member(column - FirstLowInvalidHeapAttributeNumber, checks.mentioned);
	};
	/* Column 0 stands for a reference to the whole row. */
	bool mentioned = is_mentioned(0) || std::any_of(columns.begin(), columns.end(), is_mentioned);

	keep(checks, changes_before);
	return mentioned;
}

DefaultRow
defaults_after(Relation heap, int columns)
{
	TupleDesc descriptor = RelationGetDescr(heap);
	int count = descriptor->natts;
	DefaultRow row = {.values = static_cast<Datum *>(palloc0(sizeof(Datum) * count)),
					  .nulls = static_cast<bool *>(palloc(sizeof(bool) * count))};
	EState *estate = nullptr;

	std::fill_n(row.nulls, count, true);
	for (int i = columns; i < count; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(descriptor, i);

		if (attribute->attisdropped || attribute->attgenerated != '\0')
			continue;

		Node *expression = build_column_default(heap, i + 1);

		if (expression == nullptr)
		{
			check_null(attribute->atttypid);
			continue;
		}
		if (estate == nullptr)
			estate = CreateExecutorState();

		ExprState *state = ExecPrepareExpr(reinterpret_cast<Expr *>(expression), estate);
		Datum value =
			ExecEvalExprSwitchContext(state, GetPerTupleExprContext(estate), &row.nulls[i]);

		if (!row.nulls[i])
			row.values[i] = datumCopy(value, attribute->attbyval, attribute->attlen);
	}
	if (estate != nullptr)
		FreeExecutorState(estate);
	return row;
}

void
forget_constraints(Oid relation)
{
	changes++;
	for (Checks &checks : kept)
		if (relation == InvalidOid || relation == checks.table)
			checks.valid = false;
}

} // namespace gxy
