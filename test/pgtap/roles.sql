/*
 * roles: what each role may do with each object of the extension, found in the catalog. An object
 * without a row fails, as does a row without its object. A cell is checked twice: against the
 * catalog's privileges, and by trying. The roles have the GRANT blocks of doc/grants.md; the owner
 * has the tables, as a database administrator may give them away; nobody has no grant but USAGE.
 *
 *     createdb x && pg_prove -d x test/pgtap/roles.sql
 */
BEGIN;
SET LOCAL client_min_messages = warning;
CREATE EXTENSION pgtap;
CREATE EXTENSION gxy_balancer;
SELECT init_servers('gxy1,gxy2,gxy3'), attach_sessions(NULL);
CREATE ROLE roles_nobody;
CREATE ROLE roles_app;
CREATE ROLE roles_monitor;
CREATE ROLE roles_grafana;
CREATE ROLE roles_operator;
CREATE ROLE roles_owner;
CREATE TEMPORARY TABLE roles (letter, role) AS VALUES
	('n', 'roles_nobody'), ('a', 'roles_app'), ('m', 'roles_monitor'), ('g', 'roles_grafana'), ('o', 'roles_operator'), ('t', 'roles_owner');

GRANT USAGE ON SCHEMA public TO roles_nobody, roles_app, roles_monitor, roles_grafana, roles_operator, roles_owner;
GRANT EXECUTE ON FUNCTION get_or_assign_server(text, text, int), get_or_assign_server(bigint, text, int),
	touch_room(text, int), touch_room(bigint, int), room_server(text), room_server(bigint) TO roles_app;
GRANT SELECT ON room_server_assignments TO roles_app;
GRANT EXECUTE ON FUNCTION server_heartbeat(text, boolean, real), server_state(text) TO roles_monitor;
GRANT pg_monitor TO roles_grafana, roles_operator;
GRANT EXECUTE ON FUNCTION release_room(text), release_room(bigint), clean_inactive_assignments(interval),
	explain_assignment(text, text, int), explain_assignment(bigint, text, int), init_servers(text), what_if(text, text),
	what_if_added(text, int), rebalance(int, int, boolean),
	server_state(text), set_server_state(text, text), server_heartbeat(text, boolean, real), evacuate_server(text, text, int),
	move_room(text, text), move_room(bigint, text), pin_room(text, text, int), pin_room(bigint, text, int),
	unpin_room(text), unpin_room(bigint), reset_balancer_stats() TO roles_operator;
GRANT SELECT, INSERT, UPDATE, DELETE ON balancer_servers, balancer_pins, balancer_room_sizes TO roles_operator;
-- The default of balancer_servers.position, which also the owner of the table needs.
GRANT EXECUTE ON FUNCTION _next_server_position() TO roles_operator, roles_owner;

CREATE TEMPORARY TABLE own AS
	SELECT d.classid, d.objid FROM pg_depend d
	WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
		AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'gxy_balancer');
DO $$
DECLARE
	relation text;
BEGIN
	FOR relation IN SELECT objid::regclass FROM own JOIN pg_class c ON c.oid = objid AND classid = 'pg_class'::regclass
		WHERE relkind IN ('r', 'S')
	LOOP
		EXECUTE format('ALTER TABLE %s OWNER TO roles_owner', relation);
	END LOOP;
END
$$;

/*
 * For functions X: execute. For relations the privileges as \dp writes them: r SELECT, a INSERT,
 * w UPDATE, d DELETE, D TRUNCATE, x REFERENCES, t TRIGGER; for sequences r SELECT, w UPDATE, U USAGE.
 */
