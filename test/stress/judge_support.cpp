/*
 * judge_support.cpp: see judge_support.hpp.
 */
#include "judge_support.hpp"

#include <gtest/gtest.h>

#include <sstream>

namespace stress
{
namespace
{

constexpr Micros millisecond = 1000;

/* A read of the table after the run, so that the check covers the end of the history. */
const std::vector<std::string> around = {"0 - setting - name=assignment_grace,value=600 = 0 0",
										 "0 - setting - name=touch_interval,value=10000 = 0 0",
										 "0 - setting - name=dead_session_timeout,value=0 = 0 0"};

} // namespace

std::string
name_of_case(const Case &one)
{
	std::string name;

	for (const char *at = one.name; *at != '\0'; at++)
		name += std::isalnum(static_cast<unsigned char>(*at)) ? *at : '_';
	return name;
}

std::ostream &
operator<<(std::ostream &to, const Case &one)
{
	return to << one.name;
}

std::vector<Record>
records_of(const std::vector<std::string> &lines)
{
	std::string file;
	std::string complaint;

	for (const std::vector<std::string> *part : {&around, &lines})
		for (std::string line : *part)
		{
			std::replace(line.begin(), line.end(), ' ', '\t');
			file += line + "\n";
		}

	std::istringstream stream(file);
	std::vector<Record> records = read_history(stream, &complaint);

	EXPECT_EQ(complaint, "");
	for (Record &record : records)
	{
		record.start *= millisecond;
		record.end *= millisecond;
	}
	return records;
}

std::string
broken_by(const std::vector<std::string> &lines)
{
	const Story story = tell(records_of(lines));
	Verdict verdict;
	std::string broken;

	check_all(story, &verdict);
	for (const Check &check : verdict.checks())
		if (check.violations() > 0)
			broken += (broken.empty() ? "" : ", ") + check.name();
	return broken;
}

void
judge(const Case &one)
{
	std::vector<std::string> lines = one.lines;

	lines.emplace_back("0 - scan - level=rc = 900000 900000");
	lines.emplace_back("0 - phase - name=final = 900000 900000");

	const std::string broken = broken_by(lines);

	EXPECT_EQ(broken.substr(0, one.broken.size()), one.broken);
	EXPECT_EQ(broken.empty(), one.broken.empty()) << broken;
}

} // namespace stress
