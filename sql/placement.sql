/*
 * placement: which server a new room goes to. One paragraph for each rule, each with its own pool:
 * strategies, size, capacity, priority, regions, standby and reserved servers, drain and failure,
 * pins.
 */
\getenv abs_srcdir PG_ABS_SRCDIR
\set helpers :abs_srcdir '/sql/include/helpers.sql'
\set ECHO none
\i :helpers

-- The answers in order, as runs: "40 gxy1, 40 gxy2".
CREATE FUNCTION pg_temp.runs(servers text[]) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(n || ' ' || server, ', ' ORDER BY first)
	FROM (
		SELECT server, count(*) AS n, min(i) AS first
		FROM (
			SELECT server, i, i - row_number() OVER (PARTITION BY server ORDER BY i) AS run
			FROM unnest(servers) WITH ORDINALITY s (server, i)
		) x
		GROUP BY server, run
	) runs;
$$;
-- Assigns the given number of rooms, one after the other.
CREATE FUNCTION pg_temp.assign(rooms int, region text DEFAULT NULL, expected int DEFAULT NULL) RETURNS text
	LANGUAGE plpgsql AS $$
DECLARE
	servers text[];
BEGIN
	FOR i IN 1 .. rooms LOOP
		servers := servers || get_or_assign_server((SELECT count(*) FROM room_server_assignments) + 1, region, expected);
	END LOOP;
	RETURN pg_temp.runs(servers);
END
$$;

-- sequential: 3 servers of 400, 10 users a room: 40 rooms each, in order; the 121st is the first
-- over capacity.
BEGIN;
SELECT init_servers('gxy1,gxy2,gxy3');
SET LOCAL gxy_balancer.strategy = sequential;
SELECT pg_temp.assign(120);
SELECT server, rooms, load, capacity, percent, bar FROM balancer_load;
SELECT DISTINCT reason FROM room_server_assignments;
SELECT get_or_assign_server(121);
SELECT pg_temp.assign(5);
SELECT server, rooms, load, percent, bar FROM balancer_load;
SELECT DISTINCT reason FROM room_server_assignments WHERE room_id::int > 120;
ROLLBACK;
-- It is refused instead if overflow = error; rooms that have a server keep it.
BEGIN;
SELECT init_servers('gxy1,gxy2,gxy3');
SET LOCAL gxy_balancer.strategy = sequential;
SET LOCAL gxy_balancer.overflow = error;
SELECT pg_temp.assign(120);
CALL pg_temp.refused($$SELECT get_or_assign_server(121)$$);
SELECT count(*) FROM room_server_assignments;
SELECT get_or_assign_server(120);
SELECT release_room(50), get_or_assign_server(121);
CALL pg_temp.refused($$SELECT get_or_assign_server(50)$$);
ROLLBACK;
-- Space that is freed on an earlier server is used first. The order is by position, not by name and
-- not by the order of the rows.
BEGIN;
INSERT INTO balancer_servers (name, position) VALUES ('b', 2), ('a', 3), ('c', 1);
SET LOCAL gxy_balancer.strategy = sequential;
SET LOCAL gxy_balancer.default_capacity = 30;
SELECT pg_temp.assign(7);
SELECT release_room(2), get_or_assign_server('next');
ROLLBACK;

-- least_loaded, the default: 120 rooms over 12 servers are 10 on each, one more on each after every
-- 12 rooms.
BEGIN;
SELECT pg_temp.runs(array_agg(get_or_assign_server(i))) FROM generate_series(1, 12) i;
SELECT pg_temp.assign(24);
SELECT count(*) FROM (SELECT get_or_assign_server(i) FROM generate_series(37, 120) i) x;
SELECT server, rooms, users, connected, expected, load FROM balancer_load;
SELECT min(percent), max(percent), min(bar) FROM balancer_load;
ROLLBACK;
-- By load divided by capacity: a server with twice the capacity gets twice the rooms.
BEGIN;
INSERT INTO balancer_servers (name, capacity) VALUES ('small', 100), ('large', 200), ('larger', 300);
SELECT pg_temp.assign(30);
SELECT server, rooms, load, capacity, percent FROM balancer_load;
ROLLBACK;
-- Ties: fewer rooms, then position, then name.
BEGIN;
INSERT INTO balancer_servers (name, position) VALUES ('d', 7), ('b', 7), ('c', 7), ('a', 8);
SELECT get_or_assign_server('two of 20', NULL, 20);
SELECT get_or_assign_server('x1', NULL, 10), get_or_assign_server('x2', NULL, 10), get_or_assign_server('x3', NULL, 10);
SELECT get_or_assign_server('x4', NULL, 10), get_or_assign_server('x5', NULL, 10), get_or_assign_server('x6', NULL, 10);
SELECT server, rooms, load FROM balancer_load;
SELECT get_or_assign_server('fewer rooms');
ROLLBACK;

