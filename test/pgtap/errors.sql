/*
 * errors: every refusal and its SQLSTATE, as the manual's table has them; after each, nothing is left behind. Those that
 * take two sessions (40P01, 55P03) are in test/isolation, those of a standby in test/t.
 *
 *     createdb x && pg_prove -d x test/pgtap/errors.sql
 */
BEGIN;
CREATE EXTENSION pgtap;
CREATE EXTENSION gxy_balancer;

-- Applies each setting, runs the statement, and undoes all of it.
CREATE TEMPORARY TABLE cases (number serial, code text, statement text, setting text DEFAULT 'NULL');
INSERT INTO cases (code, statement) VALUES
	('22004', 'SELECT get_or_assign_server(NULL::text)'), ('22004', 'SELECT get_or_assign_server(NULL::bigint)'),
	('22004', 'SELECT get_or_assign_server(NULL)'), ('22004', 'SELECT get_or_assign_server(NULL, ''IL'', 3)'),
	('22004', 'SELECT touch_room(NULL::text)'), ('22004', 'SELECT touch_room(NULL::bigint)'),
	('22004', 'SELECT room_server(NULL::text)'), ('22004', 'SELECT room_server(NULL::bigint)'),
	('22004', 'SELECT release_room(NULL::text)'), ('22004', 'SELECT release_room(NULL::bigint)'),
	('22004', 'SELECT * FROM explain_assignment(NULL::text)'), ('22004', 'SELECT server_state(NULL)'),
	('22023', 'SELECT get_or_assign_server('''')'), ('22023', 'SELECT touch_room('''')'),
	('22023', 'SELECT room_server('''')'), ('22023', 'SELECT release_room('''')'),
	('22023', 'SELECT * FROM explain_assignment('''')'),
	('22023', 'SELECT get_or_assign_server(repeat(''x'', 256))'),
	('22023', 'SELECT get_or_assign_server(repeat(''ä'', 128))'),
	('22023', 'SELECT touch_room(repeat(''x'', 256))'), ('22023', 'SELECT room_server(repeat(''x'', 256))'),
	('22023', 'SELECT release_room(repeat(''x'', 256))'),
	('22023', 'SELECT get_or_assign_server(1, repeat(''x'', 256))'),
	('22023', 'SELECT get_or_assign_server(1, repeat(''ä'', 128))'),
	('22023', 'SELECT get_or_assign_server(1, NULL, 0)'), ('22023', 'SELECT get_or_assign_server(1, NULL, -2147483648)'),
	('22023', 'SELECT get_or_assign_server(1, NULL, 1000001)'), ('22023', 'SELECT touch_room(1, -1)'),
	('22023', 'SELECT clean_inactive_assignments(''-1s'')'), ('22023', 'SELECT init_servers('''')'),
	('22023', 'SELECT init_servers(''a,a'')'), ('22023', 'SET gxy_balancer.strategy = ''round_robin'''),
	('22023', 'SET gxy_balancer.default_capacity = 0'), ('42602', 'SET gxy_balancer.no_such_setting = 1'),
	('42704', 'SELECT server_state(''gxy13'')'),
	('55000', 'UPDATE balancer_servers SET state = ''offline'''), ('55000', 'DELETE FROM balancer_servers'),
	('42883', 'SELECT get_or_assign_server(1.5)'), ('42883', 'SELECT get_or_assign_server(now())'),
	('22003', 'SELECT get_or_assign_server(9223372036854775808::bigint)'),
	('42P01', 'SELECT attach_sessions(''nothing'')'), ('42P01', 'SELECT attach_rooms(1::oid::regclass)');
