/*
 * owner_code.cpp: tells the constraints of the install script from others, by the functions that
 * they use.
 *
 * That a function is built in does not make it safe: query_to_xml() runs any SQL. So only listed
 * functions are trusted. A constraint that uses another one costs a change of role for every write.
 */
#include "tables/owner_code.hpp"

#include "tables/catalog.hpp"
#include "tables/columns.hpp"

namespace gxy
{
namespace
{

struct Known
{
	std::uint64_t generation = 0; /* generation of relations() */
	bool code = false;
};

Known known_of_assignments;
Known known_of_room_sizes;

bool
is_harmless(Oid function)
{
	switch (function)
	{
		case F_OCTET_LENGTH_TEXT:
		case F_INT4GE:
		case F_INT4LE:
		case F_FLOAT4GE:
		case F_FLOAT4LE:
			return true;
		default:
			return false;
	}
}

bool
is_other_code(Node *node, void *context)
{
	if (node == nullptr)
		return false;
	switch (nodeTag(node))
	{
		case T_OpExpr:
		{
			OpExpr *expression = reinterpret_cast<OpExpr *>(node);

			set_opfuncid(expression);
			if (!is_harmless(expression->opfuncid))
				return true;
			break;
		}
		case T_FuncExpr:
			if (!is_harmless(reinterpret_cast<FuncExpr *>(node)->funcid))
				return true;
			break;
		case T_List:
		case T_BoolExpr:
		case T_Var:
		case T_Const:
			break;
		default:
			return true;
	}
	return compat::walk_expression(node, is_other_code, context);
}

bool
has_other_constraints(Relation table)
{
	const TupleConstr *constraints = RelationGetDescr(table)->constr;

	if (constraints == nullptr)
		return false;
	for (const ConstrCheck &check : std::span(constraints->check, constraints->num_check))
		if (is_other_code(static_cast<Node *>(stringToNode(check.ccbin)), nullptr))
			return true;
	return false;
}

bool
has_other_indexes(Relation table)
{
	List *indexes = RelationGetIndexList(table);
	int count = list_length(indexes);

	list_free(indexes);
	return count > 1;
}

/* Returns true if a column that the install script does not have has a computed value. */
bool
has_other_expressions(Relation table, int columns)
{
	TupleDesc descriptor = RelationGetDescr(table);

	for (int i = columns; i < descriptor->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(descriptor, i);

		/*
		 * A generated column has its expression as its default. A domain may have a default and
		 * constraints.
		 */
		if (!column->attisdropped && (column->atthasdef || column->attidentity != '\0' ||
									  get_typtype(column->atttypid) == TYPTYPE_DOMAIN))
			return true;
	}
	return false;
}

} // namespace

bool
has_owner_code(Relation table)
{
	const Relations &ours = relations();
	bool assignments = RelationGetRelid(table) == ours.assignments;
	Known &known = assignments ? known_of_assignments : known_of_room_sizes;

	int columns = assignments ? int(assignments_reported_users) : int(room_sizes_updated_at);

	if (known.generation != ours.generation)
		known = {.generation = ours.generation,
				 .code = has_other_indexes(table) || has_other_constraints(table) ||
						 has_other_expressions(table, columns)};
	return known.code;
}

} // namespace gxy
