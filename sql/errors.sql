/*
 * errors: which calls are refused, with their SQLSTATE, detail and hint. After each, nothing is
 * left. Errors that need two sessions are in test/isolation, those of a standby in test/t.
 */
\getenv abs_srcdir PG_ABS_SRCDIR
\set helpers :abs_srcdir '/sql/include/helpers.sql'
\set ECHO none
\i :helpers

CREATE VIEW rows_left AS
	SELECT (SELECT count(*) FROM room_server_assignments) AS rooms, (SELECT count(*) FROM balancer_servers) AS servers,
		(SELECT count(*) FROM balancer_sources) AS sources, (SELECT sum(rooms) FROM balancer_load) AS counted;

-- 22004: the room is NULL.
CALL pg_temp.refused($$SELECT get_or_assign_server(NULL::text)$$);
CALL pg_temp.refused($$SELECT get_or_assign_server(NULL::bigint)$$);
CALL pg_temp.refused($$SELECT get_or_assign_server(NULL)$$);
CALL pg_temp.refused($$SELECT touch_room(NULL::text)$$);
CALL pg_temp.refused($$SELECT touch_room(NULL::bigint, 1)$$);
CALL pg_temp.refused($$SELECT room_server(NULL::text)$$);
CALL pg_temp.refused($$SELECT room_server(NULL::bigint)$$);
CALL pg_temp.refused($$SELECT release_room(NULL::text)$$);
CALL pg_temp.refused($$SELECT release_room(NULL::bigint)$$);
CALL pg_temp.refused($$SELECT * FROM explain_assignment(NULL::text)$$);
CALL pg_temp.refused($$SELECT * FROM explain_assignment(NULL::bigint)$$);
TABLE rows_left;

-- 22023: an invalid room id.
CALL pg_temp.refused($$SELECT get_or_assign_server('')$$);
CALL pg_temp.refused($$SELECT get_or_assign_server(repeat('r', 256))$$);
CALL pg_temp.refused($$SELECT get_or_assign_server(repeat('r', 1000000))$$);
CALL pg_temp.refused($$SELECT touch_room('')$$);
CALL pg_temp.refused($$SELECT touch_room(repeat('r', 256))$$);
CALL pg_temp.refused($$SELECT room_server('')$$);
CALL pg_temp.refused($$SELECT room_server(repeat('r', 256))$$);
CALL pg_temp.refused($$SELECT release_room('')$$);
CALL pg_temp.refused($$SELECT release_room(repeat('r', 256))$$);
CALL pg_temp.refused($$SELECT * FROM explain_assignment('')$$);
CALL pg_temp.refused($$SELECT * FROM explain_assignment(repeat('r', 256))$$);
-- 255 bytes are valid.
SELECT length(room_id), get_or_assign_server(room_id, repeat('R', 255)) IS NOT NULL AS assigned, touch_room(room_id),
	release_room(room_id)
FROM repeat('r', 255) room_id;
TABLE rows_left;

-- 22023: other invalid arguments.
CALL pg_temp.refused($$SELECT get_or_assign_server('r', repeat('R', 256))$$);
CALL pg_temp.refused($$SELECT get_or_assign_server(1, repeat('R', 256))$$);
CALL pg_temp.refused($$SELECT get_or_assign_server('r', NULL, 0)$$);
CALL pg_temp.refused($$SELECT get_or_assign_server(1, NULL, -1)$$);
CALL pg_temp.refused($$SELECT get_or_assign_server('r', NULL, 1000001)$$);
CALL pg_temp.refused($$SELECT * FROM explain_assignment('r', repeat('R', 256))$$);
CALL pg_temp.refused($$SELECT * FROM explain_assignment('r', NULL, 0)$$);
TABLE rows_left;
SELECT get_or_assign_server('r') IS NOT NULL AS assigned;
CALL pg_temp.refused($$SELECT get_or_assign_server('r', NULL, 0)$$);
CALL pg_temp.refused($$SELECT get_or_assign_server('r', repeat('R', 256))$$);
CALL pg_temp.refused($$SELECT touch_room('r', -1)$$);
CALL pg_temp.refused($$SELECT touch_room('r', 1000001)$$);
CALL pg_temp.refused($$SELECT touch_room('unknown', -1)$$);
CALL pg_temp.refused($$SELECT clean_inactive_assignments('-1 microsecond')$$);
CALL pg_temp.refused($$SELECT init_servers('a,,b')$$);
SELECT reported_users, expected_users FROM room_server_assignments;
SELECT release_room('r');

-- P0002: a room the application does not know, when it is assigned. A room that has a server is
-- answered.
CREATE TABLE app_rooms (room_id text, expected_users int);
INSERT INTO app_rooms VALUES ('known', 3), ('known', 5), ('known', NULL);
SET client_min_messages = warning;
SELECT attach_rooms('app_rooms');
RESET client_min_messages;
CALL pg_temp.refused($$SELECT get_or_assign_server('unknown')$$);
CALL pg_temp.refused($$SELECT get_or_assign_server(2171)$$);
CALL pg_temp.refused($$SELECT * FROM explain_assignment('unknown')$$);
SELECT get_or_assign_server('known') IS NOT NULL AS assigned, touch_room('unknown');
SELECT room_id, expected_users FROM room_server_assignments;
TRUNCATE app_rooms;
SELECT get_or_assign_server('known') = room_server('known') AS same;
SELECT server = room_server('known') AS same, reason FROM explain_assignment('known') WHERE chosen;
SELECT release_room('known');
CALL pg_temp.refused($$SELECT * FROM explain_assignment('known')$$);
CALL pg_temp.refused($$SELECT get_or_assign_server('known')$$);
SELECT attach_rooms(NULL);
TABLE rows_left;
DROP TABLE app_rooms;

