/*
 * sessions: how the application's live sessions affect load and placement. Which server a session
 * counts for, when it is dead, which users count once, and where a room goes that has sessions
 * before it is assigned.
 */
\getenv abs_srcdir PG_ABS_SRCDIR
\set helpers :abs_srcdir '/sql/include/helpers.sql'
\set ECHO none
\i :helpers

-- An application as the manual describes it: sessions that have ended stay in the table.
CREATE TABLE app_sessions (id serial, room_id varchar(40), user_id bigint, gateway_name text,
	last_seen_at timestamptz DEFAULT now(), ended boolean NOT NULL DEFAULT false);
CREATE VIEW app_live AS
	SELECT s.room_id, s.user_id, s.gateway_name, s.last_seen_at FROM app_sessions s WHERE NOT s.ended;
SELECT init_servers('gxy1,gxy2,gxy3');
SET client_min_messages = warning;
SELECT attach_sessions('app_live');
RESET client_min_messages;
-- Removes the default expectation, so that only users with sessions count.
SET gxy_balancer.join_window = 0;
CREATE VIEW loads AS
	SELECT string_agg(format('%s: %s rooms, %s users', server, rooms, load), '; ') FROM balancer_load;

-- Distinct users of live sessions, on the server their room is assigned to, whatever server their
-- session names.
BEGIN;
SELECT get_or_assign_server(1), get_or_assign_server(2), get_or_assign_server(3);
INSERT INTO app_sessions (room_id, user_id, gateway_name) VALUES
	('1', 10, 'gxy1'), ('1', 11, 'gxy1'), ('1', 12, 'gxy2'), ('2', 20, NULL), ('2', 21, 'elsewhere');
SELECT server, rooms, users, connected, expected, load FROM balancer_load;
SELECT room_id, server, users, users_elsewhere FROM balancer_rooms ORDER BY room_id;
-- A second session of a user counts no second user, in the same room or in another room of the same
-- server.
INSERT INTO app_sessions (room_id, user_id, gateway_name) VALUES ('1', 10, 'gxy1'), ('1', 10, 'gxy2');
SELECT * FROM loads;
-- A user with sessions on two other servers is one user elsewhere.
INSERT INTO app_sessions (room_id, user_id, gateway_name) VALUES ('1', 12, 'gxy3');
SELECT room_id, users, users_elsewhere FROM balancer_rooms WHERE room_id = '1';
SELECT get_or_assign_server(4);
UPDATE room_server_assignments SET gateway_name = 'gxy1' WHERE room_id = '4';
INSERT INTO app_sessions (room_id, user_id) VALUES ('4', 10), ('4', 11), ('4', 40);
SELECT server, rooms, users, load FROM balancer_load;
SELECT room_id, server, users FROM balancer_rooms ORDER BY room_id;
-- A user in rooms of two servers counts on both.
INSERT INTO app_sessions (room_id, user_id) VALUES ('3', 10);
SELECT * FROM loads;
-- Each session without a user id counts as one user.
INSERT INTO app_sessions (room_id, user_id) VALUES ('3', NULL), ('3', NULL), ('3', NULL);
SELECT * FROM loads;
SELECT users FROM balancer_rooms WHERE room_id = '3';
-- Sessions in no room are on the server they name.
INSERT INTO app_sessions (room_id, user_id, gateway_name) VALUES (NULL, 90, 'gxy2'), (NULL, 91, 'gxy2'), (NULL, 92, NULL);
SELECT server, users, connected, load FROM balancer_load;
ROLLBACK;

-- Ended and dead sessions do not count. A session without a heartbeat is alive, and so are all if
-- dead_session_timeout = 0.
BEGIN;
SELECT get_or_assign_server(1);
INSERT INTO app_sessions (room_id, user_id, last_seen_at, ended) VALUES
	('1', 1, now(), false), ('1', 2, now(), true), ('1', 3, now() - interval '80 seconds', false),
	('1', 4, now() - interval '100 seconds', false), ('1', 5, NULL, false), ('1', 6, NULL, true),
	('1', 7, 'infinity', false), ('1', 8, '-infinity', false), ('1', 9, now() + interval '1 day', false);
SELECT users FROM balancer_rooms;
SET LOCAL gxy_balancer.dead_session_timeout = '40s';
SELECT users FROM balancer_rooms;
SET LOCAL gxy_balancer.dead_session_timeout = 0;
SELECT users FROM balancer_rooms;
ROLLBACK;

