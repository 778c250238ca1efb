/*
 * verdict.cpp: prints the findings. It prints only the first few of a check, because one fault
 * shows in thousands of answers. A check that found nothing to examine is a skip, not a success.
 */
#include "verdict.hpp"

#include <algorithm>

namespace stress
{
namespace
{

constexpr std::size_t kept = 5;
constexpr std::size_t shown_lines = 12;
constexpr std::size_t shown_length = 200; /* characters of a line: one that reads a table is long */

} // namespace

void
Check::found(std::string what, std::vector<const Record *> lines)
{
	std::size_t complete = 0;

	for (const Record *line : lines)
		complete = std::max(complete, line->number);
	first = count == 0 ? complete : std::min(first, complete);
	count++;
	if (findings.size() >= kept)
		return;
	std::stable_sort(lines.begin(), lines.end(),
					 [](const Record *a, const Record *b) { return a->start < b->start; });
	lines.erase(std::unique(lines.begin(), lines.end()), lines.end());
	findings.push_back({std::move(what), std::move(lines)});
}

void
Check::print(std::ostream &to) const
{
	if (examined == 0 && count == 0)
	{
		to << "ok - " << title << ": # skip nothing to examine\n";
		return;
	}
	to << (count == 0 ? "ok - " : "not ok - ") << title << ": " << examined << " examined, "
	   << count << " violations";
	if (count > 0)
		to << ", the first after " << first << " operations";
	to << '\n';
	for (const Finding &finding : findings)
	{
		to << "    " << finding.what << '\n';
		for (std::size_t i = 0; i < std::min(shown_lines, finding.lines.size()); i++)
			to << "        line " << finding.lines[i]->line << ": "
			   << format(*finding.lines[i]).substr(0, shown_length) << '\n';
	}
	if (count > findings.size())
		to << "    and " << count - findings.size() << " more\n";
}

Check *
Verdict::begin(std::string name)
{
	return &all.emplace_back(std::move(name));
}

std::size_t
Verdict::violations() const
{
	std::size_t sum = 0;

	for (const Check &check : all)
		sum += check.violations();
	return sum;
}

void
Verdict::print(std::ostream &to) const
{
	for (const Check &check : all)
		check.print(to);
}

} // namespace stress
