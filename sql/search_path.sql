/*
 * search_path: hostile objects in a search_path are not used, neither by the install script, in a
 * schema of their owner, nor by any function of the extension, for any caller. include/traps.sql
 * creates these objects.
 */
\getenv abs_srcdir PG_ABS_SRCDIR
\set helpers :abs_srcdir '/sql/include/helpers.sql'
\set traps :abs_srcdir '/sql/include/traps.sql'
\set ECHO none
\i :helpers
\set ECHO none
\i :traps
\set ECHO all

SET client_min_messages = warning;
DROP EXTENSION gxy_balancer;
DROP ROLE IF EXISTS regress_gxy_app, regress_gxy_monitor, regress_gxy_operator, regress_gxy_owner;
RESET client_min_messages;
CREATE ROLE regress_gxy_app;
CREATE ROLE regress_gxy_monitor;
CREATE ROLE regress_gxy_operator;
CREATE ROLE regress_gxy_owner;
CALL pg_temp.set_traps('trapped');
SELECT functions > 3000 AS functions, operators > 5000 AS operators, types > 50 AS types, views > 100 AS views
FROM pg_temp.traps_in('trapped');
-- The hostile objects work.
SET search_path = trapped, pg_catalog;
SELECT 'a'::pg_catalog.text = 'b'::pg_catalog.text;
SELECT 1::pg_catalog.float4 BETWEEN 0 AND 1;
SELECT now(), 'a'::text;
RESET search_path;
SELECT sprung > 3 AS sprung FROM traps.report;
SELECT setval('traps.sprung', 1, false);

-- The script runs as a superuser. Its triggers and defaults run as any role that writes a row, for
-- as long as the extension exists.
ALTER SCHEMA trapped OWNER TO regress_gxy_owner;
SET search_path = trapped, pg_catalog;
SET client_min_messages = warning;
CREATE EXTENSION gxy_balancer;
RESET client_min_messages;
RESET search_path;
SELECT * FROM traps.report;
-- They refer only to the extension's own objects and to those of pg_catalog, which pg_depend does
-- not list.
CREATE TEMPORARY TABLE own AS
WITH RECURSIVE own AS (
	SELECT d.classid, d.objid FROM pg_depend d
	WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
		AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'gxy_balancer')
	UNION
	SELECT d.classid, d.objid FROM pg_depend d JOIN own o ON d.refclassid = o.classid AND d.refobjid = o.objid
	WHERE d.deptype IN ('a', 'i')
)
SELECT * FROM own;
SELECT count(*) > 100 AS many FROM own;
SELECT DISTINCT pg_describe_object(d.classid, d.objid, 0) AS object,
	pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid) AS depends_on
FROM pg_depend d JOIN own o USING (classid, objid)
WHERE (d.refclassid, d.refobjid) NOT IN (SELECT classid, objid FROM own)
	AND d.refclassid <> 'pg_extension'::regclass
	AND NOT (d.refclassid = 'pg_namespace'::regclass AND d.refobjid = 'trapped'::regnamespace)
	-- A view of the server; it is not pinned, so unlike functions it is listed.
	AND NOT (d.refclassid = 'pg_class'::regclass AND d.refobjid = 'pg_catalog.pg_settings'::regclass)
ORDER BY 1, 2;

-- The callers' privileges: the README's GRANT blocks.
GRANT EXECUTE ON FUNCTION trapped.get_or_assign_server(text, text, int), trapped.get_or_assign_server(bigint, text, int),
	trapped.touch_room(text, int), trapped.touch_room(bigint, int), trapped.room_server(text), trapped.room_server(bigint)
	TO regress_gxy_app;
GRANT SELECT ON trapped.room_server_assignments TO regress_gxy_app;
GRANT EXECUTE ON FUNCTION trapped.server_heartbeat(text, boolean, real), trapped.server_state(text) TO regress_gxy_monitor;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA trapped TO regress_gxy_operator;
GRANT SELECT, INSERT, UPDATE, DELETE ON trapped.balancer_servers, trapped.balancer_pins, trapped.balancer_room_sizes
	TO regress_gxy_operator;
GRANT pg_monitor TO regress_gxy_operator;

-- Every function of the extension with a value for each of its arguments, by their names.
CREATE TABLE given (name text, value text);
INSERT INTO given VALUES ('room', '7'), ('region', 'IL'), ('expected_users', '5'), ('users', '3'), ('server', 'gxy1'),
	('target', 'gxy2'), ('max_rooms', '1'), ('grace', '0'), ('names', 'gxy1,gxy5'), ('state', 'draining'),
	('healthy', 'true'), ('load', '0.5'), ('relation', 'app.live'), ('capacity', '100'), ('max_users', '9'), ('dry_run', 'false');
CREATE TABLE calls (name text, statement text);
INSERT INTO calls
SELECT p.oid::regprocedure::text, format('SELECT * FROM trapped.%I(%s)', p.proname, string_agg(
	CASE WHEN a.name IS NOT NULL THEN format('%L::pg_catalog.%I', g.value, t.typname) END, ', ' ORDER BY a.n))
