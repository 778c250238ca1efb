/*
 * pool: the servers. Which servers there are before balancer_servers has been written, which
 * changes a DBA may make to its rows, and that each change counts from the moment it is made until
 * it is rolled back.
 */
\getenv abs_srcdir PG_ABS_SRCDIR
\set helpers :abs_srcdir '/sql/include/helpers.sql'
\set ECHO none
\i :helpers

-- Until the table is written, default_servers is the pool, for functions and views alike.
SELECT count(*) FROM balancer_servers;
SELECT string_agg(server, ' ') AS servers, count(DISTINCT state) AS states, min(capacity), max(capacity)
FROM balancer_load;
SELECT count(*) FROM explain_assignment('a room');
SELECT server_state('gxy12');
BEGIN;
SELECT get_or_assign_server('a room');
SELECT count(*) FROM balancer_servers;
ROLLBACK;

-- A change of the setting counts at once. White space around names is ignored, and an invalid value
-- keeps the old one.
SET gxy_balancer.default_servers = ' m1 ,media two,
	m3';
SELECT server FROM balancer_load;
SELECT get_or_assign_server('a room'), release_room('a room');
SELECT server_state('media two');
\set VERBOSITY sqlstate
SET gxy_balancer.default_servers = 'm1,,m3';
SET gxy_balancer.default_servers = 'm1,m2,';
SET gxy_balancer.default_servers = 'm1,m2,m1';
SELECT set_config('gxy_balancer.default_servers', repeat('x', 256), false);
SELECT set_config('gxy_balancer.default_servers', E'm1,m2\x01', false);
\set VERBOSITY default
SET gxy_balancer.default_servers = E'm1,media\ntwo';
SELECT current_setting('gxy_balancer.default_servers') LIKE ' m1 ,media two,%' AS kept;
SET gxy_balancer.default_servers = '';
SELECT count(*) FROM balancer_load;
CALL pg_temp.refused($$SELECT get_or_assign_server('a room')$$);
BEGIN;
SET LOCAL gxy_balancer.default_servers = 'm1';
SELECT server FROM balancer_load;
ROLLBACK;
SELECT count(*) FROM balancer_load;
RESET gxy_balancer.default_servers;
SELECT count(*) FROM balancer_load;

-- There are no rows to update or delete yet: changing none without an error would look like
-- success.
CALL pg_temp.refused($$UPDATE balancer_servers SET state = 'offline' WHERE name = 'gxy1'$$);
CALL pg_temp.refused($$DELETE FROM balancer_servers WHERE name = 'gxy1'$$);
CALL pg_temp.refused($$DELETE FROM balancer_servers$$);

-- init_servers() writes the servers, in order, once.
BEGIN;
SELECT init_servers();
SELECT init_servers();
SELECT name, position, priority, capacity, regions, pool, state FROM balancer_servers ORDER BY position;
SELECT init_servers('gxy3, gxy14,gxy13');
SELECT name, position FROM balancer_servers WHERE position > 11 ORDER BY position;
SELECT string_agg(server, ' ') FROM balancer_load;
UPDATE balancer_servers SET state = 'offline' WHERE name = 'gxy1';
SELECT server_state('gxy1');
DELETE FROM balancer_servers WHERE name IN ('gxy13', 'gxy14');
SELECT string_agg(server, ' ') FROM balancer_load;
ROLLBACK;
SELECT count(*) FROM balancer_servers;
BEGIN;
SET LOCAL gxy_balancer.default_servers = 'm1,m2';
SELECT init_servers();
SELECT name, position FROM balancer_servers ORDER BY position;
ROLLBACK;
CALL pg_temp.refused($$SELECT init_servers('')$$);
CALL pg_temp.refused($$SELECT init_servers(' , ')$$);
CALL pg_temp.refused($$SELECT init_servers('a,b,a')$$);
CALL pg_temp.refused($$SELECT init_servers(repeat('x', 256))$$);
CALL pg_temp.refused($$SELECT init_servers(E'a,media\ttwo')$$);
CALL pg_temp.refused($$SELECT init_servers(E'a\x7f')$$);
SELECT count(*) FROM balancer_servers;