-- The next room goes to the only server without sessions, with or without assigned rooms.
BEGIN;
INSERT INTO app_sessions (room_id, user_id, gateway_name)
SELECT 'r' || i, i, CASE WHEN i % 2 = 0 THEN 'gxy1' ELSE 'gxy3' END FROM generate_series(1, 20) i;
SELECT * FROM loads;
SELECT get_or_assign_server('new');
SELECT reason FROM room_server_assignments;
ROLLBACK;
-- The number of users decides, not that of rooms.
BEGIN;
SELECT get_or_assign_server(1), get_or_assign_server(2), get_or_assign_server(3), get_or_assign_server(4),
	get_or_assign_server(5);
INSERT INTO app_sessions (room_id, user_id) SELECT '3', i FROM generate_series(1, 5) i;
INSERT INTO app_sessions (room_id, user_id) SELECT r::text, 100 + r FROM generate_series(1, 5) r;
SELECT * FROM loads;
SELECT get_or_assign_server(6);
SELECT * FROM loads;
ROLLBACK;
-- Users who leave stop counting at once.
BEGIN;
SELECT get_or_assign_server(1), get_or_assign_server(2), get_or_assign_server(3);
INSERT INTO app_sessions (room_id, user_id) SELECT r::text, u FROM generate_series(1, 3) r, generate_series(1, 10) u;
DELETE FROM app_sessions WHERE room_id = '2' AND user_id > 3;
SELECT * FROM loads;
SELECT get_or_assign_server(4);
UPDATE app_sessions SET ended = true WHERE room_id = '1';
SELECT get_or_assign_server(5);
TRUNCATE app_sessions;
SELECT * FROM loads;
ROLLBACK;

-- The caller's own uncommitted sessions count, at each call.
BEGIN;
INSERT INTO app_sessions (room_id, user_id, gateway_name) SELECT 'a', i, 'gxy1' FROM generate_series(1, 3) i;
SELECT get_or_assign_server('b');
SAVEPOINT s;
INSERT INTO app_sessions (room_id, user_id, gateway_name) SELECT 'b', i, NULL FROM generate_series(1, 5) i;
INSERT INTO app_sessions (room_id, user_id, gateway_name) SELECT 'c', i, 'gxy3' FROM generate_series(1, 2) i;
SELECT get_or_assign_server('d');
ROLLBACK TO s;
SELECT get_or_assign_server('d');
COMMIT;
SELECT * FROM loads;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM app_sessions;
INSERT INTO app_sessions (room_id, user_id, gateway_name) SELECT 'e', i, 'gxy3' FROM generate_series(1, 4) i;
SELECT get_or_assign_server('f');
SELECT * FROM loads;
ROLLBACK;
TRUNCATE app_sessions, room_server_assignments;

-- During the join window a room counts with the larger of its expected and its present users, not
-- the sum.
BEGIN;
SET LOCAL gxy_balancer.join_window = '1h';
SELECT get_or_assign_server(1, NULL, 10), get_or_assign_server(2, NULL, 10), get_or_assign_server(3, NULL, 10);
INSERT INTO app_sessions (room_id, user_id) SELECT '1', i FROM generate_series(1, 4) i;
INSERT INTO app_sessions (room_id, user_id) SELECT '2', i FROM generate_series(1, 14) i;
SELECT server, users, expected, load FROM balancer_load;
SELECT get_or_assign_server(4, NULL, 1);
CALL pg_temp.age('2 hours');
SELECT server, users, expected, load FROM balancer_load;
ROLLBACK;
-- With attached sessions, only they count; the numbers given to touch_room() do not.
BEGIN;
SELECT get_or_assign_server(1), touch_room(1, 500);
SELECT * FROM loads;
SELECT users FROM balancer_rooms;
ROLLBACK;
-- A pinned room counts with the pin's number though it has no users.
BEGIN;
INSERT INTO balancer_pins (room_id, server, expected_users) VALUES ('1', 'gxy1', 30);
SELECT get_or_assign_server(1);
INSERT INTO app_sessions (room_id, user_id) SELECT '1', i FROM generate_series(1, 4) i;
CALL pg_temp.age('1 day');
SELECT server, users, expected, load FROM balancer_load;
ROLLBACK;
-- load_metric = rooms ignores users.
BEGIN;
SET LOCAL gxy_balancer.load_metric = rooms;
SELECT get_or_assign_server(1);
INSERT INTO app_sessions (room_id, user_id, gateway_name) SELECT 'r', i, 'gxy2' FROM generate_series(1, 100) i;
SELECT * FROM loads;
SELECT get_or_assign_server(2);
ROLLBACK;

