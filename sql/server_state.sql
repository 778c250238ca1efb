/*
 * server_state: servers that are drained, fail and recover, and rooms that are pinned, moved and
 * evacuated, in one session, without the worker. failover_delay is 0 where a failover must be due
 * at once, and an hour where it must not.
 */
\getenv abs_srcdir PG_ABS_SRCDIR
\set helpers :abs_srcdir '/sql/include/helpers.sql'
\set ECHO none
\i :helpers
SET gxy_balancer.failover_delay = '1h';
SET gxy_balancer.avg_room_occupancy = 10;
SET gxy_balancer.recovery_delay = 0;
CREATE VIEW pg_temp.failovers AS
	SELECT from_server AS "from", to_server AS "to", due_at - declared_at AS delay, cause, rooms, outcome,
		finished_at IS NOT NULL AS finished, recovered_at IS NOT NULL AS recovered
	FROM balancer_failovers ORDER BY declared_at;
CREATE VIEW pg_temp.places AS
	SELECT gateway_name AS server, reason, string_agg(room_id, ' ' ORDER BY length(room_id), room_id) AS rooms
	FROM room_server_assignments GROUP BY 1, 2 ORDER BY 1, 2;

-- States that operators set. A function that names a server writes the default pool first, if it
-- has never been written.
BEGIN;
SELECT set_server_state('gxy3', 'draining'), server_state('gxy3');
SELECT count(*) FROM balancer_servers;
ROLLBACK;
INSERT INTO balancer_servers (name, pool) VALUES ('a', 'primary'), ('b', 'primary'), ('c', 'primary'),
	('s1', 'standby'), ('s2', 'standby'), ('r', 'reserved');
SELECT set_server_state('a', 'draining'), set_server_state('a', 'online'), set_server_state('a', 'online');
CALL pg_temp.refused($$SELECT set_server_state('nowhere', 'online')$$);
CALL pg_temp.refused($$SELECT set_server_state('a', 'broken')$$);
CALL pg_temp.refused($$SELECT set_server_state(NULL, 'online')$$);
CALL pg_temp.refused($$SELECT set_server_state('a', NULL)$$);
CALL pg_temp.refused($$SELECT server_heartbeat(NULL)$$);
CALL pg_temp.refused($$SELECT server_heartbeat('a', NULL)$$);
BEGIN READ ONLY;
CALL pg_temp.refused($$SELECT set_server_state('a', 'offline')$$);
CALL pg_temp.refused($$SELECT server_heartbeat('a')$$);
CALL pg_temp.refused($$SELECT pin_room(1, 'a')$$);
CALL pg_temp.refused($$SELECT unpin_room(1)$$);
CALL pg_temp.refused($$SELECT move_room(1, 'a')$$);
CALL pg_temp.refused($$SELECT evacuate_server('a')$$);
ROLLBACK;

-- Setting the present state writes nothing.
SELECT xmin AS before FROM balancer_servers WHERE name = 'a' \gset
SELECT set_server_state('a', 'online');
SELECT xmin = :'before' AS untouched FROM balancer_servers WHERE name = 'a';

-- States that monitors report are stored separately: the worse of the two is in force.
SELECT server_heartbeat('a'), server_heartbeat('a'), server_heartbeat('nowhere');
SELECT server, healthy, since <= last_heartbeat AS dated FROM balancer_health;
SELECT xmin AS before FROM balancer_health \gset
SELECT server_heartbeat('a');
SELECT xmin = :'before' AS untouched FROM balancer_health;
-- With a timeout the time is written up to ten times in it.
SET gxy_balancer.heartbeat_timeout = '5s';
UPDATE balancer_health SET last_heartbeat = clock_timestamp() - interval '600 ms';
SELECT xmin AS before FROM balancer_health \gset
SELECT server_heartbeat('a');
SELECT xmin = :'before' AS untouched FROM balancer_health;
RESET gxy_balancer.heartbeat_timeout;
SELECT set_server_state('a', 'draining');
SELECT server_heartbeat('a', true), server_state('a');
SELECT server_heartbeat('a', false), server_heartbeat('a', false), server_state('a');
SELECT server_heartbeat('a', true), server_state('a'), set_server_state('a', 'online');
TABLE pg_temp.failovers;

