/*
 * catalog.cpp: finds the extension's tables through pg_extension, in whatever schema they are, and
 * checks that they are as this library knows them.
 *
 * Looking up each table by name would cost every call several catalog searches, so each backend
 * remembers the OIDs. That is safe because the server sends an invalidation for every change of a
 * relation, including DROP, before another backend gets a lock on it. invalidate_relations()
 * receives it.
 */
#include "tables/catalog.hpp"

#include "shared/status.hpp"
#include "tables/extension_row.hpp"

namespace gxy
{
namespace
{

struct Column
{
	const char *name;
	Oid type;
	bool not_null;
};

/* In the order of the install script. */
constexpr Column assignments_columns[] = {{"room_id", TEXTOID, true},
										  {"gateway_name", TEXTOID, true},
										  {"region", TEXTOID, false},
										  {"assigned_at", TIMESTAMPTZOID, true},
										  {"last_used_at", TIMESTAMPTZOID, true},
										  {"reason", TEXTOID, false},
										  {"expected_users", INT4OID, false},
										  {"reported_users", INT4OID, false}};
constexpr Column servers_columns[] = {
	{"name", TEXTOID, true},	  {"position", INT4OID, true},		{"priority", INT4OID, true},
	{"capacity", INT4OID, false}, {"regions", TEXTARRAYOID, false}, {"pool", TEXTOID, true},
	{"state", TEXTOID, true}};
constexpr Column pins_columns[] = {
	{"room_id", TEXTOID, true}, {"server", TEXTOID, true}, {"expected_users", INT4OID, false}};
constexpr Column sources_columns[] = {
	{"source", TEXTOID, true}, {"schema_name", TEXTOID, false}, {"relation_name", TEXTOID, true}};
constexpr Column room_sizes_columns[] = {{"room_id", TEXTOID, true},
										 {"size", FLOAT4OID, true},
										 {"occasions", INT4OID, true},
										 {"peak", INT4OID, true},
										 {"assigned_at", TIMESTAMPTZOID, true},
										 {"opened_at", TIMESTAMPTZOID, true},
										 {"updated_at", TIMESTAMPTZOID, true}};
constexpr Column health_columns[] = {{"server", TEXTOID, true},
									 {"healthy", BOOLOID, true},
									 {"since", TIMESTAMPTZOID, true},
									 {"last_heartbeat", TIMESTAMPTZOID, true},
									 {"counts_from", TIMESTAMPTZOID, true},
									 {"load", FLOAT4OID, false},
									 {"load_at", TIMESTAMPTZOID, false},
									 {"recovered_at", TIMESTAMPTZOID, false},
									 {"differs_since", TIMESTAMPTZOID, false}};
constexpr Column failovers_columns[] = {{"from_server", TEXTOID, true},
										{"to_server", TEXTOID, false},
										{"declared_at", TIMESTAMPTZOID, true},
										{"due_at", TIMESTAMPTZOID, true},
										{"cause", TEXTOID, true},
										{"rooms", INT8OID, true},
										{"outcome", TEXTOID, true},
										{"finished_at", TIMESTAMPTZOID, false},
										{"recovered_at", TIMESTAMPTZOID, false},
										{"on_call", BOOLOID, true}};
constexpr Column moved_on_call_columns[] = {{"room_id", TEXTOID, true},
											{"from_server", TEXTOID, true},
											{"to_server", TEXTOID, true},
											{"moved_at", TIMESTAMPTZOID, true}};
constexpr Column drained_servers_columns[] = {{"server", TEXTOID, true},
											  {"since", TIMESTAMPTZOID, true}};

Relations known;
bool valid = false;
std::uint64_t changes = 0; /* invalidations seen while known was not valid */

/*
 * Returns whether a relation is the one that the extension created. The owner of a table can rename
 * it and put another relation in its place, even a view, and rows are read here without the checks
 * of the executor.
 */
bool
is_ours(Oid relation, Oid extension, bool sequence)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));

	if (!HeapTupleIsValid(tuple))
		return false;

	Form_pg_class row = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple));
	bool kind = row->relkind == (sequence ? RELKIND_SEQUENCE : RELKIND_RELATION);

	ReleaseSysCache(tuple);
	return kind && getExtensionOfObject(RelationRelationId, relation) == extension;
}

