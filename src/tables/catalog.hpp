/*
 * catalog.hpp: OIDs of the extension's own tables.
 */
#pragma once

#include "pg/compat.hpp"
#include "pg/lock_timeout.hpp"

namespace gxy
{

struct Relations
{
	Oid schema; /* schema of the extension */
	Oid assignments;
	Oid assignments_key; /* its primary key index */
	Oid servers;
	Oid pool_written;
	Oid pins;
	Oid sources;
	Oid room_sizes;
	Oid room_sizes_key; /* its primary key index */
	Oid health;
	Oid failovers;
	Oid moved_on_call;
	Oid drained_servers;
	Oid events;				  /* the sequence that numbers notifications */
	std::uint64_t generation; /* changes with every change of the relations; starts at 1 */
};

/*
 * Returns the extension's relations in this database, remembered until one of them changes. Raises
 * 55000 if the extension is not completely installed.
 */
const Relations &relations();

/*
 * Returns the generation of the relations that relations() returned last; 0 if one of them has
 * changed since.
 */
std::uint64_t known_generation();

/* Returns false if this transaction has dropped the extension. */
bool extension_exists();

/*
 * Returns the owner of a relation, InvalidOid if the relation does not exist. Tables may have
 * different owners.
 */
Oid owner_of(Oid relation);

/*
 * Locks one of the tables, or an index of a locked table, until the end of the transaction. Returns
 * the relation that exists once the lock is granted: during the wait the extension may have been
 * dropped and created again. Raises 55P03 as lock_relation() does.
 */
Oid lock_table(Oid Relations::*table, LOCKMODE mode, Deadline deadline);

/* The same without waiting. Returns false if another transaction holds a conflicting lock. */
bool try_lock_table(Oid Relations::*table, LOCKMODE mode);

/*
 * Makes this backend look up the relations again. The server calls it when a relation has changed;
 * 0: any.
 */
void invalidate_relations(Oid relation);

} // namespace gxy
