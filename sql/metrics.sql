/*
 * metrics: balancer_metrics and balancer_server_metrics have a number for everything, whatever is
 * broken.
 *
 * In transactions that are rolled back, so that the worker does not see the rooms.
 */
\getenv abs_srcdir PG_ABS_SRCDIR
\set helpers :abs_srcdir '/sql/include/helpers.sql'
\set ECHO none
\i :helpers
SET client_min_messages = warning;
SET gxy_balancer.load_max_age = '1s';
SET gxy_balancer.strategy = least_loaded;
SET gxy_balancer.load_metric = users;
SET gxy_balancer.join_window = '1h';
SET gxy_balancer.assignment_grace = '1h';
SET gxy_balancer.failover_delay = '1h';
SET gxy_balancer.recovery_delay = 0;
SET gxy_balancer.heartbeat_timeout = 0;
CREATE TABLE app_sessions (room_id text, user_id int, gateway_name text);
CREATE VIEW app_live AS SELECT * FROM app_sessions;
SELECT failovers_total AS before FROM balancer_metrics \gset
CREATE VIEW pg_temp.pool AS
	SELECT servers, servers_online, rooms, split_rooms, users, load, capacity, load_ratio, imbalance, failovers_active,
		standbys_free, failovers_total - :before AS failovers_total, sessions_readable, rooms_readable, load_cache_in_use
	FROM balancer_metrics;
CREATE VIEW pg_temp.servers AS
	SELECT server, state, pool, rooms, users, connected, load, load_ratio AS ratio, round(measured_ratio::numeric, 2) AS measured,
		split_rooms AS split, online AS up, wanted_online AS wanted, healthy, heartbeat_age_seconds < 600 AS beats,
		failover_active AS fails, stands_in AS stands
	FROM balancer_server_metrics;
\x on

-- An idle pool.
BEGIN;
INSERT INTO balancer_servers (name, pool, capacity) VALUES ('gxy1', 'primary', 100), ('gxy2', 'primary', 300);
SELECT * FROM pg_temp.pool;
-- An empty one.
DELETE FROM balancer_servers;
SELECT * FROM pg_temp.pool;
ROLLBACK;

-- A pool with everything: two servers of unequal load, a split room, a failed server and its standby, and one that is not in the pool.
BEGIN;
INSERT INTO balancer_servers (name, pool, capacity, state) VALUES ('gxy1', 'primary', 100, 'online'), ('gxy2', 'primary', 300, 'online'),
	('gxy3', 'primary', 100, 'online'), ('spare1', 'standby', 100, 'online'), ('spare2', 'standby', 100, 'draining'),
	('spare3', 'standby', 100, 'online');
INSERT INTO room_server_assignments (room_id, gateway_name, expected_users) VALUES ('r1', 'gxy1', 30), ('r2', 'gxy2', 10), ('r3', 'gxy3', 1),
	('r4', 'gone', 2);
INSERT INTO app_sessions SELECT 'r1', i, CASE WHEN i < 3 THEN 'gxy1' ELSE 'gxy2' END FROM generate_series(1, 4) i;
SELECT attach_sessions('app_live');
SELECT server_heartbeat('gxy1', true, 0.42), server_heartbeat('gxy3', false);
SELECT * FROM pg_temp.pool;
\x off
SELECT * FROM pg_temp.servers;
-- The counters are those of balancer_stats.
SELECT string_agg(s.key, ' ') AS differ
FROM (SELECT key, value::float8 FROM balancer_stats b, json_each_text(row_to_json(b)) WHERE key ~ '^(assigned|sticky|renewed|refused|placed|failovers)') s
	JOIN balancer_metrics m ON true
WHERE s.value IS DISTINCT FROM (row_to_json(m) ->> (s.key || '_total'))::float8;
SELECT count(*) FROM balancer_metrics m, json_each_text(row_to_json(m)) WHERE key LIKE '%\_total' AND value = 'NaN';

-- The standbys that are taken are looked up in a hash table, not once for each standby.
DO $$
DECLARE
	line text;
BEGIN
	FOR line IN EXPLAIN (VERBOSE) SELECT * FROM balancer_metrics LOOP
		IF line ~ 'hashed SubPlan' THEN
			RAISE INFO 'hashed';
			EXIT;
		END IF;
	END LOOP;
END
$$;

-- Sessions and rooms that cannot be read: what is not known is NaN, and a flag says so.
CREATE VIEW app_rooms AS SELECT room_id FROM app_sessions;
SELECT attach_rooms('app_rooms');
DROP VIEW app_live, app_rooms;
\x on
SELECT * FROM pg_temp.pool;
\x off
SELECT * FROM pg_temp.servers;
SELECT count(*) FROM balancer_server_metrics s, json_each(row_to_json(s)) WHERE value::text = 'null';
SELECT count(*) FROM balancer_metrics s, json_each(row_to_json(s)) WHERE value::text = 'null';

-- Counters do not go down when the history is deleted.
DELETE FROM balancer_failovers;
SELECT failovers_total FROM pg_temp.pool;
ROLLBACK;

-- The load cache is switched off.
SET gxy_balancer.load_max_age = 0;
SELECT load_cache_in_use FROM balancer_metrics;

DROP VIEW app_live;
DROP TABLE app_sessions;
