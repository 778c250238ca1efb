/*
 * recovery: servers that are healthy again take new rooms after a while, in one session, without
 * the worker. Times are moved instead of waited for.
 */
\getenv abs_srcdir PG_ABS_SRCDIR
\set helpers :abs_srcdir '/sql/include/helpers.sql'
\set ECHO none
\i :helpers
SET gxy_balancer.strategy = least_loaded;
SET gxy_balancer.load_metric = users;
SET gxy_balancer.overflow = overcommit;
SET gxy_balancer.default_capacity = 10000;
SET gxy_balancer.heartbeat_timeout = 0;
SET gxy_balancer.failover_delay = '1h';
SET gxy_balancer.recovery_delay = '1h';
SET gxy_balancer.max_learned_rooms = 0;
SET gxy_balancer.avg_room_occupancy = 10;
INSERT INTO balancer_servers (name, pool) VALUES ('a', 'primary'), ('b', 'primary'), ('c', 'primary'), ('s', 'standby');
CREATE VIEW pg_temp.explained AS SELECT rank, server, chosen, tier, regexp_replace(reason, '\d\d:\d\d:\d\d', 'TIME') AS reason, state
	FROM explain_assignment('new');
CREATE VIEW pg_temp.causes AS SELECT server, state, regexp_replace(cause, '\d\d:\d\d:\d\d', 'TIME') AS cause FROM balancer_load;

-- A first report is no recovery.
SELECT server_heartbeat('a'), server_heartbeat('b', false);
SELECT server, recovered_at FROM balancer_health;
TABLE pg_temp.explained;

-- The server is online again, keeps its rooms and takes pinned ones, but no others while another
-- server is online, not even a standby.
SELECT server_heartbeat('b'), server_state('b');
SELECT server, recovered_at = since AS recovered FROM balancer_health;
TABLE pg_temp.causes;
TABLE pg_temp.explained;
SELECT get_or_assign_server(i), pin_room(100, 'b'), get_or_assign_server(100) FROM generate_series(1, 4) i;
BEGIN;
SELECT set_server_state('a', 'draining'), set_server_state('c', 'draining');
SELECT get_or_assign_server('to the standby');
UPDATE balancer_servers SET state = 'draining' WHERE name = 's';
SELECT get_or_assign_server('to the only one');
ROLLBACK;

-- A failure restarts it, heartbeats do not.
UPDATE balancer_health SET recovered_at = recovered_at - interval '30 min' WHERE server = 'b';
SELECT server_heartbeat('b'), server_heartbeat('b');
SELECT now() - recovered_at > interval '29 min' AS the_first FROM balancer_health WHERE server = 'b';
SELECT server_heartbeat('b', false), server_heartbeat('b', false), server_heartbeat('b');
SELECT now() - recovered_at < interval '1 min' AS anew FROM balancer_health WHERE server = 'b';

-- People decide at once; but a server that is online because people say so is still recovering.
SELECT set_server_state('b', 'offline'), set_server_state('b', 'online'), set_server_state('c', 'offline'), set_server_state('c', 'online');
TABLE pg_temp.causes;

-- After the delay it takes its share of the new rooms, though it is empty. No row is written.
DELETE FROM room_server_assignments;
INSERT INTO room_server_assignments (room_id, gateway_name) SELECT 'old' || i, CASE WHEN i % 2 = 0 THEN 'a' ELSE 'c' END
	FROM generate_series(1, 200) i;
UPDATE balancer_health SET recovered_at = recovered_at - interval '1 hour' WHERE server = 'b';
TABLE pg_temp.causes;
SELECT count(get_or_assign_server(i)) FROM generate_series(1, 300) i;
SELECT server, rooms BETWEEN 70 AND 130 AS its_share FROM balancer_load WHERE server = 'b';
SELECT count(*) FILTER (WHERE reason ~ '^back from an outage, leaves this room to others: \d+ \+ 10 of 10000$') BETWEEN 20 AND 45 AS turns
FROM generate_series(1000, 1049) i, explain_assignment(i) WHERE server = 'b';
-- What is explained is done.
SELECT count(*) FROM generate_series(1000, 1049) i, LATERAL (SELECT server FROM explain_assignment(i) WHERE chosen) e
WHERE get_or_assign_server(i) <> e.server;

-- Five minutes later it takes what the policy gives it.
UPDATE balancer_health SET recovered_at = recovered_at - interval '5 minutes' WHERE server = 'b';
TABLE pg_temp.causes;
SELECT get_or_assign_server('next');

-- 0: at once.
UPDATE balancer_health SET recovered_at = now();
SET gxy_balancer.recovery_delay = 0;
TABLE pg_temp.causes;
SELECT get_or_assign_server('at once');
SET gxy_balancer.recovery_delay = '1h';

-- A standby that is recovering is not claimed; rooms of a failed server are not sent to a server
-- that is.
DELETE FROM room_server_assignments;
UPDATE balancer_health SET recovered_at = NULL;
SELECT server_heartbeat('s', false), server_heartbeat('s'), server_heartbeat('c', false), server_heartbeat('c');
SELECT pin_room('x', 'a'), get_or_assign_server('x');
SET gxy_balancer.failover_delay = 0;
SELECT set_server_state('a', 'offline');
SELECT from_server, to_server, outcome FROM balancer_failovers WHERE from_server = 'a';
SELECT get_or_assign_server('x');
SELECT set_server_state('b', 'draining'), get_or_assign_server('only these are online');

-- Times that no clock gives.
UPDATE balancer_health SET recovered_at = 'infinity' WHERE server = 'c';
UPDATE balancer_health SET recovered_at = '-infinity' WHERE server = 's';
SELECT server, cause FROM balancer_load WHERE server IN ('c', 's');
