/*
 * checks.hpp: what is checked of a history. Each takes what it needs and begins its own checks in the verdict.
 */
#pragma once

#include "causes.hpp"

namespace stress
{

/* Answers of one room against each other and against what may have changed it. */
void check_answers(const World &world, Verdict *verdict);

/* No SQLSTATE but those that an operation may give, where it gave it; no connection lost but those that were killed. */
void check_errors(const World &world, Verdict *verdict);

/* No call that waited longer than it may. */
void check_waits(const World &world, Verdict *verdict);

/* A new room goes to a server that takes new rooms. */
void check_placements(const World &world, Verdict *verdict);

/* In the phases of new rooms only, the servers differ by at most one room. */
void check_spread(const World &world, Verdict *verdict);

/* After the run, balancer_load says what an independent count says. */
void check_totals(const World &world, Verdict *verdict);

/* All of them. */
void check_all(const Story &story, Verdict *verdict);

} // namespace stress
