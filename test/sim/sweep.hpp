/*
 * sweep.hpp: the settings, one at a time, from end to end: where the defaults come from.
 */
#pragma once

#include "study.hpp"

#include <ostream>

namespace sim
{

/*
 * Plays all scenarios with each value. Writes a block for each setting, with a line for each value: busiest/mean as a
 * multiple of the oracle's, the geometric mean over the scenarios and then each of them. Blocks are parted by two
 * blank lines, which gnuplot takes for data sets.
 */
void sweep(Study study, std::ostream &out);

} // namespace sim