-- A false alarm of a monitor. The function returns the state in force, and a NOTICE says why that
-- is not the requested one, whether or not a row had to be changed. The operator clears the alarm
-- with a heartbeat.
SELECT server_heartbeat('a', false), server_state('a');
SELECT set_server_state('a', 'online');
UPDATE balancer_servers SET state = 'draining' WHERE name = 'a';
SELECT set_server_state('a', 'online');
SELECT set_server_state('a', 'offline');
UPDATE balancer_health SET healthy = true;
UPDATE balancer_health SET healthy = false, since = last_heartbeat + interval '1 minute';
SELECT set_server_state('a', 'online');
SELECT server_heartbeat('a'), server_state('a'), set_server_state('a', 'online');
DELETE FROM balancer_failovers;

-- A server that recovers within the delay has moved no room.
SELECT get_or_assign_server(i) FROM generate_series(1, 6) i;
UPDATE balancer_servers SET state = 'offline' WHERE name = 'a';
SELECT server, state, rooms, cause FROM balancer_load;
SELECT get_or_assign_server(1), room_server(1);
UPDATE balancer_servers SET state = 'online' WHERE name = 'a';
SELECT server, state, rooms, cause FROM balancer_load WHERE cause <> '';
TABLE pg_temp.places;
TABLE pg_temp.failovers;
DELETE FROM balancer_failovers;

-- A server that does not: a standby takes all rooms, for every caller, whether or not their rows
-- can be rewritten.
SET gxy_balancer.failover_delay = 0;
SELECT set_server_state('a', 'offline');
BEGIN READ ONLY;
SELECT get_or_assign_server(1), room_server(4);
ROLLBACK;
SELECT server, rooms, cause ~ 'rooms (are moving to s1|move to s1 when called for)' AS moving, cause ~ 'stands in for a' AS stands_in
FROM balancer_load;
SELECT room_id, server, users_elsewhere FROM balancer_rooms ORDER BY 1;
SELECT rank, server, chosen, tier, reason, state FROM explain_assignment(1);
TABLE pg_temp.places;
SELECT get_or_assign_server(1), get_or_assign_server(1);
TABLE pg_temp.places;
SELECT server, rooms FROM balancer_load;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT get_or_assign_server(4);
COMMIT;
TABLE pg_temp.places;
SELECT get_or_assign_server(4);

-- A standby that is in use takes no second server's rooms. A standby whose rooms have gone is free
-- again.
SELECT set_server_state('b', 'offline'), set_server_state('c', 'offline');
SELECT "from", "to" FROM pg_temp.failovers;
SELECT get_or_assign_server(i) FROM generate_series(1, 6) i;
TABLE pg_temp.places;

-- The failed server recovers: no room moves back, and new rooms go there.
UPDATE balancer_servers SET state = 'online' WHERE pool = 'primary';
SELECT get_or_assign_server(i) FROM generate_series(1, 9) i;
TABLE pg_temp.failovers;
SELECT count(release_room(i)) FROM generate_series(1, 9) i;
DELETE FROM balancer_failovers;

-- A standby that fails itself is replaced by the next one; so is one that is drained before its
-- failover is due.
SET gxy_balancer.failover_delay = '1h';
SELECT get_or_assign_server(1);
SELECT set_server_state('a', 'offline');
SELECT set_server_state('s1', 'draining');
SELECT "from", "to" FROM pg_temp.failovers;
SELECT set_server_state('s1', 'online'), set_server_state('s2', 'offline');
SELECT "from", "to", outcome FROM pg_temp.failovers;
UPDATE balancer_servers SET state = 'online';
DELETE FROM balancer_failovers;
SELECT release_room(1);

-- No standby is left: the rooms are spread evenly over the online servers. Capacity, strategy and
-- overflow apply to new rooms only.
DELETE FROM balancer_servers WHERE pool = 'standby';
SET gxy_balancer.failover_delay = 0;
SELECT count(get_or_assign_server(i)) FROM generate_series(1, 30) i;
SELECT set_server_state('a', 'offline');
SET gxy_balancer.overflow = error;
SET gxy_balancer.strategy = sequential;
UPDATE balancer_servers SET capacity = 1;
SELECT chosen, server, reason, expected_from FROM explain_assignment(1) WHERE chosen;
SELECT count(get_or_assign_server(i)) FROM generate_series(1, 30) i;
SELECT server, rooms FROM balancer_load;
SELECT DISTINCT reason FROM room_server_assignments ORDER BY 1;
RESET gxy_balancer.overflow;
RESET gxy_balancer.strategy;
UPDATE balancer_servers SET capacity = NULL;

