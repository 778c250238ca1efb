/*
 * gxy_balancer 1.0: assigns rooms to media servers.
 *
 * Order: tables, functions, views; COMMENT and REVOKE stand beside each object. An application needs only EXECUTE on the
 * functions. Nothing is granted to PUBLIC, and no function uses the caller's search_path.
 *
 * A superuser runs this script with the search_path pg_catalog, then the extension's schema. The owner of that schema may
 * have created operators and functions in it. PostgreSQL prefers an exact match in the schema to one in pg_catalog that
 * needs an implicit cast. So constants have the type that they are compared with. Example: size is real, and
 * "size BETWEEN 0 AND 1" would call an operator (real, int) of the schema if there is one; so it says real '0'.
 */
\echo Use "CREATE EXTENSION gxy_balancer" to load this file. \quit

/* Fails if the schema has a table room_server_assignments; the hint of the error says how to take it over. */
CREATE FUNCTION _refuse_existing_table() RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'gxy_refuse_existing_table';
SELECT _refuse_existing_table();
DROP FUNCTION _refuse_existing_table();

--
-- Tables
--

/*
 * The first five columns have the names and the order of the table that the application used before the extension, so
 * that its own statements keep working. There is no index on last_used_at, because it would prevent heap-only updates in
 * lease renewals. The fillfactor leaves space for these updates.
 */
CREATE TABLE room_server_assignments (
	room_id text PRIMARY KEY CHECK (octet_length(room_id) BETWEEN 1 AND 255),
	gateway_name text NOT NULL CHECK (octet_length(gateway_name) BETWEEN 1 AND 255),
	region text CHECK (octet_length(region) <= 255),
	assigned_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	last_used_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	reason text CHECK (octet_length(reason) <= 1000),
	expected_users int CHECK (expected_users BETWEEN 1 AND 1000000),
	reported_users int CHECK (reported_users BETWEEN 0 AND 1000000)
) USING heap WITH (
	fillfactor = 70,
	autovacuum_vacuum_scale_factor = 0.02,
	autovacuum_vacuum_threshold = 1000,
	autovacuum_analyze_scale_factor = 0.05
);
REVOKE ALL ON room_server_assignments FROM PUBLIC;
COMMENT ON TABLE room_server_assignments IS 'the server of each room: one row per room; calls renew its lease, the cleanup deletes it';
COMMENT ON COLUMN room_server_assignments.room_id IS 'the room, as text of 1 to 255 bytes';
COMMENT ON COLUMN room_server_assignments.gateway_name IS 'the server of the room';
COMMENT ON COLUMN room_server_assignments.region IS 'the regions that the room prefers, comma-separated: those of the first caller, else of the attached rooms; NULL if none';
COMMENT ON COLUMN room_server_assignments.assigned_at IS 'when the room was assigned';
COMMENT ON COLUMN room_server_assignments.last_used_at IS 'when the lease was last renewed: by a call, a touch, or a cleanup that saw users in the room';
COMMENT ON COLUMN room_server_assignments.reason IS 'why this server was chosen';
COMMENT ON COLUMN room_server_assignments.expected_users IS 'how many users were expected when the room was assigned; NULL: gxy_balancer.avg_room_occupancy';
COMMENT ON COLUMN room_server_assignments.reported_users IS 'how many users touch_room() last reported; NULL: never';
SELECT pg_catalog.pg_extension_config_dump('room_server_assignments', '');

CREATE TABLE balancer_servers (
	name text PRIMARY KEY CHECK (octet_length(name) BETWEEN 1 AND 255 AND name = btrim(name)
		AND name COLLATE "C" !~ '[[:cntrl:],]'),
	position int NOT NULL,
	priority int NOT NULL DEFAULT 0,
	capacity int CHECK (capacity BETWEEN 1 AND 1000000000),
	regions text[] CHECK (array_to_string(regions, ' ') !~ ','),
	pool text NOT NULL DEFAULT 'primary' CHECK (pool IN ('primary', 'standby', 'reserved')),
	state text NOT NULL DEFAULT 'online' CHECK (state IN ('online', 'draining', 'offline'))
) USING heap;
REVOKE ALL ON balancer_servers FROM PUBLIC;
COMMENT ON TABLE balancer_servers IS 'the pool of servers; until it is written for the first time the names in gxy_balancer.default_servers are the pool';
COMMENT ON COLUMN balancer_servers.name IS 'the name that get_or_assign_server() answers';
COMMENT ON COLUMN balancer_servers.position IS 'the order in which "sequential" fills servers, and the last tie-break; by default after all others';
COMMENT ON COLUMN balancer_servers.priority IS 'servers of a higher priority are filled before lower ones';
COMMENT ON COLUMN balancer_servers.capacity IS 'in users; NULL: gxy_balancer.default_capacity';
COMMENT ON COLUMN balancer_servers.regions IS 'regions this server is reserved for, without commas; NULL or empty: it takes rooms of every region';
COMMENT ON COLUMN balancer_servers.pool IS 'primary: takes rooms; standby: when no primary server can; reserved: pinned and moved rooms only';
COMMENT ON COLUMN balancer_servers.state IS 'the state that the operator has set: online, draining (keeps its rooms, gets no new ones) or offline';
SELECT pg_catalog.pg_extension_config_dump('balancer_servers', '');

/*
 * A row here means that the pool has been written: from then on an empty balancer_servers is an empty pool. It is a table,
 * so that it is rolled back, dumped, upgraded and replicated like balancer_servers. It has no key: two concurrent first
 * writers, or a restore, may insert a second row, which changes nothing, and a key would make one of them fail.
 */
CREATE TABLE _pool_written (
	since timestamptz NOT NULL DEFAULT clock_timestamp()
) USING heap;
REVOKE ALL ON _pool_written FROM PUBLIC;
COMMENT ON TABLE _pool_written IS 'whether balancer_servers has ever had a row; to return to gxy_balancer.default_servers: TRUNCATE balancer_servers, _pool_written';
COMMENT ON COLUMN _pool_written.since IS 'when it got its first row';
SELECT pg_catalog.pg_extension_config_dump('_pool_written', '');

/* Returns 2147483647 again if the last position is 2147483647, so that adding a server never fails. */
CREATE FUNCTION _next_server_position() RETURNS int
	LANGUAGE sql VOLATILE
	BEGIN ATOMIC
		SELECT least(coalesce(max(s.position), 0)::bigint + 1, 2147483647::bigint)::int FROM balancer_servers s;
	END;
REVOKE ALL ON FUNCTION _next_server_position() FROM PUBLIC;
COMMENT ON FUNCTION _next_server_position() IS 'default of balancer_servers.position: after all others';
ALTER TABLE balancer_servers ALTER COLUMN position SET DEFAULT _next_server_position();
/* _next_server_position() runs for each row; with this index a statement can add a hundred thousand servers. */
CREATE INDEX balancer_servers_position ON balancer_servers (position);

/* A trigger instead of a foreign key to balancer_servers: pg_restore -j loads both tables at once, in any order. */
CREATE TABLE balancer_pins (
	room_id text PRIMARY KEY CHECK (octet_length(room_id) BETWEEN 1 AND 255),
	server text NOT NULL,
	expected_users int CHECK (expected_users BETWEEN 1 AND 1000000),
	pinned_at timestamptz NOT NULL DEFAULT clock_timestamp()
) USING heap;
REVOKE ALL ON balancer_pins FROM PUBLIC;
COMMENT ON TABLE balancer_pins IS 'rooms that the operator assigns to a server; used at the next assignment';
COMMENT ON COLUMN balancer_pins.room_id IS 'the pinned room';
COMMENT ON COLUMN balancer_pins.server IS 'the server it is assigned to, unless that server is offline or the room does not exist there';
COMMENT ON COLUMN balancer_pins.expected_users IS 'a size that counts in the load for as long as the pin exists; NULL: none given';
COMMENT ON COLUMN balancer_pins.pinned_at IS 'when it was pinned';
SELECT pg_catalog.pg_extension_config_dump('balancer_pins', '');

CREATE TABLE balancer_sources (
	source text PRIMARY KEY CHECK (source IN ('sessions', 'rooms')),
	schema_name text,
	relation_name text NOT NULL
) USING heap;
REVOKE ALL ON balancer_sources FROM PUBLIC;
COMMENT ON TABLE balancer_sources IS 'the application''s relations that attach_sessions() and attach_rooms() named; kept by name, so that a view may be dropped and created anew';
COMMENT ON COLUMN balancer_sources.source IS 'sessions or rooms';
COMMENT ON COLUMN balancer_sources.schema_name IS 'schema of the attached relation; NULL: that of the extension, also after it is renamed';
COMMENT ON COLUMN balancer_sources.relation_name IS 'name of the attached relation';
SELECT pg_catalog.pg_extension_config_dump('balancer_sources', '');

/*
 * Cleanups write a row when an occasion begins and when its peak grows. They do not search rows by time, so updated_at has
 * no index and updates are heap-only. Cleanups delete rows beyond gxy_balancer.max_learned_rooms, the oldest updated_at
 * first.
 */
CREATE TABLE balancer_room_sizes (
	room_id text PRIMARY KEY CHECK (octet_length(room_id) BETWEEN 1 AND 255),
	size real NOT NULL DEFAULT 0 CHECK (size BETWEEN real '0' AND real '1000000'),
	occasions int NOT NULL DEFAULT 0 CHECK (occasions >= 0),
	peak int NOT NULL DEFAULT 0 CHECK (peak BETWEEN 0 AND 1000000),
	assigned_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	opened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
) USING heap WITH (
	fillfactor = 70,
	autovacuum_vacuum_scale_factor = 0.05,
	autovacuum_analyze_scale_factor = 0.2
);
REVOKE ALL ON balancer_room_sizes FROM PUBLIC;
COMMENT ON TABLE balancer_room_sizes IS 'sizes of rooms on earlier occasions (an occasion is the life of one assignment): the users expected in a new assignment if the caller gives no number';
COMMENT ON COLUMN balancer_room_sizes.room_id IS 'the room';
COMMENT ON COLUMN balancer_room_sizes.size IS 'weighted mean of the peaks of its occasions before the latest, recent ones weighing more';
COMMENT ON COLUMN balancer_room_sizes.occasions IS 'how many occasions size is the mean of';
COMMENT ON COLUMN balancer_room_sizes.peak IS 'most users that a cleanup saw in it at once on the latest occasion';
COMMENT ON COLUMN balancer_room_sizes.assigned_at IS 'which assignment the latest occasion belongs to';
COMMENT ON COLUMN balancer_room_sizes.opened_at IS 'when users were first seen on the latest occasion';
COMMENT ON COLUMN balancer_room_sizes.updated_at IS 'when the row was last written; the rooms written longest ago are forgotten first';
SELECT pg_catalog.pg_extension_config_dump('balancer_room_sizes', '');