FROM own o JOIN pg_proc p ON o.classid = 'pg_proc'::regclass AND p.oid = o.objid
	LEFT JOIN LATERAL (SELECT p.proargnames[i.n] AS name, p.proargtypes[i.n - 1] AS type, i.n
		FROM generate_series(1, p.pronargs) i(n)) a ON true
	LEFT JOIN given g USING (name)
	LEFT JOIN pg_type t ON t.oid = a.type
WHERE p.prorettype <> 'trigger'::regtype GROUP BY p.oid;
-- The server that is added is not in the pool.
UPDATE calls SET statement = replace(statement, 'gxy1', 'gxy99') WHERE name LIKE '%what_if_added%';
INSERT INTO calls SELECT relname, format('SELECT * FROM trapped.%I', relname)
FROM own o JOIN pg_class c ON o.classid = 'pg_class'::regclass AND c.oid = o.objid AND c.relkind IN ('r', 'v');
-- A function with an argument that has no value here would not be called.
SELECT name, statement FROM calls WHERE statement IS NULL OR statement LIKE '%NULL%' OR statement LIKE '%(, %';

CREATE TABLE outcomes (role text, name text, outcome text);
GRANT SELECT ON calls TO PUBLIC;
GRANT INSERT ON outcomes TO PUBLIC;
-- Its name is schema-qualified, since it is called with the hostile objects in the search_path.
CREATE PROCEDURE call_all() LANGUAGE plpgsql AS $$
DECLARE
	call public.calls;
BEGIN
	FOR call IN SELECT * FROM public.calls LOOP
		BEGIN
			EXECUTE call.statement;
			INSERT INTO public.outcomes VALUES (CURRENT_USER, call.name, 'done');
		EXCEPTION WHEN OTHERS THEN
			INSERT INTO public.outcomes VALUES (CURRENT_USER, call.name, SQLSTATE);
		END;
	END LOOP;
END
$$;

-- The application's relations, and objects with the names of the extension's, earlier in the
-- search_path.
CREATE SCHEMA app AUTHORIZATION regress_gxy_operator;
SET ROLE regress_gxy_operator;
CREATE TABLE app.live (room_id bigint, user_id uuid, gateway_name text, last_seen_at timestamptz);
CREATE TABLE app.members (room_id varchar(20), user_id varchar(20), gateway_name name);
CREATE TABLE app.rooms (room_id int, expected_users numeric);
INSERT INTO app.live SELECT 7, '8d9c6d1e-3b7a-4d3c-9a53-0f5a5d7c9f10', 'gxy2', now();
INSERT INTO app.members VALUES ('7', 'u', 'gxy2');
INSERT INTO app.rooms VALUES (7, 20), (8, 9), (9, 3), (10, 5);
RESET ROLE;
CREATE SCHEMA decoys;
DO $$
DECLARE relation text;
BEGIN
	FOR relation IN SELECT relname FROM own o JOIN pg_class c ON o.classid = 'pg_class'::regclass AND c.oid = o.objid
		AND c.relkind IN ('r', 'v', 'S')
	LOOP
		EXECUTE format('CREATE VIEW decoys.%I AS SELECT * FROM trapped.%1$I WHERE traps.spring(%1$L)', relation);
	END LOOP;
END
$$;
CREATE VIEW decoys.live AS SELECT * FROM app.live WHERE traps.spring('live');
GRANT ALL ON SCHEMA decoys TO PUBLIC;
GRANT ALL ON ALL TABLES IN SCHEMA decoys TO PUBLIC;
SELECT * FROM traps.report;

-- Each role calls all functions, on an empty pool, on one with failures, and with sources of other
-- types.
CREATE PROCEDURE sweep() LANGUAGE plpgsql AS $$
DECLARE
	role text;
BEGIN
	FOREACH role IN ARRAY '{regress_gxy_app,regress_gxy_monitor,regress_gxy_operator,none}'::text[] LOOP
		EXECUTE format('SET ROLE %I', role);
		PERFORM set_config('search_path', 'decoys, trapped, pg_catalog', false);
		CALL public.call_all();
		RESET search_path;
		RESET ROLE;
	END LOOP;
END
$$;
CALL sweep();
SELECT * FROM traps.report;
SET gxy_balancer.failover_delay = 0;
SET search_path = decoys, trapped, pg_catalog;
SELECT trapped.attach_sessions('app.members'), trapped.attach_rooms(NULL);
SELECT trapped.init_servers('a,b,c,d');
INSERT INTO trapped.balancer_servers (name, pool) VALUES ('s', 'standby');
SELECT trapped.get_or_assign_server(8::pg_catalog.int8) IS NULL, trapped.get_or_assign_server('9') IS NULL;
SELECT trapped.attach_rooms('app.rooms');
UPDATE trapped.balancer_servers SET state = 'offline' WHERE name OPERATOR(pg_catalog.=) 'gxy4';
SELECT trapped.server_heartbeat('gxy2', false), trapped.server_heartbeat('gxy3');
RESET search_path;
CALL sweep();
SELECT * FROM traps.report;

