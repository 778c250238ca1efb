/*
 * what_if: what_if() shows the load of each server before and after a change, by the code that
 * would move the rooms, and changes nothing. test/t/214_what_if.pl compares it with what then
 * happens, in random pools.
 */
\getenv abs_srcdir PG_ABS_SRCDIR
\set helpers :abs_srcdir '/sql/include/helpers.sql'
\set ECHO none
\i :helpers

SET gxy_balancer.default_servers = 'gxy1,gxy2,gxy3';
SET gxy_balancer.default_capacity = 400;
SET gxy_balancer.load_metric = users;
SET gxy_balancer.avg_room_occupancy = 10;
SET gxy_balancer.join_window = '10min';
SET gxy_balancer.assignment_grace = '90s';
SET gxy_balancer.dead_session_timeout = '90s';
SET gxy_balancer.failover_delay = '5s';
SET gxy_balancer.assign_timeout = '5s';

-- Servers of a pool that is not written yet, where nothing can be written.
BEGIN READ ONLY;
SELECT * FROM what_if('gxy2', 'offline');
COMMIT;
SELECT count(*) FROM balancer_servers;

-- Errors.
CALL pg_temp.refused($$SELECT * FROM what_if('gxy9', 'offline')$$);
CALL pg_temp.refused($$SELECT * FROM what_if('gxy1', 'asleep')$$);
CALL pg_temp.refused($$SELECT * FROM what_if('gxy1', NULL)$$);
CALL pg_temp.refused($$SELECT * FROM what_if(NULL, 'offline')$$);

BEGIN;
INSERT INTO balancer_servers (name, capacity, pool) VALUES ('gxy1', 100, 'primary'), ('gxy2', 200, 'primary'), ('spare', 100, 'standby');
INSERT INTO room_server_assignments (room_id, gateway_name, expected_users) VALUES
	('a', 'gxy1', 30), ('b', 'gxy1', 20), ('c', 'gxy2', 10), ('d', 'gone', 5);

-- Draining: evacuated by the policy. Offline: the free standby takes the rooms, or they are spread.
SELECT * FROM what_if('gxy1', 'draining');
SELECT * FROM what_if('gxy1', 'offline');
SAVEPOINT asked;
DELETE FROM balancer_servers WHERE name = 'spare';
SELECT server, state, rooms_after, load_after, percent_after, note FROM what_if('gxy1', 'offline');
-- The only server that is left: its rooms stay.
SELECT set_server_state('gxy2', 'offline');
SELECT server, state, rooms_after, load_after, percent_after, note FROM what_if('gxy1', 'offline');
SELECT server, state, rooms_after, load_after, percent_after, note FROM what_if('gxy1', 'draining');
-- It comes back: nothing moves.
SELECT server, state, rooms_after, load_after, percent_after, note FROM what_if('gxy2', 'online');
ROLLBACK TO asked;

-- The same as doing it.
SELECT server, state, rooms_after, users_after, load_after, percent_after FROM what_if('gxy1', 'draining') WHERE capacity IS NOT NULL;
SELECT evacuate_server('gxy1');
SELECT server, state, rooms, users, load, percent FROM balancer_load WHERE server <> 'gone';
ROLLBACK TO asked;

-- It writes nothing.
SELECT gateway_name, count(*) FROM room_server_assignments GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM balancer_failovers;

-- Sessions that cannot be read are an error; they are never taken for empty rooms.
CREATE TABLE live (room_id text, user_id int);
CREATE VIEW broken AS SELECT room_id, user_id / 0 AS user_id FROM live;
SET LOCAL client_min_messages = warning;
SELECT attach_sessions('broken');
INSERT INTO live VALUES ('a', 1);
CALL pg_temp.refused($$SELECT * FROM what_if('gxy1', 'offline')$$);
ROLLBACK;
