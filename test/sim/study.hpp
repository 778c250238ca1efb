/*
 * study.hpp: runs many traces against many policies, on all processors.
 */
#pragma once

#include "figures.hpp"
#include "scenarios.hpp"

#include <map>

namespace sim
{

struct Study
{
	std::vector<Scenario> scenarios;
	std::vector<Contender> contenders;
	int seeds = 20;
	int threads = 1;
	bool progress = true; /* on stderr */
};

/*
 * Results by scenario, contender and seed. The same study gives the same figures with any number of
 * threads.
 */
using Findings = std::vector<std::vector<std::vector<Figures>>>;

Findings carry_out(const Study &study);

/* All contenders on one trace. */
std::vector<Figures> compare(const Trace &trace, const std::vector<Contender> &contenders,
							 std::uint64_t seed);

/*
 * One figure of a contender, over the seeds; if another is given, as a ratio to it, seed by seed.
 */
Estimate over_seeds(const std::vector<Figures> &figures, double Figures::*which);
Estimate ratio(const std::vector<Figures> &a, const std::vector<Figures> &b);

} // namespace sim
