/*
 * checks.hpp: the checks of a history. Each function begins its own checks in the verdict.
 */
#pragma once

#include "causes.hpp"

namespace stress
{

/*
 * The answers of each room against each other and against the operations that may have changed it.
 */
void check_answers(const World &world, Verdict *verdict);

/* Each SQLSTATE is one that the operation may raise there; only killed connections were lost. */
void check_errors(const World &world, Verdict *verdict);

/* No call waited longer than it may. */
void check_waits(const World &world, Verdict *verdict);

/* A new room goes to a server that takes new rooms. */
void check_placements(const World &world, Verdict *verdict);

/* In the phases of new rooms only, the servers differ by at most one room. */
void check_spread(const World &world, Verdict *verdict);

/* After the run, balancer_load agrees with an independent count. */
void check_totals(const World &world, Verdict *verdict);

/* Runs all checks. */
void check_all(const Story &story, Verdict *verdict);

} // namespace stress
