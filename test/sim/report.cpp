/*
 * report.cpp: see report.hpp.
 */
#include "report.hpp"

#include <algorithm>
#include <cstdarg>
#include <cstdio>

namespace sim
{

namespace
{

constexpr double margin = 1.03;

std::string
formatted(const char *format, ...)
{
	char text[256];
	std::va_list arguments;

	va_start(arguments, format);
	std::vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	return text;
}

std::size_t
number_of(const Study &study, const char *name)
{
	const auto &all = study.contenders;
	const auto found = std::find_if(all.begin(), all.end(),
									[&](const Contender &one) { return one.name == name; });
	return static_cast<std::size_t>(found - all.begin());
}

/* Printed only where a server fails or is full. */
std::string
unless_none(const Estimate &estimate, int decimals)
{
	return estimate.mean == 0 ? "" : formatted("%.*f", decimals, estimate.mean);
}

bool
verdict(std::ostream &out, bool good, const Scenario &scenario, const std::string &claim,
		const Estimate &estimate)
{
	out << (good ? "ok" : "not ok") << " - " << scenario.name << ": " << claim
		<< formatted(" (%.3f +- %.3f of it)\n", estimate.mean, estimate.half);
	return good;
}

/* Whether rebalancing pays: at most a fifth of the crowded user-minutes, by at most 2% of users. */
bool
rebalancing_verdict(std::ostream &out, const Scenario &scenario,
					const std::vector<Figures> &placed_only, const std::vector<Figures> &rebalanced)
{
	const double before = over_seeds(placed_only, &Figures::crowded).mean;
	const double after = over_seeds(rebalanced, &Figures::crowded).mean;
	const double split = over_seeds(rebalanced, &Figures::split).mean;
	const bool good = 5 * after <= before && split <= 2;

	out << (good ? "ok" : "not ok") << " - " << scenario.name
		<< formatted(": rebalancing leaves %.2f%% of %.2f%% of the users on crowded servers, and "
					 "moves %.2f%%\n",
					 after, before, split);
	return good;
}

} // namespace

void
print_table(const Study &study, const Findings &findings, std::ostream &out)
{
	out << formatted("busiest server / mean in the busy hours, %d seeds, +- 95%% confidence\n",
					 study.seeds);
	for (std::size_t i = 0; i < findings.size(); i++)
	{
		out << formatted("\n%s: %s\n%-26s %6s %6s %7s %7s %8s %7s %7s %7s\n",
						 study.scenarios[i].name, study.scenarios[i].what, "", "mean", "+-", "p99",
						 "worst", "over cap", "% >110%", "moved", "% split");
		for (std::size_t j = 0; j < findings[i].size(); j++)
		{
			const auto &figures = findings[i][j];
			const Estimate mean = over_seeds(figures, &Figures::mean);
			out << formatted("%-26s %6.3f %6.3f %7.3f %7.3f %8s %7s %7s %7s\n",
							 study.contenders[j].name.c_str(), mean.mean, mean.half,
							 over_seeds(figures, &Figures::p99).mean,
							 over_seeds(figures, &Figures::worst).mean,
							 unless_none(over_seeds(figures, &Figures::over), 1).c_str(),
							 unless_none(over_seeds(figures, &Figures::crowded), 2).c_str(),
							 unless_none(over_seeds(figures, &Figures::moved), 1).c_str(),
							 unless_none(over_seeds(figures, &Figures::split), 2).c_str());
		}
	}
}

bool
print_verdicts(const Study &study, const Findings &findings, std::ostream &out)
{
	const std::size_t ours = number_of(study, default_name);
	const std::size_t oracle = number_of(study, oracle_name);
	const std::size_t rebalanced = number_of(study, rebalanced_name);
	bool all = true;
	bool any = false;

	for (std::size_t i = 0; i < findings.size(); i++)
	{
		const Scenario &scenario = study.scenarios[i];
		for (std::size_t j = 0; j < findings[i].size(); j++)
		{
			const Contender &other = study.contenders[j];
			if (!other.peer)
				continue;
			const Estimate against = ratio(findings[i][ours], findings[i][j]);
			const bool level = against.mean - against.half <= 1;
			const bool exception = !scenario.has_history && other.best_at_first;
			any = true;
			all &= verdict(out, level != exception, scenario,
						   (exception ? "as documented, not as good as " : "at least as good as ") +
							   other.name,
						   against);
		}
		if (rebalanced < findings[i].size())
			all &= rebalancing_verdict(out, scenario, findings[i][ours], findings[i][rebalanced]);
		if (!scenario.has_history)
			continue;
		const Estimate against = ratio(findings[i][ours], findings[i][oracle]);
		all &= verdict(out, against.mean <= margin, scenario, "within 3% of the oracle", against);
	}
	return any && all;
}

void
print_data(const Study &study, const Findings &findings, std::ostream &out)
{
	out << "trace";
	for (const Contender &contender : study.contenders)
		out << "\t\"" << contender.name << "\"\t+-";
	for (std::size_t i = 0; i < findings.size(); i++)
	{
		out << '\n' << study.scenarios[i].name;
		for (const auto &figures : findings[i])
		{
			const Estimate mean = over_seeds(figures, &Figures::mean);
			out << formatted("\t%.4f\t%.4f", mean.mean, mean.half);
		}
	}
	out << '\n';
}

} // namespace sim
