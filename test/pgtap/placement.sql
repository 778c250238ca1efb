/*
 * placement: the sample service of examples/gxydb with balancing switched on in the middle of its day. No room is
 * split, new rooms even the load out as an independent simulation says they must, empty rooms are freed and live ones
 * never, and the API's role needs nothing but what views.sql grants it.
 *
 *     createdb x && pg_prove -d x test/pgtap/placement.sql
 *
 * Loads the sample before the transaction of the tests, because views.sql builds an index beside the traffic. The roles
 * gxydb_owner and gxydb_api remain: another database may need them.
 */
CREATE EXTENSION pgtap;
\ir ../../examples/gxydb/schema.sql
\ir ../../examples/gxydb/sample.sql
CREATE EXTENSION gxy_balancer;
\ir ../../examples/gxydb/views.sql

BEGIN;
-- The sample's clients do not report again; those that disappeared did so more than 2 hours ago.
-- Capacity for 300 more rooms.
SET LOCAL gxy_balancer.dead_session_timeout = '2h';
SET LOCAL gxy_balancer.default_capacity = 1000;
SELECT plan(39);

-- Calls as the API's role.
CREATE FUNCTION ask(room text) RETURNS text LANGUAGE sql SECURITY DEFINER AS
	$$SELECT public.get_or_assign_server(room)$$;
ALTER FUNCTION ask(text) OWNER TO gxydb_api;
CREATE TEMPORARY VIEW live AS
	SELECT * FROM live_sessions WHERE last_seen_at > now() - interval '2 hours';
-- The test's own count of users by server, before any room is assigned.
CREATE TEMPORARY TABLE users_before AS
	SELECT g.name AS server, count(DISTINCT l.user_id) AS users
	FROM gateways g LEFT JOIN live l ON l.gateway_name = g.name GROUP BY g.name;

SELECT cmp_ok((SELECT count(DISTINCT room_id) FROM live), '>', 300::bigint, 'there are rooms in progress');
SELECT is((SELECT count(*) FROM room_server_assignments), 0::bigint, 'none of which is assigned');
SELECT set_eq('SELECT server FROM balancer_load', 'SELECT name::text FROM gateways', 'the servers are the pool');
SELECT set_eq('SELECT server, users, connected FROM balancer_load',
	'SELECT server::text, users, users AS connected FROM users_before', 'the load is that of the sessions, wherever they are');

-- Rooms with users stay where they are, in any order of calls.
CREATE TEMPORARY TABLE answers AS
	SELECT room_id, ask(room_id) AS server
	FROM (SELECT DISTINCT room_id FROM live ORDER BY room_id DESC OFFSET 0) rooms;
SELECT is((SELECT count(*) FROM live l JOIN answers a USING (room_id) WHERE a.server <> l.gateway_name), 0::bigint,
	'no live session is on another server than its room was given');
SELECT set_eq('SELECT room_id::text, server FROM answers', 'SELECT room_id, gateway_name FROM room_server_assignments',
	'callers were told what the table says');
SELECT is((SELECT array_agg(DISTINCT reason) FROM room_server_assignments), '{sessions in progress}', 'and why');
SELECT set_eq('SELECT server, users, connected FROM balancer_load',
	'SELECT server::text, users, users AS connected FROM users_before', 'the load is the same as before');
SELECT is((SELECT sum(users_elsewhere) FROM balancer_rooms), 0::numeric, 'balancer_rooms shows no split room');
SELECT set_eq('SELECT room_id, users FROM balancer_rooms',
	'SELECT room_id::text, count(DISTINCT user_id) FROM live GROUP BY room_id', 'balancer_rooms counts users, not devices');
SELECT is((SELECT count(*) FROM answers WHERE ask(room_id) = server), (SELECT count(*) FROM answers),
	'asked again, everyone is told the same');

-- 300 rooms without users, among them those with dead sessions only. The simulation sends each to
-- the server with the least load, then the fewest rooms, then the lowest position; each brings ten
-- users.
CREATE TEMPORARY TABLE new_rooms AS
	SELECT room_id, row_number() OVER (ORDER BY vanished DESC, room_id) AS number, vanished
	FROM (SELECT r.room_id, EXISTS (SELECT FROM live_sessions s WHERE s.room_id = r.room_id) AS vanished
		FROM assignable_rooms r
		WHERE r.room_id <> '2171' AND NOT EXISTS (SELECT FROM room_server_assignments a WHERE a.room_id = r.room_id)) r
	ORDER BY vanished DESC, room_id LIMIT 300;
CREATE TEMPORARY TABLE simulated (number bigint, server text);
DO $$
DECLARE
	choice text;
