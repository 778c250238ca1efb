/*
 * odd_times: extreme times that only the application or a DBA can write, '-infinity' and 'infinity'
 * among them. Calculations with them do not overflow: '-infinity' is long ago, and 'infinity' is in
 * the future.
 */
\getenv abs_srcdir PG_ABS_SRCDIR
\set helpers :abs_srcdir '/sql/include/helpers.sql'
\set ECHO none
\i :helpers

INSERT INTO balancer_servers (name) VALUES ('a'), ('b');
CREATE VIEW rooms AS
	SELECT room_id, gateway_name, isfinite(assigned_at) AS assigned, isfinite(last_used_at) AS used
	FROM room_server_assignments ORDER BY room_id COLLATE "C";
INSERT INTO room_server_assignments (room_id, gateway_name, assigned_at, last_used_at) VALUES
	('called', 'a', '-infinity', '-infinity'), ('touched', 'a', '-infinity', '-infinity'),
	('left', 'a', '-infinity', '-infinity'), ('kept', 'a', 'infinity', 'infinity');

-- Every lease except the last has expired: a call and a touch renew it, a cleanup frees the room.
SELECT get_or_assign_server('called'), touch_room('touched'), get_or_assign_server('kept'), touch_room('kept');
SELECT * FROM rooms;
SELECT clean_inactive_assignments();
SELECT * FROM rooms;
SELECT clean_inactive_assignments('0');
SELECT * FROM rooms;
-- A cleanup renews the leases of rooms in use.
CREATE TABLE app_sessions (room_id text, user_id text);
SELECT attach_sessions('app_sessions');
INSERT INTO app_sessions VALUES ('called', 'u'), ('kept', 'u');
INSERT INTO room_server_assignments (room_id, gateway_name, assigned_at, last_used_at)
	VALUES ('called', 'a', '-infinity', '-infinity');
SELECT clean_inactive_assignments();
SELECT * FROM rooms;
-- The expected users of a room stop counting when its join window has passed.
SELECT room_id, users, expected_users FROM balancer_rooms ORDER BY room_id;
SELECT server, rooms, load FROM balancer_load ORDER BY server;
SELECT attach_sessions(NULL);

-- Such a room has no join window in which it must not be moved.
UPDATE room_server_assignments SET assigned_at = '-infinity', last_used_at = 'infinity' WHERE room_id = 'called';
INSERT INTO room_server_assignments (room_id, gateway_name, assigned_at, last_used_at) VALUES
	('old', 'gone', '-infinity', '-infinity'), ('new', 'gone', 'infinity', 'infinity');
SELECT get_or_assign_server('old') IN ('a', 'b') AS moved, get_or_assign_server('new') IN ('a', 'b') AS moved;
SELECT * FROM rooms;

-- The times of failovers.
SELECT set_server_state('a', 'offline') IS NOT NULL AS set;
UPDATE balancer_failovers SET due_at = '-infinity';
SELECT get_or_assign_server('kept');
UPDATE balancer_failovers SET due_at = 'infinity';
SELECT get_or_assign_server('called');
SELECT server, state FROM balancer_load ORDER BY server;
SELECT set_server_state('a', 'online') IS NOT NULL AS set;

-- Heartbeats, as exporters read them.
SELECT server_heartbeat('a'), server_heartbeat('b');
UPDATE balancer_health SET last_heartbeat = CASE server WHEN 'a' THEN '-infinity' ELSE 'infinity' END::timestamptz;
SELECT server, heartbeat_age_seconds FROM balancer_server_metrics WHERE server IN ('a', 'b') ORDER BY server;
SELECT count(*) > 0 AS read FROM balancer_now, balancer_alerts, balancer_metrics;
DELETE FROM balancer_health;

-- Learned room sizes.
INSERT INTO balancer_room_sizes (room_id, size, occasions, peak, assigned_at, opened_at, updated_at) VALUES
	('old', 5, 3, 7, '-infinity', '-infinity', '-infinity'), ('new', 5, 3, 7, 'infinity', 'infinity', 'infinity');
UPDATE room_server_assignments SET reported_users = 9;
SELECT clean_inactive_assignments();
SELECT room_id, occasions, peak FROM balancer_room_sizes WHERE room_id IN ('old', 'new') ORDER BY room_id;
TRUNCATE room_server_assignments;
DROP VIEW rooms;
DROP TABLE app_sessions;
