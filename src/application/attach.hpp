/*
 * attach.hpp: naming the application's relations.
 */
#pragma once

#include "application/source_reader.hpp"

namespace gxy
{

/* Remembers the relation as the source, after checking its owner, columns and types; InvalidOid detaches. */
void attach(Source source, Oid relation);

} // namespace gxy
