/*
 * oracle.hpp: section "Placement" of the design a second time, in the simplest form.
 *
 * The policy gives every server a standing and compares pairs. The oracle goes through the tiers
 * one after the other and removes servers until one is left. It shares no code with the policy:
 * where the two agree on thousands of random pools, both implement the same rules.
 */
#pragma once

#include <string>
#include <vector>

#include "policy_support.hpp"

namespace gxy
{

/* The name of the server that the room should get, "full" or "no server". */
std::string oracle_choice(const Scene &scene);

/*
 * All servers that can be chosen at all, best first: each is the choice if those before it are
 * removed.
 */
std::vector<std::string> oracle_ranking(const Scene &scene);

} // namespace gxy
