/*
 * study.cpp: see study.hpp.
 */
#include "study.hpp"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <thread>

namespace sim
{

std::vector<Figures>
compare(const Trace &trace, const std::vector<Contender> &contenders, std::uint64_t seed)
{
	const Contender scout{.name = "scout", .method = Method::round_robin};
	const Peaks peaks = World(trace, scout, nullptr, seed).run().peaks;
	std::vector<Figures> figures;

	for (const Contender &contender : contenders)
		figures.push_back(figures_of(World(trace, contender, &peaks, seed).run()));
	return figures;
}

Findings
carry_out(const Study &study)
{
	const int traces = static_cast<int>(study.scenarios.size()) * study.seeds;
	const std::vector<Figures> blank(static_cast<std::size_t>(study.seeds));
	Findings findings(study.scenarios.size(), std::vector(study.contenders.size(), blank));
	std::atomic<int> next = 0;
	std::atomic<int> done = 0;

	const auto work = [&] {
		for (int number; (number = next++) < traces;)
		{
			const auto scenario = static_cast<std::size_t>(number / study.seeds);
			const auto seed = static_cast<std::size_t>(number % study.seeds);
			const Trace trace = study.scenarios[scenario].make(seed + 1);
			const std::vector<Figures> figures = compare(trace, study.contenders, seed + 1);

			for (std::size_t i = 0; i < figures.size(); i++)
				findings[scenario][i][seed] = figures[i];
			if (study.progress)
				std::fprintf(stderr, "\r%d of %d traces", ++done, traces);
		}
	};
	std::vector<std::thread> threads;
	for (int i = 0; i < std::max(study.threads, 1); i++)
		threads.emplace_back(work);
	for (std::thread &thread : threads)
		thread.join();
	if (study.progress)
		std::fputs("\n", stderr);
	return findings;
}

Estimate
over_seeds(const std::vector<Figures> &figures, double Figures::*which)
{
	std::vector<double> values;

	for (const Figures &one : figures)
		values.push_back(one.*which);
	return estimate(values);
}

Estimate
ratio(const std::vector<Figures> &a, const std::vector<Figures> &b)
{
	std::vector<double> values;

	for (std::size_t i = 0; i < a.size(); i++)
		values.push_back(a[i].mean / b[i].mean);
	return estimate(values);
}

} // namespace sim