-- No server is left: calls return the old server. So does a read-only call until another
-- transaction has moved the room.
SELECT get_or_assign_server(2) AS was \gset
UPDATE balancer_servers SET state = CASE name WHEN 'c' THEN 'draining' ELSE 'offline' END WHERE pool = 'primary';
SELECT get_or_assign_server(2) = :'was' AS kept;
SELECT chosen, reason FROM explain_assignment(2) WHERE chosen;
SELECT set_server_state(:'was', 'offline') IS NOT NULL AS set, set_server_state('c', 'online') IS NOT NULL AS set;
BEGIN READ ONLY;
SELECT get_or_assign_server(2) = :'was' AS kept;
ROLLBACK;
SELECT get_or_assign_server(2), get_or_assign_server(2);
UPDATE balancer_servers SET state = 'online';
SELECT count(release_room(i)) FROM generate_series(1, 30) i;
DELETE FROM balancer_failovers;

-- A room on a server outside the pool, written by an older version of the application: it is moved
-- as if that server had failed.
SET gxy_balancer.failover_delay = '1h';
INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('old', 'gone');
SELECT get_or_assign_server('old');
SET gxy_balancer.failover_delay = 0;
SELECT chosen, server, reason FROM explain_assignment('old') WHERE chosen;
SELECT get_or_assign_server('old'), reason FROM room_server_assignments;
SELECT get_or_assign_server('old'), release_room('old');
SELECT reason FROM room_server_assignments;

-- All of it can be rolled back, to a savepoint too.
BEGIN;
SAVEPOINT before;
SELECT set_server_state('a', 'offline'), server_heartbeat('b', false);
SELECT string_agg(server_state(name), ' ' ORDER BY name) FROM balancer_servers;
ROLLBACK TO before;
SELECT string_agg(server_state(name), ' ' ORDER BY name) FROM balancer_servers;
COMMIT;
TABLE pg_temp.failovers;

-- Pins: the server a room gets at its next assignment. A room in use stays.
SELECT get_or_assign_server(1), pin_room(1, 'r', 500), pin_room(1, 'r', 500), get_or_assign_server(1);
-- The pin that is there writes nothing.
SELECT xmin AS before FROM balancer_pins \gset
SELECT pin_room(1, 'r', 500);
SELECT xmin = :'before' AS untouched FROM balancer_pins;
SELECT release_room('1');
SELECT get_or_assign_server('1');
SELECT server, rooms, load FROM balancer_load WHERE rooms > 0;
SELECT pin_room('1', 'b'), unpin_room('1'), unpin_room(1), unpin_room('none');
CALL pg_temp.refused($$SELECT pin_room(1, 'nowhere')$$);
CALL pg_temp.refused($$SELECT pin_room(1, NULL)$$);
CALL pg_temp.refused($$SELECT pin_room(NULL::text, 'a')$$);
CALL pg_temp.refused($$SELECT pin_room(1, 'a', 0)$$);
CALL pg_temp.refused($$SELECT unpin_room(NULL::bigint)$$);
SELECT release_room(1);
-- A pin to a draining server applies; a pin to an offline server does not until it is back.
SELECT pin_room(1, 'b') IS NULL AS unassigned, set_server_state('b', 'draining');
SELECT get_or_assign_server(1), release_room('1'), set_server_state('b', 'offline');
SELECT get_or_assign_server(1), release_room('1'), set_server_state('b', 'online'), unpin_room(1);

