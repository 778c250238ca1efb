/*
 * attach: attaching the relations that hold the application's sessions and rooms. Which relations
 * may be attached and by which roles, which column types work, and what callers get while an
 * attached view is missing or broken.
 */
\getenv abs_srcdir PG_ABS_SRCDIR
\set helpers :abs_srcdir '/sql/include/helpers.sql'
\set ECHO none
\i :helpers

SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_gxy_app, regress_gxy_other;
RESET client_min_messages;
CREATE ROLE regress_gxy_app;
CREATE ROLE regress_gxy_other;
CREATE SCHEMA app AUTHORIZATION regress_gxy_app;
GRANT EXECUTE ON FUNCTION attach_sessions(regclass), attach_rooms(regclass), get_or_assign_server(text, text, int)
TO regress_gxy_app, regress_gxy_other;
CREATE VIEW attached AS
	SELECT source, schema_name || '.' || relation_name AS relation FROM balancer_sources ORDER BY source;
SELECT init_servers('gxy1,gxy2,gxy3');

-- The owner may attach a relation; a later one replaces it. NULL detaches.
SET ROLE regress_gxy_app;
CREATE TABLE app.members (room_id text, user_id text, gateway_name text, last_seen_at timestamptz);
CREATE VIEW app.live AS SELECT * FROM app.members;
CREATE TABLE app.conferences (room_id text, expected_users int);
SELECT attach_sessions('app.members'), attach_rooms('app.conferences');
SELECT attach_sessions('app.live');
RESET ROLE;
TABLE attached;
SELECT attach_sessions(NULL);
TABLE attached;
SELECT attach_sessions(NULL), attach_rooms(NULL);
TABLE attached;
-- A role with the owner's rights may attach the relation. A role without them may not, whatever its
-- other privileges on it.
GRANT ALL ON SCHEMA app TO regress_gxy_other;
GRANT ALL ON app.live TO regress_gxy_other;
SET ROLE regress_gxy_other;
CALL pg_temp.refused($$SELECT attach_sessions('app.live')$$);
RESET ROLE;
GRANT regress_gxy_app TO regress_gxy_other;
SET ROLE regress_gxy_other;
SELECT attach_sessions('app.live');
RESET ROLE;
REVOKE regress_gxy_app FROM regress_gxy_other;
TABLE attached;
-- A superuser may attach any relation. A relation of a superuser is read with superuser rights, and
-- a notice says so.
SELECT attach_sessions('app.members');
CREATE VIEW app.mine AS SELECT * FROM app.members;
SELECT attach_sessions('app.mine');
-- After a rollback the former attachment is back.
BEGIN;
SELECT attach_sessions('app.live');
SAVEPOINT s;
SELECT attach_sessions(NULL);
ROLLBACK TO s;
TABLE attached;
ROLLBACK;
TABLE attached;
SELECT attach_sessions(NULL);
DROP VIEW app.mine;