/*
 * Rows are read and written as those of a heap, and without the constraint of a partition
 * (pg/heap_access.hpp).
 */
void
check_kind(Oid table, const char *name)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
	bool heap = false;
	bool partition = false;

	if (HeapTupleIsValid(tuple))
	{
		Form_pg_class row = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple));

		heap = row->relam == HEAP_TABLE_AM_OID;
		partition = row->relispartition;
		ReleaseSysCache(tuple);
	}
	if (!heap)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("table \"%s\" does not have the access method heap", name),
						errhint("ALTER TABLE %s SET ACCESS METHOD heap.", name)));
	if (partition)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("table \"%s\" is a partition of another", name),
						errhint("Detach it from that table.")));
}

Oid
find_table(Oid extension, Oid schema, const char *name, bool sequence = false)
{
	Oid relation = OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;

	if (!OidIsValid(relation))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("table \"%s\" of extension gxy_balancer does not exist", name),
						errhint("Run CREATE EXTENSION gxy_balancer in this database.")));
	if (!is_ours(relation, extension, sequence))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("relation \"%s\" is not the one of extension gxy_balancer", name),
				 errhint("Rename or drop it, and give the extension's own its name again.")));
	if (!sequence)
		check_kind(relation, name);
	return relation;
}

/*
 * Returns true if an index has one key column, the first of its table. INCLUDE columns do not
 * matter.
 */
bool
is_on_first_column(Form_pg_index index)
{
	return index->indnkeyatts == 1 && index->indkey.values[0] == 1;
}

/*
 * Returns the primary key index of a table whose rows are found by their first column. With any
 * other key one room could have two rows: raises 55000. Reads only the catalog: opening the table
 * could wait for a lock on it.
 */
Oid
primary_key_of(Oid table)
{
	Relation catalog = table_open(IndexRelationId, AccessShareLock);
	ScanKeyData key;

	ScanKeyInit(&key, Anum_pg_index_indrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(table));

	SysScanDesc scan = systable_beginscan(catalog, IndexIndrelidIndexId, true, nullptr, 1, &key);
	Oid index = InvalidOid;
	bool sound = false;
	HeapTuple tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_index row = reinterpret_cast<Form_pg_index>(GETSTRUCT(tuple));

		if (!row->indisprimary)
			continue;
		index = row->indexrelid;
		sound = row->indisvalid && row->indimmediate && is_on_first_column(row);
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	if (!OidIsValid(index))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("table \"%s\" has lost its primary key", get_rel_name(table)),
						errhint("Add it again: ALTER TABLE %s ADD PRIMARY KEY (room_id).",
								get_rel_name(table))));
	if (!sound)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the primary key of table \"%s\" is not as the extension made it",
						get_rel_name(table)),
				 errhint("It has to be PRIMARY KEY (room_id), not deferrable: drop it, and add it "
						 "again.")));
	return index;
}

/*
 * Raises 55000 if a column was dropped, changed its type or may now hold NULL: rows are read
 * without the executor, so its values would be misread. Runs again after every ALTER TABLE.
 */
void
check_columns(Oid table, std::span<const Column> columns)
{
	for (const Column &column : columns)
	{
		HeapTuple tuple = SearchSysCacheAttName(table, column.name);
		bool sound = false;

		if (HeapTupleIsValid(tuple))
		{
			Form_pg_attribute row = reinterpret_cast<Form_pg_attribute>(GETSTRUCT(tuple));

			sound = row->attnum == &column - columns.data() + 1 && row->atttypid == column.type &&
					(row->attnotnull || !column.not_null);
			ReleaseSysCache(tuple);
		}
		if (!sound)
			ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
							errmsg("column \"%s\" of table \"%s\" is not as the extension made it",
								   column.name, get_rel_name(table)),
							errhint("It has to be %s%s, in its place.", format_type_be(column.type),
									column.not_null ? " NOT NULL" : "")));
	}
}

} // namespace

