/*
 * rebalance: rebalance() lists, or does, the moves that take load off the fullest servers, and
 * what_if_added() shows what a new server would change.
 */
\getenv abs_srcdir PG_ABS_SRCDIR
\set helpers :abs_srcdir '/sql/include/helpers.sql'
\set ECHO none
\i :helpers

SET gxy_balancer.strategy = least_loaded;
SET gxy_balancer.default_servers = 'gxy1,gxy2,gxy3';
SET gxy_balancer.default_capacity = 400;
SET gxy_balancer.load_metric = users;
SET gxy_balancer.avg_room_occupancy = 10;
SET gxy_balancer.join_window = '10min';
SET gxy_balancer.assignment_grace = '1d';
SET gxy_balancer.dead_session_timeout = '1d';
SET gxy_balancer.failover_delay = '5s';
SET gxy_balancer.assign_timeout = '5s';
SET client_min_messages = warning;

CALL pg_temp.refused($$SELECT * FROM rebalance(-1, NULL)$$);
CALL pg_temp.refused($$SELECT * FROM rebalance(NULL, -1)$$);
CALL pg_temp.refused($$SELECT * FROM rebalance(NULL, NULL, NULL)$$);
CALL pg_temp.refused($$SELECT * FROM what_if_added(NULL, 1)$$);
CALL pg_temp.refused($$SELECT * FROM what_if_added('', 1)$$);
CALL pg_temp.refused($$SELECT * FROM what_if_added('gxy9', 0)$$);
CALL pg_temp.refused($$SELECT * FROM what_if_added('gxy1', 100)$$);
-- A pool that is not written yet, where nothing can be written.
BEGIN READ ONLY;
SELECT * FROM rebalance(NULL, NULL);
SELECT * FROM what_if_added('gxy4', NULL);
CALL pg_temp.refused($$SELECT * FROM rebalance(NULL, NULL, false)$$);
COMMIT;

BEGIN;
CREATE TABLE live (room_id text, user_id int);
SELECT attach_sessions('live');
INSERT INTO balancer_servers (name, capacity, pool, state, regions) VALUES
	('gxy1', 100, 'primary', 'online', NULL), ('gxy2', 100, 'primary', 'online', NULL), ('gxy3', 100, 'primary', 'draining', NULL),
	('spare', 100, 'standby', 'online', NULL), ('event', 100, 'reserved', 'online', NULL), ('il', 100, 'primary', 'online', '{IL}');
-- On gxy1: a room that no user has joined yet, one that is pinned there, others with users.
INSERT INTO room_server_assignments (room_id, gateway_name, expected_users, assigned_at) VALUES
	('empty', 'gxy1', 8, now()), ('pinned', 'gxy1', NULL, now() - interval '1 h'), ('large', 'gxy1', NULL, now() - interval '1 h'),
	('middle', 'gxy1', NULL, now() - interval '1 h'), ('small', 'gxy1', NULL, now() - interval '1 h');
SELECT pin_room('pinned', 'gxy1');
INSERT INTO live SELECT 'pinned', i FROM generate_series(1, 40) i;
INSERT INTO live SELECT 'large', i FROM generate_series(101, 130) i;
INSERT INTO live SELECT 'middle', i FROM generate_series(201, 215) i;
INSERT INTO live SELECT 'small', i FROM generate_series(301, 303) i;
SELECT server, rooms, users, load, percent FROM balancer_load;
-- 8 + 40 + 30 + 15 + 3 = 96 on gxy1, nothing on gxy2: 48 are to be taken off. Afterwards nothing is left to do.
SELECT * FROM rebalance(NULL, NULL);
SELECT * FROM rebalance(NULL, 0);
SELECT * FROM rebalance(2, NULL);
SELECT * FROM rebalance(NULL, 17);
SELECT count(*) FROM room_server_assignments WHERE gateway_name <> 'gxy1';
SELECT * FROM rebalance(NULL, NULL, false);
SELECT * FROM rebalance(NULL, NULL, false);
SELECT room_id, gateway_name, reason FROM room_server_assignments ORDER BY 1;
SELECT server, rooms, users, load, percent FROM balancer_load;
-- A server more: what would be even.
SELECT * FROM what_if_added('gxy4', 200);
INSERT INTO balancer_servers (name, capacity) VALUES ('gxy4', 200);
SELECT count(*) FROM rebalance(NULL, NULL, false);
SELECT server, state, rooms, users, load, percent FROM balancer_load;
ROLLBACK;

-- Rooms of a region stay with the servers that may take it; lower priority only gets what is over capacity.
BEGIN;
INSERT INTO balancer_servers (name, capacity, regions, priority) VALUES
	('il1', 100, '{IL}', 0), ('il2', 100, '{IL}', 0), ('de', 100, '{DE}', 0), ('general', 100, NULL, 0), ('last', 100, NULL, -1);
INSERT INTO room_server_assignments (room_id, gateway_name, region, expected_users)
	SELECT 'il' || i, 'il1', 'IL', 10 FROM generate_series(1, 9) i;
INSERT INTO room_server_assignments (room_id, gateway_name, region, expected_users)
	SELECT 'g' || i, 'general', NULL, 10 FROM generate_series(1, 10) i;
SELECT to_server, count(*) FROM rebalance(NULL, NULL) GROUP BY 1 ORDER BY 1;
INSERT INTO room_server_assignments (room_id, gateway_name, region, expected_users)
	SELECT 'm' || i, 'general', NULL, 10 FROM generate_series(1, 2) i;
SELECT * FROM rebalance(NULL, NULL);
-- Servers that are filled in order are meant to be unequal.
DELETE FROM room_server_assignments WHERE room_id LIKE 'm%';
SET LOCAL gxy_balancer.strategy = sequential;
SELECT count(*) FROM rebalance(NULL, NULL);
ROLLBACK;

-- The limit is that of all batches.
BEGIN;
INSERT INTO balancer_servers (name) VALUES ('from'), ('to');
INSERT INTO room_server_assignments (room_id, gateway_name, expected_users) SELECT i, 'from', 10 FROM generate_series(1, 1400) i;
SELECT count(*) FROM rebalance(600, NULL);
ROLLBACK;
