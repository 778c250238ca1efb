/*
 * phases.hpp: the course of a run.
 */
#pragma once

#include "turns.hpp"

namespace stress
{

/* All phases, one after the other; prints progress. False if clients could not go on. */
bool run_phases(Run *run, Journal *journal);

/* Failovers under calling clients, and nothing else. */
bool run_failovers(Run *run, Journal *journal);

} // namespace stress