/* Each heartbeat updates a row. The fillfactor leaves space for heap-only updates; they send no invalidations. */
CREATE TABLE balancer_health (
	server text PRIMARY KEY CHECK (octet_length(server) BETWEEN 1 AND 255),
	healthy boolean NOT NULL,
	since timestamptz NOT NULL,
	last_heartbeat timestamptz NOT NULL,
	counts_from timestamptz NOT NULL,
	load real CHECK (load BETWEEN real '0' AND real '10'),
	load_at timestamptz,
	recovered_at timestamptz,
	differs_since timestamptz
) USING heap WITH (fillfactor = 50);
REVOKE ALL ON balancer_health FROM PUBLIC;
COMMENT ON TABLE balancer_health IS 'what monitors reported of each server with server_heartbeat()';
COMMENT ON COLUMN balancer_health.server IS 'the server';
COMMENT ON COLUMN balancer_health.healthy IS 'as last reported; false: it counts as offline, whatever balancer_servers.state says';
COMMENT ON COLUMN balancer_health.since IS 'since when it has been healthy, or not';
COMMENT ON COLUMN balancer_health.last_heartbeat IS 'when it was last reported, to a second or so';
COMMENT ON COLUMN balancer_health.counts_from IS 'gxy_balancer.heartbeat_timeout is counted from here: the last heartbeat, or the restart of the monitor';
COMMENT ON COLUMN balancer_health.load IS 'the share of its capacity in use as last measured, 0 to 10 (0.42: 42%), to a second or so; NULL: never';
COMMENT ON COLUMN balancer_health.load_at IS 'when load was reported';
COMMENT ON COLUMN balancer_health.recovered_at IS 'when it was first reported healthy after it was last unhealthy: gxy_balancer.recovery_delay is counted from here; NULL: it has never recovered';
COMMENT ON COLUMN balancer_health.differs_since IS 'since when load has been far from what is counted, as the worker has found; NULL: it is not';
SELECT pg_catalog.pg_extension_config_dump('balancer_health', '');

/* The key has a time, not a number, and there is no unique index on active failovers, so that a restore does not fail. */
CREATE TABLE balancer_failovers (
	from_server text CHECK (octet_length(from_server) BETWEEN 1 AND 255),
	to_server text CHECK (octet_length(to_server) BETWEEN 1 AND 255),
	declared_at timestamptz,
	due_at timestamptz NOT NULL,
	cause text NOT NULL CHECK (cause IN ('set offline', 'reported unhealthy', 'silent')),
	rooms bigint NOT NULL DEFAULT 0 CHECK (rooms >= 0),
	outcome text NOT NULL DEFAULT 'pending'
		CHECK (outcome IN ('pending', 'moved', 'spread', 'cancelled', 'interrupted')),
	finished_at timestamptz,
	recovered_at timestamptz,
	on_call boolean NOT NULL DEFAULT false,
	PRIMARY KEY (from_server, declared_at)
) USING heap;
REVOKE ALL ON balancer_failovers FROM PUBLIC;
COMMENT ON TABLE balancer_failovers IS 'servers that went offline and the failover of their rooms; a row without recovered_at is in force, other rows may be deleted; of more than 2000 the worker keeps the 1000 that ended last';
COMMENT ON COLUMN balancer_failovers.from_server IS 'the server that went offline';
COMMENT ON COLUMN balancer_failovers.to_server IS 'the standby that takes its rooms; NULL: none was free, the policy spreads them';
COMMENT ON COLUMN balancer_failovers.declared_at IS 'when it went offline';
COMMENT ON COLUMN balancer_failovers.due_at IS 'from this time on its rooms are on other servers; gxy_balancer.failover_delay after declared_at';
COMMENT ON COLUMN balancer_failovers.cause IS 'set offline by an operator, reported unhealthy, or silent (no heartbeats)';
COMMENT ON COLUMN balancer_failovers.rooms IS 'rooms moved so far';
COMMENT ON COLUMN balancer_failovers.outcome IS 'pending; moved to the standby; spread by the policy; cancelled: it came back before the delay was over, and no room was moved; interrupted: it came back before all rooms were moved';
COMMENT ON COLUMN balancer_failovers.finished_at IS 'when the last room was moved, or when the failover was cancelled';
COMMENT ON COLUMN balancer_failovers.recovered_at IS 'when the server came back, or left the pool';
COMMENT ON COLUMN balancer_failovers.on_call IS 'callers get the new server of a room from declared_at on, see gxy_balancer.failover_on_call';
SELECT pg_catalog.pg_extension_config_dump('balancer_failovers', '');

/*
 * Calls for rooms send no NOTIFY, so a call that moves a room leaves a row here. The worker deletes it in the transaction
 * that sends the notification. The key has a time, because a room may be moved again before the worker runs.
 */
CREATE TABLE _moved_on_call (
	room_id text CHECK (octet_length(room_id) BETWEEN 1 AND 255),
	from_server text NOT NULL CHECK (octet_length(from_server) BETWEEN 1 AND 255),
	to_server text NOT NULL CHECK (octet_length(to_server) BETWEEN 1 AND 255),
	moved_at timestamptz DEFAULT clock_timestamp(),
	PRIMARY KEY (room_id, moved_at)
) USING heap;
REVOKE ALL ON _moved_on_call FROM PUBLIC;
COMMENT ON TABLE _moved_on_call IS 'rooms of failed servers that calls have moved, until the worker tells listeners of them';
COMMENT ON COLUMN _moved_on_call.room_id IS 'the room';
COMMENT ON COLUMN _moved_on_call.from_server IS 'the server that it was on';
COMMENT ON COLUMN _moved_on_call.to_server IS 'the server that it is on since';
COMMENT ON COLUMN _moved_on_call.moved_at IS 'when it was moved';
SELECT pg_catalog.pg_extension_config_dump('_moved_on_call', '');

/* Not a column of balancer_servers, because every backend reads the pool again when that table changes. */
CREATE TABLE _drained_servers (
	server text PRIMARY KEY CHECK (octet_length(server) BETWEEN 1 AND 255),
	since timestamptz NOT NULL DEFAULT clock_timestamp()
) USING heap;
REVOKE ALL ON _drained_servers FROM PUBLIC;
COMMENT ON TABLE _drained_servers IS 'draining servers that were found empty: listeners are told once in each drain';
COMMENT ON COLUMN _drained_servers.server IS 'the server';
COMMENT ON COLUMN _drained_servers.since IS 'when the worker first found it empty in this drain';
SELECT pg_catalog.pg_extension_config_dump('_drained_servers', '');

CREATE SEQUENCE balancer_events;
REVOKE ALL ON SEQUENCE balancer_events FROM PUBLIC;
COMMENT ON SEQUENCE balancer_events IS 'numbers the notifications of channel gxy_balancer';
SELECT pg_catalog.pg_extension_config_dump('balancer_events', '');

/* ENABLE ALWAYS: these triggers must also fire for rows that logical replication applies. */
CREATE FUNCTION _forget_backend_copies() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'gxy_forget_backend_copies';
REVOKE ALL ON FUNCTION _forget_backend_copies() FROM PUBLIC;
COMMENT ON FUNCTION _forget_backend_copies() IS 'invalidates the copies of the pool, the pins and the sources in all backends';

CREATE FUNCTION _guard_servers() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'gxy_guard_servers';
REVOKE ALL ON FUNCTION _guard_servers() FROM PUBLIC;
COMMENT ON FUNCTION _guard_servers() IS 'refuses names that no list can hold, changes of a pool that is not written yet, the deletion or renaming of a server that has rooms, and the deletion of one that has pins';

CREATE FUNCTION _guard_pins() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'gxy_guard_pins';
REVOKE ALL ON FUNCTION _guard_pins() FROM PUBLIC;
COMMENT ON FUNCTION _guard_pins() IS 'refuses a pin to a server that is not in the pool, and has pins follow a server that is renamed';

CREATE TRIGGER _forget_backend_copies AFTER INSERT OR UPDATE OR DELETE ON balancer_servers
	FOR EACH ROW EXECUTE FUNCTION _forget_backend_copies();
ALTER TABLE balancer_servers ENABLE ALWAYS TRIGGER _forget_backend_copies;
CREATE TRIGGER _forget_backend_copies AFTER INSERT OR UPDATE OR DELETE ON _pool_written
	FOR EACH ROW EXECUTE FUNCTION _forget_backend_copies();
ALTER TABLE _pool_written ENABLE ALWAYS TRIGGER _forget_backend_copies;
CREATE TRIGGER _forget_backend_copies AFTER INSERT OR UPDATE OR DELETE ON balancer_pins
	FOR EACH ROW EXECUTE FUNCTION _forget_backend_copies();
ALTER TABLE balancer_pins ENABLE ALWAYS TRIGGER _forget_backend_copies;
CREATE TRIGGER _forget_backend_copies AFTER INSERT OR UPDATE OR DELETE ON balancer_sources
	FOR EACH ROW EXECUTE FUNCTION _forget_backend_copies();
ALTER TABLE balancer_sources ENABLE ALWAYS TRIGGER _forget_backend_copies;

/* Also at DELETE, because a restore with disabled triggers may have inserted the rows. */
CREATE FUNCTION _note_pool_written() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'gxy_note_pool_written';
REVOKE ALL ON FUNCTION _note_pool_written() FROM PUBLIC;
COMMENT ON FUNCTION _note_pool_written() IS 'notes in _pool_written that balancer_servers has had a row, and warns of rooms on servers that its first rows leave out';

CREATE TRIGGER _note_pool_written AFTER INSERT OR DELETE ON balancer_servers
	FOR EACH ROW EXECUTE FUNCTION _note_pool_written();
ALTER TABLE balancer_servers ENABLE ALWAYS TRIGGER _note_pool_written;

/* The extension's own writes fire no trigger. A lease renewal does not change the load, so no trigger fires for it. */
CREATE FUNCTION _note_change() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'gxy_note_change';
REVOKE ALL ON FUNCTION _note_change() FROM PUBLIC;
COMMENT ON FUNCTION _note_change() IS 'adds the application''s own changes of assignments to the load cache';

CREATE TRIGGER _note_change AFTER INSERT OR DELETE ON room_server_assignments
	FOR EACH ROW EXECUTE FUNCTION _note_change();
ALTER TABLE room_server_assignments ENABLE ALWAYS TRIGGER _note_change;
CREATE TRIGGER _note_move AFTER UPDATE ON room_server_assignments
	FOR EACH ROW WHEN (OLD.gateway_name IS DISTINCT FROM NEW.gateway_name OR OLD.room_id IS DISTINCT FROM NEW.room_id
		OR OLD.expected_users IS DISTINCT FROM NEW.expected_users OR OLD.assigned_at IS DISTINCT FROM NEW.assigned_at)
	EXECUTE FUNCTION _note_change();