-- The name alone is enough. The order of the rows is the order of the servers, also within one
-- statement.
BEGIN;
INSERT INTO balancer_servers (name) VALUES ('a'), ('b'), ('c');
INSERT INTO balancer_servers (name) SELECT 'd' || i FROM generate_series(1, 3) i;
COPY balancer_servers (name) FROM stdin;
e1
e2
\.
INSERT INTO balancer_servers (name, position) VALUES ('f', 20);
INSERT INTO balancer_servers (name) VALUES ('g');
SELECT name, position, priority, capacity, regions, pool, state FROM balancer_servers ORDER BY position;
SELECT string_agg(server, ' ') FROM balancer_load;
ROLLBACK;

-- Invalid rows are refused.
\set VERBOSITY sqlstate
INSERT INTO balancer_servers (name) VALUES ('');
INSERT INTO balancer_servers (name) VALUES (' gxy1');
INSERT INTO balancer_servers (name) VALUES (repeat('x', 256));
INSERT INTO balancer_servers (name) VALUES ('a'), ('a');
INSERT INTO balancer_servers (name, capacity) VALUES ('a', 0);
INSERT INTO balancer_servers (name, pool) VALUES ('a', 'spare');
INSERT INTO balancer_servers (name, state) VALUES ('a', 'broken');
INSERT INTO balancer_servers (name, position) VALUES ('a', NULL);
INSERT INTO balancer_servers (name) VALUES (NULL);
\set VERBOSITY default
CALL pg_temp.refused($$INSERT INTO balancer_servers (name) VALUES ('')$$);
CALL pg_temp.refused($$INSERT INTO balancer_servers (name) VALUES ('a '), ('b')$$);
CALL pg_temp.refused($$INSERT INTO balancer_servers (name) VALUES (E'a\n')$$);
CALL pg_temp.refused($$INSERT INTO balancer_servers (name) VALUES (E'media\ntwo')$$);
CALL pg_temp.refused($$INSERT INTO balancer_servers (name) VALUES ('a,b')$$);
SELECT count(*) FROM balancer_servers;
BEGIN;
INSERT INTO balancer_servers (name) VALUES ('media two'), ('médias'), ('{"a"}\b');
CALL pg_temp.refused($$UPDATE balancer_servers SET name = E'one\x1f' WHERE name = 'media two'$$);
-- Rows that were written with triggers disabled.
SET LOCAL session_replication_role = replica;
CALL pg_temp.refused($$INSERT INTO balancer_servers (name) VALUES ('a,b')$$);
CALL pg_temp.refused($$INSERT INTO balancer_servers (name) VALUES (E'a\tb')$$);
SELECT string_agg(name, ' ' ORDER BY position) FROM balancer_servers;
ROLLBACK;

-- The first row takes the place of default_servers: a warning if rooms are on servers it leaves out.
BEGIN;
SELECT count(get_or_assign_server(i)) FROM generate_series(1, 12) i;
SAVEPOINT one_row;
INSERT INTO balancer_servers (name) VALUES ('gxy13');
SELECT init_servers();
ROLLBACK TO one_row;
SELECT init_servers('gxy1,gxy2,gxy3,gxy4,gxy5,gxy6,gxy7,gxy8,gxy9,gxy10,gxy11');
INSERT INTO balancer_servers (name) VALUES ('gxy13');
ROLLBACK TO one_row;
INSERT INTO balancer_servers (name) SELECT 'gxy' || i FROM generate_series(1, 13) i;
ROLLBACK;

-- If a server has the largest position, the next ones get the same.
BEGIN;
INSERT INTO balancer_servers (name, position) VALUES ('last', 2147483647), ('first', -2147483648);
INSERT INTO balancer_servers (name) VALUES ('more');
SELECT init_servers('z,y');
SELECT server FROM balancer_load;
DELETE FROM balancer_servers WHERE name IN ('last', 'more', 'y', 'z');
SELECT init_servers('next');
SELECT name, position FROM balancer_servers ORDER BY position;
ROLLBACK;