-- An unsuitable relation is refused at once, and the attachment stays as it was.
SELECT attach_rooms('app.conferences');
SET ROLE regress_gxy_app;
CREATE VIEW app.no_room AS SELECT user_id FROM app.members;
CREATE VIEW app.no_user AS SELECT room_id FROM app.members;
CREATE VIEW app.bad_time AS SELECT room_id, user_id, last_seen_at::timestamp FROM app.members;
CREATE VIEW app.text_time AS SELECT room_id, user_id, last_seen_at::text FROM app.members;
CREATE VIEW app.bad_size AS SELECT room_id, expected_users::text FROM app.conferences;
CREATE VIEW app.bad_read AS SELECT room_id, user_id, NULL::text AS gateway_name FROM app.members WHERE 1 / 0 = 1;
CREATE SEQUENCE app.numbers;
CREATE INDEX members_index ON app.members (room_id);
CREATE TYPE app.pair AS (room_id text, user_id text);
CREATE TEMPORARY TABLE temporary_members (room_id text, user_id text);
CREATE TEMPORARY VIEW temporary_live AS SELECT * FROM app.members;
CALL pg_temp.refused($$SELECT attach_sessions('app.no_room')$$);
CALL pg_temp.refused($$SELECT attach_sessions('app.no_user')$$);
CALL pg_temp.refused($$SELECT attach_sessions('app.bad_time')$$);
CALL pg_temp.refused($$SELECT attach_sessions('app.text_time')$$);
CALL pg_temp.refused($$SELECT attach_rooms('app.no_room')$$);
CALL pg_temp.refused($$SELECT attach_rooms('app.bad_size')$$);
CALL pg_temp.refused($$SELECT attach_sessions('app.bad_read')$$);
CALL pg_temp.refused($$SELECT attach_sessions('app.numbers')$$);
CALL pg_temp.refused($$SELECT attach_rooms('app.numbers')$$);
CALL pg_temp.refused($$SELECT attach_sessions('app.members_index')$$);
CALL pg_temp.refused($$SELECT attach_sessions('app.pair')$$);
CALL pg_temp.refused($$SELECT attach_sessions('temporary_members')$$);
CALL pg_temp.refused($$SELECT attach_rooms('temporary_members')$$);
CALL pg_temp.refused($$SELECT attach_sessions('temporary_live')$$);
CALL pg_temp.refused($$SELECT attach_sessions(4294967295::regclass)$$);
CALL pg_temp.refused($$SELECT attach_sessions(0)$$);
CALL pg_temp.refused($$SELECT attach_rooms('-')$$);
CALL pg_temp.refused($$SELECT attach_sessions('app.nothing')$$);
CALL pg_temp.refused($$SELECT attach_sessions('pg_catalog.pg_class')$$);
RESET ROLE;
-- A row in balancer_sources that was not written by these functions is refused, too.
UPDATE balancer_sources SET relation_name = 'members_index' WHERE source = 'rooms';
CALL pg_temp.refused($$SELECT get_or_assign_server('x')$$);
UPDATE balancer_sources SET relation_name = 'pair' WHERE source = 'rooms';
CALL pg_temp.refused($$SELECT get_or_assign_server('x')$$);
DELETE FROM balancer_sources;
INSERT INTO balancer_sources VALUES ('sessions', 'app', 'members_index');
CALL pg_temp.refused($$SELECT get_or_assign_server('x')$$);
CALL pg_temp.refused($$SELECT clean_inactive_assignments()$$);
SELECT attach_sessions(NULL);
SELECT attach_rooms('app.conferences');
SET ROLE regress_gxy_app;
DROP VIEW app.no_room, app.no_user, app.bad_time, app.text_time, app.bad_size, app.bad_read, temporary_live;
DROP TABLE temporary_members;
RESET ROLE;
TABLE attached;
SELECT attach_rooms(NULL);

-- Ids may have any type with a text form. The room is the same for every type.
CREATE DOMAIN app.room_number AS int CHECK (VALUE > 0);
CREATE DOMAIN app.room_name AS varchar(20);
CREATE PROCEDURE pg_temp.try_type(type text, room text) LANGUAGE plpgsql AS $$
DECLARE
	found bigint;
	placed text;
BEGIN
	EXECUTE format('CREATE TABLE app.typed (room_id %s, user_id %s, gateway_name %s, expected_users numeric)', type,
		type, 'name');
	EXECUTE format('INSERT INTO app.typed VALUES (%1$L, %1$L, ''gxy2'', 3), (%1$L, NULL, ''gxy2'', 7)', room);
	ALTER TABLE app.typed OWNER TO regress_gxy_app;
	PERFORM attach_sessions('app.typed'), attach_rooms('app.typed');
	placed := get_or_assign_server(room);
	SELECT users INTO found FROM balancer_rooms WHERE room_id = room AND expected_users = 7;
	RAISE INFO '%: % on % with % users; freed %', type, room, placed, found, clean_inactive_assignments('0');
	TRUNCATE app.typed;
	RAISE INFO '%: freed %', type, clean_inactive_assignments('0');
	BEGIN
		PERFORM get_or_assign_server(room);
	EXCEPTION WHEN no_data_found THEN
		RAISE INFO '%: then %', type, SQLERRM;
	END;
	DROP TABLE app.typed;