ALTER TABLE room_server_assignments ENABLE ALWAYS TRIGGER _note_move;
CREATE TRIGGER _note_truncation AFTER TRUNCATE ON room_server_assignments
	FOR EACH STATEMENT EXECUTE FUNCTION _note_change();
ALTER TABLE room_server_assignments ENABLE ALWAYS TRIGGER _note_truncation;

CREATE TRIGGER _forget_backend_copies AFTER INSERT OR UPDATE OR DELETE ON balancer_failovers
	FOR EACH ROW EXECUTE FUNCTION _forget_backend_copies();
ALTER TABLE balancer_failovers ENABLE ALWAYS TRIGGER _forget_backend_copies;
CREATE TRIGGER _forget_backend_copies AFTER DELETE ON balancer_health
	FOR EACH ROW EXECUTE FUNCTION _forget_backend_copies();
ALTER TABLE balancer_health ENABLE ALWAYS TRIGGER _forget_backend_copies;
CREATE TRIGGER _forget_backend_copies_if_unhealthy AFTER INSERT ON balancer_health
	FOR EACH ROW WHEN (NOT new.healthy OR new.recovered_at IS NOT NULL)
	EXECUTE FUNCTION _forget_backend_copies();
ALTER TABLE balancer_health ENABLE ALWAYS TRIGGER _forget_backend_copies_if_unhealthy;
CREATE TRIGGER _forget_backend_copies_if_changed AFTER UPDATE ON balancer_health
	FOR EACH ROW WHEN (old.healthy <> new.healthy OR old.server <> new.server
		OR old.recovered_at IS DISTINCT FROM new.recovered_at)
	EXECUTE FUNCTION _forget_backend_copies();
ALTER TABLE balancer_health ENABLE ALWAYS TRIGGER _forget_backend_copies_if_changed;

/*
 * Not at INSERT: a restore of an offline server also restores its failover. The worker finds failovers that these triggers
 * missed.
 */
CREATE FUNCTION _reconcile_failovers() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'gxy_reconcile_failovers';
REVOKE ALL ON FUNCTION _reconcile_failovers() FROM PUBLIC;
COMMENT ON FUNCTION _reconcile_failovers() IS 'declares and ends failovers when servers change their state or leave the pool, and tells listeners of it';

CREATE TRIGGER _lock_server_states BEFORE UPDATE OF state, name OR DELETE OR TRUNCATE ON balancer_servers
	FOR EACH STATEMENT EXECUTE FUNCTION _reconcile_failovers();
CREATE TRIGGER _reconcile_failovers AFTER UPDATE OR DELETE OR TRUNCATE ON balancer_servers
	FOR EACH STATEMENT EXECUTE FUNCTION _reconcile_failovers();
CREATE TRIGGER _tell_state AFTER UPDATE ON balancer_servers
	FOR EACH ROW WHEN (old.state <> new.state) EXECUTE FUNCTION _reconcile_failovers();

CREATE TRIGGER _guard_unwritten_pool BEFORE DELETE ON balancer_servers
	FOR EACH STATEMENT EXECUTE FUNCTION _guard_servers();
CREATE TRIGGER _guard_unwritten_pool_after AFTER UPDATE ON balancer_servers
	FOR EACH STATEMENT EXECUTE FUNCTION _guard_servers();
CREATE TRIGGER _guard_truncation BEFORE TRUNCATE ON balancer_servers
	FOR EACH STATEMENT EXECUTE FUNCTION _guard_servers();
CREATE TRIGGER _guard_truncation_after AFTER TRUNCATE ON balancer_servers
	FOR EACH STATEMENT EXECUTE FUNCTION _guard_servers();
CREATE TRIGGER _guard_servers BEFORE INSERT OR DELETE OR UPDATE OF name, regions ON balancer_servers
	FOR EACH ROW EXECUTE FUNCTION _guard_servers();
CREATE TRIGGER _rename_pins AFTER UPDATE ON balancer_servers
	FOR EACH ROW WHEN (old.name <> new.name) EXECUTE FUNCTION _guard_pins();
CREATE TRIGGER _guard_pins BEFORE INSERT OR UPDATE OF server ON balancer_pins
	FOR EACH ROW EXECUTE FUNCTION _guard_pins();

--
-- Functions for the application
--

CREATE FUNCTION get_or_assign_server(room text, region text DEFAULT NULL, expected_users int DEFAULT NULL)
	RETURNS text
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gxy_get_or_assign_server';
REVOKE ALL ON FUNCTION get_or_assign_server(text, text, int) FROM PUBLIC;
COMMENT ON FUNCTION get_or_assign_server(text, text, int) IS 'the server of a room, the same for everyone in it; assigns one if the room has none; region may list several, comma-separated, the preferred one first';

CREATE FUNCTION get_or_assign_server(room bigint, region text DEFAULT NULL, expected_users int DEFAULT NULL)
	RETURNS text
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gxy_get_or_assign_server_bigint';
REVOKE ALL ON FUNCTION get_or_assign_server(bigint, text, int) FROM PUBLIC;
COMMENT ON FUNCTION get_or_assign_server(bigint, text, int) IS 'the server of a room, the same for everyone in it; assigns one if the room has none; region may list several, comma-separated, the preferred one first';

CREATE FUNCTION touch_room(room text, users int DEFAULT NULL) RETURNS boolean
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gxy_touch_room';
REVOKE ALL ON FUNCTION touch_room(text, int) FROM PUBLIC;
COMMENT ON FUNCTION touch_room(text, int) IS 'renews the lease of a room; returns false if it has no assignment; users: how many are in it, for services without attached sessions';

CREATE FUNCTION touch_room(room bigint, users int DEFAULT NULL) RETURNS boolean
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gxy_touch_room_bigint';
REVOKE ALL ON FUNCTION touch_room(bigint, int) FROM PUBLIC;
COMMENT ON FUNCTION touch_room(bigint, int) IS 'renews the lease of a room; returns false if it has no assignment; users: how many are in it, for services without attached sessions';

CREATE FUNCTION room_server(room text) RETURNS text
	LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'gxy_room_server';
REVOKE ALL ON FUNCTION room_server(text) FROM PUBLIC;
COMMENT ON FUNCTION room_server(text) IS 'the server of a room or NULL; for listings, not for routing joins: a pooler may send it to a replica';

CREATE FUNCTION room_server(room bigint) RETURNS text
	LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'gxy_room_server_bigint';
REVOKE ALL ON FUNCTION room_server(bigint) FROM PUBLIC;
COMMENT ON FUNCTION room_server(bigint) IS 'the server of a room or NULL; for listings, not for routing joins: a pooler may send it to a replica';

CREATE FUNCTION release_room(room text) RETURNS boolean
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gxy_release_room';
REVOKE ALL ON FUNCTION release_room(text) FROM PUBLIC;
COMMENT ON FUNCTION release_room(text) IS 'frees a room now, also if users are in it; returns false if it has no assignment';

CREATE FUNCTION release_room(room bigint) RETURNS boolean
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gxy_release_room_bigint';
REVOKE ALL ON FUNCTION release_room(bigint) FROM PUBLIC;
COMMENT ON FUNCTION release_room(bigint) IS 'frees a room now, also if users are in it; returns false if it has no assignment';

CREATE FUNCTION clean_inactive_assignments(grace interval DEFAULT NULL) RETURNS bigint
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gxy_clean_inactive_assignments';
REVOKE ALL ON FUNCTION clean_inactive_assignments(interval) FROM PUBLIC;
COMMENT ON FUNCTION clean_inactive_assignments(interval) IS 'frees the rooms not used for longer than the grace period (default: gxy_balancer.assignment_grace); time before the server''s start or promotion does not count, unless the period is below that setting; returns their number';

--
-- Functions for the operator
--

CREATE FUNCTION attach_sessions(relation regclass) RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gxy_attach_sessions';
REVOKE ALL ON FUNCTION attach_sessions(regclass) FROM PUBLIC;
COMMENT ON FUNCTION attach_sessions(regclass) IS 'names the relation of live sessions: room_id, user_id, optionally gateway_name and last_seen_at; NULL detaches';

CREATE FUNCTION attach_rooms(relation regclass) RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gxy_attach_rooms';
REVOKE ALL ON FUNCTION attach_rooms(regclass) FROM PUBLIC;
COMMENT ON FUNCTION attach_rooms(regclass) IS 'names the relation of rooms that may be assigned: room_id, optionally expected_users, region, home_server, servers text[]; NULL detaches';

CREATE FUNCTION init_servers(names text DEFAULT NULL) RETURNS int
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gxy_init_servers';
REVOKE ALL ON FUNCTION init_servers(text) FROM PUBLIC;
COMMENT ON FUNCTION init_servers(text) IS 'writes the pool: comma-separated names, or gxy_balancer.default_servers; returns how many names it added';

CREATE FUNCTION server_state(server text) RETURNS text
	LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gxy_server_state';
REVOKE ALL ON FUNCTION server_state(text) FROM PUBLIC;
COMMENT ON FUNCTION server_state(text) IS 'the state in force of a server: online, draining or offline';

CREATE FUNCTION set_server_state(server text, state text) RETURNS text
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gxy_set_server_state';
REVOKE ALL ON FUNCTION set_server_state(text, text) FROM PUBLIC;
COMMENT ON FUNCTION set_server_state(text, text) IS 'sets the state of a server: online, draining or offline; returns the state in force afterwards';

CREATE FUNCTION server_heartbeat(server text, healthy boolean DEFAULT true, load real DEFAULT NULL) RETURNS boolean
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gxy_server_heartbeat';
REVOKE ALL ON FUNCTION server_heartbeat(text, boolean, real) FROM PUBLIC;
COMMENT ON FUNCTION server_heartbeat(text, boolean, real) IS 'reports the health of a server; returns true if its health changed, false for a server not in the pool; load: the share of its capacity in use as the server measures it, 0 to 10 (0.42: 42%), NULL: no news; healthy NULL: a load from elsewhere, which is not a heartbeat';

CREATE FUNCTION pin_room(room text, server text, expected_users int DEFAULT NULL) RETURNS text
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gxy_pin_room';
REVOKE ALL ON FUNCTION pin_room(text, text, int) FROM PUBLIC;
COMMENT ON FUNCTION pin_room(text, text, int) IS 'the next assignment of the room is to this server, on which it has to exist; returns the server that the room is on now, NULL if none';

