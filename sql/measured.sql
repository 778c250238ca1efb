/*
 * measured: loads that monitors measure, in one session, without the worker. The same with the load
 * cache and without it.
 */
\getenv abs_srcdir PG_ABS_SRCDIR
\set helpers :abs_srcdir '/sql/include/helpers.sql'
\set ECHO none
\i :helpers
SET gxy_balancer.strategy = least_loaded;
SET gxy_balancer.load_metric = users;
SET gxy_balancer.overflow = overcommit;
SET gxy_balancer.heartbeat_timeout = 0;
SET gxy_balancer.max_learned_rooms = 0;
SET gxy_balancer.join_window = '10min';
INSERT INTO balancer_servers (name, capacity) VALUES ('a', 100), ('b', 100), ('c', 100);
CREATE VIEW pg_temp.explained AS
	SELECT server, chosen, tier, reason, score, score_from FROM explain_assignment('new', expected_users => 10);

-- What a load may be.
CALL pg_temp.refused($$SELECT server_heartbeat('a', true, -0.1)$$);
CALL pg_temp.refused($$SELECT server_heartbeat('a', true, 'NaN')$$);
CALL pg_temp.refused($$SELECT server_heartbeat('a', true, 'Infinity')$$);
CALL pg_temp.refused($$SELECT server_heartbeat('a', true, 10.1)$$);
CALL pg_temp.refused($$SELECT server_heartbeat('a', load => 42)$$);
CALL pg_temp.refused($$SELECT server_heartbeat('nowhere', true, 'NaN')$$);
SELECT server_heartbeat('nowhere', true, 0.5), server_heartbeat('a', true, 10), server_heartbeat('b', true, 0);
SELECT server, percent, measured FROM balancer_load;
CALL pg_temp.refused($$INSERT INTO balancer_health VALUES ('c', true, '2001-01-01', '2001-01-01', '2001-01-01', 'NaN')$$);
CALL pg_temp.refused($$INSERT INTO balancer_health VALUES ('c', true, '2001-01-01', '2001-01-01', '2001-01-01', 10.1)$$);
DELETE FROM balancer_health;

-- The greater of what is counted and what is measured decides; a new room sees the newest at once,
-- also where the row has been written within the same second.
SELECT server_heartbeat('a', true, 0.1), server_heartbeat('b'), server_heartbeat('c', load => 0.3);
SELECT server_heartbeat('a', true, 0.2);
SELECT server, measured FROM balancer_load;
TABLE pg_temp.explained;
SELECT get_or_assign_server('r1', NULL, 10), get_or_assign_server('r2', NULL, 15), get_or_assign_server('r3', NULL, 15);
SELECT server, rooms, load, percent, measured FROM balancer_load;
TABLE pg_temp.explained;

-- Without a word on the health it is a load and not a heartbeat: the next new room sees it, no row is written.
CALL pg_temp.refused($$SELECT server_heartbeat('a', NULL)$$);
CALL pg_temp.refused($$SELECT server_heartbeat('a', NULL, 11)$$);
CREATE TEMPORARY TABLE before AS TABLE balancer_health;
SELECT server_heartbeat('nowhere', NULL, 0.5), server_heartbeat('a', NULL, 0.7), server_heartbeat('b', NULL, 0.6),
	server_heartbeat('c', NULL, 0.5);
SELECT count(*) FROM (TABLE balancer_health EXCEPT TABLE before) changed;
SELECT server, measured FROM balancer_load;
TABLE pg_temp.explained;
BEGIN;
SET TRANSACTION READ ONLY;
CALL pg_temp.refused($$SELECT server_heartbeat('a', NULL, 0.5)$$);
ROLLBACK;

-- Users who are expected come on top of what was measured: they cannot be in it yet.
SELECT server_heartbeat('a', true, 0.5), server_heartbeat('b', true, 0.5), server_heartbeat('c', true, 0.49);
SELECT get_or_assign_server('s' || i, NULL, 5) FROM generate_series(1, 4) i;
TABLE pg_temp.explained;

-- A server that measures full takes no expected users, whatever is counted.
SELECT server_heartbeat('a', true, 0.65), server_heartbeat('b', true, 0.97), server_heartbeat('c', true, 2);
TABLE pg_temp.explained;
SET gxy_balancer.overflow = error;
SELECT get_or_assign_server('last', NULL, 5);
CALL pg_temp.refused($$SELECT get_or_assign_server('too large', NULL, 16)$$);
RESET gxy_balancer.overflow;
SET gxy_balancer.strategy = sequential;
SELECT server_heartbeat('a', true, 0.97), server_heartbeat('b', true, 0.1);
SELECT server, chosen, reason FROM explain_assignment('sequence', expected_users => 5);
SELECT get_or_assign_server('sequence', NULL, 5);
RESET gxy_balancer.strategy;