-- A change counts at once, until it is rolled back.
BEGIN;
SELECT init_servers('s1,s2,s3');
SELECT get_or_assign_server('1');
UPDATE balancer_servers SET priority = 5 WHERE name = 's3';
SELECT get_or_assign_server('2');
INSERT INTO balancer_servers (name, priority) VALUES ('s4', 9);
SELECT get_or_assign_server('3');
UPDATE balancer_servers SET state = 'draining' WHERE name = 's4';
SELECT get_or_assign_server('4');
UPDATE balancer_servers SET priority = 0, name = CASE name WHEN 's2' THEN 's2b' ELSE name END;
SELECT get_or_assign_server('5');
SAVEPOINT before;
DELETE FROM balancer_servers WHERE name = 's2b' AND release_room('5');
SELECT string_agg(server, ' ') FROM balancer_load;
UPDATE balancer_servers SET state = 'offline';
SELECT string_agg(server_state(name), ' ') FROM balancer_servers;
ROLLBACK TO before;
SELECT string_agg(server || ' ' || state, ', ') FROM balancer_load;
SELECT get_or_assign_server('5'), get_or_assign_server('6');
SAVEPOINT kept;
UPDATE balancer_servers SET state = 'draining' WHERE name = 's1';
RELEASE kept;
SELECT server_state('s1');
TRUNCATE room_server_assignments, balancer_servers, balancer_pins;
SELECT count(*), min(server) FROM balancer_load;
ROLLBACK;
SELECT count(*), min(server) FROM balancer_load;

-- A pool that has been written and has no server left is empty: default_servers does not apply
-- again. A rolled-back write does not count as one; neither does an INSERT of no rows.
BEGIN;
SAVEPOINT unwritten;
INSERT INTO balancer_servers (name) SELECT name FROM (VALUES ('s1')) none (name) WHERE false;
SELECT count(*) FROM balancer_load;
INSERT INTO balancer_servers (name) VALUES ('s1');
ROLLBACK TO unwritten;
SELECT count(*) FROM balancer_load;
SELECT init_servers('s1,s2'), get_or_assign_server(1);
DELETE FROM balancer_servers WHERE name = 's2';
SAVEPOINT one_left;
-- TRUNCATE refuses what DELETE does, so the triggers are off.
SET LOCAL session_replication_role = replica;
TRUNCATE balancer_servers;
SET LOCAL session_replication_role = origin;
SELECT count(*) FROM balancer_load;
CALL pg_temp.refused($$SELECT get_or_assign_server('a room')$$);
SELECT get_or_assign_server(1) AS kept, room_server(1), touch_room(1);
SELECT count(*) FROM explain_assignment('a room');
CALL pg_temp.refused($$SELECT server_state('gxy1')$$);
CALL pg_temp.refused($$SELECT set_server_state('gxy1', 'offline')$$);
UPDATE balancer_servers SET state = 'offline';
DELETE FROM balancer_servers;
SELECT count(*) FROM balancer_servers;
ROLLBACK TO one_left;
SELECT release_room(1);
DELETE FROM balancer_servers;
CALL pg_temp.refused($$SELECT get_or_assign_server('a room')$$);
INSERT INTO balancer_servers (name) VALUES ('s3');
SELECT get_or_assign_server('a room'), release_room('a room');
DELETE FROM balancer_servers;
SELECT init_servers(), string_agg(name, ' ' ORDER BY position) FROM balancer_servers;
SELECT count(*) FROM balancer_servers;
SELECT count(*) FROM _pool_written;
ROLLBACK;
SELECT count(*), min(server) FROM balancer_load;