CREATE FUNCTION unpin_room(room text) RETURNS boolean
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gxy_unpin_room';
REVOKE ALL ON FUNCTION unpin_room(text) FROM PUBLIC;
COMMENT ON FUNCTION unpin_room(text) IS 'removes the pin of a room; returns false if it has none';

CREATE FUNCTION move_room(room text, server text) RETURNS text
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gxy_move_room';
REVOKE ALL ON FUNCTION move_room(text, text) FROM PUBLIC;
COMMENT ON FUNCTION move_room(text, text) IS 'moves a room to a server on which it exists, which splits it until its users reconnect; returns the server that it is on then, NULL if it has no assignment';

CREATE FUNCTION pin_room(room bigint, server text, expected_users int DEFAULT NULL) RETURNS text
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gxy_pin_room_bigint';
REVOKE ALL ON FUNCTION pin_room(bigint, text, int) FROM PUBLIC;
COMMENT ON FUNCTION pin_room(bigint, text, int) IS 'the next assignment of the room is to this server, on which it has to exist; returns the server that the room is on now, NULL if none';

CREATE FUNCTION unpin_room(room bigint) RETURNS boolean
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gxy_unpin_room_bigint';
REVOKE ALL ON FUNCTION unpin_room(bigint) FROM PUBLIC;
COMMENT ON FUNCTION unpin_room(bigint) IS 'removes the pin of a room; returns false if it has none';

CREATE FUNCTION move_room(room bigint, server text) RETURNS text
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gxy_move_room_bigint';
REVOKE ALL ON FUNCTION move_room(bigint, text) FROM PUBLIC;
COMMENT ON FUNCTION move_room(bigint, text) IS 'moves a room to a server on which it exists, which splits it until its users reconnect; returns the server that it is on then, NULL if it has no assignment';

CREATE FUNCTION evacuate_server(server text, target text DEFAULT NULL, max_rooms int DEFAULT NULL) RETURNS bigint
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gxy_evacuate_server';
REVOKE ALL ON FUNCTION evacuate_server(text, text, int) FROM PUBLIC;
COMMENT ON FUNCTION evacuate_server(text, text, int) IS 'moves the rooms of a server, largest first: to the target, or spread by the policy; without max_rooms it sets the server draining first; returns how many it moved; rooms that do not exist where they could go stay, with a warning';

CREATE FUNCTION what_if(server text, state text, OUT server text, OUT state text, OUT capacity int,
		OUT rooms_before bigint, OUT users_before bigint, OUT load_before bigint, OUT percent_before numeric,
		OUT rooms_after bigint, OUT users_after bigint, OUT load_after bigint, OUT percent_after numeric, OUT note text)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gxy_what_if';
REVOKE ALL ON FUNCTION what_if(text, text) FROM PUBLIC;
COMMENT ON FUNCTION what_if(text, text) IS 'the load of each server before and after a server fails (offline), is set draining and evacuated (draining), or comes back (online), by the code that would move the rooms; changes nothing';

CREATE FUNCTION what_if_added(server text, capacity int, OUT server text, OUT state text, OUT capacity int,
		OUT rooms_before bigint, OUT users_before bigint, OUT load_before bigint, OUT percent_before numeric,
		OUT rooms_after bigint, OUT users_after bigint, OUT load_after bigint, OUT percent_after numeric, OUT note text)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gxy_what_if_added';
REVOKE ALL ON FUNCTION what_if_added(text, int) FROM PUBLIC;
COMMENT ON FUNCTION what_if_added(text, int) IS 'the load of each server before and after a server of this capacity (NULL: gxy_balancer.default_capacity) is added and rebalance() is called without limits; changes nothing';

CREATE FUNCTION rebalance(max_rooms int, max_users int, dry_run boolean DEFAULT true,
		OUT room text, OUT from_server text, OUT to_server text, OUT users bigint)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gxy_rebalance';
REVOKE ALL ON FUNCTION rebalance(int, int, boolean) FROM PUBLIC;
COMMENT ON FUNCTION rebalance(int, int, boolean) IS 'the moves that take most load off the fullest servers per user moved, rooms without users first; at most so many rooms and users (NULL: no limit); dry_run: lists them, otherwise does them, which splits occupied rooms until their users reconnect, and returns those it has moved';

CREATE FUNCTION explain_assignment(room text, region text DEFAULT NULL, expected_users int DEFAULT NULL,
		OUT rank int, OUT server text, OUT chosen boolean, OUT tier int, OUT reason text,
		OUT load bigint, OUT capacity int, OUT expected int, OUT expected_from text, OUT score numeric, OUT rooms bigint,
		OUT room_sessions bigint, OUT priority int, OUT state text, OUT pool text, OUT regions text[],
		OUT score_from text)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gxy_explain_assignment';
REVOKE ALL ON FUNCTION explain_assignment(text, text, int) FROM PUBLIC;
COMMENT ON FUNCTION explain_assignment(text, text, int) IS 'what get_or_assign_server() would do and why: one row a server, the chosen one first, then best first, or why it would fail where an attached relation cannot be read; tier -1: never chosen; changes nothing';

CREATE FUNCTION explain_assignment(room bigint, region text DEFAULT NULL, expected_users int DEFAULT NULL,
		OUT rank int, OUT server text, OUT chosen boolean, OUT tier int, OUT reason text,
		OUT load bigint, OUT capacity int, OUT expected int, OUT expected_from text, OUT score numeric, OUT rooms bigint,
		OUT room_sessions bigint, OUT priority int, OUT state text, OUT pool text, OUT regions text[],
		OUT score_from text)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gxy_explain_assignment_bigint';
REVOKE ALL ON FUNCTION explain_assignment(bigint, text, int) FROM PUBLIC;
COMMENT ON FUNCTION explain_assignment(bigint, text, int) IS 'what get_or_assign_server() would do and why: one row a server, the chosen one first, then best first, or why it would fail where an attached relation cannot be read; tier -1: never chosen; changes nothing';

--
-- Views
--

CREATE FUNCTION _server_loads(OUT server text, OUT state text, OUT pool text, OUT rooms bigint, OUT users bigint,
		OUT connected bigint, OUT expected bigint, OUT load bigint, OUT capacity int, OUT cause text,
		OUT measured numeric, OUT split_rooms bigint, OUT split_users bigint, OUT problem text,
		OUT differs_since timestamptz, OUT recovering boolean, OUT wanted text, OUT health text,
		OUT health_since timestamptz, OUT failover_to text, OUT failover_since timestamptz,
		OUT failover_due timestamptz, OUT unmoved bigint, OUT priority int, OUT regions text, OUT last_heartbeat timestamptz)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 20 AS 'MODULE_PATHNAME', 'gxy_server_loads';
REVOKE ALL ON FUNCTION _server_loads() FROM PUBLIC;
COMMENT ON FUNCTION _server_loads() IS 'rows of balancer_load, counted now, and what balancer_now and balancer_alerts show besides';

/* ROWS: with the default of 1000 the plan of balancer_alerts looks so expensive that it is compiled, which takes seconds. */
CREATE FUNCTION _conditions(OUT default_pool boolean, OUT sessions text, OUT attached_rooms text, OUT rooms_problem text,
		OUT counts_each_room boolean, OUT has_baseline boolean, OUT cleanup_interval interval, OUT is_sequential boolean)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 1 AS 'MODULE_PATHNAME', 'gxy_conditions';
REVOKE ALL ON FUNCTION _conditions() FROM PUBLIC;
COMMENT ON FUNCTION _conditions() IS 'what balancer_alerts looks at besides servers and the worker; reads one room of the attached rooms';

CREATE FUNCTION _room_loads(OUT room_id text, OUT server text, OUT users bigint, OUT users_elsewhere bigint,
		OUT expected_users int, OUT pinned text, OUT reason text, OUT assigned_at timestamptz,
		OUT last_used_at timestamptz, OUT problem text)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gxy_room_loads';
REVOKE ALL ON FUNCTION _room_loads() FROM PUBLIC;
COMMENT ON FUNCTION _room_loads() IS 'rows of balancer_rooms, counted now';

CREATE FUNCTION _check_load_cache(OUT server text, OUT usable boolean, OUT cached_rooms bigint, OUT rooms bigint,
		OUT cached_load bigint, OUT load bigint, OUT counted_at timestamptz)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gxy_check_load_cache';
REVOKE ALL ON FUNCTION _check_load_cache() FROM PUBLIC;
COMMENT ON FUNCTION _check_load_cache() IS 'compares the load cache (see gxy_balancer.load_max_age) with a count made now, by server; no rows if there is no memory for the cache';

/*
 * The view uses operators of mixed types, for which pg_catalog has no exact match. The extension's schema may have one, so
 * the search_path does not contain that schema here.
 */
SET LOCAL search_path = pg_catalog, pg_temp;
CREATE VIEW @extschema@.balancer_load AS
	SELECT l.server, l.state, l.pool, l.rooms, l.users, l.connected, l.expected, l.load, l.capacity,
		round(100.0 * l.load / l.capacity, 1) AS percent,
		CASE WHEN l.load <= l.capacity THEN rpad(repeat('#', ((6 * l.load + l.capacity - 1) / l.capacity)::int), 6, '.')
			WHEN l.load > l.capacity THEN '#####>' END AS bar,
		l.cause, l.measured
	FROM @extschema@._server_loads() l;
SET LOCAL search_path = @extschema@, pg_temp;
REVOKE ALL ON balancer_load FROM PUBLIC;
COMMENT ON VIEW balancer_load IS 'the load of each server, counted now, also of servers outside of the pool that still have rooms; for people there is balancer_now';
COMMENT ON COLUMN balancer_load.server IS 'the server';
COMMENT ON COLUMN balancer_load.state IS 'the state in force; drained: draining, without rooms and without connected users';
COMMENT ON COLUMN balancer_load.pool IS 'primary, standby or reserved; NULL for a server that is not in the pool';
COMMENT ON COLUMN balancer_load.rooms IS 'rooms assigned to it, those of open transactions included';
COMMENT ON COLUMN balancer_load.users IS 'distinct users in active sessions of its rooms; NULL, like all that depends on it, where the attached sessions cannot be read';
COMMENT ON COLUMN balancer_load.connected IS 'distinct users in active sessions that name this server themselves';
COMMENT ON COLUMN balancer_load.expected IS 'users still expected in its rooms beyond those already there';
COMMENT ON COLUMN balancer_load.load IS 'what placement compares: by default users there plus users expected';
COMMENT ON COLUMN balancer_load.capacity IS 'in users';
COMMENT ON COLUMN balancer_load.percent IS '100 x load / capacity';
COMMENT ON COLUMN balancer_load.bar IS 'percent as a bar of six characters; the last is > if load is above capacity';
COMMENT ON COLUMN balancer_load.cause IS 'why it is in this state, whether a draining server may be stopped, what a failover has to do with it (whose rooms it takes, or where its own go), why users are unknown, and that measured and counted load have been far apart for a minute';
COMMENT ON COLUMN balancer_load.measured IS '100 x the share of its capacity in use that server_heartbeat() last reported; NULL: no report of it is fresh';

