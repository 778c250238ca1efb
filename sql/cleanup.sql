/*
 * cleanup: which rooms clean_inactive_assignments() frees and which it never does. It frees a room
 * that has no users and whose last assignment, use, touch or sample with users is longer ago than
 * the grace period.
 */
\getenv abs_srcdir PG_ABS_SRCDIR
\set helpers :abs_srcdir '/sql/include/helpers.sql'
\set ECHO none
\i :helpers

CREATE TABLE app_sessions (room_id text, user_id text, gateway_name text, last_seen_at timestamptz);
CREATE VIEW rooms AS SELECT string_agg(room_id, ' ' ORDER BY room_id COLLATE "C") FROM room_server_assignments;

-- Without attached sessions only the lease decides. A lease younger than the grace period is kept;
-- '0' frees all.
SELECT clean_inactive_assignments();
SELECT get_or_assign_server('a'), get_or_assign_server('b'), get_or_assign_server('c');
SELECT clean_inactive_assignments(), clean_inactive_assignments(NULL), clean_inactive_assignments('1 minute');
SELECT * FROM rooms;
BEGIN;
SELECT clean_inactive_assignments('0');
SELECT * FROM rooms;
ROLLBACK;
SELECT * FROM rooms;
-- A caller whose room was just freed gets a server like a caller of a new room.
BEGIN;
SELECT clean_inactive_assignments('0'), get_or_assign_server('a') IS NOT NULL AS assigned;
SELECT * FROM rooms;
ROLLBACK;
-- The grace period is 90 seconds, from the later of the two times: the application may set either.
CALL pg_temp.age('80 seconds');
SELECT clean_inactive_assignments();
CALL pg_temp.age('20 seconds');
UPDATE room_server_assignments SET last_used_at = now() WHERE room_id = 'a';
UPDATE room_server_assignments SET assigned_at = now() WHERE room_id = 'b';
SELECT clean_inactive_assignments();
SELECT * FROM rooms;
-- A lease that is used or touched starts anew.
CALL pg_temp.age('100 seconds');
SELECT get_or_assign_server('a') IS NOT NULL AS used, room_server('b') IS NOT NULL AS looked_at;
SELECT clean_inactive_assignments();
SELECT * FROM rooms;
CALL pg_temp.age('100 seconds');
SELECT touch_room('a');
SELECT clean_inactive_assignments();
SELECT * FROM rooms;
-- The setting, and an argument that overrides it with a smaller or larger value.
SET gxy_balancer.assignment_grace = '10min';
CALL pg_temp.age('5 minutes');
SELECT clean_inactive_assignments();
SELECT clean_inactive_assignments('6 minutes'), clean_inactive_assignments('1 month'),
	clean_inactive_assignments('100000 years'), clean_inactive_assignments('500000 years');
SELECT clean_inactive_assignments('4 minutes');
SELECT * FROM rooms;
SET gxy_balancer.assignment_grace = 0;
SELECT get_or_assign_server('a') IS NOT NULL AS assigned;
SELECT clean_inactive_assignments();
RESET gxy_balancer.assignment_grace;
SELECT get_or_assign_server('a') IS NOT NULL AS assigned;
CALL pg_temp.refused($$SELECT clean_inactive_assignments('-1 second')$$);
CALL pg_temp.refused($$SELECT clean_inactive_assignments('1 day -1 month')$$);
SELECT clean_inactive_assignments('-1 day 25 hours');
SELECT * FROM rooms;
-- Users reported by touch_room() expire with their lease: no other event would remove them.
SELECT touch_room('a', 30);
CALL pg_temp.age('100 seconds');
SELECT clean_inactive_assignments();
SELECT * FROM rooms;

-- With sessions, rooms with users stay, however old; ended and dead sessions do not keep a room.
SET client_min_messages = warning;
SELECT attach_sessions('app_sessions');
RESET client_min_messages;
SELECT get_or_assign_server(room) IS NOT NULL AS assigned
FROM unnest('{live,silent,nameless,elsewhere,dead,empty,fresh}'::text[]) room;
INSERT INTO app_sessions VALUES ('live', 'u1', NULL, now()), ('silent', 'u2', NULL, NULL),
	('nameless', NULL, NULL, now()), ('elsewhere', 'u3', 'another', now()),
	('dead', 'u4', NULL, now() - interval '2 minutes'), (NULL, 'u5', NULL, now());
