/*
 * phases.hpp: the phases of a run.
 */
#pragma once

#include "turns.hpp"

namespace stress
{

/* Runs all phases, one after the other, and prints progress. False if clients could not go on. */
bool run_phases(Run *run, Journal *journal);

/* Runs failovers while clients call, and nothing else. */
bool run_failovers(Run *run, Journal *journal);

} // namespace stress