CREATE VIEW balancer_rooms AS
	SELECT r.room_id, r.server, r.users, r.users_elsewhere, r.expected_users, r.pinned, r.reason, r.assigned_at,
		r.last_used_at, r.problem
	FROM _room_loads() r;
REVOKE ALL ON balancer_rooms FROM PUBLIC;
COMMENT ON VIEW balancer_rooms IS 'every assigned room: its server, who is in it, and why it is there';
COMMENT ON COLUMN balancer_rooms.room_id IS 'the room';
COMMENT ON COLUMN balancer_rooms.server IS 'the server it is assigned to';
COMMENT ON COLUMN balancer_rooms.users IS 'distinct users in its active sessions; where no sessions are attached, those that touch_room() reported';
COMMENT ON COLUMN balancer_rooms.users_elsewhere IS 'those of them whose session names another server: a split room shows here';
COMMENT ON COLUMN balancer_rooms.expected_users IS 'users expected in it';
COMMENT ON COLUMN balancer_rooms.pinned IS 'the server it is pinned to, if it is';
COMMENT ON COLUMN balancer_rooms.reason IS 'why this server was chosen';
COMMENT ON COLUMN balancer_rooms.assigned_at IS 'when the room was assigned';
COMMENT ON COLUMN balancer_rooms.last_used_at IS 'when its lease was last renewed';
COMMENT ON COLUMN balancer_rooms.problem IS 'why users and users_elsewhere are unknown: the attached sessions cannot be read';

CREATE FUNCTION _stats(OUT assigned_tier_0 bigint, OUT assigned_tier_1 bigint, OUT assigned_tier_2 bigint, OUT
		assigned_tier_3 bigint, OUT assigned_tier_4 bigint, OUT assigned_tier_5 bigint, OUT assigned_tier_6
		bigint, OUT sticky bigint, OUT renewed bigint, OUT moved bigint, OUT freed bigint, OUT refused
		bigint, OUT since timestamptz, OUT worker text, OUT last_run timestamptz, OUT last_run_duration
		interval, OUT last_run_freed bigint, OUT last_error text, OUT next_due timestamptz, OUT placed_by_cache
		bigint, OUT placed_by_count bigint, OUT counted_because text, OUT shared_memory text, OUT clock_set_at
		timestamptz, OUT clock_set_by interval, OUT frees_from timestamptz, OUT failovers bigint)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 1 AS 'MODULE_PATHNAME', 'gxy_stats';
REVOKE ALL ON FUNCTION _stats() FROM PUBLIC;
COMMENT ON FUNCTION _stats() IS 'the row of balancer_stats';

CREATE VIEW balancer_stats AS
	SELECT s.* FROM _stats() s;
REVOKE ALL ON balancer_stats FROM PUBLIC;
COMMENT ON VIEW balancer_stats IS 'counters of this database, and its background worker';
COMMENT ON COLUMN balancer_stats.assigned_tier_0 IS 'rooms assigned by tier 0: where their sessions were, their pin, or their home under gxy_balancer.strategy = home';
COMMENT ON COLUMN balancer_stats.assigned_tier_1 IS 'rooms assigned by tier 1: servers of a region that the room prefers';
COMMENT ON COLUMN balancer_stats.assigned_tier_2 IS 'rooms assigned by tier 2: servers of every region';
COMMENT ON COLUMN balancer_stats.assigned_tier_3 IS 'rooms assigned by tier 3: over capacity';
COMMENT ON COLUMN balancer_stats.assigned_tier_4 IS 'rooms assigned by tier 4: other regions, standbys and servers that were recovering';
COMMENT ON COLUMN balancer_stats.assigned_tier_5 IS 'rooms assigned by tier 5: draining servers';
COMMENT ON COLUMN balancer_stats.assigned_tier_6 IS 'rooms assigned by tier 6: offline servers';
COMMENT ON COLUMN balancer_stats.sticky IS 'calls answered from an assignment that was there';
COMMENT ON COLUMN balancer_stats.renewed IS 'leases renewed by calls and touches';
COMMENT ON COLUMN balancer_stats.moved IS 'rooms moved';
COMMENT ON COLUMN balancer_stats.freed IS 'rooms freed by cleanups';
COMMENT ON COLUMN balancer_stats.refused IS 'calls that found no server and raised an error';
COMMENT ON COLUMN balancer_stats.since IS 'when counting started: at the server''s start or the last reset';
COMMENT ON COLUMN balancer_stats.worker IS 'the background worker: idle, running, backing off and why, starting, standby, no launcher or no worker slot (max_worker_processes)';
COMMENT ON COLUMN balancer_stats.last_run IS 'when its last run in this database began';
COMMENT ON COLUMN balancer_stats.last_run_duration IS 'the duration of the last run';
COMMENT ON COLUMN balancer_stats.last_run_freed IS 'how many rooms the last run freed';
COMMENT ON COLUMN balancer_stats.last_error IS 'why the last run failed, or what it could not write although it freed rooms; NULL: neither';
COMMENT ON COLUMN balancer_stats.next_due IS 'when the next run is due';
COMMENT ON COLUMN balancer_stats.placed_by_cache IS 'rooms placed by the load cache in shared memory';
COMMENT ON COLUMN balancer_stats.placed_by_count IS 'rooms placed by a count of all rooms and sessions made for each of them, which is slower';
COMMENT ON COLUMN balancer_stats.counted_because IS 'why the last room of placed_by_count was not placed by the load cache';
COMMENT ON COLUMN balancer_stats.shared_memory IS 'why shared memory is missing, so that rooms are placed by counting; NULL: there is enough';
COMMENT ON COLUMN balancer_stats.clock_set_at IS 'when the system clock was last found to have been set, since the server''s start; NULL: never';
COMMENT ON COLUMN balancer_stats.clock_set_by IS 'by how much it was set; negative: back';
COMMENT ON COLUMN balancer_stats.frees_from IS 'from when inactive rooms are freed again, because the clock was set forward; NULL: it does not hold them up';
COMMENT ON COLUMN balancer_stats.failovers IS 'failovers declared';

/*
 * One branch an alert, over one count of the servers. Only functions that end their waits read tables: a view that read
 * them itself would wait for a lock without limit. Two servers with the same priority and regions are peers: the policy
 * fills them evenly. The thresholds of imbalance lie above what rooms that grow and shrink do by themselves (doc/balance.md:
 * the busiest server has up to 1.5 times the mean).
 */
