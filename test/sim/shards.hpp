/*
 * shards.hpp: how evenly several shards balance the media servers that they share.
 */
#pragma once

#include "report.hpp"

namespace sim
{

/*
 * One shard, and 2, 4 and 8 with all servers in every pool or a part of them, by themselves and with
 * share_loads() every 5 seconds, every second, and every second and after each new room.
 */
std::vector<Contender> shard_contenders();

/* Those that the verdicts need. */
std::vector<Contender> judged_shard_contenders();

/* The traces on which shards are compared. */
std::vector<Scenario> shard_scenarios();

/*
 * The mean over the traces of busiest/mean as a multiple of that of one shard: a line for each number
 * of shards; for each arrangement a column. Text for people, and data for gnuplot.
 */
void print_shards(const Study &study, const Findings &findings, std::ostream &out);
void print_shard_data(const Study &study, const Findings &findings, std::ostream &out);

/*
 * Prints "ok" or "not ok" lines: shards that are told each second are within 5% of one shard, for
 * every number and pool; and, as doc/scaling.md says, those that share a part of the servers are at
 * least 15% worse by themselves. True if all lines are ok and there is one of each kind.
 */
bool print_shard_verdicts(const Study &study, const Findings &findings, std::ostream &out);

} // namespace sim
