/*
 * late.c: holds a backend up where no lock can, for as long as a file exists.
 *
 * Between the moment when others see a commit, or a prepared transaction, and the callbacks that say so lie microseconds; a
 * test that wants to look into them makes them last.
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

/* Callbacks registered later run earlier: before those of everybody whom the session has called by then. */
static void
hold_up_commit(XactEvent event, void *arg)
{
	if (awaited == NULL || (event != XACT_EVENT_COMMIT && event != XACT_EVENT_PREPARE))
		return;
	while (access(awaited, F_OK) == 0)
		pg_usleep(1000);
	awaited = NULL;
}

/* The next commit of this session, or PREPARE TRANSACTION, is late. */
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

/* Waits here and now, and says that it does by a second file. */
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
