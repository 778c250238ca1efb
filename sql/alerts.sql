/*
 * alerts: every alert that one session can make appears, and goes when its statement is run.
 *
 * Each condition is made in a transaction that is rolled back, so that the worker does not see it.
 * Alerts about the worker and about shared memory are in test/t/118_alerts.pl.
 */
\getenv abs_srcdir PG_ABS_SRCDIR
\set helpers :abs_srcdir '/sql/include/helpers.sql'
\set ECHO none
\i :helpers
SET client_min_messages = warning;
SET gxy_balancer.load_max_age = '1s';
SET gxy_balancer.default_capacity = 400;
SET gxy_balancer.strategy = least_loaded;
SET gxy_balancer.load_metric = users;
SET gxy_balancer.failover_delay = '1h';
SET gxy_balancer.failover_on_call = off;
SET gxy_balancer.recovery_delay = 0;
SET gxy_balancer.heartbeat_timeout = 0;
SET gxy_balancer.assignment_grace = '90s';
SET gxy_balancer.dead_session_timeout = '90s';
SET gxy_balancer.assign_timeout = '5s';
SET gxy_balancer.join_window = '30min';
SET gxy_balancer.avg_room_occupancy = 10;
SET gxy_balancer.overflow = overcommit;
SET gxy_balancer.default_servers = 'gxy1,gxy2';
SELECT reset_balancer_stats();
CREATE TABLE app_sessions (room_id text, user_id int, gateway_name text);
CREATE VIEW app_live AS SELECT * FROM app_sessions;
CREATE VIEW pg_temp.alerts AS
	SELECT severity, alert, server, regexp_replace(what, '\d+ s ', 'N s ') AS what, since, statement
	FROM balancer_alerts WHERE alert !~ '^worker_';
\pset format unaligned
\pset footer off
\pset null -

-- An installation without rooms has none.
SELECT * FROM pg_temp.alerts;

-- The pool was never written.
BEGIN;
SELECT get_or_assign_server(i) FROM generate_series(1, 3) i \g /dev/null
SELECT * FROM pg_temp.alerts;
SELECT statement FROM pg_temp.alerts \gexec
SELECT * FROM pg_temp.alerts;
ROLLBACK;

-- With a pool, rooms and users there is none either.
INSERT INTO balancer_servers (name, capacity) VALUES ('gxy1', 100), ('gxy2', 100), ('gxy3', 100);
SELECT attach_sessions('app_live');
SELECT * FROM pg_temp.alerts;
BEGIN;
INSERT INTO room_server_assignments (room_id, gateway_name, expected_users)
	SELECT 'r' || i, 'gxy' || 1 + i % 3, 10 FROM generate_series(1, 12) i;
INSERT INTO app_sessions SELECT 'r' || i, i, 'gxy' || 1 + i % 3 FROM generate_series(1, 12) i;
SELECT server_heartbeat(name) FROM balancer_servers;
SELECT * FROM pg_temp.alerts;
ROLLBACK;

-- The pool is empty, and then again with rooms.
BEGIN;
DELETE FROM balancer_servers;
SELECT * FROM pg_temp.alerts;
INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('r1', 'gxy1'), ('r2', 'gxy2');
SELECT * FROM pg_temp.alerts;
SELECT statement FROM pg_temp.alerts \gexec
SELECT * FROM pg_temp.alerts;
ROLLBACK;

-- No server is online: the draining one comes before those that are offline.
BEGIN;
UPDATE balancer_servers SET state = CASE name WHEN 'gxy2' THEN 'draining' ELSE 'offline' END;
SELECT * FROM pg_temp.alerts;
SELECT statement FROM pg_temp.alerts \gexec
SELECT * FROM pg_temp.alerts;
ROLLBACK;

-- Rooms on a server outside of the pool.
BEGIN;
INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('r1', 'it''s gone');
SELECT * FROM pg_temp.alerts;
SELECT statement FROM pg_temp.alerts \gexec
SELECT * FROM pg_temp.alerts;
ROLLBACK;

-- Names that the pool refuses, which the application wrote: no statement has them.
BEGIN;
INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('r1', 'a,b'), ('r2', ' sp '), ('r3', E'new\nline'), ('r4', 'gxy4');
SELECT alert, server, statement FROM pg_temp.alerts;
DELETE FROM balancer_servers;
SELECT alert, statement FROM pg_temp.alerts;
DELETE FROM room_server_assignments WHERE gateway_name = 'gxy4';
SELECT alert, statement FROM pg_temp.alerts;
ROLLBACK;

