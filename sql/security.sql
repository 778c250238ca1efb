/*
 * security: which role may do what. EXECUTE is all that an application's role needs; objects in its
 * search_path are never used by the extension; its relations are read with their owner's rights;
 * and it may not set the settings that affect decisions.
 */
\getenv abs_srcdir PG_ABS_SRCDIR
\set helpers :abs_srcdir '/sql/include/helpers.sql'
\set ECHO none
\i :helpers

SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_gxy_api, regress_gxy_owner, regress_gxy_operator, regress_gxy_watch, regress_gxy_evil;
RESET client_min_messages;
CREATE ROLE regress_gxy_api;
CREATE ROLE regress_gxy_owner;
CREATE ROLE regress_gxy_operator;
CREATE ROLE regress_gxy_watch;
CREATE ROLE regress_gxy_evil;
GRANT pg_monitor TO regress_gxy_watch;
SELECT init_servers('gxy1,gxy2,gxy3');

-- Runs a statement, reports its SQLSTATE only, and undoes it.
CREATE FUNCTION pg_temp.outcome(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	RAISE unique_violation USING MESSAGE = 'allowed';
EXCEPTION WHEN OTHERS THEN
	RETURN CASE SQLERRM WHEN 'allowed' THEN 'allowed' ELSE SQLSTATE END;
END
$$;
CREATE TEMPORARY TABLE attempts (statement text);
INSERT INTO attempts VALUES
	($$SELECT get_or_assign_server('r')$$), ($$SELECT get_or_assign_server(1)$$),
	($$SELECT touch_room('r')$$), ($$SELECT touch_room(1)$$), ($$SELECT room_server('r')$$), ($$SELECT room_server(1)$$),
	($$SELECT release_room('r')$$), ($$SELECT release_room(1)$$), ($$SELECT clean_inactive_assignments()$$),
	($$SELECT * FROM explain_assignment('r')$$), ($$SELECT * FROM explain_assignment(1)$$),
	($$SELECT * FROM what_if('gxy1', 'offline')$$), ($$SELECT * FROM what_if_added('gxy9', 1)$$),
	($$SELECT * FROM rebalance(NULL, NULL)$$), ($$SELECT * FROM rebalance(NULL, NULL, false)$$),
	($$SELECT server_state('gxy1')$$), ($$SELECT init_servers('x')$$), ($$SELECT attach_sessions(NULL)$$),
	($$SELECT attach_rooms(NULL)$$), ($$SELECT * FROM _server_loads()$$), ($$SELECT * FROM _room_loads()$$),
	($$SELECT * FROM _stats()$$), ($$SELECT reset_balancer_stats()$$), ($$SELECT * FROM balancer_stats$$), ($$SELECT * FROM balancer_memory$$),
	($$SELECT * FROM balancer_metrics$$), ($$SELECT * FROM balancer_server_metrics$$),
	($$SELECT _next_server_position()$$), ($$SELECT * FROM balancer_load$$), ($$SELECT * FROM balancer_rooms$$),
	($$SELECT * FROM room_server_assignments$$), ($$SELECT * FROM balancer_servers$$),
	($$SELECT * FROM balancer_pins$$), ($$SELECT * FROM balancer_sources$$), ($$SELECT * FROM balancer_room_sizes$$),
	($$DELETE FROM balancer_room_sizes$$), ($$INSERT INTO balancer_room_sizes (room_id, size, occasions) VALUES ('r', 9, 9)$$),
	($$INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('x', 'gxy1')$$),
	($$UPDATE room_server_assignments SET gateway_name = 'gxy2'$$), ($$DELETE FROM room_server_assignments$$),
	($$TRUNCATE room_server_assignments$$), ($$SELECT * FROM room_server_assignments FOR UPDATE$$),
	($$INSERT INTO balancer_servers (name) VALUES ('x')$$), ($$UPDATE balancer_servers SET state = 'offline'$$),
	($$DELETE FROM balancer_servers$$), ($$INSERT INTO balancer_pins (room_id, server) VALUES ('r', 'gxy1')$$),
	($$INSERT INTO balancer_sources VALUES ('rooms', 'public', 'x')$$), ($$LOCK room_server_assignments$$),
	($$ALTER TABLE room_server_assignments ADD COLUMN mine int$$), ($$DROP EXTENSION gxy_balancer$$);
GRANT SELECT ON attempts TO PUBLIC;

-- Without grants a role may do nothing.
SET ROLE regress_gxy_api;
SELECT pg_temp.outcome(statement), count(*) FROM attempts GROUP BY 1;
RESET ROLE;

-- With EXECUTE on the functions it calls the application works, and may do nothing else.
GRANT EXECUTE ON FUNCTION get_or_assign_server(text, text, int), get_or_assign_server(bigint, text, int),
	touch_room(text, int), touch_room(bigint, int), room_server(text), room_server(bigint), release_room(text),
	clean_inactive_assignments(interval) TO regress_gxy_api;
SET ROLE regress_gxy_api;
SELECT get_or_assign_server(1), get_or_assign_server('1'), touch_room(1, 5), room_server('1'), release_room('1'),
	get_or_assign_server(2), clean_inactive_assignments('0'), get_or_assign_server(3);
SELECT statement, pg_temp.outcome(statement) FROM attempts WHERE pg_temp.outcome(statement) <> '42501';
RESET ROLE;
SELECT room_id, gateway_name FROM room_server_assignments;
SELECT count(*) FROM balancer_servers;
-- SELECT on the table, if the application lists rooms.
GRANT SELECT ON room_server_assignments TO regress_gxy_api;
SET ROLE regress_gxy_api;
SELECT room_id, gateway_name FROM room_server_assignments;
SELECT pg_temp.outcome('UPDATE room_server_assignments SET gateway_name = ''gxy2''');
RESET ROLE;
-- The same for an operator: EXECUTE on all functions is enough to call them.
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO regress_gxy_operator;
SET ROLE regress_gxy_operator;
SELECT statement FROM attempts WHERE pg_temp.outcome(statement) <> '42501';
SELECT init_servers('gxy4'), server_state('gxy4');
RESET ROLE;
-- Monitoring may read the views only.
SET ROLE regress_gxy_watch;
SELECT count(*) FROM balancer_load;
SELECT room_id, server FROM balancer_rooms;
SELECT statement FROM attempts WHERE pg_temp.outcome(statement) <> '42501';
RESET ROLE;
TRUNCATE room_server_assignments;

-- An attached relation is read with its owner's rights: neither the caller's nor a superuser's.
CREATE SCHEMA app AUTHORIZATION regress_gxy_owner;
GRANT EXECUTE ON FUNCTION attach_sessions(regclass), attach_rooms(regclass) TO regress_gxy_owner;
CREATE TABLE app.secret (room_id text, user_id text, gateway_name text);
INSERT INTO app.secret SELECT 'busy', i, 'gxy2' FROM generate_series(1, 7) i;
SET ROLE regress_gxy_owner;
-- What the view's code can see and do.
CREATE FUNCTION app.look() RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	refusals text := '';
	attempt text;
BEGIN
	RAISE INFO 'read as %, search_path %', current_user, current_setting('search_path');
	FOREACH attempt IN ARRAY ARRAY['SET ROLE regress_gxy_evil', 'RESET ROLE', 'SET SESSION AUTHORIZATION DEFAULT',
		'CREATE TEMPORARY TABLE left_behind (x int)', 'SELECT 1 FROM decoy'] LOOP
		BEGIN
			EXECUTE attempt;
			refusals := refusals || ' allowed: ' || attempt;
		EXCEPTION WHEN OTHERS THEN
			refusals := refusals || ' ' || SQLSTATE;
		END;
	END LOOP;
	RAISE INFO 'refused:%', refusals;
	RETURN true;
END
$$;
CREATE TABLE app.members (room_id text, user_id text, gateway_name text);
INSERT INTO app.members VALUES ('one', 'u', 'gxy3');
CREATE VIEW app.live AS SELECT * FROM app.members WHERE app.look();
CREATE VIEW app.known AS SELECT room_id FROM app.members WHERE app.look();
SELECT attach_sessions('app.live');
SELECT attach_rooms('app.known');
RESET ROLE;
CREATE SCHEMA callers;
CREATE TABLE callers.decoy (x int);
GRANT USAGE ON SCHEMA callers TO PUBLIC;
GRANT SELECT ON callers.decoy TO PUBLIC;
SET search_path = callers, public;
SET ROLE regress_gxy_api;
SELECT get_or_assign_server('one');
SHOW search_path;
SELECT current_user;
SELECT clean_inactive_assignments('0');
RESET ROLE;
-- A superuser's call, and one of a SECURITY DEFINER function, are no different.
SELECT get_or_assign_server('one'), clean_inactive_assignments('0');
SELECT room_id, users FROM balancer_rooms;
SELECT count(*) FROM explain_assignment('one');
CREATE FUNCTION pg_temp.as_superuser() RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = pg_temp AS
	$$SELECT public.release_room('one')::text || public.get_or_assign_server('one')$$;
SET ROLE regress_gxy_api;
SELECT pg_temp.as_superuser();
RESET ROLE;
RESET search_path;
TRUNCATE room_server_assignments;
-- So a view over a table that its owner may not read reveals nothing, to any caller.
SET ROLE regress_gxy_owner;
CREATE OR REPLACE VIEW app.live AS SELECT * FROM app.members;
SELECT attach_rooms(NULL);
RESET ROLE;
CREATE OR REPLACE VIEW app.live AS SELECT * FROM app.secret;
\set VERBOSITY sqlstate
SELECT get_or_assign_server('busy');
SELECT clean_inactive_assignments('0');
\set VERBOSITY default
SELECT count(*) FROM room_server_assignments;
GRANT SELECT ON app.secret TO regress_gxy_owner;
SET ROLE regress_gxy_api;
SELECT get_or_assign_server('busy');
SELECT pg_temp.outcome('SELECT * FROM app.live'), pg_temp.outcome('SELECT * FROM app.secret');
RESET ROLE;
-- With a new owner the view is read with the new owner's rights, from then on.
ALTER VIEW app.live OWNER TO regress_gxy_evil;
\set VERBOSITY sqlstate
SELECT get_or_assign_server('other');
\set VERBOSITY default
GRANT SELECT ON app.secret TO regress_gxy_evil;
GRANT USAGE ON SCHEMA app TO regress_gxy_evil;
SELECT get_or_assign_server('other');
ALTER VIEW app.live OWNER TO regress_gxy_owner;
REVOKE SELECT ON app.secret FROM regress_gxy_evil;
SELECT get_or_assign_server('another');
TRUNCATE room_server_assignments;
-- With row security the owner would see only some rows of another role's table, and rooms without
-- visible rows would look empty: so it is an error. An owner who may bypass row security sees all
-- rows.
ALTER TABLE app.secret ENABLE ROW LEVEL SECURITY;
CREATE POLICY few ON app.secret FOR SELECT USING (user_id::int <= 3);
\set VERBOSITY sqlstate
SELECT get_or_assign_server('busy');
SELECT clean_inactive_assignments('0');
SELECT users FROM balancer_rooms;
SELECT attach_sessions('app.live');
\set VERBOSITY default
ALTER ROLE regress_gxy_owner BYPASSRLS;
SELECT get_or_assign_server('busy');
SELECT users FROM balancer_rooms;
ALTER ROLE regress_gxy_owner NOBYPASSRLS;
SELECT attach_sessions(NULL), release_room('busy');

-- Hostile objects in a caller's search_path: each would raise an error, or return something else,
-- if it were used.
CREATE SCHEMA evil AUTHORIZATION regress_gxy_evil;
SET ROLE regress_gxy_evil;
SET search_path = evil, pg_catalog, public;
CREATE FUNCTION evil.sprung() RETURNS void LANGUAGE plpgsql AS $$BEGIN RAISE 'the trap was sprung' USING ERRCODE = 'GX002'; END$$;
CREATE FUNCTION evil.trap(text, text) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN PERFORM evil.sprung(); END$$;
CREATE FUNCTION evil.trap(timestamptz, timestamptz) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN PERFORM evil.sprung(); END$$;
CREATE FUNCTION evil.trap(bigint, bigint) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN PERFORM evil.sprung(); END$$;
CREATE FUNCTION evil.trap(int, bigint) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN PERFORM evil.sprung(); END$$;
CREATE FUNCTION evil.trap(numeric, bigint) RETURNS numeric LANGUAGE plpgsql AS $$BEGIN PERFORM evil.sprung(); END$$;
CREATE FUNCTION evil.trap(numeric, int) RETURNS numeric LANGUAGE plpgsql AS $$BEGIN PERFORM evil.sprung(); END$$;
CREATE FUNCTION evil.trap(int, int) RETURNS int LANGUAGE plpgsql AS $$BEGIN PERFORM evil.sprung(); END$$;
CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.trap);
CREATE OPERATOR evil.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = evil.trap);
CREATE OPERATOR evil.= (LEFTARG = int, RIGHTARG = bigint, FUNCTION = evil.trap);
CREATE OPERATOR evil.>= (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = evil.trap);
CREATE OPERATOR evil.> (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = evil.trap);
CREATE OPERATOR evil.* (LEFTARG = numeric, RIGHTARG = bigint, FUNCTION = evil.trap);
CREATE OPERATOR evil./ (LEFTARG = numeric, RIGHTARG = int, FUNCTION = evil.trap);
CREATE OPERATOR evil.+ (LEFTARG = int, RIGHTARG = int, FUNCTION = evil.trap);
CREATE FUNCTION evil.trap(text) RETURNS int LANGUAGE plpgsql AS $$BEGIN PERFORM evil.sprung(); END$$;
CREATE FUNCTION evil.octet_length(text) RETURNS int LANGUAGE sql AS 'SELECT evil.trap($1)';
CREATE FUNCTION evil.btrim(text) RETURNS text LANGUAGE sql AS 'SELECT evil.trap($1)::text';
CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS 'SELECT evil.trap('''')::text::timestamptz';
CREATE FUNCTION evil.now() RETURNS timestamptz LANGUAGE sql AS 'SELECT evil.trap('''')::text::timestamptz';
CREATE FUNCTION evil.round(numeric, int) RETURNS numeric LANGUAGE sql AS 'SELECT evil.trap('''')::numeric';
CREATE FUNCTION evil.rpad(text, int, text) RETURNS text LANGUAGE sql AS 'SELECT evil.trap('''')::text';
CREATE FUNCTION evil.repeat(text, int) RETURNS text LANGUAGE sql AS 'SELECT evil.trap('''')::text';
CREATE FUNCTION evil.get_or_assign_server(text, text, int) RETURNS text LANGUAGE sql AS $$SELECT 'evil'$$;
CREATE FUNCTION evil._server_loads() RETURNS int LANGUAGE sql AS 'SELECT evil.trap('''')';
CREATE FUNCTION evil._room_loads() RETURNS int LANGUAGE sql AS 'SELECT evil.trap('''')';
CREATE FUNCTION evil._next_server_position() RETURNS int LANGUAGE sql AS 'SELECT evil.trap('''')';
CREATE FUNCTION evil.max(int) RETURNS int LANGUAGE sql AS 'SELECT evil.trap('''')';
CREATE DOMAIN evil.text AS pg_catalog.text CHECK (evil.trap(VALUE::pg_catalog.text) > 0);
CREATE DOMAIN evil.int8 AS pg_catalog.int8 CHECK (evil.trap('') > 0);
CREATE DOMAIN evil.interval AS pg_catalog.interval CHECK (evil.trap('') > 0);
CREATE TABLE evil.room_server_assignments (room_id pg_catalog.text PRIMARY KEY, gateway_name pg_catalog.text,
	region pg_catalog.text, assigned_at timestamptz, last_used_at timestamptz);
INSERT INTO evil.room_server_assignments VALUES ('r', 'evil', NULL, pg_catalog.now(), pg_catalog.now());
CREATE TABLE evil.balancer_servers (name pg_catalog.text, position int);
INSERT INTO evil.balancer_servers VALUES ('evil', 1);
CREATE TABLE evil.pg_extension (oid oid, extname name, extnamespace oid);
CREATE TABLE evil.pg_prepared_xacts (transaction xid, gid pg_catalog.text);
CREATE TABLE evil.members AS SELECT 'r'::pg_catalog.text AS room_id, 'u'::pg_catalog.text AS user_id,
	'evil'::pg_catalog.text AS gateway_name;
GRANT ALL ON SCHEMA evil TO PUBLIC;
GRANT ALL ON ALL TABLES IN SCHEMA evil TO PUBLIC;
RESET ROLE;
CREATE TABLE public.members (room_id pg_catalog.text, user_id pg_catalog.int8, gateway_name pg_catalog.text,
	last_seen_at timestamptz, expected_users int);
ALTER TABLE public.members OWNER TO regress_gxy_owner;
-- The hostile objects work.
\set VERBOSITY sqlstate
SELECT 'a'::pg_catalog.text = 'b'::pg_catalog.text;
\set VERBOSITY default
-- As a superuser, and with temporary objects as well.
CREATE TEMPORARY TABLE room_server_assignments (LIKE evil.room_server_assignments);
INSERT INTO pg_temp.room_server_assignments VALUES ('r', 'temporary', NULL, pg_catalog.now(), pg_catalog.now());
CREATE TEMPORARY TABLE balancer_servers (LIKE evil.balancer_servers);
CREATE TEMPORARY TABLE balancer_sources (source pg_catalog.text, schema_name pg_catalog.text, relation_name pg_catalog.text);
CREATE TEMPORARY TABLE balancer_pins (room_id pg_catalog.text, server pg_catalog.text, expected_users int);
CREATE TEMPORARY TABLE members (room_id pg_catalog.text, user_id pg_catalog.int8);
SET search_path = pg_temp, evil, pg_catalog, public;
SELECT public.init_servers('gxy5');
SELECT public.get_or_assign_server('r'), public.get_or_assign_server(2171), public.room_server('r'), public.touch_room('r', 4);
SELECT public.attach_sessions('public.members'), public.attach_rooms('public.members');
INSERT INTO public.members VALUES ('s', 1, 'gxy3', pg_catalog.now(), 20);
SELECT public.get_or_assign_server('s'), public.clean_inactive_assignments('0');
SELECT server, rooms, users, load, percent, bar FROM public.balancer_load;
SELECT room_id, server, users FROM public.balancer_rooms;
SELECT server, chosen FROM public.explain_assignment('s') WHERE chosen;
SELECT server, rooms_after, note FROM public.what_if('gxy1', 'offline');
SELECT pg_catalog.count(*) FROM public.rebalance(NULL, NULL, false);
SELECT pg_catalog.count(*) FROM public.what_if_added('gxy9', 400);
INSERT INTO public.balancer_servers (name) VALUES ('gxy6') RETURNING name, position;
UPDATE public.balancer_servers SET state = 'draining' WHERE name OPERATOR(pg_catalog.=) 'gxy6';
SELECT public.server_state('gxy6');
DELETE FROM public.balancer_servers WHERE name OPERATOR(pg_catalog.=) 'gxy6';
INSERT INTO public.room_server_assignments (room_id, gateway_name) VALUES ('app', 'gxy1');
SELECT public.release_room('app'), public.release_room('s'), public.attach_sessions(NULL), public.attach_rooms(NULL);
SET search_path = pg_catalog, public;
SELECT room_id, gateway_name FROM pg_temp.room_server_assignments;
SELECT room_id, gateway_name FROM evil.room_server_assignments;
SELECT room_id, gateway_name FROM public.room_server_assignments;
SELECT string_agg(name, ' ' ORDER BY position) FROM public.balancer_servers;
DROP TABLE pg_temp.room_server_assignments, pg_temp.balancer_servers, pg_temp.balancer_sources, pg_temp.balancer_pins,
	pg_temp.members;
RESET search_path;
DROP TABLE members;

TRUNCATE room_server_assignments, balancer_servers, _pool_written, balancer_pins;

-- Settings that affect decisions can be set by superusers only, also before the library is loaded.
CREATE TEMPORARY TABLE settings (name text, value text);
INSERT INTO settings VALUES ('strategy', 'sequential'), ('load_metric', 'rooms'), ('overflow', 'error'),
	('default_servers', 'evil'), ('default_capacity', '1'), ('avg_room_occupancy', '1'), ('join_window', '1'),
	('dead_session_timeout', '1'), ('assignment_grace', '0'), ('touch_interval', '0'), ('assign_timeout', '1');
GRANT SELECT ON settings TO PUBLIC;
SET ROLE regress_gxy_api;
SELECT name, pg_temp.outcome(format('SET gxy_balancer.%I = %L', name, value)) AS set,
	pg_temp.outcome(format('SELECT set_config(''gxy_balancer.%s'', %L, false)', name, value)) AS set_config,
	pg_temp.outcome(format('ALTER ROLE CURRENT_USER SET gxy_balancer.%I = %L', name, value)) AS for_role
FROM settings;
SET gxy_balancer.strategy = 'sequential';
RESET ROLE;
-- The launcher's settings concern all databases, so no session may set them.
SELECT pg_temp.outcome('SET gxy_balancer.cleanup_interval = ''1h''');
\c -
SET ROLE regress_gxy_api;
-- Before the library is loaded any role may set a placeholder of the same name; it is discarded on
-- load. With the library loaded it is refused at once.
SET client_min_messages = error;
DO $$
BEGIN
	SET gxy_balancer.default_servers = 'evil';
EXCEPTION WHEN insufficient_privilege THEN
END
$$;
SELECT get_or_assign_server('r');
RESET client_min_messages;
SELECT current_setting('gxy_balancer.default_servers') LIKE 'gxy1,%' AS kept;
RESET ROLE;
SELECT gateway_name FROM room_server_assignments;
TRUNCATE room_server_assignments;
-- A superuser may grant SET on one.
GRANT SET ON PARAMETER gxy_balancer.strategy TO regress_gxy_api;
SET ROLE regress_gxy_api;
SET gxy_balancer.strategy = sequential;
RESET ROLE;
RESET gxy_balancer.strategy;
REVOKE SET ON PARAMETER gxy_balancer.strategy FROM regress_gxy_api;

SET client_min_messages = warning;
DROP SCHEMA app, callers, evil CASCADE;
RESET client_min_messages;
DROP OWNED BY regress_gxy_api, regress_gxy_owner, regress_gxy_operator, regress_gxy_watch, regress_gxy_evil;
DROP ROLE regress_gxy_api, regress_gxy_owner, regress_gxy_operator, regress_gxy_watch, regress_gxy_evil;
