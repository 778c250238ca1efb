/*
 * launcher_claim.hpp: that there is one launcher, and never two.
 *
 * A launcher is asked for by CREATE EXTENSION when it commits, and by the first call in any database after the server
 * has started; from then on the server starts it again whenever it ends, also after a crash. On a standby it is
 * asked for likewise, and starts with the promotion. Where the library is preloaded the server has it from the start.
 *
 * However many have been asked for, by two backends at once or before and after a crash, the first to run claims the
 * header and the others leave, for good.
 */
#pragma once

#include "shared/header.hpp"

namespace gxy
{

/* What every call does: asks for a launcher if there is none. Also in a transaction callback, if the header is known. */
void request_launcher();

/* Has the server start the launcher by itself; to be called while libraries are being preloaded. */
void register_launcher();

/* Claims the place of the launcher for this process, until it ends; false if another process has it. */
bool claim_launcher();

/*
 * Gives the place back where no database has the extension any more; true: this process is to end, and the next call
 * for a run asks for another launcher. A launcher that the server has started by itself stays.
 */
bool retire_launcher();

enum class LauncherState
{
	none,	   /* not asked for */
	no_slot,   /* max_worker_processes leaves it none */
	requested, /* about to start, or waiting for the promotion */
	running
};

LauncherState launcher_state();

/* Whether there is one, or the server is about to start it. */
bool has_launcher();

/* Wakes the launcher if there is one. */
void wake_launcher();

/* Since when the server has been open for writing: the first sign of it in this process or another. */
TimestampTz writable_since();

} // namespace gxy
