/*
 * report.hpp: what came out, as text for people, as verdicts for tests and as data for gnuplot.
 */
#pragma once

#include "study.hpp"

#include <ostream>

namespace sim
{

void print_table(const Study &study, const Findings &findings, std::ostream &out);

/*
 * "ok" or "not ok", a line each: with learned sizes, the extension's default is at least as good as each peer
 * and within 3% of the oracle, wherever there is a history. True if there are any, and all are ok.
 */
bool print_verdicts(const Study &study, const Findings &findings, std::ostream &out);

/* A line for each scenario, a column and its half-width for each contender. */
void print_data(const Study &study, const Findings &findings, std::ostream &out);

} // namespace sim
