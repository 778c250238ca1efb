/*
 * load_comparison.hpp: finds servers whose measured load is not what is counted.
 */
#pragma once

#include "pg/lock_timeout.hpp"

namespace gxy
{

/*
 * Notes in balancer_health since when a fresh measurement has been far from what is counted, for
 * balancer_load.cause. Writes only what changes. The worker calls it, at the end of a run. Does
 * nothing if no server measures, or if the sessions cannot be read.
 */
void compare_measured_loads(Deadline deadline);

} // namespace gxy
