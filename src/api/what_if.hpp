/*
 * what_if.hpp: the rows of what_if() and what_if_added().
 */
#pragma once

#include "pg/compat.hpp"
#include "policy/placement_policy.hpp"

namespace gxy
{

void report_what_if(FunctionCallInfo fcinfo, std::string_view server, ServerState state);

} // namespace gxy