BEGIN
	CREATE TEMPORARY TABLE state AS
		SELECT l.server, l.load, l.rooms, row_number() OVER () AS position FROM balancer_load l;
	FOR number IN 1 .. 300 LOOP
		SELECT s.server INTO choice FROM state s ORDER BY s.load, s.rooms, s.position LIMIT 1;
		UPDATE state SET load = load + 10, rooms = rooms + 1 WHERE server = choice;
		INSERT INTO simulated VALUES (number, choice);
	END LOOP;
END
$$;
SELECT cmp_ok((SELECT count(*) FROM new_rooms WHERE vanished), '>=', 40::bigint, 'among the new rooms are deserted ones');
CREATE TEMPORARY TABLE new_answers AS
	SELECT number, ask(room_id) AS server FROM (SELECT * FROM new_rooms ORDER BY number OFFSET 0) r;
SELECT results_eq('SELECT server FROM new_answers ORDER BY number', 'SELECT server FROM simulated ORDER BY number',
	'300 new rooms go, one by one, where the simulation says');
SELECT set_eq('SELECT server, load, rooms FROM balancer_load', 'SELECT server, load, rooms FROM state',
	'and the load is what it says');
SELECT is((SELECT count(DISTINCT server) FROM new_answers), 12::bigint, 'every server has got some');
SELECT cmp_ok((SELECT max(load) - min(load) FROM balancer_load), '<=', 10::bigint,
	'the busiest and the idlest server are one room apart');
SELECT is((SELECT count(*) FROM live l JOIN room_server_assignments a USING (room_id)
	WHERE a.gateway_name <> l.gateway_name), 0::bigint, 'and still no live room is split');

-- Rooms that are not in service.
SELECT throws_ok(format('SELECT ask(%L)', gateway_uid), 'P0002', NULL, 'refused: ' || description)
FROM (
	(SELECT gateway_uid, 'a disabled room' AS description FROM rooms WHERE disabled ORDER BY id LIMIT 1)
	UNION ALL (SELECT gateway_uid, 'a removed room' FROM rooms WHERE removed_at IS NOT NULL ORDER BY id LIMIT 1)
	UNION ALL SELECT '1', 'a room that never was'
) refused;
UPDATE rooms SET disabled = true WHERE gateway_uid = (SELECT min(room_id) FROM answers);
SELECT is((SELECT ask(room_id) FROM answers ORDER BY room_id LIMIT 1), (SELECT server FROM answers ORDER BY room_id LIMIT 1),
	'a room disabled while people are in it keeps its server');

-- One room.
SELECT is(ask('2171'), get_or_assign_server(2171), '2171 is one room, as text and as a number');
SELECT is((SELECT count(*) FROM room_server_assignments WHERE room_id = '2171'), 1::bigint, 'and one row');
SELECT is(touch_room(2171), true, 'its lease can be renewed');

-- The API's role may do no more than it needs.
SELECT throws_ok(format('SET LOCAL ROLE gxydb_api; %s', statement), '42501', NULL, 'the API may not: ' || statement)
FROM (VALUES ($$INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('x', 'gxy1')$$),
	('UPDATE room_server_assignments SET gateway_name = ''gxy1'''), ('DELETE FROM room_server_assignments'),
	('SELECT release_room(2171)'), ('SELECT clean_inactive_assignments(''0'')'), ('SELECT attach_sessions(NULL)'),
	('TABLE balancer_servers'), ('TABLE live_sessions')) attempts (statement);
SELECT lives_ok('SET LOCAL ROLE gxydb_api; SELECT count(*) FROM room_server_assignments; RESET ROLE',
	'it may list the assignments');

-- A grace period of a minute frees nothing. Then the empty rooms are freed, and rooms with users
-- stay.
SELECT is(clean_inactive_assignments(), 0::bigint, 'rooms whose first users are on their way are not freed');
INSERT INTO sessions (user_id, room_id, gateway_id)
SELECT 7777, a.room_id, g.id FROM room_server_assignments a JOIN gateways g ON g.name = a.gateway_name
WHERE a.room_id = '2171';
SELECT is(clean_inactive_assignments('0'), 300::bigint, 'the 300 rooms without users are freed');
SELECT set_eq('SELECT room_id FROM room_server_assignments', 'SELECT DISTINCT room_id::text FROM live',
	'the rooms with people are the ones that stay');
UPDATE sessions SET removed_at = now() WHERE room_id = '2171' AND removed_at IS NULL;
SELECT is(clean_inactive_assignments('0'), 1::bigint, 'a room is freed when its last user has gone');

UPDATE room_server_assignments SET assigned_at = now() - interval '3 hours', last_used_at = now() - interval '3 hours';
SELECT is(clean_inactive_assignments(), 0::bigint, 'rooms with people are not freed, however old their lease');
SELECT set_eq('SELECT room_id, gateway_name FROM room_server_assignments', 'SELECT room_id::text, server FROM answers',
	'and all are where they were at first');

SELECT * FROM finish();
ROLLBACK;