-- How many users a room brings: the caller's number, else the pin's, else the rooms relation's,
-- else the average.
BEGIN;
SELECT init_servers('gxy1,gxy2');
CREATE TABLE app_rooms (room_id int, expected_users int);
INSERT INTO app_rooms VALUES (1, 50), (2, 50), (3, 50), (4, NULL), (5, 0);
SET LOCAL client_min_messages = warning;
SELECT attach_rooms('app_rooms');
INSERT INTO balancer_pins (room_id, server, expected_users) VALUES (1, 'gxy1', 70), (2, 'gxy1', 70);
SET LOCAL gxy_balancer.avg_room_occupancy = 7;
SELECT DISTINCT room, expected
FROM generate_series(1, 5) room, explain_assignment(room, NULL, CASE room WHEN 1 THEN 90 END)
ORDER BY room;
SELECT get_or_assign_server(1, NULL, 90), get_or_assign_server(2), get_or_assign_server(3), get_or_assign_server(4),
	get_or_assign_server(5);
SELECT room_id, expected_users FROM balancer_rooms ORDER BY room_id;
SELECT server, rooms, expected, load FROM balancer_load;
-- A change of the average also applies to existing rooms.
SET LOCAL gxy_balancer.avg_room_occupancy = 8;
SELECT server, load FROM balancer_load;
-- A pin's number counts for as long as the pin exists, the others only during the join window.
SET LOCAL gxy_balancer.assignment_grace = '2d';
SELECT count(touch_room(i, 0)) FROM generate_series(1, 5) i;
CALL pg_temp.age('1 day');
SELECT server, load FROM balancer_load;
DELETE FROM balancer_pins WHERE room_id = '1';
SELECT server, load FROM balancer_load;
ROLLBACK;
-- Expected users who have not come count no longer than the join window.
BEGIN;
SELECT init_servers('gxy1,gxy2');
SET LOCAL gxy_balancer.join_window = '1h';
SET LOCAL gxy_balancer.assignment_grace = '1d';
SELECT get_or_assign_server(1, NULL, 100), touch_room(1, 3);
CALL pg_temp.age('59 minutes');
SELECT server, users, expected, load FROM balancer_load;
CALL pg_temp.age('2 minutes');
SELECT server, users, expected, load FROM balancer_load;
ROLLBACK;
-- Without a source of users, a room counts until its lease expires.
BEGIN;
SELECT init_servers('gxy1,gxy2');
SET LOCAL gxy_balancer.join_window = '1min';
SET LOCAL gxy_balancer.assignment_grace = '1h';
SELECT get_or_assign_server(1, NULL, 100);
CALL pg_temp.age('59 minutes');
SELECT server, users, expected, load FROM balancer_load;
CALL pg_temp.age('2 minutes');
SELECT server, users, expected, load FROM balancer_load;
ROLLBACK;
-- load_metric = rooms counts each room at the average, with any number of users in it.
BEGIN;
SELECT init_servers('gxy1,gxy2');
SET LOCAL gxy_balancer.load_metric = rooms;
SELECT get_or_assign_server(1, NULL, 300), get_or_assign_server(2), get_or_assign_server(3), get_or_assign_server(4);
SELECT touch_room(2, 300);
SELECT server, rooms, load, percent FROM balancer_load;
SET LOCAL gxy_balancer.avg_room_occupancy = 100;
SET LOCAL gxy_balancer.overflow = error;
SELECT server, rooms, load, percent FROM balancer_load;
SELECT pg_temp.assign(4);
CALL pg_temp.refused($$SELECT get_or_assign_server(9, NULL, 1)$$);
ROLLBACK;

-- Capacity: a server takes a room only if all of its users fit.
BEGIN;
INSERT INTO balancer_servers (name, capacity) VALUES ('gxy1', 100), ('gxy2', 100);
SET LOCAL gxy_balancer.strategy = sequential;
SELECT get_or_assign_server(1, NULL, 95), get_or_assign_server(2, NULL, 6), get_or_assign_server(3, NULL, 5),
	get_or_assign_server(4, NULL, 94);