-- A server is reported unhealthy, or silent; neither matters where people have set it offline.
BEGIN;
INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('r1', 'gxy1'), ('r2', 'gxy1');
SELECT server_heartbeat('gxy1', false);
SELECT severity, alert, server, what, a.since = h.since AS since, statement
FROM pg_temp.alerts a JOIN balancer_health h USING (server);
SAVEPOINT unhealthy;
SELECT statement FROM pg_temp.alerts \gexec
SELECT * FROM pg_temp.alerts;
ROLLBACK TO unhealthy;
SELECT server_heartbeat('gxy1');
SELECT * FROM pg_temp.alerts;
UPDATE balancer_health SET healthy = false, since = last_heartbeat + interval '1 minute';
SELECT severity, alert, server, what, a.since = h.since AS since, statement
FROM pg_temp.alerts a JOIN balancer_health h USING (server);
SELECT statement FROM pg_temp.alerts \gexec
SELECT * FROM pg_temp.alerts;
ROLLBACK;

-- A failover is due and its rooms have not been moved.
BEGIN;
INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('r1', 'gxy1'), ('r2', 'gxy1');
SELECT set_server_state('gxy1', 'offline');
UPDATE balancer_failovers SET due_at = clock_timestamp() - interval '1 minute', declared_at = declared_at - interval '1 hour';
SELECT severity, alert, server, regexp_replace(what, ': .*', '') AS what, a.since = f.due_at AS since, statement
FROM pg_temp.alerts a JOIN balancer_failovers f ON f.from_server = a.server;
SAVEPOINT due;
UPDATE balancer_failovers SET due_at = clock_timestamp() - interval '1 second';
SELECT * FROM pg_temp.alerts;
ROLLBACK TO due;
UPDATE balancer_servers SET state = 'offline';
SELECT alert, server, what, statement FROM pg_temp.alerts WHERE alert = 'rooms_stuck';
ROLLBACK TO due;
SELECT statement FROM pg_temp.alerts \gexec
SELECT * FROM pg_temp.alerts;
-- With a monitor the server is still an alert, and its rooms have gone.
UPDATE balancer_health SET healthy = false;
SELECT server_heartbeat('gxy1', false), set_server_state('gxy1', 'online') \g /dev/null
UPDATE balancer_failovers SET due_at = clock_timestamp() - interval '1 minute', declared_at = declared_at - interval '1 hour';
SELECT alert, server, what FROM pg_temp.alerts;
ROLLBACK;

-- No standby is free: one has rooms, one has been claimed, one is draining.
BEGIN;
INSERT INTO balancer_servers (name, pool) VALUES ('spare1', 'standby'), ('spare2', 'standby'), ('spare3', 'standby');
SELECT * FROM pg_temp.alerts;
INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('r1', 'spare1'), ('r2', 'gxy1');
SELECT set_server_state('spare2', 'draining');
SELECT * FROM pg_temp.alerts;
SELECT set_server_state('gxy1', 'offline');
SELECT * FROM pg_temp.alerts;
SELECT statement FROM pg_temp.alerts \gexec
SELECT * FROM pg_temp.alerts;
DELETE FROM room_server_assignments;
UPDATE balancer_servers SET state = 'draining' WHERE name IN ('spare1', 'spare2');
SELECT * FROM pg_temp.alerts;
SELECT statement FROM pg_temp.alerts \gexec
SELECT * FROM pg_temp.alerts;
ROLLBACK;

-- A standby that stands in: since the failover.
BEGIN;
INSERT INTO balancer_servers (name, pool) VALUES ('spare1', 'standby');
INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('r1', 'gxy1');
SELECT set_server_state('gxy1', 'offline');
SELECT severity, alert, server, what, a.since = f.declared_at AS since, statement
FROM pg_temp.alerts a, balancer_failovers f;
ROLLBACK;

-- Unequal servers, but not if it does not matter, or is meant, or the other one is just back.
BEGIN;
INSERT INTO room_server_assignments (room_id, gateway_name, expected_users)
	SELECT 'r' || i, 'gxy1', 10 FROM generate_series(1, 6) i;
SELECT * FROM pg_temp.alerts;
SAVEPOINT unequal;
SET LOCAL gxy_balancer.strategy = sequential;
SELECT * FROM pg_temp.alerts;
ROLLBACK TO unequal;
UPDATE balancer_servers SET regions = '{IL}' WHERE name = 'gxy1';
SELECT * FROM pg_temp.alerts;
ROLLBACK TO unequal;
SET LOCAL gxy_balancer.recovery_delay = '1h';
SELECT server_heartbeat(name, up) FROM balancer_servers, (VALUES (false), (true)) v (up) WHERE name <> 'gxy1' ORDER BY up;
SELECT * FROM pg_temp.alerts;
ROLLBACK TO unequal;
UPDATE balancer_servers SET capacity = 400;
SELECT * FROM pg_temp.alerts;
ROLLBACK TO unequal;
SELECT statement FROM pg_temp.alerts \gexec
SELECT * FROM pg_temp.alerts;
ROLLBACK;

