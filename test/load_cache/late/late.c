/*
 * late.c: stops a backend where no lock can stop it, for as long as a file exists.
 *
 * Other sessions see a commit, or a prepared transaction, microseconds before its callbacks run.
 * This module makes that interval longer, so that a test can look into it.
 */
#include "postgres.h"

#include <unistd.h>

#include "access/xact.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_MODULE_MAGIC;

static char *awaited = NULL;

/*
 * Callbacks registered later run earlier: this one runs before those of all modules loaded so far.
 */
static void
hold_up_commit(XactEvent event, void *arg)
{
	if (awaited == NULL || (event != XACT_EVENT_COMMIT && event != XACT_EVENT_PREPARE))
		return;
	while (access(awaited, F_OK) == 0)
		pg_usleep(1000);
	awaited = NULL;
}

/* Delays the next COMMIT or PREPARE TRANSACTION of this session. */
PG_FUNCTION_INFO_V1(commit_late);
Datum
commit_late(PG_FUNCTION_ARGS)
{
	static bool registered = false;

	if (!registered)
		RegisterXactCallback(hold_up_commit, NULL);
	registered = true;
	awaited = MemoryContextStrdup(TopMemoryContext, text_to_cstring(PG_GETARG_TEXT_PP(0)));
	PG_RETURN_VOID();
}

/* Waits here, and creates a second file to show it. */
PG_FUNCTION_INFO_V1(wait_while_exists);
Datum
wait_while_exists(PG_FUNCTION_ARGS)
{
	char *path = text_to_cstring(PG_GETARG_TEXT_PP(0));
	FILE *reached = AllocateFile(psprintf("%s.reached", path), "w");

	FreeFile(reached);
	while (access(path, F_OK) == 0)
	{
		CHECK_FOR_INTERRUPTS();
		pg_usleep(1000);
	}
	PG_RETURN_VOID();
}
