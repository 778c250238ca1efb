/*
 * report.hpp: the results, as text for people, as verdicts for tests and as data for gnuplot.
 */
#pragma once

#include "study.hpp"

#include <ostream>

namespace sim
{

void print_table(const Study &study, const Findings &findings, std::ostream &out);

/*
 * Prints "ok" or "not ok" lines: with learned sizes, the extension's default is at least as good as
 * each peer, and in each scenario with a history within 3% of the oracle. A peer that doc/balance.md
 * says is better without a history (best_at_first) has to be. True if all lines are ok and at least
 * one compares with a peer.
 */
bool print_verdicts(const Study &study, const Findings &findings, std::ostream &out);

/*
 * A line for each scenario; for each contender a column with the figure and one with its
 * half-width.
 */
void print_data(const Study &study, const Findings &findings, std::ostream &out);

} // namespace sim
