/*
 * new_rows.hpp: applies what a DBA has added to a table to rows written without the executor.
 *
 * That is NOT NULL, CHECK constraints, defaults and generated columns, with the same result as in
 * INSERT and UPDATE. Compiling the CHECK constraints takes as long as the rest of an insertion, so
 * a backend keeps the compiled constraints until the table changes.
 */
#pragma once

#include "pg/compat.hpp"

namespace gxy
{

/*
 * Computes the generated columns of a row before it is written. Raises 23502 or 23514 if the row
 * violates a NOT NULL or CHECK constraint. Runs the DBA's expressions as the current user.
 */
void check_new_row(ResultRelInfo *target, TupleTableSlot *row);

/* Returns true if check_new_row() is needed for an update of these columns (numbered from 1). */
bool have_to_check(Relation heap, std::span<const int> columns);

/* The values of a row; a value counts only if its null flag is false. */
struct DefaultRow
{
	Datum *values;
	bool *nulls;
};

/* Returns the defaults of the columns after the first ones, the rest NULL; palloc'd. */
DefaultRow defaults_after(Relation heap, int columns);

/*
 * Invalidation callback: a relation, or a function that a constraint may use, has changed.
 * InvalidOid: any relation may have changed.
 */
void forget_constraints(Oid relation);

} // namespace gxy