SET LOCAL search_path = pg_catalog, pg_temp;
CREATE VIEW @extschema@.balancer_alerts AS
	WITH s AS MATERIALIZED (
		SELECT l.*, row_number() OVER () AS rank, round(100.0 * l.load / l.capacity) AS percent, clock_timestamp() AS at,
			l.pool IS NOT NULL AND l.state = 'online' AND l.pool <> 'reserved' AS is_usable,
			l.pool = 'primary' AND l.state = 'online' AND NOT l.recovering AS takes_rooms,
			/* the CHECK of balancer_servers.name; an application may have written rooms with other names */
			octet_length(l.server) BETWEEN 1 AND 255 AND l.server = btrim(l.server)
				AND l.server COLLATE "C" !~ '[[:cntrl:],]' AS is_name
		FROM @extschema@._server_loads() l
	), c AS MATERIALIZED (
		SELECT * FROM @extschema@._conditions()
	), t AS MATERIALIZED (
		SELECT * FROM @extschema@._stats()
	), p AS MATERIALIZED (
		SELECT count(s.pool) AS servers, count(*) FILTER (WHERE s.is_usable) AS usable,
			count(*) FILTER (WHERE s.takes_rooms) AS takers,
			coalesce(sum(s.rooms), 0) AS rooms, max(s.problem) AS problem,
			coalesce(sum(greatest(s.capacity - s.load, 0)) FILTER (WHERE s.takes_rooms), 0) AS headroom
		FROM s
	), standbys AS MATERIALIZED (
		SELECT s.*, f.since AS claimed_since,
			s.state = 'online' AND s.rooms = 0 AND NOT s.recovering AND f.pending IS NOT TRUE AS is_free
		FROM s LEFT JOIN (
			SELECT o.failover_to, max(o.failover_since) AS since,
				bool_or(o.failover_due > o.at OR o.unmoved IS NOT NULL) AS pending
			FROM s o GROUP BY o.failover_to) f ON f.failover_to = s.server
		WHERE s.pool = 'standby'
	), peers AS MATERIALIZED (
		SELECT s.priority, s.regions, 100.0 * sum(s.load) / sum(s.capacity) AS mean
		FROM s WHERE s.takes_rooms GROUP BY s.priority, s.regions
	), n AS MATERIALIZED (
		/* Always with their schema: in another schema of the caller's search_path another role may have made such a function. */
		SELECT x.name || '.set_server_state' AS set_server_state, x.name || '.evacuate_server' AS evacuate_server,
			x.name || '.rebalance' AS rebalance, x.name || '.init_servers' AS init_servers,
			x.name || '.clean_inactive_assignments' AS clean,
			x.name || '.balancer_servers' AS servers, x.name || '.balancer_rooms' AS rooms
		FROM (SELECT '@extschema@'::regnamespace::text AS name) x
	), alerts (severity, alert, server, what, since, statement) AS (
		SELECT 'critical', CASE s.health WHEN 'silent' THEN 'server_silent' ELSE 'server_unhealthy' END, s.server,
			CASE s.health WHEN 'silent' THEN 'silent' ELSE 'reported unhealthy' END
				|| CASE WHEN s.failover_due IS NULL THEN ''
					ELSE '; ' || CASE WHEN s.failover_due > s.at
							THEN format('in %s s its rooms (%s) go to ', ceil(extract(epoch FROM s.failover_due - s.at)), s.rooms)
							WHEN s.rooms > 0 THEN 'its rooms go to ' ELSE 'its rooms have gone to ' END
						|| coalesce(s.failover_to, 'all other servers') END,
			s.health_since, format('SELECT %s(%L, ''offline'');', n.set_server_state, s.server)
		FROM s, n WHERE s.health IS NOT NULL AND s.wanted = 'online'
		UNION ALL
		SELECT 'critical', 'rooms_stuck', s.server,
			format('its rooms (%s) should have left it %s s ago: ', s.unmoved, floor(extract(epoch FROM s.at - s.failover_due)))
				|| CASE WHEN p.usable = 0 THEN 'no other server is online'
					WHEN s.problem IS NOT NULL THEN 'the attached sessions cannot be read'
					WHEN t.worker IN ('idle', 'running') THEN 'the worker has not moved them'
					ELSE 'worker: ' || t.worker END,
			s.failover_due,
			CASE WHEN p.usable > 0 AND s.problem IS NULL
				THEN format('SELECT %s(%L, NULL, %s);', n.evacuate_server, s.server, s.unmoved) END
		FROM s, n, p, t WHERE s.unmoved > 0 AND s.failover_due < s.at - interval '5 s'
		UNION ALL
		SELECT 'critical', 'pool_empty', NULL, 'the pool has no server, so new rooms fail: insert servers into balancer_servers', NULL,
			(SELECT format('SELECT %s(%L);', n.init_servers, string_agg(s.server, ',' ORDER BY s.rank))
				FROM s WHERE s.is_name HAVING count(*) > 0)
		FROM n, p WHERE p.servers = 0
		UNION ALL
		SELECT 'critical', 'no_usable_server', NULL, format('no server of the pool (%s) is online, so new rooms go to one that is not, or fail', p.servers),
			NULL, (SELECT format('SELECT %s(%L, ''online'');', n.set_server_state, s.server)
				FROM s WHERE s.wanted <> 'online' AND s.health IS NULL AND s.pool <> 'reserved'
				ORDER BY s.state = 'offline', s.pool, s.rank LIMIT 1)
		FROM n, p WHERE p.servers > 0 AND p.usable = 0
		UNION ALL
		SELECT 'critical', 'source_broken', NULL,
			format('the attached sessions %s cannot be read, so new rooms fail and none is freed: %s', c.sessions, p.problem), NULL, NULL
		FROM c, p WHERE p.problem IS NOT NULL
		UNION ALL
		SELECT 'critical', 'source_broken', NULL,
			format('the attached rooms %s cannot be read, so new rooms fail: %s', c.attached_rooms, c.rooms_problem), NULL, NULL
		FROM c WHERE c.rooms_problem IS NOT NULL
		UNION ALL
		SELECT 'critical', 'worker_absent', NULL,
			format('%s: no room is freed or moved until max_worker_processes (%s) is raised and PostgreSQL restarted', t.worker, m.value),
			NULL, format('ALTER SYSTEM SET max_worker_processes = %s;', m.value + 4)
		FROM t, (SELECT current_setting('max_worker_processes')::int AS value) m
		WHERE t.worker IN ('no launcher', 'no worker slot')
		UNION ALL
		SELECT 'warning', 'worker_behind', NULL, 'the last run failed, try again by hand: ' || coalesce(t.last_error, t.worker), t.last_run,
			format('SELECT %s();', n.clean)
		FROM t, n WHERE t.worker LIKE 'backing off%'
		UNION ALL
		SELECT 'warning', 'worker_behind', NULL,
			format('a run was due %s s ago, and the worker is %s', floor(extract(epoch FROM clock_timestamp() - t.next_due)), t.worker),
			t.next_due, format('SELECT %s();', n.clean)
		FROM t, n, c
		WHERE t.worker IN ('idle', 'running', 'starting')
			AND t.next_due < clock_timestamp() - greatest(c.cleanup_interval, interval '10 s')
		UNION ALL
		SELECT 'warning', 'no_standby_left', NULL,
			format('no standby (%s) is free, so the rooms of the next server that fails are spread', count(*)),
			CASE WHEN bool_and(b.claimed_since IS NOT NULL OR b.health IS NOT NULL)
				THEN max(greatest(b.claimed_since, CASE WHEN b.health IS NOT NULL THEN b.health_since END)) END,
			coalesce(
				min(format('SELECT %s(%L, NULL, %s);', n.evacuate_server, b.server, b.rooms))
					FILTER (WHERE b.state = 'online' AND b.rooms > 0 AND p.takers > 0),
				min(format('SELECT %s(%L, ''online'');', n.set_server_state, b.server))
					FILTER (WHERE b.wanted <> 'online' AND b.health IS NULL))
		FROM standbys b, n, p GROUP BY p.takers HAVING NOT bool_or(b.is_free)
		UNION ALL
		SELECT 'warning', 'server_over_capacity', s.server,
			format('its load of %s is above its capacity of %s, %s', s.load, s.capacity,
				CASE WHEN p.headroom > 0 THEN format('while others have room for %s', p.headroom) ELSE 'and no other server has room' END),
			NULL,
			CASE WHEN p.headroom > 0 THEN format('SELECT * FROM %s(20, 100, dry_run => false);', n.rebalance)
				ELSE (SELECT format('UPDATE %s SET pool = ''primary'' WHERE name = %L;', n.servers, min(b.server))
					FROM standbys b WHERE b.is_free HAVING count(*) > 0) END
		FROM s, n, p WHERE s.load > s.capacity AND s.state <> 'offline'
		UNION ALL
		SELECT 'warning', 'imbalance', s.server,
			format('it is at %s%% of its capacity, the mean of its peers is %s%%', s.percent, round(r.mean)), NULL,
			format('SELECT * FROM %s(20, 100, dry_run => false);', n.rebalance)
		FROM s JOIN peers r ON r.priority = s.priority AND r.regions IS NOT DISTINCT FROM s.regions, n, c
		WHERE s.takes_rooms AND s.rooms > 1 AND s.percent >= r.mean + 25 AND s.percent >= 1.5 * r.mean AND NOT c.is_sequential
		UNION ALL
		SELECT 'warning', 'split_rooms', s.server,
			format('rooms with users on other servers: %s of %s, such users: %s', s.split_rooms, s.rooms, s.split_users), NULL,
			format('SELECT room_id, server, users, users_elsewhere FROM %s WHERE server = %L AND users_elsewhere > 0;', n.rooms, s.server)
		FROM s, n WHERE s.split_rooms > 0
		UNION ALL
		SELECT 'warning', 'server_outside_pool', s.server,
			format('it is not in the pool, and its rooms (%s) move to servers that are', s.rooms), NULL,
			CASE WHEN NOT s.is_name THEN NULL WHEN c.default_pool THEN format('SELECT %s(); ', n.init_servers) ELSE '' END
				|| format('INSERT INTO %s (name) VALUES (%L);', n.servers, s.server)
		FROM s, n, c, p WHERE s.pool IS NULL AND s.rooms > 0 AND p.servers > 0
		UNION ALL
		SELECT 'warning', 'measured_differs', s.server,
			format('it measures %s%% of its capacity and %s%% is counted: look at its capacity and sessions', round(s.measured), s.percent),
			s.differs_since, NULL
		FROM s WHERE s.differs_since IS NOT NULL
		UNION ALL
		SELECT 'warning', 'shared_memory_short', NULL,
			format('rooms are placed by counting, which is slow: %s', t.shared_memory)
				|| CASE WHEN t.shared_memory LIKE 'gxy_balancer.max_shared_memory %'
					THEN '; reload the configuration afterwards' ELSE '' END, NULL,
			CASE WHEN t.shared_memory LIKE 'gxy_balancer.max_shared_memory %' THEN format(
				'ALTER SYSTEM SET gxy_balancer.max_shared_memory = ''%s kB'';',
				2 * (SELECT g.setting::bigint FROM pg_settings g WHERE g.name = 'gxy_balancer.max_shared_memory')) END
		FROM t WHERE t.shared_memory IS NOT NULL
		UNION ALL
		SELECT 'warning', 'clock_set', NULL,
			format('the system clock was set forward by %s: no inactive room is freed for another %s s, so that rooms in use renew their leases first',
				make_interval(secs => round(extract(epoch FROM t.clock_set_by))), ceil(extract(epoch FROM t.frees_from - clock_timestamp()))),
			t.clock_set_at, NULL
		FROM t WHERE t.frees_from > clock_timestamp()
		UNION ALL
		SELECT 'warning', 'default_pool', NULL,
			format('the pool was never written, so rooms (%s) are on the servers of gxy_balancer.default_servers', p.rooms), NULL,
			format('SELECT %s();', n.init_servers)
		FROM n, p, c WHERE c.default_pool AND p.rooms > 0
		UNION ALL
		SELECT 'warning', 'load_cache_unused', NULL, 'the last new room was placed by counting: ' || t.counted_because, NULL, NULL
		FROM t, c WHERE NOT c.counts_each_room AND NOT c.has_baseline AND t.counted_because LIKE 'no count by%'
		UNION ALL
		SELECT 'info', 'load_cache_unused', NULL, 'gxy_balancer.load_max_age is 0, so each new room costs a count of all rooms and sessions'
				|| CASE WHEN g.source = 'configuration file' THEN '; reload the configuration afterwards' ELSE '' END,
			NULL, CASE g.source
				WHEN 'database' THEN format('ALTER DATABASE %I RESET gxy_balancer.load_max_age;', current_database())
				WHEN 'user' THEN format('ALTER ROLE %I RESET gxy_balancer.load_max_age;', session_user)
				WHEN 'database user' THEN format('ALTER ROLE %I IN DATABASE %I RESET gxy_balancer.load_max_age;',
					session_user, current_database())
				WHEN 'configuration file' THEN 'ALTER SYSTEM SET gxy_balancer.load_max_age = ''1s'';'
				ELSE 'RESET gxy_balancer.load_max_age;' END
		FROM c, pg_settings g WHERE c.counts_each_room AND g.name = 'gxy_balancer.load_max_age'
	)
	SELECT a.severity, a.alert, a.server, a.what, a.since, a.statement
	FROM alerts a
	ORDER BY array_position(ARRAY['critical', 'warning', 'info'], a.severity), a.alert, a.server;
SET LOCAL search_path = @extschema@, pg_temp;
REVOKE ALL ON balancer_alerts FROM PUBLIC;
COMMENT ON VIEW balancer_alerts IS 'what needs an operator now, the worst first; no rows: nothing';
COMMENT ON COLUMN balancer_alerts.severity IS 'critical: users are or may soon be without a server; warning: to be mended today; info: good to know';
COMMENT ON COLUMN balancer_alerts.alert IS 'a key that does not change, by which doc/runbook.md is ordered';
COMMENT ON COLUMN balancer_alerts.server IS 'the server; NULL: the whole pool';
COMMENT ON COLUMN balancer_alerts.what IS 'what is the matter, with numbers';
COMMENT ON COLUMN balancer_alerts.since IS 'since when; NULL: not known';
COMMENT ON COLUMN balancer_alerts.statement IS 'what to type; NULL: nothing in SQL, what says where to look';

/*
 * Made for 80 columns of psql: the last column gets what the others leave. ASCII only, because not every terminal and
 * client encoding has more.
 */
