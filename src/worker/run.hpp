/*
 * run.hpp: the background worker: a launcher, and short-lived workers in the databases.
 */
#pragma once

#include "shared/status.hpp"

namespace gxy
{

/* Has the server start the launcher; to be called while libraries are being preloaded. */
void register_launcher();

} // namespace gxy
