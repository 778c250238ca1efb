/*
 * judge_support.hpp: helpers of the checker's own tests. Histories are written by hand, with spaces
 * for tabs and milliseconds for times; the checker must find exactly the faults that the case
 * names.
 */
#pragma once

#include "checks.hpp"

#include <string>
#include <vector>

namespace stress
{

struct Case
{
	const char *name;
	std::vector<std::string> lines;
	std::string
		broken; /* first words of the checks that must find something, between commas; or empty */
};

/* Names a test after its case. */
std::string name_of_case(const Case &one);
std::ostream &operator<<(std::ostream &to, const Case &one);

/* The records of the lines, preceded by assignment_grace = 600 ms and touch_interval = 10 s. */
std::vector<Record> records_of(const std::vector<std::string> &lines);

/* The names of the checks that found something, separated by commas. */
std::string broken_by(const std::vector<std::string> &lines);

/* Expects the checks of the case, and no others, to find something. */
void judge(const Case &one);

} // namespace stress
