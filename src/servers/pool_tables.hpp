/*
 * pool_tables.hpp: the pool as it stands in the tables.
 */
#pragma once

#include "servers/pool.hpp"

namespace gxy
{

/* Reads it, with a latest snapshot, from the five tables, which the caller has locked. In the current memory context. */
void read_pool(Pool *pool);

} // namespace gxy
