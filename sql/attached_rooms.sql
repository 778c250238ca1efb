/*
 * attached_rooms: what the relation of rooms says besides their names: regions in order of
 * preference, home servers, and the servers on which a room exists. How new rooms, pins, moves,
 * evacuations and failovers respect it, and that explain_assignment() says so.
 */
\getenv abs_srcdir PG_ABS_SRCDIR
\set helpers :abs_srcdir '/sql/include/helpers.sql'
\set ECHO none
\i :helpers
SET client_min_messages = warning;
CREATE TABLE app_rooms (room_id int PRIMARY KEY, expected_users int, region text, home_server varchar(20), servers name[]);
SELECT attach_rooms('app_rooms');
RESET client_min_messages;
SET gxy_balancer.load_max_age = 0;
CREATE VIEW answers AS
	SELECT room_id, gateway_name, region, reason FROM room_server_assignments ORDER BY room_id::int;

--
-- Regions
--
BEGIN;
INSERT INTO balancer_servers (name, priority, regions) VALUES
	('general', 9, NULL), ('il', 0, '{IL}'), ('eu', 5, '{EU}'), ('both', 0, '{EU,IL}'), ('us', 9, '{US, " AS "}');
INSERT INTO app_rooms (room_id, region) SELECT n, CASE WHEN n > 10 THEN 'IL, EU' END FROM generate_series(1, 20) n;
-- The first listed region that a server serves decides, before priority and load. Blanks and empty
-- elements do not count; the reason names the region.
SELECT get_or_assign_server(1, 'IL'), get_or_assign_server(2, 'IL,EU'), get_or_assign_server(3, ' EU , IL'),
	get_or_assign_server(4, ',XX,,EU,'), get_or_assign_server(5, 'AS');
-- The caller's comes before that of the attached rooms, and a list without a name is none.
SELECT get_or_assign_server(11), get_or_assign_server(12, 'US'), get_or_assign_server(13, ' , '), get_or_assign_server(14, ''),
	get_or_assign_server(6, ','), get_or_assign_server(7, 'nowhere');
TABLE answers;
-- The next region has its turn when the servers of the first are full, then the general ones.
UPDATE balancer_servers SET capacity = CASE name WHEN 'il' THEN 15 WHEN 'both' THEN 25 WHEN 'eu' THEN 45 ELSE 400 END;
SELECT server, tier, reason FROM explain_assignment(15) LIMIT 4;
SELECT get_or_assign_server(n) FROM generate_series(15, 19) n;
-- A server of a listed region that is drained, and the region that a moved room keeps.
UPDATE balancer_servers SET capacity = NULL;
SELECT evacuate_server('il', max_rooms => 1);
SELECT room_id, gateway_name, region, reason FROM answers WHERE reason LIKE 'evac%';
ROLLBACK;
-- A region with a comma could never be matched.
CALL pg_temp.refused($$INSERT INTO balancer_servers (name, regions) VALUES ('x', '{"IL,EU"}')$$);
INSERT INTO balancer_servers (name, regions) VALUES ('x', '{IL,EU}');
CALL pg_temp.refused($$UPDATE balancer_servers SET regions = '{IL,"E,U"}'$$);
BEGIN;
ALTER TABLE balancer_servers DISABLE TRIGGER USER;
CALL pg_temp.refused($$UPDATE balancer_servers SET regions = '{IL,"E,U"}'$$);
ROLLBACK;
DELETE FROM balancer_servers;
-- The limit is that of the whole list.
INSERT INTO app_rooms (room_id, region) VALUES (1, repeat('IL, ', 63) || 'EU'), (2, repeat('IL, ', 63) || 'EUR '), (3, 'IL');
INSERT INTO balancer_servers (name, regions) VALUES ('eu', '{EU}'), ('il', '{IL}');
SELECT get_or_assign_server(1);
CALL pg_temp.refused($$SELECT get_or_assign_server(2)$$);
CALL pg_temp.refused($$SELECT get_or_assign_server(3, repeat('IL, ', 64))$$);
SELECT server, chosen, tier, reason FROM explain_assignment(2);
DELETE FROM room_server_assignments;
DELETE FROM balancer_servers;
DELETE FROM app_rooms;

