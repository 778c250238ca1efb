/*
 * scenarios.hpp: the traces on which the policies are compared.
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
	bool has_history = true; /* false: no room has a history */
};

const std::vector<Scenario> &scenarios();

/* Four short days of the late rush, for a replay at speed; the last one is measured. */
Trace replay_trace(std::uint64_t seed);

/* nullptr if there is no scenario of this name. */
const Scenario *scenario_named(const std::string &name);

} // namespace sim