SELECT server, load, percent, bar FROM balancer_load;
SET LOCAL gxy_balancer.overflow = error;
CALL pg_temp.refused($$SELECT get_or_assign_server(5, NULL, 1)$$);
-- A higher capacity counts at once. NULL means the setting.
UPDATE balancer_servers SET capacity = NULL WHERE name = 'gxy2';
SET LOCAL gxy_balancer.default_capacity = 101;
SELECT get_or_assign_server(5, NULL, 1);
-- A capacity below the present load moves no users away.
UPDATE balancer_servers SET capacity = 1;
SELECT server, load, capacity, percent, bar FROM balancer_load;
SELECT get_or_assign_server(1);
ROLLBACK;
-- A room larger than every server's capacity goes to an empty server if there is one.
BEGIN;
INSERT INTO balancer_servers (name, capacity) VALUES ('gxy1', 100), ('gxy2', 200), ('gxy3', 150);
SET LOCAL gxy_balancer.overflow = error;
SELECT get_or_assign_server('small', NULL, 1);
SELECT get_or_assign_server('huge', NULL, 1000);
SELECT get_or_assign_server('huger', NULL, 2000);
CALL pg_temp.refused($$SELECT get_or_assign_server('hugest', NULL, 3000)$$);
-- A room that would fit an empty server is refused while no server has enough capacity left.
SELECT release_room('small'), get_or_assign_server('half', NULL, 50);
CALL pg_temp.refused($$SELECT get_or_assign_server('most', NULL, 160)$$);
SET LOCAL gxy_balancer.overflow = overcommit;
SELECT get_or_assign_server('most', NULL, 160);
ROLLBACK;

-- Priority: the highest priority with enough capacity left is chosen, whatever the load. If all are
-- full, the load decides.
BEGIN;
INSERT INTO balancer_servers (name, priority, capacity) VALUES ('low', -1, 30), ('mid1', 0, 30), ('mid2', 0, 30),
	('high', 5, 30);
SELECT pg_temp.assign(12);
SELECT pg_temp.assign(4);
SELECT server, rooms FROM balancer_load;
ROLLBACK;
BEGIN;
INSERT INTO balancer_servers (name, priority, capacity) VALUES ('low', -1, 30), ('mid1', 0, 30), ('mid2', 0, 30),
	('high', 5, 30);
SET LOCAL gxy_balancer.strategy = sequential;
SELECT pg_temp.assign(12);
ROLLBACK;

-- Regions: servers of the room's region first, then general ones; those reserved for other regions
-- are not used.
BEGIN;
INSERT INTO balancer_servers (name, regions, capacity) VALUES ('any1', NULL, 20), ('any2', '{}', 20),
	('il', '{IL}', 20), ('eu', '{DE,FR}', 20), ('both', '{IL,DE}', 20);
SELECT pg_temp.assign(4, 'IL');
SELECT pg_temp.assign(3, 'IL');
SELECT pg_temp.assign(1, 'FR');
SELECT pg_temp.assign(2);
SELECT server, rooms FROM balancer_load;
-- 'eu' has capacity left, but is reserved for other rooms: the room overloads its own region.
SELECT pg_temp.assign(6, 'IL');
SELECT pg_temp.assign(2);
SELECT pg_temp.assign(2, 'BR');
SELECT server, rooms FROM balancer_load;
SELECT DISTINCT region, reason FROM room_server_assignments ORDER BY 1, 2;
SET LOCAL gxy_balancer.overflow = error;
CALL pg_temp.refused($$SELECT get_or_assign_server('x', 'IL')$$);
CALL pg_temp.refused($$SELECT get_or_assign_server('x')$$);
SELECT get_or_assign_server('x', 'DE');
ROLLBACK;
-- '' is no region, case matters, and an element that is NULL or '' reserves nothing.
BEGIN;
INSERT INTO balancer_servers (name, regions) VALUES ('il', '{IL}'), ('any', '{NULL,""}');
SELECT get_or_assign_server(1, ''), get_or_assign_server(2, 'il'), get_or_assign_server(3, 'IL');
ROLLBACK;
-- Servers of other regions are used only if no server of the room's region and no general one is
-- online.
BEGIN;
INSERT INTO balancer_servers (name, regions, pool) VALUES ('any', NULL, 'primary'), ('eu', '{DE}', 'primary'),
	('br', '{BR}', 'primary'), ('spare', NULL, 'standby');