const Relations &
relations()
{
	AcceptInvalidationMessages();
	if (valid)
		return known;

	/*
	 * If an invalidation arrives during the search, the result may already be wrong: search again
	 * next time.
	 */
	std::uint64_t changes_before = changes;
	ExtensionRow row = read_extension_row();
	Oid extension = row.oid;
	Oid schema = row.schema;
	Relations found = {};

	check_version(row);
	found.schema = schema;
	found.assignments = find_table(extension, schema, "room_server_assignments");
	found.servers = find_table(extension, schema, "balancer_servers");
	found.pool_written = find_table(extension, schema, "_pool_written");
	found.pins = find_table(extension, schema, "balancer_pins");
	found.sources = find_table(extension, schema, "balancer_sources");
	found.room_sizes = find_table(extension, schema, "balancer_room_sizes");
	found.health = find_table(extension, schema, "balancer_health");
	found.failovers = find_table(extension, schema, "balancer_failovers");
	found.moved_on_call = find_table(extension, schema, "_moved_on_call");
	found.drained_servers = find_table(extension, schema, "_drained_servers");
	found.events = find_table(extension, schema, "balancer_events", true);

	found.assignments_key = primary_key_of(found.assignments);
	found.room_sizes_key = primary_key_of(found.room_sizes);
	check_columns(found.assignments, assignments_columns);
	check_columns(found.servers, servers_columns);
	check_columns(found.pins, pins_columns);
	check_columns(found.sources, sources_columns);
	check_columns(found.room_sizes, room_sizes_columns);
	check_columns(found.health, health_columns);
	check_columns(found.failovers, failovers_columns);
	check_columns(found.moved_on_call, moved_on_call_columns);
	check_columns(found.drained_servers, drained_servers_columns);
	/*
	 * CREATE DATABASE from a template and COMMIT PREPARED do not tell the launcher that the
	 * extension exists.
	 */
	if (!status_of(MyDatabaseId))
		request_run(MyDatabaseId);
	found.generation = known.generation + 1;
	known = found;
	valid = changes == changes_before;
	return known;
}

std::uint64_t
known_generation()
{
	return valid ? known.generation : 0;
}

bool
extension_exists()
{
	return OidIsValid(get_extension_oid("gxy_balancer", true));
}

Oid
owner_of(Oid relation)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	Oid owner = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		owner = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple))->relowner;
		ReleaseSysCache(tuple);
	}
	return owner;
}

Oid
lock_table(Oid Relations::*table, LOCKMODE mode, Deadline deadline)
{
	for (;;)
	{
		Oid relation = relations().*table;

		/* Locking accepts invalidations. */
		lock_relation(relation, mode, deadline);
		if ((valid ? known : relations()).*table == relation)
			return relation;
		UnlockRelationOid(relation, mode);
	}
}

bool
try_lock_table(Oid Relations::*table, LOCKMODE mode)
{
	Oid relation = relations().*table;

	if (!ConditionalLockRelationOid(relation, mode))
		return false;
	if ((valid ? known : relations()).*table == relation)
		return true;
	UnlockRelationOid(relation, mode);
	return false;
}

void
invalidate_relations(Oid relation)
{
	if (!valid)
		changes++;
	else if (relation == InvalidOid || relation == known.assignments ||
			 relation == known.assignments_key || relation == known.servers ||
			 relation == known.pool_written || relation == known.pins ||
			 relation == known.sources || relation == known.room_sizes ||
			 relation == known.room_sizes_key || relation == known.health ||
			 relation == known.failovers || relation == known.moved_on_call ||
			 relation == known.drained_servers || relation == known.events)
		valid = false;
}

} // namespace gxy
