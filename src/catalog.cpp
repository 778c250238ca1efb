/*
 * catalog.cpp: finds the extension's tables through pg_extension, whatever schema the DBA picked or renamed.
 *
 * A lookup by name would cost each call several catalog probes, so every backend remembers the OIDs. The memory is
 * sound because the server tells of every change to a relation, a DROP included, before a lock on it is granted, and
 * forget_relations() listens.
 */
#include "catalog.hpp"

#include "shmem.hpp"

namespace gxy
{
namespace
{

Relations known;
bool valid = false;
bool reported = false;	   /* to the launcher, that this database has the extension */
std::uint64_t changes = 0; /* seen while nothing valid was known */

Oid
extension_schema(Oid extension)
{
	Relation catalog = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;

	ScanKeyInit(&key, Anum_pg_extension_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(extension));

	SysScanDesc scan = systable_beginscan(catalog, ExtensionOidIndexId, true, nullptr, 1, &key);
	HeapTuple tuple = systable_getnext(scan);
	Oid schema = InvalidOid;

	if (HeapTupleIsValid(tuple))
		schema = reinterpret_cast<Form_pg_extension>(GETSTRUCT(tuple))->extnamespace;
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return schema;
}

Oid
find_table(Oid schema, const char *name)
{
	Oid relation = OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;

	if (!OidIsValid(relation))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("table \"%s\" of extension gxy_balancer does not exist", name),
						errhint("Run CREATE EXTENSION gxy_balancer in this database.")));
	return relation;
}

} // namespace

const Relations &
relations()
{
	AcceptInvalidationMessages();
	if (valid)
		return known;

	/* A change that arrives while we look may concern what was already found: then look again next time. */
	std::uint64_t changes_before = changes;
	Oid extension = get_extension_oid("gxy_balancer", true);
	Oid schema = OidIsValid(extension) ? extension_schema(extension) : InvalidOid;
	Relations found = {};

	found.assignments = find_table(schema, "room_server_assignments");
	found.servers = find_table(schema, "balancer_servers");
	found.pins = find_table(schema, "balancer_pins");
	found.sources = find_table(schema, "balancer_sources");

	Relation assignments = table_open(found.assignments, AccessShareLock);

	found.assignments_key = compat::primary_key_index(assignments);
	found.owner = assignments->rd_rel->relowner;
	table_close(assignments, AccessShareLock);
	if (!OidIsValid(found.assignments_key))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("table room_server_assignments has lost its primary key"),
						errhint("Add it again: ALTER TABLE room_server_assignments ADD PRIMARY KEY "
								"(room_id).")));
	if (!reported && is_preloaded() && !status_of(MyDatabaseId))
		call_for_run(MyDatabaseId);
	reported = true;
	known = found;
	valid = changes == changes_before;
	return known;
}

void
forget_relations(Oid relation)
{
	if (!valid)
		changes++;
	else if (relation == InvalidOid || relation == known.assignments ||
			 relation == known.assignments_key || relation == known.servers ||
			 relation == known.pins || relation == known.sources)
		valid = false;
}

} // namespace gxy
