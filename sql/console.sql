/*
 * console: what the views show of servers that are not online, of rooms on servers outside of the
 * pool, and of sources that cannot be read.
 */
\getenv abs_srcdir PG_ABS_SRCDIR
\set helpers :abs_srcdir '/sql/include/helpers.sql'
\set ECHO none
\i :helpers
CREATE TABLE app_sessions (room_id text, user_id int, gateway_name text);
CREATE VIEW app_live AS SELECT * FROM app_sessions;
SET client_min_messages = warning;
SELECT attach_sessions('app_live');
RESET client_min_messages;

-- A pool that has never been written is marked as such.
SELECT server, state, pool, cause FROM balancer_load LIMIT 2;

-- A state other than online shows its cause, and a failover shows its effect.
INSERT INTO balancer_servers (name, pool, capacity) VALUES ('gxy1', 'primary', 100), ('gxy2', 'primary', 100),
	('gxy3', 'primary', NULL), ('spare', 'standby', NULL), ('event', 'reserved', NULL);
SELECT get_or_assign_server('r' || i, NULL, 20) FROM generate_series(1, 6) i;
INSERT INTO app_sessions SELECT 'r1', i, CASE WHEN i < 5 THEN 'gxy1' ELSE 'gxy2' END FROM generate_series(1, 6) i;
SELECT * FROM balancer_load;
SET gxy_balancer.failover_delay = '1h';
SET gxy_balancer.recovery_delay = 0;
SELECT set_server_state('gxy2', 'draining'), server_heartbeat('gxy3', false), set_server_state('gxy1', 'offline');
SELECT server, state, pool, rooms, cause FROM balancer_load;
SELECT set_server_state('gxy3', 'draining');
UPDATE balancer_health SET healthy = true;
UPDATE balancer_health SET healthy = false, since = last_heartbeat + interval '1 minute';
SELECT server, state, cause FROM balancer_load WHERE state = 'offline';

-- A failover that is due: the rows stay until the worker or a call moves them. Which of the two the
-- view names depends on whether there is a launcher.
UPDATE balancer_failovers SET due_at = now();
SELECT server, rooms, cause ~ 'rooms (are moving|move) to spare' AS leave,
	cause ~ 'stands in for gxy3' AS stands_in
FROM balancer_load WHERE cause <> '';
SELECT get_or_assign_server('r1');
SELECT gateway_name, count(*) FROM room_server_assignments GROUP BY 1 ORDER BY 1;

-- No server is left.
UPDATE balancer_servers SET state = 'offline' WHERE name <> 'event';
UPDATE balancer_failovers SET due_at = now();
SELECT server, state, cause FROM balancer_load;
UPDATE balancer_servers SET state = 'online';
SELECT server_heartbeat('gxy3');
DELETE FROM balancer_failovers;

-- Servers outside of the pool that have rooms are shown as offline, with the same counts as others.
-- Their capacity is unknown.
INSERT INTO room_server_assignments (room_id, gateway_name, expected_users) VALUES ('old1', 'gone', 3), ('old2', 'gone', 4),
	('old3', 'also gone', 5);
INSERT INTO app_sessions SELECT 'old2', i, CASE WHEN i < 15 THEN 'gone' ELSE 'gxy1' END FROM generate_series(11, 16) i;
INSERT INTO app_sessions VALUES ('old1', 11, 'gone'), ('nowhere', 99, 'gone');
SELECT server, state, pool, rooms, users, connected, expected, load, capacity, percent, bar,
	regexp_replace(cause, 'rooms (are moving|move when called for .*)$', 'rooms leave') AS cause
FROM balancer_load WHERE pool IS NULL OR server = 'gxy1';
SELECT sum(rooms) = (SELECT count(*) FROM room_server_assignments) AS all_rooms FROM balancer_load;
SELECT room_id, server, users, users_elsewhere FROM balancer_rooms WHERE room_id LIKE 'old%' ORDER BY 1;
BEGIN;
DELETE FROM room_server_assignments WHERE gateway_name LIKE 'gxy%' OR gateway_name = 'spare';
TRUNCATE balancer_servers;
SELECT server, rooms FROM balancer_load;
ROLLBACK;

