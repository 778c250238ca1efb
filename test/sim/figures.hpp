/*
 * figures.hpp: the figures of a run, and of many runs.
 */
#pragma once

#include "world.hpp"

namespace sim
{

/*
 * Of one run. All but the last three are over its busy hours: when at least half as many users are
 * present as at the peak.
 */
struct Figures
{
	double mean = 0; /* of busiest/mean */
	double p99 = 0;
	double worst = 0;
	double over = 0; /* users over capacity, mean */
	double moved = 0;
	/*
	 * Percent of all measured user-minutes that are spent on a server with more users than 110% of
	 * its capacity.
	 */
	double crowded = 0;
	double split = 0; /* percent of the users who join that a rebalance moves */
};

Figures figures_of(const Playback &run);

/* A mean and the half-width of its 95% confidence interval (Student's t). */
struct Estimate
{
	double mean = 0;
	double half = 0;
};

Estimate estimate(const std::vector<double> &values);

} // namespace sim
