/*
 * sweep.cpp: see sweep.hpp.
 */
#include "sweep.hpp"

#include <cmath>
#include <cstdio>
#include <functional>

namespace sim
{

namespace
{

struct Line
{
	double value;
	Contender contender;
};

struct Block
{
	std::string title;
	std::vector<Line> lines;
};

using Change = std::function<void(Contender *, double)>;

Block
block(const std::string &title, Expectation expectation, const std::vector<double> &values,
	  const Change &change)
{
	Block made{.title = title, .lines = {}};

	for (double value : values)
	{
		Contender contender{.name = title, .expectation = expectation, .rules = default_rules()};
		change(&contender, value);
		made.lines.push_back({value, contender});
	}
	return made;
}

std::vector<Block>
blocks()
{
	const std::vector<double> minutes = {0.25, 0.5, 1, 2, 3, 5, 7, 10, 15, 20, 30, 60, 240};
	const std::vector<double> averages = {1, 2, 3, 5, 7, 10, 14, 20, 30};
	const std::vector<double> rates = {0.03, 0.06, 0.12, 0.25, 0.35, 0.5, 0.7, 1};
	const std::vector<double> shrinkages = {0, 0.12, 0.25, 0.5, 1, 2, 4, 8};
	const Change window = [](Contender *one, double value) {
		one->rules.join_window = std::llround(value * static_cast<double>(minute));
	};
	const Change average = [](Contender *one, double value) {
		one->rules.avg_room_occupancy = std::llround(value);
	};

	return {
		block("join_window (minutes), learned sizes", Expectation::learned, minutes, window),
		block("join_window (minutes), the oracle", Expectation::oracle, minutes, window),
		block("join_window (minutes), 10 a room", Expectation::constant, minutes, window),
		block("avg_room_occupancy, learned sizes", Expectation::learned, averages, average),
		block("avg_room_occupancy, no sizes learned", Expectation::constant, averages, average),
		block("rate", Expectation::learned, rates,
			  [](Contender *one, double value) { one->learning.rate = value; }),
		block("shrinkage", Expectation::learned, shrinkages,
			  [](Contender *one, double value) { one->learning.shrinkage = value; }),
	};
}

void
print_line(double value, const std::vector<std::vector<Figures>> &figures,
		   const std::vector<std::vector<Figures>> &oracle, std::ostream &out)
{
	std::vector<double> ratios;
	double logs = 0;
	char text[32];

	for (std::size_t i = 0; i < figures.size(); i++)
	{
		ratios.push_back(ratio(figures[i], oracle[i]).mean);
		logs += std::log(ratios.back()) / static_cast<double>(figures.size());
	}
	std::snprintf(text, sizeof text, "%g\t%.4f", value, std::exp(logs));
	out << text;
	for (double one : ratios)
	{
		std::snprintf(text, sizeof text, "\t%.4f", one);
		out << text;
	}
	out << '\n';
}

} // namespace

void
sweep(Study study, std::ostream &out)
{
	const std::vector<Block> all = blocks();
	study.contenders = {
		{.name = oracle_name, .expectation = Expectation::oracle, .rules = default_rules()}};
	for (const Block &one : all)
		for (const Line &line : one.lines)
			study.contenders.push_back(line.contender);

	const Findings findings = carry_out(study);
	const auto of = [&](std::size_t contender) {
		std::vector<std::vector<Figures>> figures;
		for (const auto &scenario : findings)
			figures.push_back(scenario[contender]);
		return figures;
	};
	std::size_t contender = 1;
	for (const Block &one : all)
	{
		out << "# " << one.title << "\n#value\tall";
		for (const Scenario &scenario : study.scenarios)
			out << '\t' << scenario.name;
		out << '\n';
		for (const Line &line : one.lines)
			print_line(line.value, of(contender++), of(0), out);
		out << "\n\n";
	}
}

} // namespace sim