SET LOCAL search_path = pg_catalog, pg_temp;
CREATE VIEW @extschema@.balancer_now AS
	WITH s AS MATERIALIZED (
		SELECT l.*, row_number() OVER () AS rank, clock_timestamp() AS at,
			l.pool = 'primary' AND l.state = 'online' AND NOT l.recovering AS takes_rooms,
			CASE WHEN l.load IS NOT NULL THEN l.capacity - greatest(l.load, ceil(l.measured * l.capacity / 100)) END AS free,
			regexp_replace(l.cause, '(^|; )(set (draining|offline)|reported unhealthy|silent|sessions unreadable: .*|'
				|| 'rooms (will move|are moving|move)[^;]*)', '', 'g') AS others
		FROM @extschema@._server_loads() l
	), names AS (
		/*
		 * In 10 characters. Of a host's name the first part, and of that both ends, because names of a series differ
		 * there; where this is another server's, too, the beginning or the end of the name.
		 */
		SELECT y.name, CASE WHEN length(y.name) <= 10 THEN y.name
			WHEN count(*) OVER (PARTITION BY y.ends) = 1 THEN y.ends
			WHEN count(*) OVER (PARTITION BY left(y.name, 10)) = 1 THEN left(y.name, 10)
			ELSE '..' || right(y.name, 8) END AS short
		FROM (SELECT x.name, CASE WHEN length(x.name) > 10 THEN regexp_replace(
					regexp_replace(x.name, '^([^.]*[[:alpha:]][^.]*)[.].*$', '\1'), '^(.{4}).{3,}(.{4})$', '\1..\2')
				ELSE x.name END AS ends
			FROM (SELECT s.server AS name FROM s UNION SELECT s.failover_to FROM s) x) y
	), words AS (
		SELECT s.rank, CASE WHEN s.health IS NOT NULL AND s.wanted = 'online' THEN s.health
				WHEN s.pool = 'primary' AND s.recovering AND s.state = 'online' THEN NULL
				ELSE s.state END AS state,
			CASE WHEN s.failover_due > s.at THEN format('->%s %ss', coalesce(t.short, 'all'),
					ceil(extract(epoch FROM s.failover_due - s.at)))
				WHEN s.unmoved > 0 THEN format('->%s %s left', coalesce(t.short, 'all'), s.unmoved) END AS failover,
			replace(replace(regexp_replace(regexp_replace(s.others, '^; ', ''), '(will stand|stands) in for ', 'for ', 'g'),
				'recovering until', 'no new till'), 'takes few new rooms until', 'few new till') AS others
		FROM s LEFT JOIN names t ON t.name = s.failover_to
	), one AS (
		SELECT s.rank, m.short AS server, s.load::numeric, s.capacity::numeric, s.rooms, nullif(s.split_rooms, 0) AS split,
			CASE WHEN s.takes_rooms THEN CASE WHEN s.free < 0 THEN 0 ELSE s.free END END AS free,
			concat_ws(', ', nullif(concat_ws(' ', nullif(s.pool, 'primary'),
				CASE WHEN s.pool = 'primary' OR w.state <> 'online' THEN w.state END, w.failover), ''), nullif(w.others, '')) AS state
		FROM s JOIN words w USING (rank) JOIN names m ON m.name = s.server
		UNION ALL
		SELECT count(*) + 1, 'total', CASE WHEN count(s.load) = count(*) THEN coalesce(sum(s.load), 0) END,
			coalesce(sum(s.capacity) FILTER (WHERE s.takes_rooms), 0), coalesce(sum(s.rooms), 0), nullif(sum(s.split_rooms), 0),
			sum(greatest(s.free, 0)) FILTER (WHERE s.takes_rooms AND s.free IS NOT NULL),
			concat_ws(', ', 'sessions unreadable: ' || max(s.problem), format('%s/%s online', count(*) FILTER (WHERE s.pool = 'primary' AND s.state = 'online'),
					count(*) FILTER (WHERE s.pool = 'primary')),
				nullif(count(*) FILTER (WHERE s.failover_due > s.at OR s.unmoved > 0), 0) || ' moving')
		FROM s
	), text AS (
		SELECT o.rank, o.server,
			CASE WHEN o.load <= o.capacity THEN rpad(repeat('#', ceil(6 * o.load / greatest(o.capacity, 1))::int), 6, '.')
				WHEN o.load > o.capacity THEN '#####>' END AS bar,
			coalesce(o.load::text, '?') || coalesce('/' || o.capacity, '') AS load,
			o.rooms::bigint AS rooms, o.split::bigint AS split, o.free::bigint AS free, o.state
		FROM one o
	), width AS (
		SELECT greatest(4, max(length(t.load))) AS load,
			80 - (7 * 3 - 1) - length('######') - greatest(6, max(length(t.server))) - greatest(4, max(length(t.load)))
				- greatest(5, max(length(t.rooms::text))) - greatest(5, max(length(t.split::text)))
				- greatest(4, max(length(t.free::text))) AS state
		FROM text t
	)
	SELECT t.server, t.bar, lpad(t.load, w.load) AS load, t.rooms, t.split, t.free,
		CASE WHEN length(t.state) > w.state THEN left(t.state, w.state - 2) || '..' ELSE t.state END AS state
	FROM text t, width w
	ORDER BY t.rank;
SET LOCAL search_path = @extschema@, pg_temp;
REVOKE ALL ON balancer_now FROM PUBLIC;
COMMENT ON VIEW balancer_now IS 'the operator''s console, for \watch 1 in 80 columns: a row a server, counted now, and the total; for programs there is balancer_load';
COMMENT ON COLUMN balancer_now.server IS 'the server, its name cut to 10 characters: of a host''s name the first part, of a long one both ends; last: total';
COMMENT ON COLUMN balancer_now.bar IS 'load / capacity in six characters; the last is > if load is above capacity';
COMMENT ON COLUMN balancer_now.load IS 'load / capacity in users; ? where the attached sessions cannot be read; total: the load of all, wherever it is / the capacity of the servers that have a number in free';
COMMENT ON COLUMN balancer_now.rooms IS 'rooms assigned to it';
COMMENT ON COLUMN balancer_now.split IS 'rooms with users whose sessions name another server';
COMMENT ON COLUMN balancer_now.free IS 'how many more users fit, by counted or measured load, whichever is greater; NULL: it takes no new rooms, or is just back and takes few; total: the sum';
COMMENT ON COLUMN balancer_now.state IS 'the pool, if it is not primary; the state in force, or why it is offline; -> where the rooms of a failover go, in how many seconds or how many are left; other causes; all cut to fit. offline alone: set by people. total: online/all primary servers, and failovers whose rooms are moving';

CREATE FUNCTION _memory(OUT what text, OUT database text, OUT bytes bigint)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gxy_memory';
REVOKE ALL ON FUNCTION _memory() FROM PUBLIC;
COMMENT ON FUNCTION _memory() IS 'rows of balancer_memory';

CREATE VIEW balancer_memory AS
	SELECT m.what, m.database, m.bytes FROM _memory() m;
REVOKE ALL ON balancer_memory FROM PUBLIC;
COMMENT ON VIEW balancer_memory IS 'the shared memory that the extension uses, of all databases of the server';
COMMENT ON COLUMN balancer_memory.what IS 'database: of one database; common: of all; free: kept for use; limit: gxy_balancer.max_shared_memory';
COMMENT ON COLUMN balancer_memory.database IS 'the database';
COMMENT ON COLUMN balancer_memory.bytes IS 'the size';

/*
 * Metrics are float8, because exporters read nothing else without a cast; what is unknown is NaN, because some exporters take
 * NULL for an error. A flag says why.
 */
SET LOCAL search_path = pg_catalog, pg_temp;
CREATE VIEW @extschema@.balancer_server_metrics AS
	WITH l AS MATERIALIZED (
		SELECT * FROM @extschema@._server_loads()
	)
	SELECT l.server, l.state, coalesce(l.pool, 'none') AS pool,
		l.rooms::float8 AS rooms,
		coalesce(l.users::float8, 'NaN') AS users,
		coalesce(l.connected::float8, 'NaN') AS connected,
		coalesce(l.expected::float8, 'NaN') AS expected,
		coalesce(l.load::float8, 'NaN') AS load,
		coalesce(l.capacity::float8, 'NaN') AS capacity,
		coalesce(l.load::float8 / l.capacity::float8, 'NaN') AS load_ratio,
		coalesce(l.measured::float8 / 100.0::float8, 'NaN') AS measured_ratio,
		coalesce(l.split_rooms::float8, 'NaN') AS split_rooms,
		(l.state = 'online')::int::float8 AS online,
		(l.pool IS NOT NULL AND l.wanted = 'online')::int::float8 AS wanted_online,
		CASE WHEN l.pool IS NULL THEN 'NaN' ELSE (l.health IS NULL)::int::float8 END AS healthy,
		coalesce((extract(epoch FROM clock_timestamp()) - extract(epoch FROM l.last_heartbeat))::float8, 'NaN') AS heartbeat_age_seconds,
		(l.failover_since IS NOT NULL)::int::float8 AS failover_active,
		(EXISTS (SELECT FROM l f WHERE f.failover_to = l.server))::int::float8 AS stands_in
	FROM l;