--
-- Homes
--
BEGIN;
INSERT INTO balancer_servers (name, regions, pool, capacity) VALUES ('a', NULL, 'primary', NULL), ('b', NULL, 'primary', 5),
	('theirs', '{XX}', 'primary', NULL), ('spare', NULL, 'standby', NULL), ('kept', NULL, 'reserved', NULL);
INSERT INTO app_rooms (room_id, home_server, servers) VALUES (1, 'b', NULL), (2, 'theirs', NULL), (3, 'spare', NULL),
	(4, 'kept', NULL), (5, 'nowhere', NULL), (6, NULL, NULL), (7, 'b', '{a,spare}'), (8, 'b', NULL), (9, 'b', NULL), (10, 'b', NULL);
-- Under another strategy a home makes no difference.
SELECT get_or_assign_server(1), release_room(1);
SET LOCAL gxy_balancer.strategy = home;
-- A home is taken whatever its capacity, pool and region; also where full servers are an error.
SET LOCAL gxy_balancer.overflow = error;
SELECT get_or_assign_server(n) FROM generate_series(1, 6) n;
SELECT get_or_assign_server(7);
TABLE answers;
SELECT server, chosen, tier, reason FROM explain_assignment(8);
SELECT server, chosen, tier, reason FROM explain_assignment(7);
SELECT release_room(7);
SELECT server, chosen, tier, reason FROM explain_assignment(7);
-- A pin comes before it. A home that is draining or offline is not used.
SELECT pin_room(8, 'theirs'), get_or_assign_server(8);
UPDATE balancer_servers SET state = 'draining' WHERE name = 'b';
SELECT get_or_assign_server(9);
UPDATE balancer_servers SET state = 'offline' WHERE name = 'b';
SELECT get_or_assign_server(10);
-- Moves do not go to the home.
UPDATE balancer_servers SET state = 'online';
UPDATE app_rooms SET home_server = 'spare';
SELECT evacuate_server('theirs');
TABLE answers;
SELECT assigned_tier_0 > 0 AS counted FROM balancer_stats;
ROLLBACK;

--
-- Servers
--
INSERT INTO balancer_servers (name) VALUES ('a'), ('b'), ('c');
INSERT INTO app_rooms (room_id, servers) VALUES (1, '{c}'), (2, '{c,gone}'), (3, NULL), (4, '{}'), (5, '{gone}'), (6, '{b,NULL}'),
	(7, '{NULL}');
BEGIN;
SELECT get_or_assign_server(1), get_or_assign_server(2), get_or_assign_server(3), get_or_assign_server(6);
TABLE answers;
SELECT server, chosen, tier, reason FROM explain_assignment(1);
SELECT release_room(1);
SELECT server, chosen, tier, reason FROM explain_assignment(1);
-- It is never on another server, also if its own are full, draining or offline.
UPDATE balancer_servers SET capacity = 1;
SELECT get_or_assign_server(1), release_room(1);
UPDATE balancer_servers SET state = 'draining' WHERE name = 'c';
SELECT get_or_assign_server(1), release_room(1);
UPDATE balancer_servers SET state = 'offline' WHERE name = 'c';
SELECT get_or_assign_server(1);
TABLE answers;
UPDATE balancer_servers SET state = 'online', capacity = NULL;
-- It is on no server of the pool, or only on a reserved one.
CALL pg_temp.refused($$SELECT get_or_assign_server(4)$$);
CALL pg_temp.refused($$SELECT get_or_assign_server(5)$$);
CALL pg_temp.refused($$SELECT get_or_assign_server(7)$$);
SELECT server, chosen, tier, reason FROM explain_assignment(4);
UPDATE balancer_servers SET pool = 'reserved' WHERE name = 'c';
SELECT release_room(1);
CALL pg_temp.refused($$SELECT get_or_assign_server(1)$$);
ROLLBACK;
-- A larger room than the servers on which it exists: others do not count.
BEGIN;
UPDATE balancer_servers SET capacity = CASE name WHEN 'c' THEN 20 ELSE 1000 END;
SET LOCAL gxy_balancer.overflow = error;
SELECT get_or_assign_server(1, NULL, 100);
ROLLBACK;
-- Live sessions prove that it exists.
BEGIN;
CREATE TABLE app_sessions (room_id int, user_id int, gateway_name text);
INSERT INTO app_sessions VALUES (1, 1, 'a'), (4, 1, 'b');
SET LOCAL client_min_messages = warning;
SELECT attach_sessions('app_sessions');
SELECT get_or_assign_server(1), get_or_assign_server(4);
ROLLBACK;
-- Several rows of one room: the servers of all, and the first region. A room that is not in the relation is refused; it is the
-- text of a number that counts. 0 users are not known.
BEGIN;
ALTER TABLE app_rooms DROP CONSTRAINT app_rooms_pkey;
INSERT INTO app_rooms VALUES (8, 3, NULL, 'b', '{a}'), (8, 7, NULL, 'c', '{b}'), (9, 1, 'XX', NULL, '{a}'), (9, 1, NULL, NULL, NULL),
	(11, 0, NULL, NULL, '{a}');
