/*
 * run_outcome.hpp: records how a run has ended, in the status and in the log.
 */
#pragma once

#include "shared/databases.hpp"

namespace gxy
{

/*
 * The run has succeeded. shortfall: what it could not write apart from freeing rooms; empty:
 * nothing. last_error: of the run before.
 */
void note_success(DatabaseStatus *status, const char *shortfall, const char *last_error);

/*
 * The run has failed; called in PG_CATCH. Ends the transaction and keeps the error with its detail,
 * which contains the error of an attached view. Logs it unless the last run has failed with the
 * same.
 */
void note_failure(DatabaseStatus *status, const char *last_error);

} // namespace gxy