CREATE VIEW @extschema@.balancer_metrics AS
	SELECT l.servers, l.servers_online, l.rooms, l.split_rooms, l.users, l.load, l.capacity, l.load_ratio, l.imbalance,
		l.failovers_active, l.standbys_free,
		coalesce(s.failovers::float8, 'NaN') AS failovers_total,
		l.sessions_readable, (c.rooms_problem IS NULL)::int::float8 AS rooms_readable,
		coalesce(s.assigned_tier_0::float8, 'NaN') AS assigned_tier_0_total,
		coalesce(s.assigned_tier_1::float8, 'NaN') AS assigned_tier_1_total,
		coalesce(s.assigned_tier_2::float8, 'NaN') AS assigned_tier_2_total,
		coalesce(s.assigned_tier_3::float8, 'NaN') AS assigned_tier_3_total,
		coalesce(s.assigned_tier_4::float8, 'NaN') AS assigned_tier_4_total,
		coalesce(s.assigned_tier_5::float8, 'NaN') AS assigned_tier_5_total,
		coalesce(s.assigned_tier_6::float8, 'NaN') AS assigned_tier_6_total,
		coalesce(s.sticky::float8, 'NaN') AS sticky_total,
		coalesce(s.renewed::float8, 'NaN') AS renewed_total,
		coalesce(s.moved::float8, 'NaN') AS moved_total,
		coalesce(s.freed::float8, 'NaN') AS freed_total,
		coalesce(s.refused::float8, 'NaN') AS refused_total,
		coalesce(s.placed_by_cache::float8, 'NaN') AS placed_by_cache_total,
		coalesce(s.placed_by_count::float8, 'NaN') AS placed_by_count_total,
		(s.shared_memory IS NULL AND NOT c.counts_each_room)::int::float8 AS load_cache_in_use,
		(s.shared_memory IS NOT NULL)::int::float8 AS shared_memory_short,
		(s.worker IN ('idle', 'running', 'standby', 'starting'))::int::float8 AS worker_up,
		CASE WHEN s.worker = 'standby' THEN 0::float8
			ELSE coalesce(greatest(0::float8, extract(epoch FROM clock_timestamp() - s.next_due)::float8), 'NaN') END
			AS worker_lag_seconds,
		coalesce(extract(epoch FROM s.last_run_duration)::float8, 'NaN') AS worker_run_seconds,
		(s.last_error IS NOT NULL)::int::float8 AS worker_failed
	FROM @extschema@._stats() s CROSS JOIN @extschema@._conditions() c CROSS JOIN (
		WITH p AS MATERIALIZED (
			SELECT * FROM @extschema@._server_loads()
		)
		SELECT count(p.pool)::float8 AS servers,
			count(*) FILTER (WHERE p.state = 'online')::float8 AS servers_online,
			coalesce(sum(p.rooms)::float8, 0) AS rooms,
			coalesce(sum(p.split_rooms)::float8, CASE WHEN count(*) = 0 THEN 0::float8 ELSE 'NaN' END) AS split_rooms,
			coalesce(sum(p.users)::float8, CASE WHEN count(*) = 0 THEN 0::float8 ELSE 'NaN' END) AS users,
			coalesce(sum(p.load)::float8, CASE WHEN count(*) = 0 THEN 0::float8 ELSE 'NaN' END) AS load,
			coalesce(sum(p.capacity) FILTER (WHERE p.state = 'online')::float8, 0) AS capacity,
			coalesce(sum(p.load) FILTER (WHERE p.state = 'online')::float8
				/ sum(p.capacity) FILTER (WHERE p.state = 'online')::float8, 'NaN') AS load_ratio,
			coalesce(max(p.load::float8 / p.capacity::float8) FILTER (WHERE p.state = 'online' AND p.pool = 'primary')
				/ nullif(sum(p.load) FILTER (WHERE p.state = 'online' AND p.pool = 'primary')::float8
					/ sum(p.capacity) FILTER (WHERE p.state = 'online' AND p.pool = 'primary')::float8, 0), 'NaN') AS imbalance,
			count(p.failover_since)::float8 AS failovers_active,
			count(*) FILTER (WHERE p.pool = 'standby' AND p.state = 'online' AND p.rooms = 0 AND NOT p.recovering
				AND p.server NOT IN (SELECT f.failover_to FROM p f WHERE f.failover_to IS NOT NULL
					AND (f.failover_due > clock_timestamp() OR f.unmoved IS NOT NULL)))::float8 AS standbys_free,
			coalesce(bool_and(p.users IS NOT NULL), true)::int::float8 AS sessions_readable
		FROM p) l;
SET LOCAL search_path = @extschema@, pg_temp;

REVOKE ALL ON balancer_server_metrics FROM PUBLIC;
COMMENT ON VIEW balancer_server_metrics IS 'balancer_load as numbers for exporters, one row a server; NaN: unknown';
COMMENT ON COLUMN balancer_server_metrics.server IS 'label: the server';
COMMENT ON COLUMN balancer_server_metrics.state IS 'label: the state in force, as in balancer_load';
COMMENT ON COLUMN balancer_server_metrics.pool IS 'label: primary, standby or reserved; none for a server that is not in the pool';
COMMENT ON COLUMN balancer_server_metrics.rooms IS 'rooms assigned to it';
COMMENT ON COLUMN balancer_server_metrics.users IS 'users in its rooms; NaN where the attached sessions cannot be read';
COMMENT ON COLUMN balancer_server_metrics.connected IS 'users in sessions that name this server';
COMMENT ON COLUMN balancer_server_metrics.expected IS 'users still expected in its rooms';
COMMENT ON COLUMN balancer_server_metrics.load IS 'users, or what else gxy_balancer.load_metric compares';
COMMENT ON COLUMN balancer_server_metrics.capacity IS 'users; NaN for a server that is not in the pool';
COMMENT ON COLUMN balancer_server_metrics.load_ratio IS 'load / capacity, 1 is full';
COMMENT ON COLUMN balancer_server_metrics.measured_ratio IS 'the share of its capacity that it measures, 1 is full; NaN: no fresh report';
COMMENT ON COLUMN balancer_server_metrics.split_rooms IS 'its rooms of which a session names another server';
COMMENT ON COLUMN balancer_server_metrics.online IS '1: the state in force is online; 0: not';
COMMENT ON COLUMN balancer_server_metrics.wanted_online IS '1: the operator wants it online; 0: not, or it is not in the pool';
COMMENT ON COLUMN balancer_server_metrics.healthy IS '1: no monitor says otherwise; 0: reported unhealthy, or silent; NaN: not in the pool';
COMMENT ON COLUMN balancer_server_metrics.heartbeat_age_seconds IS 'seconds since its last heartbeat; NaN: never';
COMMENT ON COLUMN balancer_server_metrics.failover_active IS '1: its rooms go elsewhere, or will when the failover is due; 0: not';
COMMENT ON COLUMN balancer_server_metrics.stands_in IS '1: it is the standby of a failover that is active; 0: not';
REVOKE ALL ON balancer_metrics FROM PUBLIC;
COMMENT ON VIEW balancer_metrics IS 'the pool, the counters and the worker as numbers for exporters, in one row; NaN: unknown; columns that end in _total only grow, until they start again from 0';
COMMENT ON COLUMN balancer_metrics.servers IS 'servers in the pool';
COMMENT ON COLUMN balancer_metrics.servers_online IS 'servers whose state in force is online';
COMMENT ON COLUMN balancer_metrics.rooms IS 'rooms that have a server';
COMMENT ON COLUMN balancer_metrics.split_rooms IS 'rooms of which a session names another server';
COMMENT ON COLUMN balancer_metrics.users IS 'users in rooms, summed over the servers; NaN where the attached sessions cannot be read';
COMMENT ON COLUMN balancer_metrics.load IS 'users, or what else gxy_balancer.load_metric compares, of all servers';
COMMENT ON COLUMN balancer_metrics.capacity IS 'users, of the servers that are online';
COMMENT ON COLUMN balancer_metrics.load_ratio IS 'load / capacity of the servers that are online, 1 is full';
COMMENT ON COLUMN balancer_metrics.imbalance IS 'load_ratio of the fullest primary server that is online, divided by that of all of them together; 1: all are equal; NaN: no load';
COMMENT ON COLUMN balancer_metrics.failovers_active IS 'servers that have failed and have not come back';
COMMENT ON COLUMN balancer_metrics.standbys_free IS 'standbys that could take the rooms of the next server that fails';
COMMENT ON COLUMN balancer_metrics.failovers_total IS 'failovers declared';
COMMENT ON COLUMN balancer_metrics.sessions_readable IS '1: the attached sessions can be read, or none are attached; 0: not, and what depends on them is NaN';
COMMENT ON COLUMN balancer_metrics.rooms_readable IS '1: the attached rooms can be read, or none are attached; 0: not, and new rooms fail';
COMMENT ON COLUMN balancer_metrics.assigned_tier_0_total IS 'rooms assigned by tier 0: where their sessions were, their pin or home';
COMMENT ON COLUMN balancer_metrics.assigned_tier_1_total IS 'rooms assigned by tier 1: servers of a region that the room prefers';
COMMENT ON COLUMN balancer_metrics.assigned_tier_2_total IS 'rooms assigned by tier 2: servers of every region';
COMMENT ON COLUMN balancer_metrics.assigned_tier_3_total IS 'rooms assigned by tier 3: over capacity';
COMMENT ON COLUMN balancer_metrics.assigned_tier_4_total IS 'rooms assigned by tier 4: other regions, standbys and servers that were recovering';
COMMENT ON COLUMN balancer_metrics.assigned_tier_5_total IS 'rooms assigned by tier 5: draining servers';
COMMENT ON COLUMN balancer_metrics.assigned_tier_6_total IS 'rooms assigned by tier 6: offline servers';
COMMENT ON COLUMN balancer_metrics.sticky_total IS 'calls answered from an assignment that was there';
COMMENT ON COLUMN balancer_metrics.renewed_total IS 'leases renewed';
COMMENT ON COLUMN balancer_metrics.moved_total IS 'rooms moved';
COMMENT ON COLUMN balancer_metrics.freed_total IS 'rooms freed by cleanups';
COMMENT ON COLUMN balancer_metrics.refused_total IS 'calls that found no server and raised an error';
COMMENT ON COLUMN balancer_metrics.placed_by_cache_total IS 'rooms placed by the load cache';
COMMENT ON COLUMN balancer_metrics.placed_by_count_total IS 'rooms placed by a count of all rooms and sessions, which is slower';
COMMENT ON COLUMN balancer_metrics.load_cache_in_use IS '1: the settings and the memory allow the load cache; 0: each new room is placed by a count';
COMMENT ON COLUMN balancer_metrics.shared_memory_short IS '1: shared memory is missing, see balancer_stats.shared_memory; 0: not';
COMMENT ON COLUMN balancer_metrics.worker_up IS '1: the background worker runs when it is due, or will after a promotion; 0: it cannot, or its last run has failed';
COMMENT ON COLUMN balancer_metrics.worker_lag_seconds IS 'seconds that its next run is overdue; 0: it is not; NaN: not known when it is due';
COMMENT ON COLUMN balancer_metrics.worker_run_seconds IS 'seconds that its last run took; NaN: it has not run';
COMMENT ON COLUMN balancer_metrics.worker_failed IS '1: its last run has raised an error; 0: not';

CREATE FUNCTION reset_balancer_stats() RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gxy_reset_stats';
REVOKE ALL ON FUNCTION reset_balancer_stats() FROM PUBLIC;
COMMENT ON FUNCTION reset_balancer_stats() IS 'sets the counters of balancer_stats in this database to zero';

GRANT EXECUTE ON FUNCTION _server_loads(), _conditions(), _room_loads(), _stats(), _memory(), _check_load_cache(),
	what_if(text, text), what_if_added(text, int) TO pg_monitor;
GRANT SELECT ON balancer_servers, balancer_pins, balancer_health, balancer_failovers, balancer_room_sizes, balancer_load,
	balancer_rooms, balancer_stats, balancer_memory, balancer_now, balancer_alerts, balancer_server_metrics,
	balancer_metrics TO pg_monitor;

/* Registers this database with the launcher at commit; raises a NOTICE if there is no launcher. */
CREATE FUNCTION _extension_created() RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gxy_extension_created';
SELECT _extension_created();
DROP FUNCTION _extension_created();