-- TRUNCATE removes all servers, so it is refused like a DELETE while they have rooms or pins that
-- the statement leaves. Servers of default_servers that are the pool again are not removed. It
-- deletes reports as DELETE does.
BEGIN;
SELECT init_servers('s1,gxy1'), get_or_assign_server(1), get_or_assign_server(2);
CALL pg_temp.refused($$TRUNCATE balancer_servers$$);
CALL pg_temp.refused($$TRUNCATE balancer_servers, _pool_written$$);
SELECT release_room(room_id) FROM room_server_assignments WHERE gateway_name = 's1';
CALL pg_temp.refused($$TRUNCATE balancer_servers$$);
SELECT pin_room(3, 's1');
CALL pg_temp.refused($$TRUNCATE balancer_servers, _pool_written$$);
SELECT unpin_room(3), server_heartbeat('s1', false);
SAVEPOINT before;
TRUNCATE balancer_servers, _pool_written;
SELECT count(*), min(server) FROM balancer_load;
SELECT room_id, gateway_name FROM room_server_assignments;
SELECT server FROM balancer_health;
ROLLBACK TO before;
TRUNCATE balancer_servers, room_server_assignments;
SELECT count(*) FROM balancer_load;
ROLLBACK;
-- The commit looks again.
BEGIN;
SELECT init_servers('s1'), count(*) FROM room_server_assignments;
TRUNCATE balancer_servers;
INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('1', 's1');
COMMIT;
SELECT count(*), min(server) FROM balancer_load;
-- In the transaction that creates the tables a TRUNCATE keeps their files.
BEGIN;
SET LOCAL client_min_messages = warning;
DROP EXTENSION gxy_balancer;
CREATE EXTENSION gxy_balancer;
SELECT init_servers('s1'), server_state('s1');
TRUNCATE balancer_servers, _pool_written;
SELECT count(*), min(server) FROM balancer_load;
ROLLBACK;
-- A transaction that deletes a server may drop the extension as well.
SET client_min_messages = warning;
BEGIN;
SELECT init_servers('s1');
DELETE FROM balancer_servers;
DROP EXTENSION gxy_balancer;
COMMIT;
SELECT count(*) FROM pg_extension WHERE extname = 'gxy_balancer';
CREATE EXTENSION IF NOT EXISTS gxy_balancer;
RESET client_min_messages;

-- Every function that names a server writes the pool first.
BEGIN;
SELECT get_or_assign_server('a room'), move_room('a room', 'gxy9');
SELECT count(*) FROM balancer_servers;
ROLLBACK;
BEGIN;
SELECT server_heartbeat('gxy13');
SELECT count(*) FROM balancer_servers;
SELECT server_heartbeat('gxy12');
SELECT count(*) FROM balancer_servers;
ROLLBACK;
BEGIN;
SELECT pin_room('a room', 'gxy9');
SELECT count(*) FROM balancer_servers;
ROLLBACK;
BEGIN;
SELECT evacuate_server('gxy9');
SELECT count(*) FROM balancer_servers;
ROLLBACK;

-- Also by an exception that is caught.
BEGIN;
SELECT init_servers('s1,s2');
UPDATE balancer_servers SET state = 'draining' WHERE name = 's1';
DO $$
BEGIN
	UPDATE balancer_servers SET state = 'offline';
	RAISE INFO 'meanwhile %', server_state('s1');
	RAISE division_by_zero;
EXCEPTION WHEN division_by_zero THEN
	RAISE INFO 'afterwards %', server_state('s1');
END
$$;
ROLLBACK;

-- With committed changes, and a cursor that stays open across them.
SELECT init_servers('s1,s2,s3');
BEGIN;
DECLARE pool CURSOR FOR SELECT server, state FROM balancer_load;
FETCH 1 FROM pool;
UPDATE balancer_servers SET state = 'offline' WHERE name IN ('s2', 's3');
SELECT server_state('s2');
FETCH 2 FROM pool;
COMMIT;
SELECT get_or_assign_server(1), get_or_assign_server(2);
UPDATE balancer_servers SET state = 'online';
SELECT get_or_assign_server(3), get_or_assign_server(4);

