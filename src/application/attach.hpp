/*
 * attach.hpp: naming the application's relations.
 */
#pragma once

#include "application/source_reader.hpp"

namespace gxy
{

/* Remembers the relation as the source, after checking its owner, columns and types; nullopt detaches. */
void attach(Source source, std::optional<Oid> relation);

} // namespace gxy
