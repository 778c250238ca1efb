/*
 * catalog.hpp: where the extension's own tables are.
 */
#pragma once

#include "pg/lock_timeout.hpp"

namespace gxy
{

struct Relations
{
	Oid schema; /* the extension's */
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
	Oid events;				  /* the sequence that numbers notifications */
	std::uint64_t generation; /* another one after every change; from 1 */
};

/*
 * The extension's relations in this database, remembered until one of them changes. Raises 55000 if the extension is
 * not installed whole.
 */
const Relations &relations();

/* InvalidOid if there is no such relation. Tables may have different owners. */
Oid owner_of(Oid relation);

/*
 * Locks one of them, or its index once it is locked itself, until the end of the transaction: what is there once the
 * lock is, since whoever had it may have dropped and created the extension. Raises 55P03 like lock_relation().
 */
Oid lock_table(Oid Relations::*table, LOCKMODE mode, Deadline deadline);

/* The same without waiting; false if it cannot be had. */
bool try_lock_table(Oid Relations::*table, LOCKMODE mode);

/* Has this backend forget; called by the server when a relation changed, 0 meaning any. */
void invalidate_relations(Oid relation);

} // namespace gxy