SELECT server, chosen, tier, expected, reason FROM explain_assignment(8);
SELECT count(*) FILTER (WHERE tier = -1) AS absent FROM explain_assignment(9);
CALL pg_temp.refused($$SELECT get_or_assign_server(10)$$);
CALL pg_temp.refused($$SELECT get_or_assign_server('03')$$);
SELECT get_or_assign_server(9), get_or_assign_server(11);
SELECT room_id, region, expected_users FROM room_server_assignments ORDER BY room_id::int;
ROLLBACK;

-- Pins and moves to a server without the room are refused. A pin that was written by hand yields.
BEGIN;
CALL pg_temp.refused($$SELECT pin_room(1, 'a')$$);
CALL pg_temp.refused($$SELECT pin_room(4, 'a')$$);
CALL pg_temp.refused($$SELECT pin_room(1, 'nowhere')$$);
SELECT pin_room(1, 'c'), pin_room(3, 'a'), pin_room(99, 'a');
UPDATE balancer_pins SET server = 'b' WHERE room_id = '1';
SELECT server, chosen, tier, reason FROM explain_assignment(1);
SELECT get_or_assign_server(1), get_or_assign_server(6);
CALL pg_temp.refused($$SELECT move_room(1, 'a')$$);
CALL pg_temp.refused($$SELECT move_room(6, 'c')$$);
SELECT move_room(1, 'c'), move_room(4, 'a'), move_room(99, 'a');
UPDATE app_rooms SET servers = '{a,c}' WHERE room_id = 1;
SELECT move_room(1, 'a');
TABLE answers;
ROLLBACK;

-- Evacuations leave rooms that do not exist elsewhere, and count them. max_rooms counts the others.
INSERT INTO app_rooms (room_id, servers)
	SELECT n, CASE WHEN n <= 13 THEN '{a}' WHEN n <= 15 THEN '{a,b}' WHEN n = 16 THEN '{}' END::name[] FROM generate_series(11, 18) n;
INSERT INTO room_server_assignments (room_id, gateway_name) SELECT n, 'a' FROM generate_series(11, 18) n;
BEGIN;
SELECT evacuate_server('a', 'c');
TABLE answers;
SELECT evacuate_server('a', 'b', 1);
SELECT evacuate_server('a', 'b');
TABLE answers;
ROLLBACK;
BEGIN;
SELECT evacuate_server('a', max_rooms => 2);
SELECT evacuate_server('a');
TABLE answers;
UPDATE balancer_servers SET state = 'draining' WHERE name <> 'a';
UPDATE room_server_assignments SET gateway_name = 'a';
CALL pg_temp.refused($$SELECT evacuate_server('a')$$);
UPDATE app_rooms SET servers = '{a}';
SELECT evacuate_server('a');
ROLLBACK;