INSERT INTO cases (code, setting, statement) VALUES
	('P0002', 'SELECT attach_rooms(''app_rooms'')', 'SELECT get_or_assign_server(1)'),
	('P0002', 'SELECT attach_rooms(''app_rooms'')', 'SELECT * FROM explain_assignment(''unknown'')'),
	('53000', 'SET LOCAL gxy_balancer.default_servers = ''''', 'SELECT get_or_assign_server(1)'),
	('53000', 'INSERT INTO balancer_servers (name, pool) VALUES (''vip'', ''reserved'')', 'SELECT get_or_assign_server(1)'),
	('53400', 'INSERT INTO balancer_servers (name, capacity) VALUES (''a'', 19); SET LOCAL gxy_balancer.overflow = error;
		SELECT get_or_assign_server(1)', 'SELECT get_or_assign_server(2)'),
	('53400', 'INSERT INTO balancer_servers (name, regions, capacity) VALUES (''a'', NULL, 19), (''b'', ''{DE}'', 500);
		SET LOCAL gxy_balancer.overflow = error; SELECT get_or_assign_server(1)', 'SELECT get_or_assign_server(2, ''IL'')'),
	('55000', 'SELECT attach_sessions(''app_sessions''); DROP TABLE app_sessions', 'SELECT get_or_assign_server(1)'),
	('55000', 'SELECT attach_sessions(''app_sessions''); DROP TABLE app_sessions', 'SELECT clean_inactive_assignments()'),
	('55000', 'SELECT attach_sessions(''app_sessions''); ALTER TABLE app_sessions DROP COLUMN user_id',
		'SELECT get_or_assign_server(1)'),
	('55000', 'SELECT attach_rooms(''app_rooms''); ALTER TABLE app_rooms RENAME TO elsewhere',
		'SELECT get_or_assign_server(1)'),
	('55000', 'SELECT attach_rooms(''app_rooms''); ALTER TABLE app_rooms RENAME room_id TO id',
		'SELECT get_or_assign_server(1)'),
	('55006', 'SELECT init_servers(''a''), get_or_assign_server(1)', 'DELETE FROM balancer_servers'),
	('55006', 'SELECT init_servers(''a''), get_or_assign_server(1)', 'UPDATE balancer_servers SET name = ''b'''),
	('55006', 'SELECT init_servers(''a''), get_or_assign_server(1)', 'TRUNCATE balancer_servers'),
	('55006', 'SELECT init_servers(''a''), pin_room(1, ''a'')', 'TRUNCATE balancer_servers'),
	('22023', 'CREATE TEMPORARY TABLE t (room_id int, user_id int)', 'SELECT attach_sessions(''t'')'),
	('22023', 'CREATE TABLE t (room_id int, users int)', 'SELECT attach_sessions(''t'')'),
	('22023', 'CREATE TABLE t (id int, user_id int)', 'SELECT attach_rooms(''t'')'),
	('22023', 'CREATE TABLE t (room_id int, user_id int, last_seen_at date)', 'SELECT attach_sessions(''t'')'),
	('22023', 'CREATE TABLE t (room_id int, expected_users boolean)', 'SELECT attach_rooms(''t'')'),
	('42809', 'CREATE SEQUENCE t', 'SELECT attach_rooms(''t'')'),
	('42501', 'GRANT EXECUTE ON FUNCTION attach_rooms(regclass) TO pg_monitor; SET LOCAL ROLE pg_monitor',
		'SELECT attach_rooms(''app_rooms'')'),
	('42501', 'SET LOCAL ROLE pg_monitor', 'SELECT get_or_assign_server(1)'),
	('42501', 'SET LOCAL ROLE pg_monitor', 'TABLE room_server_assignments'),
	('42501', 'SET LOCAL ROLE pg_monitor', 'SET gxy_balancer.strategy = sequential'),
	('25006', 'SET LOCAL transaction_read_only = on', 'SELECT get_or_assign_server(1)'),
	('25006', 'SELECT get_or_assign_server(1); SET LOCAL transaction_read_only = on', 'SELECT touch_room(1)'),
	('25006', 'SELECT get_or_assign_server(1); SET LOCAL transaction_read_only = on', 'SELECT touch_room(1, 7)'),
	('25006', 'SELECT get_or_assign_server(1); SET LOCAL transaction_read_only = on', 'SELECT release_room(1)'),
	('25006', 'SELECT get_or_assign_server(1); SET LOCAL transaction_read_only = on',
		'SELECT clean_inactive_assignments(''0'')'),
	('25006', 'SET LOCAL transaction_read_only = on', 'SELECT init_servers()'),
	('25006', 'SET LOCAL transaction_read_only = on', 'SELECT attach_sessions(NULL)'),
	('0A000', 'CREATE SCHEMA elsewhere', 'ALTER EXTENSION gxy_balancer SET SCHEMA elsewhere');

CREATE TABLE app_sessions (room_id text, user_id text, gateway_name text);
CREATE TABLE app_rooms (room_id text);
SET client_min_messages = warning;

-- Prepares, runs the statement, and checks what the refused statement has left before all is rolled
-- back.
CREATE FUNCTION pg_temp.try(number int, OUT refused text, OUT left_behind text) LANGUAGE plpgsql AS $$
DECLARE
	c cases;
	before text;
	after text;
	everything CONSTANT text := 'SELECT format(''%s rooms, %s servers, %s sources'',
		(SELECT count(*) FROM room_server_assignments), (SELECT count(*) FROM balancer_servers),
		(SELECT count(*) FROM balancer_sources))';
BEGIN
	SELECT * INTO STRICT c FROM cases WHERE cases.number = try.number;
	BEGIN
		EXECUTE CASE c.setting WHEN 'NULL' THEN 'SELECT 1' ELSE c.setting END;
		EXECUTE 'RESET ROLE';
		EXECUTE everything INTO before;
		RAISE 'back to the start' USING ERRCODE = 'GX000';
	EXCEPTION WHEN SQLSTATE 'GX000' THEN
		NULL;
	END;
	BEGIN
		EXECUTE CASE c.setting WHEN 'NULL' THEN 'SELECT 1' ELSE c.setting END;
		BEGIN
			EXECUTE c.statement;
			refused := 'not at all';
		EXCEPTION WHEN OTHERS THEN
			refused := SQLSTATE;
		END;
		EXECUTE 'RESET ROLE';
		EXECUTE everything INTO after;
		IF after <> before THEN
			left_behind := format('%s instead of %s', after, before);
		END IF;
		RAISE 'back to the start' USING ERRCODE = 'GX000';
	EXCEPTION WHEN SQLSTATE 'GX000' THEN
		NULL;
	END;
END
$$;

SELECT plan((2 * (SELECT count(*) FROM cases) + 6)::int);
SELECT throws_ok(CASE setting WHEN 'NULL' THEN statement ELSE setting || '; ' || statement END, code, NULL,
	code || ': ' || statement)
FROM cases ORDER BY number;
SELECT is(left_behind, NULL, 'nothing is left by: ' || statement)
FROM cases c, LATERAL pg_temp.try(c.number) ORDER BY c.number;

-- Calls that are close to an error and succeed.
SELECT isnt(get_or_assign_server(repeat('x', 255)), NULL, 'a room of 255 bytes');
SELECT isnt(get_or_assign_server(repeat('ä', 127)), NULL, 'one of 127 characters of two bytes');
SELECT isnt(get_or_assign_server('r', '', 1000000), NULL, 'an empty region, and as many users as may be');
SELECT is(touch_room('r', 0), true, 'no users');
SELECT is(touch_room('unknown'), false, 'a room that has no assignment');
SELECT lives_ok($$INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('own', 'gxy1') RETURNING touch_room('own', 3)$$,
	'a row that the calling command has inserted');

SELECT * FROM finish();
ROLLBACK;
