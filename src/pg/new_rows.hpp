/*
 * new_rows.hpp: what a DBA has added to a table, for the rows that are written to it beneath the executor.
 *
 * NOT NULL, CHECK constraints, defaults and generated columns, as in INSERT and UPDATE. To compile the CHECK constraints
 * takes as long as everything else about an insertion together, so a backend keeps them until the table changes.
 */
#pragma once

#include "pg/compat.hpp"

namespace gxy
{

/*
 * Computes the generated columns of a row that is about to be written, and raises the error of the constraint that it
 * violates, if any. Both run the DBA's expressions, as the current user.
 */
void check_new_row(ResultRelInfo *target, TupleTableSlot *row);

/* Whether a new version of a row with other values in these columns (from 1) has to be checked. */
bool have_to_check(Relation heap, std::span<const int> columns);

/* The values of a row of which nothing but its defaults is known yet. */
struct DefaultRow
{
	Datum *values;
	bool *nulls;
};

/* The defaults of the columns that a DBA has added to the first ones; all others are NULL. palloc'd. */
DefaultRow defaults_after(Relation heap, int columns);

/* Called by the server when a relation (0: any) or a function that a constraint may use changed. */
void forget_constraints(Oid relation);

} // namespace gxy