-- A room without an assignment goes where most of its sessions are, whatever load, pin, pool or
-- region say.
BEGIN;
INSERT INTO app_sessions (room_id, user_id, gateway_name) VALUES
	('r', 1, 'gxy1'), ('r', 2, 'gxy3'), ('r', 3, 'gxy3'), ('r', 4, NULL), ('r', 5, NULL), ('r', 6, NULL),
	('r', 7, 'unknown'), ('r', 8, 'unknown'), ('r', 9, 'unknown');
INSERT INTO app_sessions (room_id, user_id, gateway_name) SELECT 'big', 100 + i, 'gxy3' FROM generate_series(1, 450) i;
INSERT INTO balancer_pins (room_id, server) VALUES ('r', 'gxy2');
UPDATE balancer_servers SET pool = 'reserved', regions = '{XX}' WHERE name = 'gxy3';
UPDATE balancer_servers SET priority = 9 WHERE name = 'gxy2';
SET LOCAL gxy_balancer.overflow = error;
SELECT get_or_assign_server('r', 'IL'), get_or_assign_server('big');
SELECT room_id, gateway_name, reason FROM room_server_assignments ORDER BY room_id COLLATE "C";
SELECT room_id, server, users, users_elsewhere FROM balancer_rooms ORDER BY room_id COLLATE "C";
-- That applies on a draining server, but not on an offline one.
UPDATE balancer_servers SET state = 'draining' WHERE name = 'gxy3';
SELECT release_room('r'), get_or_assign_server('r');
UPDATE balancer_servers SET state = 'offline' WHERE name = 'gxy3';
SELECT release_room('r'), get_or_assign_server('r');
UPDATE balancer_servers SET state = 'offline' WHERE name = 'gxy1';
SELECT release_room('r'), get_or_assign_server('r');
SELECT reason FROM room_server_assignments WHERE room_id = 'r';
ROLLBACK;
-- Sessions are counted here, not users: each session would have to reconnect.
BEGIN;
INSERT INTO app_sessions (room_id, user_id, gateway_name) VALUES
	('r', 1, 'gxy3'), ('r', 1, 'gxy3'), ('r', 1, 'gxy3'), ('r', 2, 'gxy2'), ('r', 3, 'gxy2');
SELECT server, room_sessions, chosen FROM explain_assignment('r') ORDER BY server;
SELECT get_or_assign_server('r');
ROLLBACK;
-- Dead or ended sessions do not show where the room is.
BEGIN;
INSERT INTO app_sessions (room_id, user_id, gateway_name, last_seen_at, ended) VALUES
	('r', 1, 'gxy3', now() - interval '1 hour', false), ('r', 2, 'gxy3', now(), true), ('r', 3, 'gxy2', now(), false);
SELECT get_or_assign_server('r');
ROLLBACK;
-- While users join, a call asks for a room whose first sessions name no server yet.
BEGIN;
INSERT INTO app_sessions (room_id, user_id) VALUES ('r', 1), ('r', 2);
INSERT INTO app_sessions (room_id, user_id, gateway_name) VALUES ('s', 3, 'gxy1');
SELECT get_or_assign_server('r');
ROLLBACK;

-- The extension is switched on while the service runs: no room is split, and the load is the same
-- before and after.
BEGIN;
INSERT INTO app_sessions (room_id, user_id, gateway_name)
SELECT 'r' || i % 40, i, 'gxy' || 1 + i % 40 % 3 FROM generate_series(1, 400) i;
SELECT server, rooms, load FROM balancer_load;
SELECT count(*) FROM (SELECT get_or_assign_server(room_id) FROM (SELECT DISTINCT room_id FROM app_sessions) r) x;
SELECT count(*) AS split FROM app_sessions s JOIN room_server_assignments a USING (room_id)
WHERE s.gateway_name <> a.gateway_name;
SELECT sum(users), sum(users_elsewhere) FROM balancer_rooms;
SELECT server, rooms, load FROM balancer_load;
ROLLBACK;

-- Without the optional columns.
BEGIN;
CREATE TABLE bare (room_id int, user_id uuid);
INSERT INTO bare SELECT 1 + i % 2, md5(i::text)::uuid FROM generate_series(1, 10) i;
SET LOCAL client_min_messages = warning;
SELECT attach_sessions('bare');
SELECT get_or_assign_server(1), get_or_assign_server('2'), get_or_assign_server(3);
SELECT server, rooms, users, connected, load FROM balancer_load;
SELECT room_id, users, users_elsewhere FROM balancer_rooms ORDER BY room_id;
ROLLBACK;

-- For the tests that follow.
RESET gxy_balancer.join_window;
SELECT attach_sessions(NULL);
TRUNCATE balancer_servers, balancer_pins;
DROP VIEW loads, app_live;
DROP TABLE app_sessions;
SELECT count(*) FROM room_server_assignments;
