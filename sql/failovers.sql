/*
 * failovers: which standby a failed server gets, and what balancer_failovers says afterwards, in one
 * session, without the worker. failover_delay is 0 where a failover must be due at once, and an hour
 * where it must not. Where the worker would finish a failover, the test writes its row.
 */
\getenv abs_srcdir PG_ABS_SRCDIR
\set helpers :abs_srcdir '/sql/include/helpers.sql'
\set ECHO none
\i :helpers
CREATE VIEW pg_temp.failovers AS
	SELECT from_server AS "from", to_server AS "to", rooms, outcome, recovered_at IS NOT NULL AS recovered
	FROM balancer_failovers ORDER BY declared_at, from_server;
INSERT INTO balancer_servers (name, pool, priority) VALUES ('a', 'primary', 0), ('b', 'primary', 0), ('c', 'primary', 0),
	('early', 'standby', 0), ('low', 'standby', -1), ('high', 'standby', 9);

-- The standby of the highest priority is claimed first, then those that come first in the pool.
SET gxy_balancer.failover_delay = '1h';
SELECT set_server_state('a', 'offline'), set_server_state('b', 'offline'), set_server_state('c', 'offline');
TABLE pg_temp.failovers;
UPDATE balancer_servers SET state = 'online';
DELETE FROM balancer_failovers;

-- A failover that has been finished keeps its standby in the history, also after the standby fails.
SELECT set_server_state('a', 'offline');
UPDATE balancer_failovers SET outcome = 'moved', finished_at = now();
SELECT set_server_state('high', 'offline');
TABLE pg_temp.failovers;
UPDATE balancer_servers SET state = 'online';
DELETE FROM balancer_failovers;

-- A server that fails twice: rooms of the first failover do not count for the second.
SET gxy_balancer.failover_delay = 0;
INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('1', 'a'), ('2', 'a');
SELECT set_server_state('a', 'offline');
SELECT get_or_assign_server(1), get_or_assign_server(2), set_server_state('a', 'online');
SET gxy_balancer.failover_delay = '1h';
SELECT set_server_state('a', 'offline'), set_server_state('a', 'online');
TABLE pg_temp.failovers;
DELETE FROM room_server_assignments;
DELETE FROM balancer_failovers;

-- A server that recovers while its rooms are being moved: interrupted if some are left, moved if
-- callers have moved all. The same if no standby is left.
SET gxy_balancer.failover_delay = 0;
INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('1', 'a'), ('2', 'a'), ('3', 'b');
SELECT set_server_state('a', 'offline'), set_server_state('b', 'offline');
SELECT get_or_assign_server(1), get_or_assign_server(3);
SELECT set_server_state('a', 'online'), set_server_state('b', 'online');
TABLE pg_temp.failovers;
SELECT room_id, gateway_name FROM room_server_assignments ORDER BY 1;
DELETE FROM room_server_assignments;
DELETE FROM balancer_failovers;
DELETE FROM balancer_servers WHERE pool = 'standby';
INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('1', 'a'), ('2', 'a'), ('3', 'b');
SELECT set_server_state('a', 'offline'), set_server_state('b', 'offline');
SELECT get_or_assign_server(1), get_or_assign_server(3);
SELECT set_server_state('a', 'online'), set_server_state('b', 'online');
TABLE pg_temp.failovers;
DELETE FROM room_server_assignments;
DELETE FROM balancer_failovers;

-- One that recovers when it is due, before any room is moved, is not called off: callers were sent
-- elsewhere. Without rooms there was nothing to do.
INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('1', 'a');
SELECT set_server_state('a', 'offline'), set_server_state('b', 'offline');
SELECT set_server_state('a', 'online'), set_server_state('b', 'online');
TABLE pg_temp.failovers;
DELETE FROM room_server_assignments;
DELETE FROM balancer_failovers;

-- A room on a server outside the pool, and one on a server that was inserted as offline: callers get
-- them elsewhere after the delay, with failover_on_call at once.
SET gxy_balancer.failover_delay = '1h';
INSERT INTO balancer_servers (name, state) VALUES ('off', 'offline');
INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('1', 'gone'), ('2', 'off');
SELECT get_or_assign_server(1), get_or_assign_server(2);
SET gxy_balancer.failover_on_call = on;
BEGIN READ ONLY;
SELECT get_or_assign_server(1), get_or_assign_server(2);
ROLLBACK;
SELECT get_or_assign_server(1), get_or_assign_server(2), get_or_assign_server(1), get_or_assign_server(2);
SELECT room_id, reason FROM room_server_assignments ORDER BY 1;
DELETE FROM room_server_assignments;
DELETE FROM balancer_failovers;

-- Two failovers of one server, by a restore: the latest counts, in whatever order they are read.
RESET gxy_balancer.failover_on_call;
INSERT INTO balancer_servers (name, pool) VALUES ('s1', 'standby'), ('s2', 'standby');
SET session_replication_role = replica;
UPDATE balancer_servers SET state = 'offline' WHERE name = 'a';
RESET session_replication_role;
INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('1', 'a');
INSERT INTO balancer_failovers (from_server, to_server, declared_at, due_at, cause) VALUES
	('a', 's1', now() - interval '1 h', now() - interval '1 h', 'silent'),
	('a', 's2', now() - interval '2 h', now() - interval '2 h', 'silent');
SELECT get_or_assign_server(1);
DELETE FROM room_server_assignments;
DELETE FROM balancer_failovers;

-- Two servers that fail in one statement get a standby each.
SET gxy_balancer.failover_delay = 0;
UPDATE balancer_servers SET state = 'online';
UPDATE balancer_servers SET state = 'offline' WHERE name IN ('a', 'b', 'off');
SELECT "from", "to" FROM pg_temp.failovers ORDER BY 1;

-- A room that comes to a failed server after its failover was finished does not go to the standby if that has failed too.
UPDATE balancer_failovers SET outcome = 'moved', finished_at = now();
UPDATE balancer_servers SET state = 'offline' WHERE name IN ('s1', 's2');
INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('1', 'a');
SELECT get_or_assign_server(1);
SELECT gateway_name, reason FROM room_server_assignments;

-- A server that leaves the pool ends its failover, also if the pool is emptied.
UPDATE balancer_servers SET state = 'online';
DELETE FROM room_server_assignments;
DELETE FROM balancer_failovers;
SET gxy_balancer.failover_delay = '1h';
UPDATE balancer_servers SET state = 'offline' WHERE name = 'a';
DELETE FROM balancer_servers;
TABLE pg_temp.failovers;