END
$$;
CALL pg_temp.try_type('text', '2171');
CALL pg_temp.try_type('varchar(40)', 'a room');
CALL pg_temp.try_type('char(8)', '2171');
CALL pg_temp.try_type('name', '2171');
CALL pg_temp.try_type('smallint', '2171');
CALL pg_temp.try_type('int', '2171');
CALL pg_temp.try_type('bigint', '-9223372036854775808');
CALL pg_temp.try_type('numeric', '99999999999999999999');
CALL pg_temp.try_type('uuid', '8d9c6d1e-3b7a-4d3c-9a53-0f5a5d7c9f10');
CALL pg_temp.try_type('app.room_number', '2171');
CALL pg_temp.try_type('app.room_name', 'a room');
CALL pg_temp.try_type('bytea', '\x01ff');
-- The text form of an id does not depend on the caller's settings.
BEGIN;
SET LOCAL bytea_output = escape;
SET LOCAL DateStyle = german;
SET LOCAL IntervalStyle = sql_standard;
SET LOCAL extra_float_digits = -15;
CALL pg_temp.try_type('bytea', '\x01ff');
CALL pg_temp.try_type('date', '2026-11-25');
CALL pg_temp.try_type('interval', '1 day 02:00:00');
CALL pg_temp.try_type('double precision', '0.1');
SHOW bytea_output;
ROLLBACK;
SELECT attach_sessions(NULL), attach_rooms(NULL);
-- A type whose text depends on other settings is refused as a room's id; users are only counted.
CREATE TABLE app.timed (room_id timestamptz, user_id timestamptz);
CREATE TABLE app.ranged (room_id tstzrange);
CREATE DOMAIN app.moment AS timestamptz;
CREATE TABLE app.moments (room_id app.moment[]);
CREATE TABLE app.paid (room_id money);
CREATE VIEW app.named AS SELECT to_char(room_id AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS room_id, user_id FROM app.timed;
ALTER VIEW app.named OWNER TO regress_gxy_app;
ALTER TABLE app.timed OWNER TO regress_gxy_app;
CALL pg_temp.refused($$SELECT attach_sessions('app.timed')$$);
CALL pg_temp.refused($$SELECT attach_rooms('app.timed')$$);
CALL pg_temp.refused($$SELECT attach_rooms('app.ranged')$$, false);
CALL pg_temp.refused($$SELECT attach_rooms('app.moments')$$, false);
CALL pg_temp.refused($$SELECT attach_rooms('app.paid')$$, false);
INSERT INTO app.timed VALUES ('2026-11-25 00:00+00', '2026-11-25 00:00+00'), ('2026-11-25 00:00+00', '2026-11-24 23:00-01');
SELECT attach_sessions('app.named');
SELECT get_or_assign_server('2026-11-25') IS NOT NULL AS assigned;
SELECT room_id, users FROM balancer_rooms;
SELECT release_room('2026-11-25'), attach_sessions(NULL);
DROP VIEW app.named;
DROP TABLE app.timed, app.ranged, app.moments, app.paid;
DROP DOMAIN app.moment;
-- A room id that is not a number in canonical form is in no relation with numeric ids.
CREATE TABLE app.numbered AS SELECT 1 AS room_id;
ALTER TABLE app.numbered OWNER TO regress_gxy_app;
SELECT attach_rooms('app.numbered');
SELECT get_or_assign_server(1) = get_or_assign_server('1') AS same, release_room('1');
CALL pg_temp.refused($$SELECT get_or_assign_server('01')$$);
CALL pg_temp.refused($$SELECT get_or_assign_server('1.0')$$);
CALL pg_temp.refused($$SELECT get_or_assign_server('one')$$);
CALL pg_temp.refused($$SELECT get_or_assign_server('99999999999999999999')$$, false);
CALL pg_temp.refused($$SELECT get_or_assign_server(9223372036854775807)$$, false);
SELECT attach_rooms(NULL);
DROP TABLE app.numbered;
-- Tables, partitioned tables and materialized views work as well.
CREATE TABLE app.parted (room_id int, user_id int) PARTITION BY LIST (room_id);
CREATE TABLE app.part1 PARTITION OF app.parted FOR VALUES IN (1);
CREATE MATERIALIZED VIEW app.seats AS SELECT 1 AS room_id, 40 AS expected_users;
INSERT INTO app.parted SELECT 1, i FROM generate_series(1, 5) i;
ALTER TABLE app.parted OWNER TO regress_gxy_app;
ALTER MATERIALIZED VIEW app.seats OWNER TO regress_gxy_app;
SELECT attach_sessions('app.parted'), attach_rooms('app.seats');
SELECT get_or_assign_server(1);
SELECT room_id, users, expected_users FROM balancer_rooms;
SELECT attach_sessions(NULL), attach_rooms(NULL), release_room(1);
DROP TABLE app.parted;
DROP MATERIALIZED VIEW app.seats;
-- If a room is listed twice the larger number counts; NULL and 0 mean unknown.
INSERT INTO app.conferences VALUES ('a', 5), ('a', 50), ('a', NULL), ('b', NULL), ('c', 0), ('d', -5);
SELECT attach_rooms('app.conferences');
SELECT room, expected FROM unnest('{a,b,c,d}'::text[]) room, explain_assignment(room) WHERE rank = 1;
SELECT attach_rooms(NULL);

-- The view is dropped: a new room is an error and nothing is freed, because a missing view does not
-- mean that rooms are empty. Sticky calls go on.
INSERT INTO app.members VALUES ('busy', 'u1', 'gxy2', now()), ('later', 'u2', 'gxy3', now());
SELECT attach_sessions('app.live');
SELECT get_or_assign_server('busy'), get_or_assign_server('empty');
CALL pg_temp.age('1 day');
DROP VIEW app.live;
CALL pg_temp.refused($$SELECT get_or_assign_server('later')$$);
SELECT DISTINCT chosen, reason FROM explain_assignment('later');
CALL pg_temp.refused($$SELECT clean_inactive_assignments()$$);
CALL pg_temp.refused($$SELECT clean_inactive_assignments('0')$$);
SELECT get_or_assign_server('busy'), touch_room('empty'), room_server('busy');
SELECT room_id, gateway_name FROM room_server_assignments ORDER BY room_id COLLATE "C";
TABLE attached;
-- The view is created again and is read again, in this session too.
SET ROLE regress_gxy_app;
CREATE VIEW app.live AS SELECT * FROM app.members;
RESET ROLE;
SELECT get_or_assign_server('later');
CALL pg_temp.age('1 day');
SELECT clean_inactive_assignments('0');
-- Also with other columns, in another order, with other types.
INSERT INTO app.members VALUES ('44', 'u4', 'gxy1', now());
DROP VIEW app.live;
SET ROLE regress_gxy_app;
CREATE VIEW app.live AS SELECT now() AS more, m.user_id::varchar, m.room_id::int FROM app.members m WHERE m.room_id = '44';
RESET ROLE;
SELECT get_or_assign_server(44);
SELECT room_id, users FROM balancer_rooms ORDER BY room_id COLLATE "C";
SELECT clean_inactive_assignments('0');
-- Within a transaction that is rolled back.
BEGIN;
DROP VIEW app.live;
CREATE VIEW app.live AS SELECT room_id, user_id FROM app.members WHERE false;
SELECT clean_inactive_assignments('0');
ROLLBACK;
SELECT clean_inactive_assignments('0');
SELECT room_id, gateway_name FROM room_server_assignments ORDER BY room_id COLLATE "C";
-- CREATE OR REPLACE.
SET ROLE regress_gxy_app;
CREATE OR REPLACE VIEW app.live AS SELECT now() AS more, 'u9'::varchar AS user_id, i AS room_id FROM generate_series(44, 45) i;
RESET ROLE;
SELECT get_or_assign_server('45'), clean_inactive_assignments('0');
-- A column is dropped. Without an optional column the view works, without a required one it is
-- broken, and it works again with the column back.
DROP VIEW app.live;
TRUNCATE room_server_assignments;
SELECT attach_sessions('app.members');
SELECT get_or_assign_server('busy');
ALTER TABLE app.members DROP COLUMN last_seen_at, DROP COLUMN gateway_name;
SELECT get_or_assign_server('later');
SELECT room_id, users, users_elsewhere FROM balancer_rooms ORDER BY room_id COLLATE "C";
ALTER TABLE app.members RENAME COLUMN user_id TO person;
CALL pg_temp.refused($$SELECT get_or_assign_server('new')$$);
CALL pg_temp.refused($$SELECT clean_inactive_assignments('0')$$);
SELECT get_or_assign_server('busy');
ALTER TABLE app.members RENAME COLUMN person TO user_id;
SELECT get_or_assign_server('new');
ALTER TABLE app.members ALTER COLUMN user_id TYPE bytea USING user_id::bytea, ADD COLUMN last_seen_at timestamp;
CALL pg_temp.refused($$SELECT get_or_assign_server('newer')$$);
ALTER TABLE app.members ALTER COLUMN last_seen_at TYPE timestamptz;
SELECT get_or_assign_server('newer');
SELECT clean_inactive_assignments('0');
SELECT room_id, users FROM balancer_rooms ORDER BY room_id COLLATE "C";
-- A renamed view is no longer the attached one; neither is another view under the old name.
ALTER TABLE app.members RENAME TO members2;
CALL pg_temp.refused($$SELECT get_or_assign_server('third')$$);
ALTER TABLE app.members2 RENAME TO members;
ALTER SCHEMA app RENAME TO app2;
CALL pg_temp.refused($$SELECT get_or_assign_server('third')$$);
ALTER SCHEMA app2 RENAME TO app;
SELECT get_or_assign_server('third') IS NOT NULL AS assigned;
-- An error that the view's code raises is passed on, and stops the cleanup as well.
SET ROLE regress_gxy_app;
CREATE FUNCTION app.fail() RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE 'not today' USING ERRCODE = 'GX001'; END$$;
CREATE VIEW app.live AS SELECT room_id, user_id FROM app.members WHERE room_id <> '' OR app.fail();
SELECT attach_sessions('app.live');
CREATE OR REPLACE VIEW app.live AS SELECT room_id, user_id FROM app.members WHERE app.fail();
RESET ROLE;
CALL pg_temp.age('1 day');
CALL pg_temp.refused($$SELECT get_or_assign_server('fourth')$$);
CALL pg_temp.refused($$SELECT clean_inactive_assignments('0')$$);
-- Except errors that a caller needs unchanged, to give up or to try again.
CREATE FUNCTION app.fail_with() RETURNS boolean LANGUAGE plpgsql AS
	$$BEGIN RAISE 'said the view' USING ERRCODE = current_setting('app.state'), DETAIL = 'It did.'; END$$;
ALTER FUNCTION app.fail_with OWNER TO regress_gxy_app;
CREATE OR REPLACE VIEW app.live AS SELECT room_id, user_id FROM app.members WHERE app.fail_with();
CREATE PROCEDURE pg_temp.fail_with(state text) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('app.state', state, true), get_or_assign_server('fourth');
EXCEPTION WHEN OTHERS OR query_canceled THEN
	RAISE INFO '%: %', SQLSTATE, SQLERRM;
END
$$;
CALL pg_temp.fail_with('57014');
CALL pg_temp.fail_with('57P01');
CALL pg_temp.fail_with('40001');
CALL pg_temp.fail_with('40P01');
CALL pg_temp.fail_with('53100');
CALL pg_temp.fail_with('55P03');
CALL pg_temp.fail_with('55000');
CALL pg_temp.fail_with('XX000');
CALL pg_temp.fail_with('P0001');
SELECT bool_and(setting = reset_val) AS settings_as_before, current_user = session_user AS myself
FROM pg_settings WHERE name IN ('search_path', 'lock_timeout', 'jit');
SELECT get_or_assign_server('third') = room_server('third') AS same;
SELECT attach_sessions(NULL);
SELECT count(*) FROM room_server_assignments;

-- The same for rooms.
SELECT attach_rooms('app.conferences');
SELECT get_or_assign_server('a') IS NOT NULL AS assigned;
DROP TABLE app.conferences;
CALL pg_temp.refused($$SELECT get_or_assign_server('b')$$);
SELECT get_or_assign_server('a') = room_server('a') AS same, touch_room('a');
CREATE TABLE app.conferences (room_id int);
INSERT INTO app.conferences VALUES (7);
ALTER TABLE app.conferences OWNER TO regress_gxy_app;
CALL pg_temp.refused($$SELECT get_or_assign_server('b')$$);
SELECT get_or_assign_server(7) IS NOT NULL AS assigned;
ALTER TABLE app.conferences RENAME COLUMN room_id TO number;
CALL pg_temp.refused($$SELECT get_or_assign_server(8)$$);
SELECT attach_rooms(NULL);

-- Attached in a schema, and under a name, that need quotes.
CREATE SCHEMA "App's ""own""" AUTHORIZATION regress_gxy_app;
SET ROLE regress_gxy_app;
CREATE VIEW "App's ""own"""."Live; DROP" AS SELECT 'q'::text AS room_id, NULL::text AS user_id, 5 AS expected_users;
SELECT attach_sessions('"App''s ""own"""."Live; DROP"'), attach_rooms('"App''s ""own"""."Live; DROP"');
RESET ROLE;
SELECT get_or_assign_server('q') IS NOT NULL AS assigned;
SELECT users, expected_users FROM balancer_rooms WHERE room_id = 'q';
DROP SCHEMA "App's ""own""" CASCADE;
CALL pg_temp.refused($$SELECT get_or_assign_server('r')$$);
SELECT attach_sessions(NULL), attach_rooms(NULL);

TRUNCATE room_server_assignments, balancer_servers, balancer_pins;
DROP VIEW attached;
SET client_min_messages = warning;
DROP SCHEMA app CASCADE;
RESET client_min_messages;
REVOKE ALL ON FUNCTION attach_sessions(regclass), attach_rooms(regclass), get_or_assign_server(text, text, int)
FROM regress_gxy_app, regress_gxy_other;
DROP OWNED BY regress_gxy_app, regress_gxy_other;
DROP ROLE regress_gxy_app, regress_gxy_other;
