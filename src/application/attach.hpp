/*
 * attach.hpp: attaches and detaches the application's relations of sessions and rooms.
 */
#pragma once

#include "application/source_columns.hpp"
#include "pg/compat.hpp"

namespace gxy
{

/*
 * Stores the relation as the source in balancer_sources, or deletes that row if relation is
 * nullopt. Raises 42501 if the caller does not own the relation, 22023 or 42809 if it cannot be a
 * source, 55000 if reading it fails, 55P03 if a lock wait takes longer than assign_timeout.
 */
void attach(Source source, std::optional<Oid> relation);

} // namespace gxy
