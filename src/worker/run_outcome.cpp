/*
 * run_outcome.cpp: records how a run has ended. An error is logged once, however often it returns.
 */
#include "worker/run_outcome.hpp"

#include "pg/compat.hpp"

namespace gxy
{

/* Logs an error that was caught before. */
static void
log_error(ErrorData *error)
{
	PG_TRY();
	{
		ReThrowError(error);
	}
	PG_CATCH();
	{
		EmitErrorReport();
		FlushErrorState();
	}
	PG_END_TRY();
}

void
note_success(DatabaseStatus *status, const char *shortfall, const char *last_error)
{
	if (status->failures > 0)
		ereport(LOG, (errmsg("gxy_balancer: the cleanup works again")));
	if (*shortfall != '\0' && std::strcmp(shortfall, last_error) != 0)
		ereport(WARNING, (errmsg_internal("gxy_balancer: %s", shortfall),
						  errdetail("Inactive rooms are freed all the same.")));
	status->failures = 0;
	strlcpy(status->error, shortfall, error_length);
}

void
note_failure(DatabaseStatus *status, const char *last_error)
{
	MemoryContextSwitchTo(TopMemoryContext);

	ErrorData *error = CopyErrorData();
	const char *told = error->detail == nullptr ? error->message
												: psprintf("%s: %s", error->message, error->detail);
	int length = pg_mbcliplen(told, static_cast<int>(std::strlen(told)), error_length - 1);

	disable_timeout(STATEMENT_TIMEOUT, false);
	AbortCurrentTransaction();
	FlushErrorState();
	status->more_work = false;
	status->state = WorkerState::failed;
	status->failures++;
	std::memcpy(status->error, told, length);
	status->error[length] = '\0';
	if (std::strcmp(status->error, last_error) != 0)
		log_error(error);
}

} // namespace gxy