CALL pg_temp.age('1 day');
UPDATE room_server_assignments SET assigned_at = now() WHERE room_id = 'fresh';
BEGIN;
SELECT clean_inactive_assignments();
SELECT * FROM rooms;
ROLLBACK;
SELECT * FROM rooms;
BEGIN;
SELECT clean_inactive_assignments('0');
SELECT * FROM rooms;
ROLLBACK;
-- The caller's own uncommitted changes count.
BEGIN;
DELETE FROM app_sessions WHERE room_id = 'live';
INSERT INTO app_sessions VALUES ('empty', 'u6', NULL, now());
SELECT clean_inactive_assignments('0');
SELECT * FROM rooms;
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM app_sessions;
INSERT INTO app_sessions VALUES ('dead', 'u7', NULL, now());
SELECT clean_inactive_assignments();
SELECT * FROM rooms;
ROLLBACK;
-- A pin or a size does not keep a room.
BEGIN;
SELECT init_servers();
INSERT INTO balancer_pins VALUES ('empty', 'gxy1', 50);
SELECT clean_inactive_assignments();
SELECT * FROM rooms;
ROLLBACK;

-- The cleanup renews the lease of a room that it sees with users, so that the room stays when its
-- sessions disappear. Not in a transaction block, where the renewed rows would stay locked until
-- its end.
CREATE TEMPORARY TABLE kept_assignments AS TABLE room_server_assignments;
CREATE TEMPORARY TABLE kept_sessions AS TABLE app_sessions;
CREATE PROCEDURE pg_temp.start_over() LANGUAGE sql AS $$
	DELETE FROM room_server_assignments;
	INSERT INTO room_server_assignments TABLE kept_assignments;
	DELETE FROM app_sessions;
	INSERT INTO app_sessions TABLE kept_sessions;
$$;
SELECT clean_inactive_assignments();
SELECT room_id, now() - last_used_at < interval '1 minute' AS renewed, now() - assigned_at > interval '1 day' AS old
FROM room_server_assignments ORDER BY room_id COLLATE "C";
TRUNCATE app_sessions;
SELECT clean_inactive_assignments();
SELECT * FROM rooms;
-- A room without users for longer than the grace period is freed.
CALL pg_temp.age('100 seconds');
SELECT clean_inactive_assignments();
SELECT * FROM rooms;
CALL pg_temp.start_over();
-- A cleanup that frees nothing renews leases too, and so does one with a grace period as its
-- argument.
DELETE FROM room_server_assignments WHERE room_id <> 'live';
SELECT clean_inactive_assignments('1 year');
TRUNCATE app_sessions;
SELECT clean_inactive_assignments();
SELECT * FROM rooms;
CALL pg_temp.start_over();
BEGIN;
SELECT clean_inactive_assignments();
SELECT room_id FROM room_server_assignments WHERE now() - last_used_at < interval '1 minute';
COMMIT;
CALL pg_temp.start_over();

-- balancer_rooms shows the row's times.
SELECT count(*), bool_and(r.assigned_at = a.assigned_at AND r.last_used_at = a.last_used_at) AS same,
	bool_or(r.assigned_at <> r.last_used_at) AS different
FROM balancer_rooms r JOIN room_server_assignments a USING (room_id);

-- A room that the application has removed keeps its server for as long as it has users, and gets
-- none afterwards.
BEGIN;
CREATE TABLE app_rooms AS SELECT 'live' AS room_id;
SET LOCAL client_min_messages = warning;
SELECT attach_rooms('app_rooms');
DELETE FROM app_rooms;
SELECT clean_inactive_assignments('0');
SELECT get_or_assign_server('live') = gateway_name AS kept FROM room_server_assignments WHERE room_id = 'live';
DELETE FROM app_sessions WHERE room_id = 'live';
SELECT clean_inactive_assignments('0');
SELECT count(*) FROM room_server_assignments WHERE room_id = 'live';
CALL pg_temp.refused($$SELECT get_or_assign_server('live')$$);
ROLLBACK;

-- No limit: more rooms than a batch holds.
BEGIN;
TRUNCATE room_server_assignments, app_sessions;
INSERT INTO room_server_assignments (room_id, gateway_name, assigned_at, last_used_at)
SELECT i, 'gxy1', now() - interval '1 hour', now() - interval '1 hour' FROM generate_series(1, 25000) i;
INSERT INTO app_sessions SELECT i * 1000, i::text, NULL, now() FROM generate_series(1, 25) i;
SELECT clean_inactive_assignments();
SELECT count(*), min(room_id::int), max(room_id::int), bool_and(room_id::int % 1000 = 0) FROM room_server_assignments;
SELECT clean_inactive_assignments('0');
ROLLBACK;

-- Detached again: only leases count.
SELECT attach_sessions(NULL);
SELECT clean_inactive_assignments();
SELECT * FROM rooms;
TRUNCATE room_server_assignments;
DROP VIEW rooms;
DROP TABLE app_sessions;