CREATE TEMPORARY TABLE expected (object, nobody, app, monitor, grafana, operator, owner) AS VALUES
	('_check_load_cache()', '', '', '', 'X', 'X', ''),
	('_conditions()', '', '', '', 'X', 'X', ''),
	('_drained_servers', '', '', '', '', '', 'rawdDxt'),
	('_forget_backend_copies()', '', '', '', '', '', ''),
	('_guard_pins()', '', '', '', '', '', ''),
	('_guard_servers()', '', '', '', '', '', ''),
	('_memory()', '', '', '', 'X', 'X', ''),
	('_moved_on_call', '', '', '', '', '', 'rawdDxt'),
	('_next_server_position()', '', '', '', '', 'X', 'X'),
	('_note_change()', '', '', '', '', '', ''),
	('_note_pool_written()', '', '', '', '', '', ''),
	('_pool_written', '', '', '', '', '', 'rawdDxt'),
	('_reconcile_failovers()', '', '', '', '', '', ''),
	('_room_loads()', '', '', '', 'X', 'X', ''),
	('_server_loads()', '', '', '', 'X', 'X', ''),
	('_stats()', '', '', '', 'X', 'X', ''),
	('attach_rooms(regclass)', '', '', '', '', '', ''),
	('attach_sessions(regclass)', '', '', '', '', '', ''),
	('balancer_alerts', '', '', '', 'r', 'r', ''),
	('balancer_events', '', '', '', '', '', 'rwU'),
	('balancer_failovers', '', '', '', 'r', 'r', 'rawdDxt'),
	('balancer_health', '', '', '', 'r', 'r', 'rawdDxt'),
	('balancer_load', '', '', '', 'r', 'r', ''),
	('balancer_memory', '', '', '', 'r', 'r', ''),
	('balancer_metrics', '', '', '', 'r', 'r', ''),
	('balancer_now', '', '', '', 'r', 'r', ''),
	('balancer_pins', '', '', '', 'r', 'rawd', 'rawdDxt'),
	('balancer_room_sizes', '', '', '', 'r', 'rawd', 'rawdDxt'),
	('balancer_rooms', '', '', '', 'r', 'r', ''),
	('balancer_server_metrics', '', '', '', 'r', 'r', ''),
	('balancer_servers', '', '', '', 'r', 'rawd', 'rawdDxt'),
	('balancer_sources', '', '', '', '', '', 'rawdDxt'),
	('balancer_stats', '', '', '', 'r', 'r', ''),
	('clean_inactive_assignments(interval)', '', '', '', '', 'X', ''),
	('evacuate_server(text,text,integer)', '', '', '', '', 'X', ''),
	('explain_assignment(bigint,text,integer)', '', '', '', '', 'X', ''),
	('explain_assignment(text,text,integer)', '', '', '', '', 'X', ''),
	('get_or_assign_server(bigint,text,integer)', '', 'X', '', '', '', ''),
	('get_or_assign_server(text,text,integer)', '', 'X', '', '', '', ''),
	('init_servers(text)', '', '', '', '', 'X', ''),
	('move_room(bigint,text)', '', '', '', '', 'X', ''),
	('move_room(text,text)', '', '', '', '', 'X', ''),
	('pin_room(bigint,text,integer)', '', '', '', '', 'X', ''),
	('pin_room(text,text,integer)', '', '', '', '', 'X', ''),
	('rebalance(integer,integer,boolean)', '', '', '', '', 'X', ''),
	('release_room(bigint)', '', '', '', '', 'X', ''),
	('release_room(text)', '', '', '', '', 'X', ''),
	('reset_balancer_stats()', '', '', '', '', 'X', ''),
	('room_server(bigint)', '', 'X', '', '', '', ''),
	('room_server(text)', '', 'X', '', '', '', ''),
	('room_server_assignments', '', 'r', '', '', '', 'rawdDxt'),
	('server_heartbeat(text,boolean,real)', '', '', 'X', '', 'X', ''),
	('server_state(text)', '', '', 'X', '', 'X', ''),
	('set_server_state(text,text)', '', '', '', '', 'X', ''),
	('touch_room(bigint,integer)', '', 'X', '', '', '', ''),
	('touch_room(text,integer)', '', 'X', '', '', '', ''),
	('unpin_room(bigint)', '', '', '', '', 'X', ''),
	('unpin_room(text)', '', '', '', '', 'X', ''),
	('what_if(text,text)', '', '', '', 'X', 'X', ''),
	('what_if_added(text,integer)', '', '', '', 'X', 'X', '');

