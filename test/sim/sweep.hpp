/*
 * sweep.hpp: varies the settings one at a time over their range. The defaults come from this.
 */
#pragma once

#include "study.hpp"

#include <ostream>

namespace sim
{

/*
 * Runs all scenarios with each value. Writes a block for each setting, with a line for each value:
 * busiest/mean as a multiple of the oracle's, the geometric mean over the scenarios and then each
 * of them. Two blank lines separate blocks, as gnuplot's data sets.
 */
void sweep(Study study, std::ostream &out);

} // namespace sim