-- A failover with a standby: rooms that do not exist there are spread among the servers where they do.
-- Callers, room_server(), balancer_rooms and explain_assignment() agree before and after.
SET gxy_balancer.failover_delay = 0;
INSERT INTO balancer_servers (name, pool) VALUES ('spare', 'standby');
UPDATE app_rooms SET servers = '{a,spare}' WHERE room_id = 17;
BEGIN;
SELECT set_server_state('a', 'offline');
SELECT room_id, server FROM balancer_rooms ORDER BY room_id::int;
SELECT n, room_server(n), get_or_assign_server(n), room_server(n) FROM generate_series(11, 18) n;
SELECT room_id, gateway_name, reason FROM answers;
ROLLBACK;
BEGIN;
SELECT set_server_state('a', 'offline');
SELECT n, (SELECT server || ': ' || reason FROM explain_assignment(n) WHERE chosen) FROM generate_series(11, 18) n;
SELECT server, tier, reason FROM explain_assignment(14);
ROLLBACK;
-- Without a standby as well.
BEGIN;
UPDATE balancer_servers SET pool = 'reserved' WHERE name = 'spare';
SELECT set_server_state('a', 'offline');
SELECT n, (SELECT server || ': ' || reason FROM explain_assignment(n) WHERE chosen) AS prediction, get_or_assign_server(n)
FROM generate_series(11, 18) n;
ROLLBACK;
-- what_if() and rebalance() respect it, too.
SELECT server, rooms_before, rooms_after FROM what_if('a', 'draining');
SELECT server, rooms_before, rooms_after FROM what_if('a', 'offline');
BEGIN;
UPDATE balancer_servers SET capacity = 50;
SELECT room, from_server, to_server FROM rebalance(NULL, NULL) ORDER BY room;
SELECT count(*) FROM rebalance(NULL, NULL, false);
SELECT room_id, gateway_name FROM answers;
ROLLBACK;
-- If the relation cannot be read, the failover goes on as if the rooms existed everywhere.
BEGIN;
ALTER TABLE app_rooms RENAME COLUMN room_id TO id;
SELECT set_server_state('a', 'offline');
SELECT get_or_assign_server(11), room_server(12);
CALL pg_temp.refused($$SELECT move_room(13, 'b')$$);
CALL pg_temp.refused($$SELECT evacuate_server('a')$$);
ROLLBACK;
-- A relation without the columns reads nothing, and moves are as they were.
BEGIN;
ALTER TABLE app_rooms DROP COLUMN servers, DROP COLUMN region, DROP COLUMN home_server;
SET LOCAL gxy_balancer.strategy = home;
SELECT get_or_assign_server(5), pin_room(4, 'a'), move_room(11, 'c'), evacuate_server('a', 'b', 1);
SELECT set_server_state('a', 'offline');
SELECT get_or_assign_server(n) FROM generate_series(12, 13) n;
ROLLBACK;

--
-- Columns of other types
--
CREATE TYPE place AS ENUM ('IL', 'EU');
CREATE DOMAIN places AS text[];
CREATE VIEW typed AS SELECT 'x'::text AS room_id, 'IL'::place AS region, 'a'::name AS home_server, '{a}'::places AS servers;
SET client_min_messages = warning;
SELECT attach_rooms('typed');
RESET client_min_messages;
SELECT server, tier FROM explain_assignment('x');
CREATE VIEW bad_region AS SELECT 1 AS room_id, '{IL}'::text[] AS region;
CREATE VIEW bad_home AS SELECT 1 AS room_id, 7 AS home_server;
CREATE VIEW bad_servers AS SELECT 1 AS room_id, 'a,b'::text AS servers;
CREATE VIEW bad_elements AS SELECT 1 AS room_id, '{1}'::int[] AS servers;
CALL pg_temp.refused($$SELECT attach_rooms('bad_region')$$);
CALL pg_temp.refused($$SELECT attach_rooms('bad_home')$$);
CALL pg_temp.refused($$SELECT attach_rooms('bad_servers')$$);
CALL pg_temp.refused($$SELECT attach_rooms('bad_elements')$$);
-- A view that is replaced later.
UPDATE balancer_sources SET relation_name = 'bad_servers' WHERE source = 'rooms';
CALL pg_temp.refused($$SELECT get_or_assign_server(1)$$);

SET client_min_messages = warning;
DROP EXTENSION gxy_balancer CASCADE;
DROP VIEW typed, bad_region, bad_home, bad_servers, bad_elements;
DROP TABLE app_rooms;
DROP DOMAIN places;
DROP TYPE place;
