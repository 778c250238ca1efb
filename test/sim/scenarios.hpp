/*
 * scenarios.hpp: the traces that policies are compared on.
 */
#pragma once

#include "trace.hpp"

namespace sim
{

struct Scenario
{
	const char *name;
	const char *what;
	Trace (*make)(std::uint64_t seed);
	bool has_history = true; /* false: rooms that nobody has seen before */
};

const std::vector<Scenario> &scenarios();

/* nullptr if there is none of this name. */
const Scenario *scenario_named(const std::string &name);

} // namespace sim
