/*
 * explain: what explain_assignment() says is what get_or_assign_server() then does, over random pools, states, health,
 * capacities, regions, pins, sessions, failovers and rooms; new rooms, assigned ones and those whose server has failed.
 *
 *     createdb x && pg_prove -d x test/pgtap/explain.sql
 */
BEGIN;
SET LOCAL client_min_messages = warning;
CREATE EXTENSION pgtap;
CREATE EXTENSION gxy_balancer;
SELECT plan(6);
/* What is explained is counted now; the sessions of a scene are younger than any other count. */
SET LOCAL gxy_balancer.load_max_age = 0;
SELECT setseed(0.4711);

CREATE TEMPORARY TABLE told (scene int, kind text, room text, said text, reason text, answer text, written text);
CREATE TABLE sessions (room_id text, user_id int, gateway_name text);
SELECT lives_ok($$SELECT attach_sessions('sessions')$$, 'sessions are attached');

/* Picks a random word. */
CREATE FUNCTION pg_temp.pick(VARIADIC words text[]) RETURNS text LANGUAGE sql VOLATILE AS
	$$ SELECT $1[1 + floor(random() * cardinality($1))::int] $$;

CREATE PROCEDURE pg_temp.scene(scene int) LANGUAGE plpgsql AS $$
DECLARE
	room text;
	region text;
	size int;
	before text;
	note record;
	answered text;
BEGIN
	DELETE FROM room_server_assignments;
	TRUNCATE balancer_pins, balancer_servers;
	DELETE FROM balancer_failovers;
	DELETE FROM balancer_health;
	DELETE FROM sessions;
	PERFORM set_config('gxy_balancer.strategy', pg_temp.pick('least_loaded', 'sequential'), true),
		set_config('gxy_balancer.load_metric', pg_temp.pick('users', 'rooms'), true),
		set_config('gxy_balancer.failover_delay', pg_temp.pick('0', '0', '1h'), true);
	INSERT INTO balancer_servers (name, priority, capacity, regions, pool)
		SELECT 'n' || i, floor(random() * 3), CASE WHEN random() < 0.7 THEN 1 + floor(random() * 60) END,
			CASE WHEN random() < 0.3 THEN ARRAY[pg_temp.pick('IL', 'US')] END,
			pg_temp.pick('primary', 'primary', 'primary', 'standby', 'reserved')
		FROM generate_series(1, 1 + floor(random() * 8)::int) i;
	INSERT INTO balancer_pins (room_id, server, expected_users)
		SELECT r::text, (SELECT name FROM balancer_servers WHERE r > 0 ORDER BY random() LIMIT 1),
			CASE WHEN random() < 0.5 THEN 1 + floor(random() * 40) END
		FROM generate_series(1, 20, 5) r;
	INSERT INTO room_server_assignments (room_id, gateway_name, region, expected_users, assigned_at)
		SELECT r::text, coalesce((SELECT name FROM balancer_servers WHERE r > 0 AND random() < 0.9 ORDER BY random() LIMIT 1), 'gone'),
			CASE WHEN random() < 0.2 THEN 'IL' END, CASE WHEN random() < 0.5 THEN 1 + floor(random() * 20) END,
			now() - pg_temp.pick('1 s', '1 d')::interval
		FROM generate_series(1, 12) r;
	INSERT INTO sessions
		SELECT (1 + floor(random() * 20))::text, floor(random() * 50), 'n' || 1 + floor(random() * 8)
		FROM generate_series(1, floor(random() * 60)::int);
	UPDATE balancer_servers SET state = pg_temp.pick('online', 'draining', 'offline') WHERE random() < 0.6;
	PERFORM server_heartbeat(name, random() < 0.5) FROM balancer_servers WHERE random() < 0.3;
	FOR room IN SELECT i::text FROM generate_series(1, 20) i ORDER BY random() LOOP
		region := pg_temp.pick('IL', 'US', NULL, NULL);
		size := CASE WHEN random() < 0.3 THEN 1 + floor(random() * 80) END;
		SELECT a.gateway_name INTO before FROM room_server_assignments a WHERE a.room_id = room;
		SELECT e.server, e.reason INTO note FROM explain_assignment(room, region, size) e WHERE e.chosen;
		BEGIN
			answered := get_or_assign_server(room, region, size);
		EXCEPTION WHEN insufficient_resources THEN
			answered := NULL;
		END;
		INSERT INTO told
			SELECT scene, CASE WHEN before IS NULL THEN 'new' WHEN before = answered THEN 'sticky' ELSE 'failed over' END,
				room, note.server, note.reason, answered, a.reason
			FROM (VALUES (room)) r (id) LEFT JOIN room_server_assignments a ON a.room_id = r.id;
	END LOOP;
END
$$;
DO $$ BEGIN FOR i IN 1..150 LOOP CALL pg_temp.scene(i); END LOOP; END $$;

SELECT is_empty('SELECT * FROM told WHERE said IS DISTINCT FROM answer', 'what is explained is what is done');
SELECT is_empty($$SELECT * FROM told WHERE kind <> 'sticky' AND reason IS DISTINCT FROM written$$,
	'and why is what the room''s row says');
SELECT cmp_ok((SELECT count(*) FROM told WHERE kind = 'new'), '>', 500::bigint, 'there were new rooms');
SELECT cmp_ok((SELECT count(*) FROM told WHERE kind = 'sticky'), '>', 500::bigint, 'assigned ones');
SELECT cmp_ok((SELECT count(*) FROM told WHERE kind = 'failed over'), '>', 100::bigint, 'and some whose server had failed');

SELECT * FROM finish();
ROLLBACK;
