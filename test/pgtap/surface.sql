/*
 * surface: the SQL interface, name by name. What an application compiles against cannot change by accident: a new
 * function or column needs its row here, one that is gone or different fails.
 *
 *     createdb x && pg_prove -d x test/pgtap/surface.sql
 */
BEGIN;
SET LOCAL client_min_messages = warning;
CREATE EXTENSION pgtap;
CREATE SCHEMA balancer;
CREATE EXTENSION gxy_balancer SCHEMA balancer;

-- Arguments as PostgreSQL shows them, defaults included. Trigger functions and helpers are not part
-- of the interface.
CREATE TEMPORARY TABLE functions (name, arguments, result, volatility, parallel) AS VALUES
	('get_or_assign_server', 'room text, region text DEFAULT NULL::text, expected_users integer DEFAULT NULL::integer',
		'text', 'volatile', 'u'),
	('get_or_assign_server', 'room bigint, region text DEFAULT NULL::text, expected_users integer DEFAULT NULL::integer',
		'text', 'volatile', 'u'),
	('touch_room', 'room text, users integer DEFAULT NULL::integer', 'boolean', 'volatile', 'u'),
	('touch_room', 'room bigint, users integer DEFAULT NULL::integer', 'boolean', 'volatile', 'u'),
	('room_server', 'room text', 'text', 'stable', 'r'),
	('room_server', 'room bigint', 'text', 'stable', 'r'),
	('release_room', 'room text', 'boolean', 'volatile', 'u'),
	('release_room', 'room bigint', 'boolean', 'volatile', 'u'),
	('clean_inactive_assignments', 'grace interval DEFAULT NULL::interval', 'bigint', 'volatile', 'u'),
	('attach_sessions', 'relation regclass', 'void', 'volatile', 'u'),
	('attach_rooms', 'relation regclass', 'void', 'volatile', 'u'),
	('init_servers', 'names text DEFAULT NULL::text', 'integer', 'volatile', 'u'),
	('server_state', 'server text', 'text', 'stable', 'u'),
	('set_server_state', 'server text, state text', 'text', 'volatile', 'u'),
	('server_heartbeat', 'server text, healthy boolean DEFAULT true, load real DEFAULT NULL::real', 'boolean', 'volatile', 'u'),
	('pin_room', 'room text, server text, expected_users integer DEFAULT NULL::integer', 'text', 'volatile', 'u'),
	('pin_room', 'room bigint, server text, expected_users integer DEFAULT NULL::integer', 'text', 'volatile', 'u'),
	('unpin_room', 'room text', 'boolean', 'volatile', 'u'),
	('unpin_room', 'room bigint', 'boolean', 'volatile', 'u'),
	('move_room', 'room text, server text', 'text', 'volatile', 'u'),
	('move_room', 'room bigint, server text', 'text', 'volatile', 'u'),
	('evacuate_server', 'server text, target text DEFAULT NULL::text, max_rooms integer DEFAULT NULL::integer',
		'bigint', 'volatile', 'u'),
	('what_if', 'server text, state text, OUT server text, OUT state text, OUT capacity integer, '
		|| 'OUT rooms_before bigint, OUT users_before bigint, OUT load_before bigint, OUT percent_before numeric, '
		|| 'OUT rooms_after bigint, OUT users_after bigint, OUT load_after bigint, OUT percent_after numeric, OUT note text',
		'SETOF record', 'volatile', 'u'),
	('what_if_added', 'server text, capacity integer, OUT server text, OUT state text, OUT capacity integer, '
		|| 'OUT rooms_before bigint, OUT users_before bigint, OUT load_before bigint, OUT percent_before numeric, '
		|| 'OUT rooms_after bigint, OUT users_after bigint, OUT load_after bigint, OUT percent_after numeric, OUT note text',
		'SETOF record', 'volatile', 'u'),
	('rebalance', 'max_rooms integer, max_users integer, dry_run boolean DEFAULT true, '
		|| 'OUT room text, OUT from_server text, OUT to_server text, OUT users bigint', 'SETOF record', 'volatile', 'u'),
	('explain_assignment', 'room text, region text DEFAULT NULL::text, expected_users integer DEFAULT NULL::integer, '
		|| 'OUT rank integer, OUT server text, OUT chosen boolean, OUT tier integer, OUT reason text, OUT load bigint, '
		|| 'OUT capacity integer, OUT expected integer, OUT expected_from text, OUT score numeric, OUT rooms bigint, OUT room_sessions bigint, '
		|| 'OUT priority integer, OUT state text, OUT pool text, OUT regions text[], OUT score_from text', 'SETOF record', 'volatile', 'u'),
	('explain_assignment', 'room bigint, region text DEFAULT NULL::text, expected_users integer DEFAULT NULL::integer, '
		|| 'OUT rank integer, OUT server text, OUT chosen boolean, OUT tier integer, OUT reason text, OUT load bigint, '
		|| 'OUT capacity integer, OUT expected integer, OUT expected_from text, OUT score numeric, OUT rooms bigint, OUT room_sessions bigint, '
		|| 'OUT priority integer, OUT state text, OUT pool text, OUT regions text[], OUT score_from text', 'SETOF record', 'volatile', 'u'),
	('reset_balancer_stats', '', 'void', 'volatile', 'u');

