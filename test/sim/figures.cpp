/*
 * figures.cpp: see figures.hpp.
 */
#include "figures.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace sim
{

Figures
figures_of(const Playback &run)
{
	std::int64_t peak = 0;
	std::vector<double> ratios;
	Figures figures;

	std::int64_t users = 0;
	std::int64_t crowded = 0;
	for (const Sample &sample : run.samples)
	{
		peak = std::max(peak, sample.users);
		users += sample.users;
		crowded += sample.crowded;
	}
	for (const Sample &sample : run.samples)
	{
		if (2 * sample.users < peak)
			continue;
		ratios.push_back(sample.ratio);
		figures.mean += sample.ratio;
		figures.over += static_cast<double>(sample.over);
	}
	figures.moved = static_cast<double>(run.moved);
	if (run.joined > 0)
		figures.split = 100 * static_cast<double>(run.split) / static_cast<double>(run.joined);
	if (users > 0)
		figures.crowded = 100 * static_cast<double>(crowded) / static_cast<double>(users);
	if (ratios.empty())
		return figures;

	const auto count = static_cast<double>(ratios.size());
	std::sort(ratios.begin(), ratios.end());
	figures.mean /= count;
	figures.over /= count;
	figures.p99 = ratios[static_cast<std::size_t>(std::ceil(0.99 * count)) - 1];
	figures.worst = ratios.back();
	return figures;
}

Estimate
estimate(const std::vector<double> &values)
{
	/* 97.5% quantiles of Student's t for 1, 2, … degrees of freedom. */
	constexpr std::array<double, 30> t = {
		12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13,
		2.12,  2.11, 2.10, 2.09, 2.09, 2.08, 2.07, 2.07, 2.06, 2.06, 2.06, 2.05, 2.05, 2.05, 2.04};
	const auto count = static_cast<double>(values.size());
	Estimate result;
	double squares = 0;

	if (values.empty())
		return result;
	for (double value : values)
		result.mean += value / count;
	if (values.size() < 2)
		return result;
	for (double value : values)
		squares += (value - result.mean) * (value - result.mean);
	const double quantile = values.size() - 2 < t.size() ? t[values.size() - 2] : 1.96;
	result.half = quantile * std::sqrt(squares / (count - 1) / count);
	return result;
}

} // namespace sim
