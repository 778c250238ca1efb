/*
 * memory_view.hpp: what the extension's shared memory is used for.
 */
#pragma once

#include "pg/compat.hpp"

namespace gxy
{

/* Rows of balancer_memory. */
void report_memory(FunctionCallInfo fcinfo);

/* Why something may be missing in shared memory, nullptr if nothing is. */
const char *memory_trouble();

} // namespace gxy
