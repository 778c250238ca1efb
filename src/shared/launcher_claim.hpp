/*
 * launcher_claim.hpp: makes sure that exactly one launcher runs.
 *
 * The commit of CREATE EXTENSION requests a launcher, and so does the first call in any database
 * after the server has started. From then on the server restarts it when it ends, also after a
 * crash. On a standby it is requested likewise, and starts at the promotion. With the library
 * preloaded the server starts it by itself.
 *
 * Two backends may request one at the same time, or before and after a crash. The first launcher
 * that runs claims the header; the others exit and are not restarted.
 */
#pragma once

namespace gxy
{

/*
 * Requests a launcher if there is none. Every call does this. Also in a transaction callback, if
 * this process has used the header before. Raises one WARNING if the server has no slot for it.
 */
void request_launcher();

/* Makes the server start the launcher by itself. Call it while libraries are being preloaded. */
void register_launcher();

/*
 * Makes this process the launcher until it exits. Returns false if another process is the launcher.
 */
bool claim_launcher();

/*
 * Releases the claim if no database has the extension any more. Returns true if so: this process
 * must exit, and the next call requests another launcher. A launcher that the server has started by
 * itself stays.
 */
bool retire_launcher();

enum class LauncherState
{
	none,	   /* not requested */
	no_slot,   /* max_worker_processes leaves no slot for it */
	requested, /* about to start, or waiting for the promotion */
	running,
	running_without_workers /* max_worker_processes leaves no slot for its workers */
};

LauncherState launcher_state();

/* Called by the launcher when the server had a slot for a worker, or had none. */
void note_worker_slot(bool found);

/* Returns whether databases get workers, or are about to. */
bool has_workers();

/* Wakes the launcher if there is one. */
void wake_launcher();

} // namespace gxy
