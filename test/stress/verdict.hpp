/*
 * verdict.hpp: the checker's findings, check by check, each with the lines of the history that
 * prove it.
 */
#pragma once

#include "history.hpp"

#include <deque>
#include <ostream>

namespace stress
{

class Check
{
public:
	explicit Check(std::string name) : title(std::move(name)) {}

	void looked(std::size_t count = 1) { examined += count; }
	void found(std::string what, std::vector<const Record *> lines);

	const std::string &name() const { return title; }
	std::size_t looked_at() const { return examined; }
	std::size_t violations() const { return count; }
	void print(std::ostream &to) const;

private:
	struct Finding
	{
		std::string what;
		std::vector<const Record *> lines;
	};

	std::string title;
	std::vector<Finding> findings; /* the first ones */
	std::size_t examined = 0;
	std::size_t count = 0;
	std::size_t first = 0; /* after how many operations the first was complete */
};

/* The checks of one history, in the order in which they began. */
class Verdict
{
public:
	Check *begin(std::string name);
	std::size_t violations() const;
	const std::deque<Check> &checks() const { return all; }

	/*
	 * Prints TAP: "ok - " or "not ok - " for each check, findings indented below; a skip if nothing
	 * was examined.
	 */
	void print(std::ostream &to) const;

private:
	std::deque<Check> all;
};

} // namespace stress