UPDATE balancer_servers SET state = 'draining' WHERE name = 'any';
SELECT pg_temp.assign(4, 'IL');
SELECT reason FROM room_server_assignments WHERE room_id = '4';
SELECT get_or_assign_server('german', 'DE');
-- If no server is online, the order is the same: servers of the right region first, standbys last,
-- whatever the load.
UPDATE room_server_assignments SET gateway_name = 'any';
UPDATE balancer_servers SET state = 'draining';
SELECT get_or_assign_server('draining', 'IL');
UPDATE balancer_servers SET state = 'offline';
SELECT get_or_assign_server('offline', 'IL');
ROLLBACK;

-- Standby servers take new rooms last, reserved ones never; a full primary server does not change
-- that.
BEGIN;
INSERT INTO balancer_servers (name, pool, capacity) VALUES ('spare', 'standby', 1000), ('vip', 'reserved', 1000),
	('gxy1', 'primary', 20);
SELECT pg_temp.assign(4);
SET LOCAL gxy_balancer.overflow = error;
CALL pg_temp.refused($$SELECT get_or_assign_server('more')$$);
UPDATE balancer_servers SET state = 'offline' WHERE name = 'gxy1';
SELECT pg_temp.assign(1);
UPDATE balancer_servers SET state = 'offline' WHERE name = 'spare';
SELECT pg_temp.assign(1);
DELETE FROM room_server_assignments;
DELETE FROM balancer_servers WHERE name <> 'vip';
CALL pg_temp.refused($$SELECT get_or_assign_server('more')$$);
SELECT count(*) FROM room_server_assignments;
ROLLBACK;

-- A draining server keeps its rooms and gets no new ones. A new room is answered for as long as the
-- pool has a server.
BEGIN;
SELECT init_servers('gxy1,gxy2,gxy3');
SELECT pg_temp.assign(3);
UPDATE balancer_servers SET state = 'draining' WHERE name = 'gxy1';
SELECT pg_temp.assign(4);
SELECT get_or_assign_server(1);
UPDATE balancer_servers SET state = 'offline' WHERE name <> 'gxy1';
SELECT get_or_assign_server('draining is better than offline');
UPDATE balancer_servers SET state = 'offline' WHERE name = 'gxy1';
SELECT get_or_assign_server('all offline');
SELECT room_id, gateway_name, reason FROM room_server_assignments WHERE room_id LIKE '%offline'
ORDER BY room_id COLLATE "C";
SET LOCAL gxy_balancer.overflow = error;
SELECT get_or_assign_server('all offline, too');
ROLLBACK;

-- Pins: the room goes to its pinned server at its next assignment, against all other rules, unless
-- that server is offline.
BEGIN;
INSERT INTO balancer_servers (name, pool, capacity) VALUES ('gxy1', 'primary', 100), ('gxy2', 'primary', 100),
	('vip', 'reserved', 10), ('spare', 'standby', 10);
INSERT INTO balancer_pins (room_id, server, expected_users) VALUES ('p1', 'vip', 50), ('p2', 'spare', NULL),
	('p3', 'gxy2', 99), ('2171', 'gxy2', NULL);
SELECT get_or_assign_server('p1'), get_or_assign_server('p2'), get_or_assign_server('p3'), get_or_assign_server(2171);
SELECT room_id, gateway_name, reason, expected_users FROM room_server_assignments ORDER BY room_id COLLATE "C";
SELECT server, rooms, expected, load FROM balancer_load;
SELECT room_id, pinned, expected_users FROM balancer_rooms ORDER BY room_id COLLATE "C";
-- A pin moves no room that has a server.
UPDATE balancer_pins SET server = 'gxy1' WHERE room_id = 'p2';
SELECT get_or_assign_server('p2');
SELECT release_room('p2'), get_or_assign_server('p2');
-- A pin applies on a draining server and when all are full, but not on an offline server.
SET LOCAL gxy_balancer.overflow = error;
UPDATE balancer_servers SET state = 'draining' WHERE name = 'gxy2';
SELECT release_room('p3'), get_or_assign_server('p3', NULL, 5000);
UPDATE balancer_servers SET state = 'offline' WHERE name = 'gxy2';
SELECT release_room('p3'), get_or_assign_server('p3', NULL, 10);
UPDATE balancer_servers SET state = 'online' WHERE name = 'gxy2';
SELECT get_or_assign_server('p3');
DELETE FROM balancer_pins WHERE room_id = 'p3';
SELECT pinned FROM balancer_rooms WHERE room_id = 'p3';
ROLLBACK;
SELECT count(*) FROM room_server_assignments;