-- 42704: an unknown server.
CALL pg_temp.refused($$SELECT server_state('gxy99')$$);
CALL pg_temp.refused($$SELECT server_state('')$$);

-- 53000: the pool has no server, or none that takes new rooms.
BEGIN;
SET LOCAL gxy_balancer.default_servers = '';
CALL pg_temp.refused($$SELECT get_or_assign_server('r')$$);
CALL pg_temp.refused($$SELECT get_or_assign_server(2171)$$);
SELECT count(*) FROM explain_assignment('r');
INSERT INTO balancer_servers (name, pool) VALUES ('vip', 'reserved');
CALL pg_temp.refused($$SELECT get_or_assign_server('r')$$);
SELECT count(*) FROM room_server_assignments;
ROLLBACK;

-- 53400: all servers are full, if overflow = error.
BEGIN;
INSERT INTO balancer_servers (name, capacity) VALUES ('gxy1', 15), ('gxy2', 25);
SET LOCAL gxy_balancer.overflow = error;
SELECT get_or_assign_server(i) FROM generate_series(1, 3) i;
CALL pg_temp.refused($$SELECT get_or_assign_server(4)$$);
CALL pg_temp.refused($$SELECT get_or_assign_server('four', 'IL', 6)$$);
SELECT count(*) FROM room_server_assignments;
SELECT get_or_assign_server('four', NULL, 5);
ROLLBACK;

-- 55000: the pool is not written yet; see pool. An attached relation is gone; see attach.
CALL pg_temp.refused($$UPDATE balancer_servers SET state = 'draining'$$);
TABLE rows_left;

-- 55000: a function in a statement cannot release a row that the same statement has just written;
-- the next statement can.
CALL pg_temp.refused($$INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('r', 'gxy1')
	RETURNING release_room(room_id)$$);
SELECT get_or_assign_server('r') IS NOT NULL AS assigned;
CALL pg_temp.refused($$UPDATE room_server_assignments SET region = 'IL' RETURNING release_room(room_id)$$);
SELECT get_or_assign_server('s') IS NOT NULL AS assigned, release_room('s'), release_room('r');
TABLE rows_left;

-- 25006: a call that would have to write in a READ ONLY transaction. A room that has a server is
-- answered.
SELECT get_or_assign_server('known') IS NOT NULL AS assigned;
BEGIN READ ONLY;
SELECT get_or_assign_server('known') = room_server('known') AS same;
CALL pg_temp.refused($$SELECT get_or_assign_server('r')$$);
CALL pg_temp.refused($$SELECT get_or_assign_server(2171)$$);
CALL pg_temp.refused($$SELECT touch_room('known')$$);
CALL pg_temp.refused($$SELECT touch_room('r', 3)$$);
CALL pg_temp.refused($$SELECT release_room('known')$$);
COMMIT;
\set VERBOSITY sqlstate
BEGIN READ ONLY;
SELECT clean_inactive_assignments('0');
COMMIT;
-- Also if there is nothing to free.
BEGIN READ ONLY;
SELECT clean_inactive_assignments('1 year');
COMMIT;
BEGIN READ ONLY;
SELECT init_servers();
COMMIT;
BEGIN READ ONLY;
SELECT attach_sessions(NULL);
COMMIT;
\set VERBOSITY default
SELECT room_id FROM room_server_assignments;
SELECT release_room('known');

-- A unique index of the DBA's that no second room can pass.
CREATE UNIQUE INDEX one_of_them ON room_server_assignments ((1)) WHERE room_id LIKE 'unique%';
SELECT get_or_assign_server('unique1') IS NOT NULL AS assigned;
SELECT get_or_assign_server('unique2');
DROP INDEX one_of_them;
SELECT get_or_assign_server('unique2') IS NOT NULL AS assigned, release_room('unique1'), release_room('unique2');

-- Settings: invalid values are refused, and the old value stays. Messages name units.
SET gxy_balancer.default_capacity = 17;
\set VERBOSITY sqlstate
SET gxy_balancer.strategy = 'random';
SET gxy_balancer.load_metric = 'bandwidth';
SET gxy_balancer.overflow = 'refuse';
SET gxy_balancer.default_capacity = 0;
SET gxy_balancer.avg_room_occupancy = 0;
SET gxy_balancer.join_window = -1;
SET gxy_balancer.dead_session_timeout = '-1s';
SET gxy_balancer.assignment_grace = -1;
SET gxy_balancer.touch_interval = -1;
SET gxy_balancer.assign_timeout = 0;
SET gxy_balancer.assign_timeout = '5 parsecs';
SET gxy_balancer.no_such_setting = 1;
\set VERBOSITY default
SELECT DISTINCT capacity FROM balancer_load;
RESET gxy_balancer.default_capacity;
SELECT name, current_setting('gxy_balancer.' || name) AS setting
FROM unnest('{strategy,load_metric,overflow,default_servers,default_capacity,avg_room_occupancy,dead_session_timeout,
	assignment_grace,touch_interval,assign_timeout}'::text[]) name;

-- An error in the middle of a statement, of a function, of a transaction leaves nothing.
SELECT get_or_assign_server('r' || i), 1 / (5 - i) FROM generate_series(1, 9) i;
SELECT get_or_assign_server('r'), touch_room('r', -1);
BEGIN;
SELECT get_or_assign_server('r') IS NOT NULL AS assigned;
SELECT get_or_assign_server('');
SELECT get_or_assign_server('s');
COMMIT;
TABLE rows_left;
DROP VIEW rows_left;