-- In order: SELECT * and INSERT without a column list depend on it.
CREATE TEMPORARY TABLE relations (name, kind, columns) AS VALUES
	('room_server_assignments', 'r', 'room_id text, gateway_name text, region text, assigned_at timestamp with time zone, '
		|| 'last_used_at timestamp with time zone, reason text, expected_users integer, reported_users integer'),
	('balancer_servers', 'r', 'name text, position integer, priority integer, capacity integer, regions text[], '
		|| 'pool text, state text'),
	('_pool_written', 'r', 'since timestamp with time zone'),
	('balancer_pins', 'r', 'room_id text, server text, expected_users integer, pinned_at timestamp with time zone'),
	('balancer_sources', 'r', 'source text, schema_name text, relation_name text'),
	('balancer_room_sizes', 'r', 'room_id text, size real, occasions integer, peak integer, '
		|| 'assigned_at timestamp with time zone, opened_at timestamp with time zone, updated_at timestamp with time zone'),
	('balancer_health', 'r', 'server text, healthy boolean, since timestamp with time zone, '
		|| 'last_heartbeat timestamp with time zone, counts_from timestamp with time zone, load real, '
		|| 'load_at timestamp with time zone, recovered_at timestamp with time zone, differs_since timestamp with time zone'),
	('balancer_failovers', 'r', 'from_server text, to_server text, declared_at timestamp with time zone, '
		|| 'due_at timestamp with time zone, cause text, rooms bigint, outcome text, '
		|| 'finished_at timestamp with time zone, recovered_at timestamp with time zone, on_call boolean'),
	('_moved_on_call', 'r', 'room_id text, from_server text, to_server text, moved_at timestamp with time zone'),
	('_drained_servers', 'r', 'server text, since timestamp with time zone'),
	('balancer_events', 'S', 'last_value bigint, log_cnt bigint, is_called boolean'),
	('balancer_load', 'v', 'server text, state text, pool text, rooms bigint, users bigint, connected bigint, '
		|| 'expected bigint, load bigint, capacity integer, percent numeric, bar text, cause text, measured numeric'),
	('balancer_rooms', 'v', 'room_id text, server text, users bigint, users_elsewhere bigint, expected_users integer, '
		|| 'pinned text, reason text, assigned_at timestamp with time zone, last_used_at timestamp with time zone, problem text'),
	('balancer_stats', 'v', 'assigned_tier_0 bigint, assigned_tier_1 bigint, assigned_tier_2 bigint, '
		|| 'assigned_tier_3 bigint, assigned_tier_4 bigint, assigned_tier_5 bigint, assigned_tier_6 bigint, '
		|| 'sticky bigint, renewed bigint, moved bigint, freed bigint, refused bigint, since timestamp with time zone, '
		|| 'worker text, last_run timestamp with time zone, last_run_duration interval, last_run_freed bigint, '
		|| 'last_error text, next_due timestamp with time zone, '
		|| 'placed_by_cache bigint, placed_by_count bigint, counted_because text, shared_memory text, '
		|| 'clock_set_at timestamp with time zone, clock_set_by interval, frees_from timestamp with time zone, '
		|| 'failovers bigint'),
	('balancer_metrics', 'v', 'servers double precision, servers_online double precision, rooms double precision, '
		|| 'split_rooms double precision, users double precision, load double precision, '
		|| 'capacity double precision, load_ratio double precision, imbalance double precision, '
		|| 'failovers_active double precision, standbys_free double precision, '
		|| 'failovers_total double precision, sessions_readable double precision, '
		|| 'rooms_readable double precision, assigned_tier_0_total double precision, '
		|| 'assigned_tier_1_total double precision, assigned_tier_2_total double precision, '
		|| 'assigned_tier_3_total double precision, assigned_tier_4_total double precision, '
		|| 'assigned_tier_5_total double precision, assigned_tier_6_total double precision, '
		|| 'sticky_total double precision, renewed_total double precision, moved_total double precision, '
		|| 'freed_total double precision, refused_total double precision, '
		|| 'placed_by_cache_total double precision, placed_by_count_total double precision, '
		|| 'load_cache_in_use double precision, shared_memory_short double precision, '
		|| 'worker_up double precision, worker_lag_seconds double precision, '
		|| 'worker_run_seconds double precision, worker_failed double precision'),
	('balancer_server_metrics', 'v', 'server text, state text, pool text, rooms double precision, users double precision, '
		|| 'connected double precision, expected double precision, load double precision, '
		|| 'capacity double precision, load_ratio double precision, measured_ratio double precision, '
		|| 'split_rooms double precision, online double precision, wanted_online double precision, '
		|| 'healthy double precision, heartbeat_age_seconds double precision, '
		|| 'failover_active double precision, stands_in double precision'),
	('balancer_memory', 'v', 'what text, database text, bytes bigint'),
	('balancer_now', 'v', 'server text, bar text, load text, rooms bigint, split bigint, free bigint, state text'),
	('balancer_alerts', 'v', 'severity text, alert text, server text, what text, since timestamp with time zone, statement text');