-- A server above its capacity: others have room, a standby has, none has.
BEGIN;
SET LOCAL gxy_balancer.strategy = sequential;
INSERT INTO room_server_assignments (room_id, gateway_name, expected_users)
	SELECT 'r' || i, 'gxy1', 2 FROM generate_series(1, 52) i;
SELECT * FROM pg_temp.alerts;
SAVEPOINT over;
SELECT statement FROM pg_temp.alerts \gexec
SELECT * FROM pg_temp.alerts;
ROLLBACK TO over;
DELETE FROM balancer_servers WHERE name <> 'gxy1';
SELECT * FROM pg_temp.alerts;
INSERT INTO balancer_servers (name, pool) VALUES ('spare1', 'standby');
SELECT * FROM pg_temp.alerts;
SELECT statement FROM pg_temp.alerts \gexec
SELECT statement FROM pg_temp.alerts \gexec
SELECT * FROM pg_temp.alerts;
ROLLBACK;

-- Users of a room are on another server.
BEGIN;
INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('r1', 'gxy1'), ('r2', 'gxy1');
INSERT INTO app_sessions VALUES ('r1', 1, 'gxy1'), ('r1', 2, 'gxy2'), ('r1', 3, 'gxy2'), ('r2', 4, 'gxy1');
SELECT * FROM pg_temp.alerts;
SELECT statement FROM pg_temp.alerts \gexec
UPDATE app_sessions SET gateway_name = 'gxy1';
SELECT * FROM pg_temp.alerts;
ROLLBACK;

-- The measured load is far from the counted one.
BEGIN;
SELECT server_heartbeat('gxy1', true, 0.95);
SELECT * FROM pg_temp.alerts;
UPDATE balancer_health SET differs_since = clock_timestamp() - interval '2 minutes';
SELECT severity, alert, server, what, a.since = h.differs_since AS since, statement
FROM pg_temp.alerts a JOIN balancer_health h USING (server);
UPDATE balancer_servers SET capacity = 10;
INSERT INTO room_server_assignments (room_id, gateway_name, expected_users) VALUES ('r1', 'gxy1', 9);
SELECT * FROM pg_temp.alerts WHERE alert = 'measured_differs';
ROLLBACK;

-- The load cache is not in use.
BEGIN;
SET LOCAL gxy_balancer.load_max_age = 0;
SELECT * FROM pg_temp.alerts;
SET LOCAL gxy_balancer.load_max_age = '1s';
SELECT * FROM pg_temp.alerts;
ROLLBACK;

-- Attached relations that cannot be read. Nothing else depends on the loads then.
BEGIN;
CREATE VIEW app_rooms AS SELECT room_id, 1 AS expected_users FROM app_sessions;
SELECT attach_rooms('app_rooms');
INSERT INTO room_server_assignments (room_id, gateway_name, expected_users) VALUES ('r1', 'gxy1', 500);
INSERT INTO app_sessions VALUES ('r1', 1, 'gxy2');
DROP VIEW app_live, app_rooms;
SELECT * FROM pg_temp.alerts;
CREATE VIEW app_live AS SELECT * FROM app_sessions WHERE 1 / (user_id - 1) >= 0;
CREATE VIEW app_rooms AS SELECT room_id FROM app_sessions;
SELECT * FROM pg_temp.alerts;
CREATE OR REPLACE VIEW app_live AS SELECT * FROM app_sessions;
SELECT alert, server FROM pg_temp.alerts;
ROLLBACK;

-- Statements have the schema, because another one in the path may have a function of that name; its operators change nothing.
BEGIN;
SELECT server_heartbeat('gxy1', false);
CREATE SCHEMA trap;
CREATE FUNCTION trap.never(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT NULL::boolean';
CREATE OPERATOR trap.= (LEFTARG = text, RIGHTARG = text, FUNCTION = trap.never);
SET LOCAL search_path = trap, pg_catalog;
SELECT alert, server, statement FROM public.balancer_alerts WHERE alert !~ '^worker_';
SET LOCAL search_path = trap, public;
SELECT statement FROM balancer_alerts WHERE alert !~ '^worker_' \gexec
ROLLBACK;

SELECT attach_sessions(NULL);
DROP VIEW app_live;
DROP TABLE app_sessions;