/* The privileges of a role on an object of the catalog. */
CREATE FUNCTION pg_temp.privileges(role text, class oid, object oid) RETURNS text LANGUAGE sql AS $$
	SELECT CASE WHEN class = 'pg_proc'::regclass THEN
			CASE WHEN has_function_privilege(role, object, 'EXECUTE') THEN 'X' ELSE '' END
		WHEN (SELECT relkind = 'S' FROM pg_class WHERE oid = object) THEN
			(SELECT coalesce(string_agg(letter, '' ORDER BY n), '')
			FROM (VALUES (1, 'r', 'SELECT'), (2, 'w', 'UPDATE'), (3, 'U', 'USAGE')) p (n, letter, privilege)
			WHERE has_sequence_privilege(role, object, privilege))
		ELSE
			(SELECT coalesce(string_agg(letter, '' ORDER BY n), '')
			FROM (VALUES (1, 'r', 'SELECT'), (2, 'a', 'INSERT'), (3, 'w', 'UPDATE'), (4, 'd', 'DELETE'), (5, 'D', 'TRUNCATE'),
				(6, 'x', 'REFERENCES'), (7, 't', 'TRIGGER')) p (n, letter, privilege)
			WHERE has_table_privilege(role, object, privilege)
				OR (privilege IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES') AND has_any_column_privilege(role, object, privilege)))
		END
$$;

/* What happens if a role runs a statement, which is rolled back: refused only by a missing privilege. */
CREATE FUNCTION pg_temp.is_refused(role text, statement text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	state text;
	message text;
BEGIN
	EXECUTE format('SET LOCAL ROLE %I', role);
	BEGIN
		EXECUTE statement;
		RAISE unique_violation USING MESSAGE = 'done';
	EXCEPTION WHEN OTHERS THEN
		state := SQLSTATE;
		message := SQLERRM;
	END;
	RESET ROLE;
	RETURN state = '42501' AND message ~ '^(permission denied for|must be owner)';
END
$$;

CREATE TEMPORARY VIEW objects AS
	SELECT o.classid, o.objid, CASE o.classid WHEN 'pg_proc'::regclass THEN o.objid::regprocedure::text
		WHEN 'pg_class'::regclass THEN o.objid::regclass::text END AS object
	FROM own o LEFT JOIN pg_class c ON o.classid = 'pg_class'::regclass AND c.oid = o.objid
	WHERE o.classid IN ('pg_proc'::regclass, 'pg_class'::regclass);

CREATE TEMPORARY VIEW actual AS
	SELECT object, pg_temp.privileges('roles_nobody', classid, objid) AS nobody, pg_temp.privileges('roles_app', classid, objid) AS app,
		pg_temp.privileges('roles_monitor', classid, objid) AS monitor, pg_temp.privileges('roles_grafana', classid, objid) AS grafana,
		pg_temp.privileges('roles_operator', classid, objid) AS operator, pg_temp.privileges('roles_owner', classid, objid) AS owner
	FROM objects;

SELECT plan(6);

SELECT is_empty($$SELECT DISTINCT classid::regclass FROM own
	WHERE classid NOT IN ('pg_proc'::regclass, 'pg_class'::regclass, 'pg_type'::regclass)$$, 'objects are of no kind that has no rows here');
SELECT is_empty($$SELECT objid::regtype FROM own JOIN pg_type t ON t.oid = objid WHERE classid = 'pg_type'::regclass
	AND NOT EXISTS (SELECT FROM own c WHERE c.classid = 'pg_class'::regclass AND t.typrelid = c.objid)
	AND NOT EXISTS (SELECT FROM pg_type e JOIN own c ON e.typrelid = c.objid WHERE e.oid = t.typelem)$$,
	'types are those of the rows of relations');
SELECT set_eq('SELECT * FROM actual', 'SELECT * FROM expected', 'each role has the privileges on each object that it needs, and no other');

/* Every cell by trying, also of the superuser, who runs this test, and of roles without USAGE on the schema. */
CREATE TEMPORARY TABLE given (name, value) AS VALUES ('room', '7'), ('region', 'IL'), ('expected_users', '5'), ('users', '3'),
	('server', 'gxy1'), ('target', 'gxy2'), ('max_rooms', '1'), ('grace', '1h'), ('names', 'gxy1,gxy5'), ('state', 'draining'),
	('healthy', 'true'), ('load', '0.5'), ('relation', NULL), ('capacity', '100'), ('max_users', '9'), ('dry_run', 'true');
CREATE TEMPORARY TABLE attempts AS
	SELECT o.object, 'X' AS privilege, format('SELECT * FROM %s(%s)', p.proname, (SELECT string_agg(format('%L::%s', g.value, p.proargtypes[i - 1]::regtype), ', ' ORDER BY i)
		FROM generate_series(1, p.pronargs) i LEFT JOIN given g ON g.name = p.proargnames[i])) AS statement
	FROM objects o JOIN pg_proc p ON o.classid = 'pg_proc'::regclass AND p.oid = o.objid WHERE p.prorettype <> 'trigger'::regtype
	UNION ALL
	SELECT o.object, s.privilege, format(s.statement, o.object, (SELECT format('%I = %1$I', attname) FROM pg_attribute WHERE attrelid = o.objid AND attnum = 1),
		(SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = o.objid AND attnum = 1))
	FROM objects o JOIN pg_class c ON o.classid = 'pg_class'::regclass AND c.oid = o.objid
		JOIN (VALUES ('rv', 'r', 'SELECT count(*) FROM %1$s'), ('r', 'a', 'INSERT INTO %1$s DEFAULT VALUES'), ('r', 'w', 'UPDATE %1$s SET %2$s'),
			('r', 'd', 'DELETE FROM %1$s'), ('r', 'D', 'TRUNCATE %1$s'), ('r', 't', 'CREATE TRIGGER roles BEFORE DELETE ON %1$s EXECUTE FUNCTION suppress_redundant_updates_trigger()'),
			('r', '!', 'ALTER TABLE %1$s ADD roles int'),
			('S', 'U', 'SELECT nextval(%1$L)'), ('S', 'r', 'SELECT last_value FROM %1$s'), ('S', 'w', 'SELECT setval(%1$L, 1)')) s (kinds, privilege, statement)
		ON s.kinds ~ c.relkind::text;
CREATE TEMPORARY TABLE outcomes AS
	SELECT a.object, a.privilege, a.statement, r.role, pg_temp.is_refused(r.role, a.statement) AS refused,
		CASE a.privilege WHEN '!' THEN r.role <> 'roles_owner'
			ELSE pg_temp.privileges(r.role, o.classid, o.objid) !~ a.privilege
				-- UPDATE and nextval need no more than one of the privileges.
				AND NOT (a.privilege = 'U' AND pg_temp.privileges(r.role, o.classid, o.objid) ~ 'w') END AS expected
	FROM attempts a JOIN objects o USING (object) CROSS JOIN roles r;
SELECT cmp_ok((SELECT count(*) FROM outcomes), '>', 400::bigint, 'attempts are made');
SELECT is_empty('SELECT role, statement, refused FROM outcomes WHERE refused IS DISTINCT FROM expected', 'what a role may not do is refused, and what it may do is not');
SELECT is_empty($$SELECT statement FROM attempts WHERE pg_temp.is_refused(current_user::text, statement)$$, 'a superuser is refused nothing');

SELECT * FROM finish();
ROLLBACK;
