/*
 * sticky: a room keeps its server for every caller and with every type of id; which calls renew a
 * lease and which do not; and a transaction that is rolled back leaves nothing.
 */
\getenv abs_srcdir PG_ABS_SRCDIR
\set helpers :abs_srcdir '/sql/include/helpers.sql'
\set ECHO none
\i :helpers

-- A number and its text are the same room.
SELECT get_or_assign_server(2171);
SELECT get_or_assign_server('2171'), get_or_assign_server(2171::int), get_or_assign_server(2171::bigint),
	get_or_assign_server(2171::smallint), get_or_assign_server('2171'::text), get_or_assign_server('2171'::varchar(9));
SELECT room_server(2171), room_server('2171'), touch_room(2171), touch_room('2171'::text);
SELECT room_id, gateway_name, region, reason, expected_users FROM room_server_assignments;
PREPARE by_text (text) AS SELECT get_or_assign_server($1);
PREPARE by_number (bigint) AS SELECT get_or_assign_server($1);
PREPARE untyped AS SELECT get_or_assign_server($1);
EXECUTE by_text ('2171');
EXECUTE by_number (2171);
EXECUTE untyped ('2171');
SELECT parameter_types FROM pg_prepared_statements WHERE name = 'untyped';
SELECT release_room(2171), release_room('2171'), release_room(2171);

