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
	Oid health;
	Oid failovers;
	Oid events;			   /* the sequence that numbers notifications */
	Oid owner;			   /* of the tables */
	std::uint64_t edition; /* another one after every change; from 1 */
};

/* The columns of balancer_health, which two units read. */
enum HealthColumn
{
	health_server = 1,
	health_healthy,
	health_since,
	health_last_heartbeat,
	health_counts_from
};

/*
 * The extension's relations in this database, remembered until one of them changes. Raises 55000 if the extension is
 * not installed whole.
 */
const Relations &relations();

/* Has this backend forget; called by the server when a relation changed, 0 meaning any. */
void forget_relations(Oid relation);

} // namespace gxy