-- A view that raises an error, or is missing, does not break the console: it shows what is known
-- without users, and the reason for what is missing. A new room raises the same error; a room with
-- a server is answered.
CREATE FUNCTION app_fail() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RETURN 1 / (SELECT count(*) FROM public.app_sessions WHERE false); END $$;
CREATE OR REPLACE VIEW app_live AS SELECT * FROM app_sessions WHERE app_fail();
CALL pg_temp.refused($$SELECT get_or_assign_server('new')$$);
SELECT get_or_assign_server('r2');
SELECT * FROM balancer_load;
SELECT room_id, server, users, users_elsewhere, expected_users, problem FROM balancer_rooms WHERE room_id ~ '^(old1|r2)$' ORDER BY 1;
SELECT rank, server, chosen, tier, reason, load, capacity, expected, expected_from, score, rooms, room_sessions, state, pool
FROM explain_assignment('new', NULL, 7);
SELECT rank, server, chosen, reason, load, rooms FROM explain_assignment('r2') WHERE chosen OR server = 'gxy1';
SELECT count(*) FROM balancer_stats;
-- The room's server has failed, and the new one cannot be determined.
SET gxy_balancer.failover_delay = 0;
UPDATE room_server_assignments SET assigned_at = now() - interval '1 day' WHERE room_id = 'old1';
SELECT server, chosen, reason, load, rooms FROM explain_assignment('old1') LIMIT 1;
-- For the same reason its rooms stay, unless there is a standby to take them.
BEGIN;
DELETE FROM room_server_assignments WHERE gateway_name = 'spare';
SELECT set_server_state('gxy3', 'offline'), set_server_state('gxy2', 'offline');
SELECT server, cause ~ 'rooms (are moving|move) to spare' AS leave, cause ~ 'rooms stay; sessions unreadable' AS stay,
	cause ~ 'rooms (are moving|move)' AS move
FROM balancer_load WHERE server IN ('gxy2', 'gxy3', 'gone') ORDER BY 1;
CALL pg_temp.refused($$SELECT get_or_assign_server('r2')$$);
ROLLBACK;
RESET gxy_balancer.failover_delay;
BEGIN;
DROP VIEW app_live;
SELECT server, rooms, users, load, cause FROM balancer_load LIMIT 1;
SELECT count(*), count(users), min(problem) FROM balancer_rooms;
ROLLBACK;
-- The attached rooms relation says how many users to expect, and which rooms exist.
CREATE TABLE app_rooms (room_id text, expected_users int);
CREATE VIEW app_booked AS SELECT * FROM app_rooms;
INSERT INTO app_rooms VALUES ('new', 5);
SET client_min_messages = warning;
SELECT attach_sessions(NULL), attach_rooms('app_booked');
RESET client_min_messages;
CREATE OR REPLACE VIEW app_booked AS SELECT * FROM app_rooms WHERE app_fail();
SELECT server, chosen, reason, load, expected, expected_from FROM explain_assignment('new') LIMIT 1;
SELECT server, rooms, users, load, cause FROM balancer_load LIMIT 1;
CREATE OR REPLACE VIEW app_booked AS SELECT * FROM app_rooms;
SELECT server, chosen, reason, load, expected, expected_from FROM explain_assignment('new') LIMIT 1;
CALL pg_temp.refused($$SELECT * FROM explain_assignment('unknown')$$);
-- An error that the view did not cause is raised: here the caller is cancelled.
CREATE OR REPLACE VIEW app_live AS SELECT * FROM app_sessions;
SET client_min_messages = warning;
SELECT attach_rooms(NULL), attach_sessions('app_live');
RESET client_min_messages;
CREATE OR REPLACE VIEW app_live AS SELECT * FROM app_sessions WHERE pg_sleep(600) IS NOT NULL;
SET statement_timeout = '50ms';
\set VERBOSITY sqlstate
SELECT count(*) FROM balancer_load;
SELECT count(*) FROM balancer_rooms;
SELECT count(*) FROM explain_assignment('new');
\set VERBOSITY default
RESET statement_timeout;

SET client_min_messages = warning;
TRUNCATE room_server_assignments, app_sessions;
DROP TABLE app_sessions, app_rooms CASCADE;
DROP FUNCTION app_fail;
RESET client_min_messages;