-- Other texts are other rooms, and each number is another room.
SELECT count(DISTINCT get_or_assign_server(room)) AS servers, count(*) AS rooms
FROM unnest(ARRAY['2171', '02171', ' 2171', '2171 ', '+2171', '2171.0', E'2171\n', 'A', 'a', '"', '''', '\',
	repeat('x', 255)]) room;
SELECT count(*) FROM room_server_assignments;
SELECT get_or_assign_server(n) = get_or_assign_server(n::text) AS same, room_server(n) IS NULL AS not_yet
FROM unnest(ARRAY[0, -1, 9223372036854775807, -9223372036854775808]) n;
SELECT room_id FROM room_server_assignments WHERE room_id ~ '^-?[0-9]+$' ORDER BY room_id COLLATE "C";
TRUNCATE room_server_assignments;

-- The first caller's region and number stay; '' is no region.
SELECT get_or_assign_server('r1', 'IL', 30), get_or_assign_server('r2', '', 7), get_or_assign_server('r3', NULL, NULL);
SELECT get_or_assign_server('r1', 'RU', 99), get_or_assign_server('r1', 'RU'), get_or_assign_server('r1');
SELECT get_or_assign_server(room => 'r4', expected_users => 12) = room_server('r1') AS on_r1s_server;
SELECT room_id, region, expected_users FROM room_server_assignments ORDER BY room_id COLLATE "C";

-- Several calls in one statement: each sees the effects of the earlier ones.
SELECT get_or_assign_server(1), release_room(1), release_room(1), touch_room(1);
SELECT get_or_assign_server(2), get_or_assign_server('2'), touch_room(2, 5), touch_room(2, 6), release_room('2'),
	touch_room(2), get_or_assign_server(2) IS NOT NULL AS again;
SELECT reported_users FROM room_server_assignments WHERE room_id = '2';
SELECT i, get_or_assign_server(i) = get_or_assign_server(i) AS same, release_room(i) AS first, release_room(i) AS second
FROM generate_series(3, 5) i;
WITH a AS MATERIALIZED (SELECT get_or_assign_server(6) AS server)
SELECT a.server = get_or_assign_server(6) AS same, release_room(6) FROM a;
SELECT get_or_assign_server(7) = get_or_assign_server(7) AS same WHERE touch_room(7) IS NOT NULL;
SELECT count(DISTINCT s) AS servers FROM (SELECT get_or_assign_server(8) AS s FROM generate_series(1, 100)) x;
SELECT clean_inactive_assignments('0') AS freed, get_or_assign_server(9) IS NOT NULL AS assigned,
	clean_inactive_assignments('0') AS freed_again;
SELECT count(*) FROM room_server_assignments;

-- Changes that the same statement has made to a room count.
INSERT INTO room_server_assignments (room_id, gateway_name) SELECT 'gone' || i, 'gxy12' FROM generate_series(1, 4) i;
WITH gone AS (DELETE FROM room_server_assignments WHERE room_id = 'gone1' RETURNING room_id)
SELECT get_or_assign_server(room_id) <> 'gxy12' AS anew FROM gone;
WITH gone AS (DELETE FROM room_server_assignments WHERE room_id = 'gone2' RETURNING room_id)
SELECT touch_room(room_id), room_id FROM gone;
WITH gone AS (DELETE FROM room_server_assignments WHERE room_id = 'gone3' RETURNING room_id)
SELECT release_room(room_id) FROM gone;
WITH moved AS (UPDATE room_server_assignments SET gateway_name = 'gxy11' WHERE room_id = 'gone4' RETURNING room_id)
SELECT get_or_assign_server(room_id) FROM moved;
WITH made AS (INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('made', 'gxy10') RETURNING room_id)
SELECT get_or_assign_server(room_id) FROM made;
SELECT room_id, gateway_name = 'gxy12' AS left_alone FROM room_server_assignments WHERE room_id ~ 'gone|made' ORDER BY 1;
TRUNCATE room_server_assignments;

-- In functions and procedures, and in a trigger of the application.
CREATE TABLE visits (room bigint, server text);
CREATE FUNCTION visit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.server := get_or_assign_server(NEW.room);
	RETURN NEW;
END
$$;
CREATE TRIGGER visit BEFORE INSERT ON visits FOR EACH ROW EXECUTE FUNCTION visit();
INSERT INTO visits SELECT i / 2 FROM generate_series(2, 7) i;
SELECT room, count(*), count(DISTINCT server), bool_and(server = room_server(room)) AS agree
FROM visits GROUP BY room ORDER BY room;
DROP TABLE visits;
DROP FUNCTION visit();
DO $$
DECLARE
	first text;
BEGIN
	FOR i IN 1 .. 3 LOOP
		first := get_or_assign_server('loop');
		ASSERT first = room_server('loop');
		ASSERT release_room('loop');
		ASSERT room_server('loop') IS NULL;
	END LOOP;
END
$$;
TRUNCATE room_server_assignments;

-- room_server and touch_room assign nothing.
SELECT room_server('unknown'), room_server(404), touch_room('unknown'), touch_room(404, 3), release_room('unknown');
SELECT count(*) FROM room_server_assignments;

-- A young lease is not written again. The row's ctid shows whether it was.
SELECT get_or_assign_server('r');
CREATE TEMPORARY TABLE seen AS SELECT ctid AS place FROM room_server_assignments;
CREATE FUNCTION pg_temp.written() RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	answer boolean;
BEGIN
	SELECT seen.place <> a.ctid INTO STRICT answer FROM seen, room_server_assignments a;
	UPDATE seen SET place = a.ctid FROM room_server_assignments a;
	RETURN answer;
END
$$;
-- The same after the lease has been made older, which writes the row.
CREATE PROCEDURE pg_temp.age_seen(by interval) LANGUAGE plpgsql AS $$
BEGIN
	CALL pg_temp.age(by);
	PERFORM pg_temp.written();
END
$$;
SELECT get_or_assign_server('r'), touch_room('r');
SELECT pg_temp.written();
CALL pg_temp.age_seen('5 seconds');
SELECT get_or_assign_server('r'), touch_room('r');
SELECT pg_temp.written();
CALL pg_temp.age_seen('1 minute');
SELECT room_server('r');
SELECT pg_temp.written();
SELECT get_or_assign_server('r');
SELECT pg_temp.written(), now() - last_used_at < interval '1 minute' AS renewed,
	now() - assigned_at > interval '1 minute' AS assigned_then, gateway_name, reason
FROM room_server_assignments;
CALL pg_temp.age_seen('1 minute');
SELECT touch_room('r');
SELECT pg_temp.written(), now() - last_used_at < interval '1 minute' AS renewed FROM room_server_assignments;
-- The later of the two times counts: the application may set either.
UPDATE room_server_assignments SET assigned_at = now(), last_used_at = now() - interval '1 hour';
CALL pg_temp.age_seen('0');
SELECT get_or_assign_server('r');
SELECT pg_temp.written();
-- The interval is a setting; at 0 every call renews.
SET gxy_balancer.touch_interval = 0;
SELECT get_or_assign_server('r');
SELECT pg_temp.written();
SET gxy_balancer.touch_interval = '1h';
SET gxy_balancer.assignment_grace = '1d';
CALL pg_temp.age_seen('50 minutes');
SELECT get_or_assign_server('r');
SELECT pg_temp.written();
CALL pg_temp.age_seen('20 minutes');
SELECT get_or_assign_server('r');
SELECT pg_temp.written();
-- A lease is renewed at a third of the grace period at the latest, or a room in use could lose it
-- between two calls.
SET gxy_balancer.assignment_grace = '1h';
CALL pg_temp.age_seen('15 minutes');
SELECT get_or_assign_server('r');
SELECT pg_temp.written();
CALL pg_temp.age_seen('10 minutes');
SELECT get_or_assign_server('r');
SELECT pg_temp.written();
-- Writing in a SERIALIZABLE transaction risks a serialization failure, so it renews only after half
-- the grace period.
CALL pg_temp.age_seen('25 minutes');
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT get_or_assign_server('r'), touch_room('r');
COMMIT;
SELECT pg_temp.written();
CALL pg_temp.age_seen('10 minutes');
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT get_or_assign_server('r');
COMMIT;
SELECT pg_temp.written();
RESET gxy_balancer.touch_interval;
RESET gxy_balancer.assignment_grace;
-- A renewal changes nothing but the time, wherever the row has it, also in a row that is older than a column.
BEGIN;
INSERT INTO room_server_assignments
	SELECT repeat('x', i), 'gxy1', CASE WHEN i % 2 = 0 THEN repeat('y', i % 7) END, '2000-01-01', '2000-01-01',
		CASE WHEN i % 3 = 0 THEN repeat('z', i) END, CASE WHEN i % 5 <> 0 THEN i END, CASE WHEN i % 4 <> 0 THEN i END
	FROM generate_series(1, 200) i;
ALTER TABLE room_server_assignments ADD COLUMN tenant text NOT NULL DEFAULT 'galaxy', ADD COLUMN note text;
CREATE TEMPORARY TABLE old ON COMMIT DROP AS TABLE room_server_assignments;
SET LOCAL gxy_balancer.touch_interval = 0;
SELECT count(get_or_assign_server(room_id)) AS answered FROM old;
SELECT count(*) AS renewed
FROM room_server_assignments new JOIN old USING (room_id)
WHERE to_jsonb(new) - 'last_used_at' = to_jsonb(old) - 'last_used_at'
	AND new.last_used_at BETWEEN now() AND clock_timestamp();
ROLLBACK;
-- The time written is clock_timestamp(): in a long transaction now() is long ago.
BEGIN;
CALL pg_temp.age('1 minute');
SELECT get_or_assign_server('r');
SELECT last_used_at > now() AS renewed FROM room_server_assignments;
ROLLBACK;

-- touch_room()'s number counts if no sessions are attached; it is written whenever it changes.
CALL pg_temp.age_seen('0');
SELECT touch_room('r', 25);
SELECT pg_temp.written(), reported_users FROM room_server_assignments;
SELECT touch_room('r', 25), touch_room('r'), touch_room('r', NULL);
SELECT pg_temp.written(), reported_users FROM room_server_assignments;
SELECT server, rooms, users, expected, load FROM balancer_load WHERE rooms > 0;
SELECT touch_room('r', 0);
SELECT rooms, users, expected, load FROM balancer_load WHERE rooms > 0;
CALL pg_temp.age('1 day');
SELECT rooms, users, expected, load FROM balancer_load WHERE rooms > 0;
SELECT touch_room('r', 1000000);
SELECT users FROM balancer_rooms;

-- A room keeps its server when the server's state, capacity, regions or pool change.
BEGIN;
SELECT init_servers();
UPDATE balancer_servers SET state = 'draining', capacity = 1, regions = '{XX}', pool = 'reserved'
WHERE name = room_server('r');
SELECT get_or_assign_server('r') = room_server('r') AS same;
ROLLBACK;
TRUNCATE room_server_assignments;

-- A rollback leaves nothing in the tables or in the load.
BEGIN;
SELECT get_or_assign_server('r');
SELECT sum(rooms) FROM balancer_load;
ROLLBACK;
SELECT count(*) FROM room_server_assignments;
SELECT sum(rooms), sum(load) FROM balancer_load;
SELECT get_or_assign_server('r');
BEGIN;
SAVEPOINT one;
SELECT get_or_assign_server('s'), get_or_assign_server('t');
SAVEPOINT two;
SELECT release_room('r'), release_room('s'), get_or_assign_server('u'), get_or_assign_server('r');
ROLLBACK TO two;
SELECT room_id, gateway_name FROM room_server_assignments ORDER BY room_id COLLATE "C";
SELECT get_or_assign_server('s'), get_or_assign_server('v');
ROLLBACK TO one;
SELECT get_or_assign_server('w');
SELECT room_id, gateway_name FROM room_server_assignments ORDER BY room_id COLLATE "C";
COMMIT;
SELECT server, rooms, load FROM balancer_load WHERE rooms > 0;
DO $$
BEGIN
	PERFORM get_or_assign_server('x'), release_room('r'), touch_room('w', 50), clean_inactive_assignments('0');
	RAISE division_by_zero;
EXCEPTION WHEN division_by_zero THEN
	NULL;
END
$$;
SELECT room_id, gateway_name, reported_users FROM room_server_assignments ORDER BY room_id COLLATE "C";
SELECT get_or_assign_server('y'), 1 / (length(get_or_assign_server('z')) - 4);
SELECT count(*) FROM room_server_assignments;

-- An open transaction holds the locks of an ordinary INSERT. It does not hold the placement lock.
BEGIN;
SELECT get_or_assign_server('first'), get_or_assign_server('second'), release_room('first'), touch_room('second', 3);
SELECT count(*) FILTER (WHERE locktype = 'transactionid') AS own, count(*) FILTER (WHERE locktype NOT IN ('virtualxid',
	'transactionid') AND (locktype <> 'relation' OR mode NOT IN ('AccessShareLock', 'RowExclusiveLock'))) AS others
FROM pg_locks WHERE pid = pg_backend_pid();
ROLLBACK;

-- At every isolation level.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT get_or_assign_server('r'), get_or_assign_server('rr'), get_or_assign_server('rr'), release_room('rr'),
	get_or_assign_server('rr') = get_or_assign_server('rr') AS same;
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT get_or_assign_server('r'), get_or_assign_server('se'), get_or_assign_server('se'), release_room('rr'),
	clean_inactive_assignments();
COMMIT;
SELECT room_id, gateway_name FROM room_server_assignments ORDER BY room_id COLLATE "C";

-- A READ ONLY transaction gets the answer, and nothing is written.
TRUNCATE room_server_assignments;
SELECT get_or_assign_server('r');
CALL pg_temp.age('1 hour');
BEGIN READ ONLY;
SELECT get_or_assign_server('r'), room_server('r');
SELECT now() - last_used_at < interval '1 minute' AS renewed FROM room_server_assignments;
SELECT count(*) FROM balancer_load WHERE rooms > 0;
SELECT count(*) FROM balancer_rooms;
SELECT server FROM explain_assignment('r') WHERE chosen;
COMMIT;

-- A parallel query may look rooms up, also where the backend has no current copy of the pool.
CREATE TABLE listed AS SELECT CASE i % 100 WHEN 0 THEN 'r' ELSE i::text END AS room, repeat('x', 100) AS filler
	FROM generate_series(1, 3000) i;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
CREATE VIEW listing AS SELECT room_server(room) AS server FROM listed WHERE length(filler) = 100;
EXPLAIN (COSTS OFF) SELECT server FROM listing;
INSERT INTO balancer_servers (name, pool) VALUES ('gxy1', 'primary'), ('spare', 'standby');
SELECT server, count(*) FROM listing GROUP BY server ORDER BY server;
SET gxy_balancer.failover_delay = 0;
SELECT set_server_state('gxy1', 'offline');
SELECT server, count(*) FROM listing GROUP BY server ORDER BY server;
BEGIN ISOLATION LEVEL REPEATABLE READ;
UPDATE balancer_servers SET priority = 1 WHERE name = 'spare';
SELECT server, count(*) FROM listing GROUP BY server ORDER BY server;
ROLLBACK;
RESET gxy_balancer.failover_delay;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;
DROP VIEW listing;
DROP TABLE listed;
TRUNCATE room_server_assignments, balancer_servers, _pool_written, balancer_failovers;

-- In a parallel query nothing can be written: a room is answered without the renewal that is due.
INSERT INTO room_server_assignments (room_id, gateway_name, assigned_at, last_used_at)
	VALUES ('parallel', 'gxy1', now() - interval '1 min', now() - interval '1 min');
CREATE FUNCTION ask() RETURNS text LANGUAGE plpgsql PARALLEL SAFE AS $$BEGIN RETURN get_or_assign_server('parallel'); END$$;
SELECT set_config(name, 'on', false) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
SELECT ask();
SELECT set_config(name, 'off', false) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
SELECT last_used_at < now() - interval '30 s' AS as_it_was FROM room_server_assignments WHERE room_id = 'parallel';
SELECT ask();
SELECT last_used_at > now() - interval '30 s' AS renewed FROM room_server_assignments WHERE room_id = 'parallel';
DROP FUNCTION ask();
TRUNCATE room_server_assignments;