-- Moves.
SELECT get_or_assign_server(1);
SELECT move_room(1, 'c'), move_room('1', 'c'), move_room(2, 'c') IS NULL AS unassigned;
TABLE pg_temp.places;
SELECT set_server_state('b', 'offline');
CALL pg_temp.refused($$SELECT move_room(1, 'b')$$);
CALL pg_temp.refused($$SELECT move_room(1, 'nowhere')$$);
CALL pg_temp.refused($$SELECT move_room(1, NULL)$$);
CALL pg_temp.refused($$SELECT move_room(NULL::text, 'a')$$);
SELECT set_server_state('b', 'draining'), move_room(1, 'b'), set_server_state('b', 'online'), release_room(1);

-- Evacuations: the largest rooms first, pinned ones as well. With a number of rooms the server
-- keeps its state; without one all rooms leave, and the server is set to draining.
SELECT get_or_assign_server(i::text, NULL, 10 - i), move_room(i, 'a') FROM generate_series(1, 6) i;
SELECT pin_room(4, 'a');
SELECT evacuate_server('a', max_rooms => 2), server_state('a');
TABLE pg_temp.places;
SELECT evacuate_server('a', 'r', 1), server_state('a');
SELECT evacuate_server('a'), server_state('a');
TABLE pg_temp.places;
SELECT evacuate_server('a'), evacuate_server('b', max_rooms => 0);
CALL pg_temp.refused($$SELECT evacuate_server('nowhere')$$);
CALL pg_temp.refused($$SELECT evacuate_server(NULL)$$);
CALL pg_temp.refused($$SELECT evacuate_server('b', 'nowhere')$$);
CALL pg_temp.refused($$SELECT evacuate_server('b', 'b')$$);
CALL pg_temp.refused($$SELECT evacuate_server('b', '')$$);
CALL pg_temp.refused($$SELECT evacuate_server('b', max_rooms => -1)$$);
SELECT set_server_state('c', 'offline');
CALL pg_temp.refused($$SELECT evacuate_server('b', 'c')$$);
SELECT get_or_assign_server(7), server_state('b');
CALL pg_temp.refused($$SELECT evacuate_server('b')$$);
SELECT server_state('b');

-- A server with rooms cannot be deleted. After a deletion only its history is left.
CALL pg_temp.refused($$DELETE FROM balancer_servers WHERE name = 'b'$$);
SELECT server_heartbeat('c', false), set_server_state('a', 'online'), set_server_state('c', 'online');
SELECT evacuate_server('b', 'a'), evacuate_server('c', 'a');
DELETE FROM balancer_servers WHERE name IN ('b', 'c');
SELECT server FROM balancer_health;
SELECT DISTINCT "from", outcome, recovered FROM pg_temp.failovers ORDER BY 1;
INSERT INTO balancer_servers (name) VALUES ('c');
SELECT server_state('c');

DELETE FROM balancer_pins;
DELETE FROM room_server_assignments;
DELETE FROM balancer_servers;
TRUNCATE balancer_failovers, balancer_health;

-- A failover that is due and has no rooms to move leaves its standby free for others, though its
-- end has not been recorded.
INSERT INTO balancer_servers (name, pool) VALUES ('a', 'primary'), ('b', 'primary'), ('s', 'standby');
SET gxy_balancer.failover_delay = 0;
SELECT set_server_state('a', 'offline'), get_or_assign_server(1), set_server_state('b', 'offline');
SELECT "from", "to", outcome FROM pg_temp.failovers;
SELECT get_or_assign_server(1);
DELETE FROM room_server_assignments;
DELETE FROM balancer_servers;
TRUNCATE balancer_failovers, balancer_health;

-- An evacuation of a server that is offline leaves it offline.
INSERT INTO balancer_servers (name, state) VALUES ('a', 'online'), ('b', 'offline');
SELECT evacuate_server('b');
SELECT name, state FROM balancer_servers ORDER BY 1;
DELETE FROM balancer_servers;
TRUNCATE balancer_failovers;

-- Rooms of a failed server are spread evenly, also if the strategy fills one server after the other.
INSERT INTO balancer_servers (name) VALUES ('a'), ('b'), ('c');
INSERT INTO room_server_assignments (room_id, gateway_name) SELECT n, 'a' FROM generate_series(1, 6) n;
SET gxy_balancer.strategy = sequential;
SELECT set_server_state('a', 'offline');
SELECT count(get_or_assign_server(n)) FROM generate_series(1, 6) n;
TABLE pg_temp.places;
RESET gxy_balancer.strategy;