CREATE TEMPORARY TABLE keys (relation, columns) AS VALUES
	('room_server_assignments', '{room_id}'::name[]), ('balancer_servers', '{name}'), ('balancer_pins', '{room_id}'),
	('balancer_sources', '{source}'), ('balancer_room_sizes', '{room_id}'),
	('balancer_health', '{server}'),
	('balancer_failovers', '{from_server,declared_at}'), ('_moved_on_call', '{room_id,moved_at}'), ('_drained_servers', '{server}');

CREATE TEMPORARY TABLE defaults (relation, col, value) AS VALUES
	('room_server_assignments', 'assigned_at', 'clock_timestamp()'),
	('room_server_assignments', 'last_used_at', 'clock_timestamp()'),
	('balancer_servers', 'position', 'balancer._next_server_position()'), ('balancer_servers', 'priority', '0'),
	('balancer_servers', 'pool', 'primary'), ('balancer_servers', 'state', 'online'),
	('balancer_room_sizes', 'size', '0'), ('balancer_room_sizes', 'occasions', '0'), ('balancer_room_sizes', 'peak', '0'),
	('balancer_room_sizes', 'assigned_at', 'clock_timestamp()'), ('balancer_room_sizes', 'opened_at', 'clock_timestamp()'),
	('balancer_room_sizes', 'updated_at', 'clock_timestamp()');

-- The same from the catalog.
CREATE TEMPORARY VIEW found AS
	SELECT p.oid, p.proname AS name, pg_get_function_arguments(p.oid) AS arguments,
		pg_get_function_result(p.oid) AS result, p.provolatile, p.proparallel, p.prosecdef, p.proisstrict, p.proleakproof,
		string_to_array(oidvectortypes(p.proargtypes), ', ')::name[] AS types
	FROM pg_proc p
	WHERE p.pronamespace = 'balancer'::regnamespace AND p.proname NOT LIKE '\_%';
CREATE TEMPORARY VIEW expected AS
	SELECT e.*, f.types, f.oid, name || '(' || split_part(arguments, ' ', 2) || ')' AS label
	FROM functions e LEFT JOIN found f USING (name, arguments);

SELECT plan((5 * (SELECT count(*) FROM functions) + 3 * (SELECT count(*) FROM relations) + (SELECT count(*) FROM keys)
	+ (SELECT count(*) FROM defaults) + 9)::int);

SELECT has_function('balancer', name, types, label || ' exists, with its arguments') FROM expected;
SELECT is(f.result, e.result, e.label || ' returns ' || e.result) FROM expected e LEFT JOIN found f USING (oid);
SELECT volatility_is('balancer', name, types, volatility, label || ' is ' || volatility) FROM expected;
SELECT is(f.proparallel::text, e.parallel, e.label || ' in parallel plans: ' || e.parallel)
FROM expected e LEFT JOIN found f USING (oid);
SELECT ok(NOT f.prosecdef AND NOT f.proisstrict AND NOT f.proleakproof,
	e.label || ' runs as its caller, and sees a NULL')