-- Actions that no single call covers: pins, renames, standbys, failovers that end, servers that
-- stop sending heartbeats.
SET search_path = decoys, trapped, pg_catalog;
SELECT trapped.set_server_state('gxy4', 'online'), trapped.server_heartbeat('gxy2');
SELECT trapped.attach_sessions('app.members'), trapped.attach_rooms(NULL);
SELECT trapped.pin_room('p', 'a', 7), trapped.pin_room('p', 'a', 7), trapped.pin_room('p', 'b');
SELECT trapped.pin_room(10::pg_catalog.int8, 'a'), trapped.get_or_assign_server(10::pg_catalog.int8, 'IL', 3);
SELECT trapped.server_heartbeat('a', false), trapped.get_or_assign_server(10::pg_catalog.int8);
SELECT trapped.server_heartbeat('s', false), trapped.server_heartbeat('a'), trapped.server_heartbeat('s');
UPDATE trapped.balancer_servers SET name = 'e' WHERE name OPERATOR(pg_catalog.=) 'b';
UPDATE trapped.balancer_pins SET server = 'c';
UPDATE trapped.room_server_assignments SET gateway_name = 'c', last_used_at = pg_catalog.now();
DELETE FROM trapped.room_server_assignments;
DELETE FROM trapped.balancer_pins;
DELETE FROM trapped.balancer_servers WHERE name OPERATOR(pg_catalog.=) 's';
TRUNCATE trapped.room_server_assignments;
INSERT INTO trapped.balancer_room_sizes (room_id, size, occasions) VALUES ('q', 3, 4);
SELECT trapped.attach_sessions(NULL), trapped.attach_rooms(NULL);
SELECT trapped.server_heartbeat('c'), trapped.server_heartbeat('d'), trapped.server_heartbeat('e');
RESET search_path;
SELECT * FROM traps.report;
-- A backend looks for silent servers at intervals. Silence counts from the start of the server at
-- the earliest.
UPDATE trapped.balancer_health SET last_heartbeat = now() + interval '1 hour', counts_from = now() + interval '1 hour';
UPDATE trapped.balancer_health SET counts_from = now() - interval '1 hour' WHERE server = 'e';
\c -
SET gxy_balancer.heartbeat_timeout = '1s';
SET search_path = decoys, trapped, pg_catalog;
SELECT trapped.server_heartbeat('c'), trapped.server_state('e');
RESET search_path;
UPDATE trapped.balancer_health SET counts_from = now() - interval '1 hour', last_heartbeat = now() - interval '1 hour';
\c -
SET gxy_balancer.heartbeat_timeout = '1s';
SET search_path = decoys, trapped, pg_catalog;
SELECT trapped.server_heartbeat('c'), trapped.server_state('d');
RESET search_path;
RESET gxy_balancer.heartbeat_timeout;
SELECT * FROM traps.report;

-- Each function was called successfully at least once, and no call met an error of its internal
-- statements.
SELECT name FROM outcomes GROUP BY 1 HAVING bool_and(outcome <> 'done');
SELECT DISTINCT role, name, outcome FROM outcomes
WHERE outcome ~ '^(0A|22|42|XX)' AND (outcome <> '42501' OR role = SESSION_USER);

SET client_min_messages = warning;
DROP EXTENSION gxy_balancer CASCADE;
-- One transaction that dropped all of the hostile objects would hold thousands of locks, most of
-- those that a server has. Operators and aggregates are dropped with their functions.
DO $$
DECLARE
	names text;
BEGIN
	LOOP
		SELECT string_agg(p.oid::regprocedure::text, ', ') INTO names
		FROM (SELECT oid FROM pg_proc WHERE pronamespace = 'trapped'::regnamespace AND prokind = 'f' LIMIT 10) p;
		EXIT WHEN names IS NULL;
		EXECUTE format('DROP FUNCTION %s CASCADE', names);
		COMMIT;
	END LOOP;
	LOOP
		SELECT string_agg(c.oid::regclass::text, ', ') INTO names
		FROM (SELECT oid FROM pg_class WHERE relnamespace = 'trapped'::regnamespace AND relkind = 'v' LIMIT 50) c;
		EXIT WHEN names IS NULL;
		EXECUTE format('DROP VIEW %s', names);
		COMMIT;
	END LOOP;
END
$$;
DROP SCHEMA trapped, decoys, app, traps CASCADE;
DROP TABLE given, calls, outcomes;
DROP PROCEDURE call_all, sweep;
DROP OWNED BY regress_gxy_app, regress_gxy_monitor, regress_gxy_operator, regress_gxy_owner;
DROP ROLE regress_gxy_app, regress_gxy_monitor, regress_gxy_operator, regress_gxy_owner;
