/*
 * kept_locks: no function keeps a room lock or the placement lock until the end of its transaction, where it
 * would hold up calls for other rooms.
 */
\getenv abs_srcdir PG_ABS_SRCDIR
\set helpers :abs_srcdir '/sql/include/helpers.sql'
\set ECHO none
\i :helpers
-- The object locks of the assignments: 1 is the placement lock, 2 a room lock, which names the room's hash.
CREATE VIEW kept AS
	SELECT objsubid, mode FROM pg_locks
	WHERE locktype = 'object' AND pid = pg_backend_pid() AND 'room_server_assignments'::regclass IN (classid, objid);
SET gxy_balancer.failover_delay = 0;
SET gxy_balancer.recovery_delay = 0;
INSERT INTO balancer_servers (name, pool) VALUES ('gxy1', 'primary'), ('gxy2', 'primary'), ('gxy3', 'primary'),
	('spare', 'standby');

-- New rooms, by a count and by the load cache.
BEGIN;
SET LOCAL gxy_balancer.load_max_age = 0;
SELECT get_or_assign_server('counted');
SET LOCAL gxy_balancer.load_max_age = '1h';
SELECT get_or_assign_server('cached');
SELECT * FROM kept;
COMMIT;

-- A room that goes where its sessions are: the first choice is given up, and they are read.
BEGIN;
SET LOCAL gxy_balancer.load_max_age = '1h';
CREATE TABLE app_sessions AS SELECT 'orphan' AS room_id, 'user' AS user_id, 'gxy2' AS gateway_name;
SET LOCAL client_min_messages = warning;
SELECT attach_sessions('app_sessions');
RESET client_min_messages;
SELECT get_or_assign_server('first') IS NOT NULL AS counted, get_or_assign_server('orphan');
SELECT * FROM kept;
ROLLBACK;

-- A move, and evacuations to a server and by the policy.
BEGIN;
SELECT move_room('counted', 'gxy3');
SELECT * FROM kept;
SELECT evacuate_server('gxy3', 'gxy2');
SELECT * FROM kept;
SELECT evacuate_server('gxy2');
SELECT * FROM kept;
ROLLBACK;

-- Moves between servers that are unequally full.
BEGIN;
INSERT INTO room_server_assignments (room_id, gateway_name) SELECT 'r' || i, 'gxy1' FROM generate_series(1, 6) i;
SELECT count(*) > 0 AS moved FROM rebalance(NULL, NULL);
SELECT * FROM kept;
ROLLBACK;

-- Calls for rooms of failed servers: one that a standby has claimed, and one that the policy moves.
SELECT gateway_name, room_id FROM room_server_assignments ORDER BY 1;
SELECT set_server_state('gxy1', 'offline');
SELECT set_server_state('gxy2', 'offline');
BEGIN;
SELECT get_or_assign_server('counted');
SELECT * FROM kept;
SELECT get_or_assign_server('cached');
SELECT * FROM kept;
COMMIT;

DROP VIEW kept;
DROP EXTENSION gxy_balancer;