FROM expected e LEFT JOIN found f USING (oid);
SELECT set_eq('SELECT name::text, arguments FROM found', 'SELECT name, arguments FROM functions', 'and there are no others');

-- A literal, a number and a parameter of unknown type each find one form; a number finds the
-- number's.
SELECT lives_ok(format('SELECT balancer.%s(%s)', name, argument), format('%s(%s) is not ambiguous', name, argument))
FROM (VALUES ('get_or_assign_server', '''2171'''), ('get_or_assign_server', '2171'), ('touch_room', '''2171'''),
	('room_server', '2171'), ('release_room', '''2171''')) calls (name, argument);
PREPARE untyped AS SELECT balancer.get_or_assign_server($1), balancer.touch_room($2, $3), balancer.room_server($4);
SELECT is((SELECT parameter_types::text[] FROM pg_prepared_statements WHERE name = 'untyped'),
	'{text,text,integer,text}', 'an untyped parameter finds the text form');

SELECT has_relation('balancer', name, name || ' exists') FROM relations;
SELECT is(c.relkind::text, r.kind, r.name || ' is a ' || CASE kind WHEN 'r' THEN 'table' WHEN 'S' THEN 'sequence' ELSE 'view' END)
FROM relations r LEFT JOIN pg_class c ON c.relname = r.name AND c.relnamespace = 'balancer'::regnamespace;
SELECT is((SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum)
	FROM pg_attribute WHERE attrelid = to_regclass('balancer.' || name) AND attnum > 0), columns, name || ' has its columns')
FROM relations;
SELECT set_eq($$SELECT relname::text FROM pg_class WHERE relnamespace = 'balancer'::regnamespace AND relkind IN ('r', 'v', 'S', 'm', 'f', 'p')$$,
	'SELECT name FROM relations', 'and there are no others');
SELECT col_is_pk('balancer', relation, columns, relation || ' has its key') FROM keys;
SELECT col_default_is('balancer', relation, col, value, format('%s.%s has its default', relation, col)) FROM defaults;
/*
 * Every trigger, and whether it also fires for what logical replication applies (A, always) or not
 * (O). The triggers that invalidate caches and record that the pool is written fire always. Those
 * that check a user's statement do not.
 */
SELECT set_eq($$SELECT tgrelid::regclass::text, tgname::text, tgenabled::text FROM pg_trigger
		WHERE NOT tgisinternal AND tgrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'balancer'::regnamespace)$$,
	$$SELECT 'balancer.' || relation, trigger, enabled FROM (VALUES
		('_pool_written', '_forget_backend_copies', 'A'),
		('balancer_failovers', '_forget_backend_copies', 'A'),
		('balancer_health', '_forget_backend_copies', 'A'),
		('balancer_health', '_forget_backend_copies_if_unhealthy', 'A'),
		('balancer_health', '_forget_backend_copies_if_changed', 'A'),
		('balancer_pins', '_forget_backend_copies', 'A'),
		('balancer_pins', '_guard_pins', 'O'),
		('balancer_servers', '_forget_backend_copies', 'A'),
		('balancer_servers', '_guard_servers', 'O'),
		('balancer_servers', '_guard_truncation', 'O'),
		('balancer_servers', '_guard_truncation_after', 'O'),
		('balancer_servers', '_guard_unwritten_pool', 'O'),
		('balancer_servers', '_guard_unwritten_pool_after', 'O'),
		('balancer_servers', '_lock_server_states', 'O'),
		('balancer_servers', '_note_pool_written', 'A'),
		('balancer_servers', '_rename_pins', 'O'),
		('balancer_servers', '_reconcile_failovers', 'O'),
		('balancer_servers', '_tell_state', 'O'),
		('balancer_sources', '_forget_backend_copies', 'A'),
		('room_server_assignments', '_note_change', 'A'),
		('room_server_assignments', '_note_move', 'A'),
		('room_server_assignments', '_note_truncation', 'A')) all_of_them (relation, trigger, enabled)$$,
	'the triggers are these, and those that must not miss a row are always enabled');

SELECT * FROM finish();
ROLLBACK;
