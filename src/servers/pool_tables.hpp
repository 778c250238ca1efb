/*
 * pool_tables.hpp: reads the pool from its tables.
 */
#pragma once

#include "pg/compat.hpp"
#include "servers/pool.hpp"

namespace gxy
{

/*
 * Reads the pool as a registered snapshot sees it into the current memory context. The caller has
 * locked the tables.
 */
void read_pool(Pool *pool, Snapshot snapshot);

} // namespace gxy
