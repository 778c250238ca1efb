/*
 * oracle.hpp: section "Placement" of the design a second time, as plainly as it can be told.
 *
 * The policy gives every server a standing and compares pairs. This goes through the tiers one
 * after the other and throws out servers until one is left. It shares no code with the policy:
 * where the two agree on thousands of random pools, both read the same rules.
 */
#pragma once

#include <string>
#include <vector>

#include "policy_support.hpp"

namespace gxy
{

/* The name of the server that the room should get, "full" or "no server". */
std::string oracle_choice(const Scene &scene);

/* All but the excluded servers, best first: each is what would be chosen without those before. */
std::vector<std::string> oracle_ranking(const Scene &scene);

} // namespace gxy
