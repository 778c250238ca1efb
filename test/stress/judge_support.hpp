/*
 * judge_support.hpp: what the checker's own tests share. Histories are written by hand, with spaces for tabs and
 * milliseconds for times; every one must be judged as its author means it.
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
		broken; /* the first words of the checks that must find something, between commas; empty: none */
};

/* Names a test after its case. */
std::string name_of_case(const Case &one);
std::ostream &operator<<(std::ostream &to, const Case &one);

/* The records of such lines, with assignment_grace = 600 ms and touch_interval = 10 s in front. */
std::vector<Record> records_of(const std::vector<std::string> &lines);

/* The names of the checks that found something, between commas. */
std::string broken_by(const std::vector<std::string> &lines);

/* Expects the checks of the case, and no others, to find something. */
void judge(const Case &one);

} // namespace stress