-- A server with rooms is neither deleted nor renamed; the error says how many rooms it has.
CALL pg_temp.refused($$DELETE FROM balancer_servers WHERE name = 's1'$$, false);
CALL pg_temp.refused($$UPDATE balancer_servers SET name = 's9' WHERE name = 's1'$$, false);
UPDATE balancer_servers SET name = name, state = 'online', capacity = 100, position = 1 WHERE name = 's1';
SELECT name, capacity FROM balancer_servers WHERE name = 's1';
\set VERBOSITY sqlstate
DELETE FROM balancer_servers;
\set VERBOSITY default
SELECT count(*) FROM balancer_servers;
BEGIN;
INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('x', 's3'), ('y', 's3');
CALL pg_temp.refused($$DELETE FROM balancer_servers WHERE name = 's3'$$, false);
ROLLBACK;
SELECT release_room(i) FROM generate_series(1, 4) i;
UPDATE balancer_servers SET name = 's9' WHERE name = 's1';
SELECT string_agg(server, ' ') FROM balancer_load;
DELETE FROM balancer_servers WHERE name = 's9';
SELECT string_agg(server, ' ') FROM balancer_load;

-- A pinned server may be renamed, and its pins follow; it may not be deleted.
INSERT INTO balancer_pins (room_id, server) VALUES ('p', 's2');
UPDATE balancer_servers SET name = 's2b' WHERE name = 's2';
SELECT room_id, server FROM balancer_pins;
SELECT get_or_assign_server('p'), release_room('p');
\set VERBOSITY sqlstate
DELETE FROM balancer_servers WHERE name = 's2b';
INSERT INTO balancer_pins (room_id, server) VALUES ('q', 'nowhere');
\set VERBOSITY default

-- A statement that removes many servers counts the rooms once.
CREATE FUNCTION pg_temp.blocks_of(statement text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ' || statement INTO plan;
	RETURN (plan->0->'Plan'->>'Shared Hit Blocks')::bigint + (plan->0->'Plan'->>'Shared Read Blocks')::bigint;
END
$$;
BEGIN;
INSERT INTO balancer_servers (name) SELECT 'many' || i FROM generate_series(1, 50) i;
INSERT INTO room_server_assignments (room_id, gateway_name) SELECT 'room ' || i, 's2b' FROM generate_series(1, 6000) i;
SELECT pg_temp.blocks_of($$UPDATE balancer_servers SET name = 'more' || name WHERE name LIKE 'many%'$$) < 3000 AS few;
SELECT pg_temp.blocks_of($$DELETE FROM balancer_servers WHERE name LIKE 'more%'$$) < 3000 AS few;
CALL pg_temp.refused($$DELETE FROM balancer_servers$$);
ROLLBACK;

-- Many changes in one transaction do not keep a copy of the pool for each.
BEGIN;
SELECT count(pin_room(i, 's2b')) FROM generate_series(1, 20) i;
SELECT count(set_server_state('s2b', CASE i % 2 WHEN 0 THEN 'online' ELSE 'draining' END)) FROM generate_series(1, 20) i;
UPDATE balancer_servers SET state = 'offline' WHERE name = 's2b';
DELETE FROM balancer_pins;
SELECT server_state('s2b');
SELECT count(*) < 5 AS few FROM pg_backend_memory_contexts WHERE name = 'gxy_balancer pool';
ROLLBACK;

-- Emptying balancer_servers and _pool_written brings the default pool back.
DELETE FROM balancer_pins;
DELETE FROM balancer_servers;
SELECT count(*) FROM balancer_load;
TRUNCATE balancer_servers, _pool_written;
SELECT count(*) FROM balancer_load;
SELECT count(*) FROM room_server_assignments;

-- The state in force.
CALL pg_temp.refused($$SELECT server_state('nowhere')$$);
CALL pg_temp.refused($$SELECT server_state(NULL)$$);
