/*
 * check.cpp: the checker. Reads a history, prints what was checked and which rules were broken;
 * exit status 1 if any was.
 *
 *     check FILE
 */
#include "checks.hpp"

#include <array>
#include <fstream>
#include <iostream>

namespace stress
{
namespace
{

void
print_operations(const Story &story, std::ostream &to)
{
	constexpr std::size_t kinds = static_cast<std::size_t>(Operation::count);
	std::array<std::size_t, kinds> calls = {};

	for (const Record &record : story.records)
		calls[static_cast<std::size_t>(record.operation)]++;
	to << "# " << story.records.size() << " operations in " << story.transactions.size()
	   << " transactions:";
	for (std::size_t i = 0; i < kinds; i++)
		if (calls[i] > 0)
			to << ' ' << name_of(static_cast<Operation>(i)) << ' ' << calls[i];
	to << '\n';
}

int
check_file(const char *name)
{
	std::ifstream file(name);
	std::string complaint;

	if (!file)
	{
		std::cerr << "cannot read " << name << '\n';
		return 2;
	}

	std::vector<Record> records = read_history(file, &complaint);

	if (!complaint.empty())
	{
		std::cerr << name << ": " << complaint << '\n';
		return 2;
	}

	const Story story = tell(std::move(records));
	Verdict verdict;

	print_operations(story, std::cout);
	check_all(story, &verdict);
	verdict.print(std::cout);
	return verdict.violations() == 0 ? 0 : 1;
}

} // namespace
} // namespace stress

int
main(int argc, char **argv)
{
	if (argc != 2)
	{
		std::cerr << "usage: check FILE\n";
		return 2;
	}
	return stress::check_file(argv[1]);
}
