/*
 * now: the console balancer_now: its numbers, its words, and its width in psql.
 *
 * All in a transaction that is rolled back, so that the worker moves nothing.
 */
\getenv abs_srcdir PG_ABS_SRCDIR
\set helpers :abs_srcdir '/sql/include/helpers.sql'
\set ECHO none
\i :helpers
SET client_min_messages = warning;
SET gxy_balancer.default_servers = 'gxy1,gxy2';
SET gxy_balancer.default_capacity = 400;
SET gxy_balancer.load_metric = users;
SET gxy_balancer.avg_room_occupancy = 10;
SET gxy_balancer.join_window = '30min';
SET gxy_balancer.assignment_grace = '90s';
SET gxy_balancer.dead_session_timeout = '90s';
SET gxy_balancer.heartbeat_timeout = 0;
SET gxy_balancer.assign_timeout = '5s';
SET gxy_balancer.failover_on_call = off;
SET gxy_balancer.failover_delay = '1h';
SET gxy_balancer.recovery_delay = '1h';
CREATE TABLE app_sessions (room_id text, user_id int, gateway_name text);
CREATE VIEW app_live AS SELECT * FROM app_sessions;
CREATE PROCEDURE pg_temp.fill(servers int, per_server int, users int) LANGUAGE sql AS $$
	INSERT INTO room_server_assignments (room_id, gateway_name, expected_users)
		SELECT 'r' || i, 'gxy' || 1 + i % servers, users FROM generate_series(1, servers * per_server) i;
$$;
-- Times of day and seconds that pass.
CREATE VIEW pg_temp.now AS
	SELECT server, bar, load, rooms, split, free, regexp_replace(regexp_replace(state, '\d\d:\d\d:\d\d', 'TIME'), '\d+s', 'Ns') AS state
	FROM balancer_now;

-- Before anything is done, and with an empty pool.
TABLE balancer_now;
BEGIN;
INSERT INTO balancer_servers (name) VALUES ('gxy1');
DELETE FROM balancer_servers;
TABLE balancer_now;
ROLLBACK;

-- Twelve servers.
BEGIN;
INSERT INTO balancer_servers (name, capacity) SELECT 'gxy' || i, 1000 FROM generate_series(1, 12) i;
INSERT INTO balancer_servers (name, pool) VALUES ('spare1', 'standby'), ('event1', 'reserved');
SELECT attach_sessions('app_live');
CALL pg_temp.fill(12, 50, 11);
INSERT INTO app_sessions VALUES ('r12', 1, 'gxy1'), ('r12', 2, 'gxy2'), ('r24', 3, 'gxy5'), ('r36', 4, 'gxy1');
TABLE balancer_now;
-- The numbers are those of the other views.
SELECT count(*) FROM balancer_now n JOIN balancer_load l USING (server)
	WHERE ltrim(n.load) = l.load || '/' || l.capacity AND n.rooms = l.rooms AND n.bar = l.bar
		AND n.free IS NOT DISTINCT FROM CASE l.pool WHEN 'primary' THEN l.capacity - l.load END;
SELECT count(*) AS split FROM balancer_rooms WHERE users_elsewhere > 0;

-- One of each. A full server, and one outside of the pool, with a long name.
SELECT server_heartbeat('gxy1', true, 0.9), server_heartbeat('gxy3', false), set_server_state('gxy4', 'draining'),
	set_server_state('gxy5', 'offline'), server_heartbeat('gxy6', false);
SELECT server_heartbeat('gxy6');
UPDATE balancer_servers SET capacity = 500 WHERE name = 'gxy8';
INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('x', 'a-long-name.example.org');
TABLE pg_temp.now;
UPDATE balancer_health SET recovered_at = recovered_at - interval '61 min';
UPDATE balancer_health SET healthy = false, since = last_heartbeat + interval '1 minute' WHERE server = 'gxy7' OR NOT healthy;
UPDATE balancer_failovers SET due_at = clock_timestamp() - interval '1 s', declared_at = declared_at - interval '2 h';
DELETE FROM room_server_assignments WHERE room_id = 'x';
SELECT * FROM pg_temp.now WHERE server IN ('gxy3', 'gxy5', 'gxy6', 'spare1', 'total');

-- Its widest line, with names and numbers that are wide.
INSERT INTO balancer_servers (name, capacity) VALUES ('another-long-name', 1000000000);
SELECT get_or_assign_server('wide' || i, NULL, 1000000) FROM generate_series(1, 3) i \g /dev/null
TABLE balancer_now \g | LC_ALL=C awk '{ if (length > width) width = length } END { print width }'

-- Long names of a series can be told apart: also that of the standby to which rooms go.
SAVEPOINT long;
DELETE FROM room_server_assignments;
DELETE FROM balancer_servers;
INSERT INTO balancer_servers (name, pool) VALUES ('media-eu-west-01', 'primary'), ('media-eu-west-02', 'primary'),
	('janus01.example.org', 'primary'), ('janus02.example.org', 'primary'), ('192.168.100.1', 'primary'), ('192.168.100.2', 'primary'),
	('janus03.eu.example.org', 'primary'), ('janus03.us.example.org', 'primary'), ('standby-eu-west-01', 'standby');
INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('a', 'media-eu-west-02');
SELECT server_heartbeat('media-eu-west-02', false);
SELECT server, state FROM pg_temp.now;
ROLLBACK TO long;

-- Sessions that cannot be read.
CREATE OR REPLACE VIEW app_live AS SELECT * FROM app_sessions WHERE 1 / (user_id - 1) >= 0;
SELECT * FROM balancer_now WHERE server IN ('gxy1', 'spare1', 'total');
ROLLBACK;
DROP VIEW app_live;
DROP TABLE app_sessions;
