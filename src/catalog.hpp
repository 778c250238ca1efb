/*
 * catalog.hpp: where the extension's own tables are.
 */
#pragma once

#include "compat.hpp"

namespace gxy
{

struct Relations
{
	Oid assignments;
	Oid assignments_key; /* its primary key index */
	Oid servers;
	Oid pins;
	Oid sources;
	Oid room_sizes;
	Oid room_sizes_key; /* its primary key index */
	Oid owner;			/* of the tables */
};

/*
 * The extension's relations in this database, remembered until one of them changes. Raises 55000 if the extension is
 * not installed whole.
 */
const Relations &relations();

/* Has this backend forget; called by the server when a relation changed, 0 meaning any. */
void forget_relations(Oid relation);

} // namespace gxy