-- Rooms that leave a server go by it, too.
DELETE FROM room_server_assignments;
SELECT server_heartbeat('b', true, 0.9), server_heartbeat('c', true, 0);
SELECT get_or_assign_server('moved', NULL, 5), evacuate_server('c');
SELECT room_server('moved');
SELECT set_server_state('c', 'online');
SELECT server_heartbeat('a', true, 0), move_room('moved', 'b'), evacuate_server('b');
SELECT room_server('moved');
SELECT set_server_state('b', 'online');

-- NULL is no news. A report counts for half a minute, or for heartbeat_timeout.
DELETE FROM room_server_assignments;
SELECT server_heartbeat('a', true, 0.4), server_heartbeat('a'), server_heartbeat('a', true, NULL);
SELECT server, measured FROM balancer_load;
UPDATE balancer_health SET last_heartbeat = now() - interval '2 seconds' WHERE server = 'a';
SELECT server_heartbeat('a');
SELECT load, last_heartbeat > now() - interval '1 second' AS written FROM balancer_health WHERE server = 'a';
-- Of a report that was rolled back nothing is left, also after the next one has committed.
BEGIN;
SELECT server_heartbeat('a', true, 0.99);
ROLLBACK;
SELECT server_heartbeat('b', true, 0.3);
SELECT server, measured FROM balancer_load;
TABLE pg_temp.explained;
SET gxy_balancer.heartbeat_timeout = 1;
DO 'BEGIN WHILE EXISTS (SELECT FROM balancer_load WHERE measured IS NOT NULL) LOOP END LOOP; END';
SELECT server, measured FROM balancer_load;
SELECT get_or_assign_server('a stale one', NULL, 5);
RESET gxy_balancer.heartbeat_timeout;

-- Shared memory may know nothing of what rows say: after a restart, for example.
DELETE FROM balancer_health;
INSERT INTO balancer_servers (name, capacity) VALUES ('d', 100), ('e', 100), ('f', 100), ('g', 100);
INSERT INTO balancer_health
SELECT h.server, true, now(), now(), now(), 0.7, h.load_at FROM (VALUES ('d', now() - interval '29 seconds'),
	('e', now() - interval '31 seconds'), ('f', '-infinity'), ('g', 'infinity')) h(server, load_at);
SELECT server, measured FROM balancer_load WHERE server >= 'd';
SELECT server, score, score_from FROM explain_assignment('after a restart') WHERE server >= 'd';

-- A claimed standby is as full as the rooms that it has claimed, those still awaited included.
DELETE FROM room_server_assignments;
DELETE FROM balancer_health;
DELETE FROM balancer_servers;
INSERT INTO balancer_servers (name, pool, capacity) VALUES ('x', 'primary', 100), ('y', 'primary', 100), ('z', 'standby', 100);
SET gxy_balancer.failover_delay = 0;
SELECT pin_room('many', 'x'), get_or_assign_server('many', NULL, 30), server_heartbeat('y', true, 0.75), server_heartbeat('z', true, 0.5);
SELECT set_server_state('x', 'offline');
UPDATE balancer_servers SET pool = 'primary' WHERE name = 'z';
SELECT server, chosen, reason, score FROM explain_assignment('after', expected_users => 10);
SELECT get_or_assign_server('after', NULL, 10);

-- An extension that is created anew knows nothing of what was measured before it.
SET client_min_messages = warning;
SELECT server_heartbeat('y', true, 0.9);
DROP EXTENSION gxy_balancer CASCADE;
CREATE EXTENSION gxy_balancer;
SET gxy_balancer.load_max_age = '1h';
BEGIN;
INSERT INTO balancer_servers (name, capacity) VALUES ('y', 100), ('z', 100);
SELECT get_or_assign_server('anew', NULL, 10), get_or_assign_server('another', NULL, 10), get_or_assign_server('third', NULL, 10);
COMMIT;
SELECT server, measured FROM balancer_load;

-- Users who are there have been measured: the load cache awaits only the others.
CREATE TABLE members (room_id text, user_id int);
SELECT attach_sessions('members');
DELETE FROM room_server_assignments;
INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('full', 'y');
INSERT INTO members SELECT 'full', i FROM generate_series(1, 10) i;
SELECT server_heartbeat('y', true, 0.1), server_heartbeat('z', true, 0.15);
SELECT get_or_assign_server('counted', NULL, 1), get_or_assign_server('cached', NULL, 1), get_or_assign_server('the next', NULL, 1);
DROP EXTENSION gxy_balancer CASCADE;
DROP TABLE members;
