/*
 * empty.c: the least that a C function of get_or_assign_server()'s signature can do, to measure that one against.
 */
#include "postgres.h"

#include "fmgr.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(bench_empty);

Datum
bench_empty(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(PG_GETARG_DATUM(0));
}
