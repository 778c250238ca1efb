/*
 * explain: explain_assignment() predicts what get_or_assign_server() then does, for every kind of
 * pool, and changes nothing.
 */
\getenv abs_srcdir PG_ABS_SRCDIR
\set helpers :abs_srcdir '/sql/include/helpers.sql'
\set ECHO none
\i :helpers

-- One row for each server, best first, with its numbers and why it was or was not chosen.
BEGIN;
INSERT INTO balancer_servers (name, capacity, priority, regions, pool, state) VALUES
	('gxy1', 100, 0, NULL, 'primary', 'online'), ('gxy2', 30, 0, NULL, 'primary', 'online'),
	('gxy3', 100, 5, '{IL,RU}', 'primary', 'online'), ('gxy4', 100, 0, '{DE}', 'primary', 'online'),
	('gxy5', 100, 0, NULL, 'primary', 'draining'), ('gxy6', 100, 0, NULL, 'primary', 'offline'),
	('gxy7', 100, 0, NULL, 'standby', 'online'), ('gxy8', 100, 0, NULL, 'reserved', 'online');
INSERT INTO room_server_assignments (room_id, gateway_name, expected_users) VALUES
	('a', 'gxy1', 5), ('b', 'gxy1', 10), ('c', 'gxy2', 25), ('d', 'gxy5', 1);
\x on
SELECT * FROM explain_assignment('new', 'IL', 12);
\x off
SELECT rank, server, chosen, tier, reason FROM explain_assignment('new');
SELECT rank, server, chosen, tier, reason FROM explain_assignment('b');
-- Where the room is comes first, however full it is.
SELECT rank, server, chosen, tier, reason FROM explain_assignment('c') LIMIT 2;
-- A room whose server is not in the pool, before its failover is due and after it.
SAVEPOINT before;
INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('e', 'gone');
SELECT rank, server, chosen, tier, reason, load, capacity, state, pool FROM explain_assignment('e') LIMIT 2;
SET LOCAL gxy_balancer.failover_delay = 0;
SELECT rank, server, chosen, tier, reason FROM explain_assignment('e') LIMIT 1;
UPDATE balancer_servers SET state = 'offline';
SELECT rank, server, chosen, tier, reason FROM explain_assignment('e') LIMIT 1;
ROLLBACK TO before;
-- A room larger than every server: an empty server takes it, although the room does not fit.
INSERT INTO balancer_servers (name, capacity) VALUES ('gxy9', 1), ('gxy10', 90);
SELECT server, chosen, tier, reason FROM explain_assignment('new', NULL, 1000000) LIMIT 4;
ROLLBACK;

-- Compares the prediction, the call and the explanation after the call, on one pool after the
-- other.
CREATE TEMPORARY TABLE scenes (number serial, name text, setting text, arguments text DEFAULT '''new''');
INSERT INTO scenes (name, setting) VALUES
	('the pool as it comes', 'NULL'),
	('no server', 'SET LOCAL gxy_balancer.default_servers = '''''),
	('one server', 'PERFORM init_servers(''a'')'),
	('one has rooms', 'PERFORM init_servers(''a,b,c''), get_or_assign_server(1)'),
	('two have rooms, sequential',
		'PERFORM init_servers(''a,b,c''), get_or_assign_server(1); SET LOCAL gxy_balancer.strategy = sequential'),
	('the first is full, sequential', 'INSERT INTO balancer_servers (name, capacity) VALUES (''a'', 10), (''b'', 100);
		SET LOCAL gxy_balancer.strategy = sequential; PERFORM get_or_assign_server(1)'),
	('all are full', 'INSERT INTO balancer_servers (name, capacity) VALUES (''a'', 15), (''b'', 11);
		PERFORM get_or_assign_server(1), get_or_assign_server(2)'),
	('all are full and that is an error', 'INSERT INTO balancer_servers (name, capacity) VALUES (''a'', 15), (''b'', 11);
		SET LOCAL gxy_balancer.overflow = error; PERFORM get_or_assign_server(1), get_or_assign_server(2)'),
	('larger than all', 'INSERT INTO balancer_servers (name, capacity) VALUES (''a'', 5), (''b'', 9);
		SET LOCAL gxy_balancer.overflow = error'),
	('capacities differ', 'INSERT INTO balancer_servers (name, capacity) VALUES (''a'', 50), (''b'', 500);
		PERFORM get_or_assign_server(i) FROM generate_series(1, 7) i'),
	('priorities', 'INSERT INTO balancer_servers (name, priority) VALUES (''a'', 1), (''b'', 2), (''c'', 2)'),
	('position', 'INSERT INTO balancer_servers (name, position) VALUES (''a'', 3), (''b'', 2), (''c'', 2)'),
	('load_metric = rooms', 'PERFORM init_servers(''a,b''), get_or_assign_server(1, NULL, 1), touch_room(1, 900);
		PERFORM get_or_assign_server(2), get_or_assign_server(3); SET LOCAL gxy_balancer.load_metric = rooms'),
	('a standby only', 'INSERT INTO balancer_servers (name, pool) VALUES (''a'', ''standby'')'),
	('a reserved one only', 'INSERT INTO balancer_servers (name, pool) VALUES (''a'', ''reserved'')'),
	('draining', 'INSERT INTO balancer_servers (name, state) VALUES (''a'', ''offline''), (''b'', ''draining'')'),
	('offline', 'INSERT INTO balancer_servers (name, state) VALUES (''a'', ''offline''), (''b'', ''offline'')'),
	('pinned', 'PERFORM init_servers(''a,b''); INSERT INTO balancer_pins VALUES (''new'', ''b'', 5000)'),
	('pinned to one that is draining', 'INSERT INTO balancer_servers (name, state) VALUES (''a'', ''online''),
		(''b'', ''draining''); INSERT INTO balancer_pins VALUES (''new'', ''b'')'),
	('pinned to one that is offline', 'INSERT INTO balancer_servers (name, state) VALUES (''a'', ''online''),
		(''b'', ''offline''); INSERT INTO balancer_pins VALUES (''new'', ''b'')'),
	('in progress', 'PERFORM init_servers(''a,b,c''), attach_sessions(''app_sessions'');
		INSERT INTO app_sessions SELECT ''new'', i, CASE WHEN i < 4 THEN ''b'' ELSE ''c'' END FROM generate_series(1, 9) i'),
	('people elsewhere', 'PERFORM init_servers(''a,b,c''), attach_sessions(''app_sessions'');
		INSERT INTO app_sessions SELECT ''old'', i, ''a'' FROM generate_series(1, 9) i; PERFORM get_or_assign_server(1)'),
	('not among the rooms', 'PERFORM attach_rooms(''app_sessions'')'),
	('a source that is gone', 'PERFORM attach_sessions(''app_sessions''); DROP TABLE app_sessions'),
	('has a server', 'PERFORM init_servers(''a,b''), get_or_assign_server(''new''), get_or_assign_server(1)'),
	('has one that is draining', 'PERFORM init_servers(''a,b''), get_or_assign_server(''new'');
		UPDATE balancer_servers SET state = ''draining'' WHERE name = ''a''');
INSERT INTO scenes (name, setting, arguments) VALUES
	('own region', 'INSERT INTO balancer_servers (name, regions) VALUES (''a'', NULL), (''b'', ''{IL}'')', '''new'', ''IL'''),
	('own region full', 'INSERT INTO balancer_servers (name, regions, capacity) VALUES (''a'', NULL, 99), (''b'', ''{IL}'', 9)',
		'''new'', ''IL'''),
	('another region', 'INSERT INTO balancer_servers (name, regions) VALUES (''a'', ''{DE}''), (''b'', NULL)',
		'''new'', ''IL'''),
	('other regions only', 'INSERT INTO balancer_servers (name, regions) VALUES (''a'', ''{DE}''), (''b'', ''{RU}'')',
		'''new'', ''IL'''),
	('a large room', 'INSERT INTO balancer_servers (name, capacity) VALUES (''a'', 300), (''b'', 400)', '''new'', '''', 350'),
	('a number', 'PERFORM init_servers(''a,b''), get_or_assign_server(1)', '2171, NULL, 7');

CREATE TABLE app_sessions (room_id text, user_id int, gateway_name text);
SET client_min_messages = warning;
CREATE FUNCTION pg_temp.play(scene scenes, OUT explained text, OUT tier int, OUT reason text, OUT done text,
	OUT recorded text, OUT afterwards text, OUT agree boolean) LANGUAGE plpgsql AS $$
DECLARE
	before text;
	after text;
	everything CONSTANT text := 'SELECT md5(string_agg(x, chr(10) ORDER BY x)) FROM (
		SELECT t::text || ctid || xmin FROM room_server_assignments t UNION ALL
		SELECT t::text || ctid || xmin FROM balancer_servers t UNION ALL
		SELECT t::text || ctid || xmin FROM balancer_pins t UNION ALL
		SELECT t::text || ctid || xmin FROM balancer_room_sizes t UNION ALL
		SELECT t::text || ctid || xmin FROM balancer_sources t) x (x)';
BEGIN
	BEGIN
		EXECUTE format('DO %L', 'BEGIN ' || scene.setting || '; END');
		EXECUTE everything INTO before;
		BEGIN
			EXECUTE format('SELECT server, tier, reason FROM explain_assignment(%s) WHERE chosen', scene.arguments)
			INTO explained, tier, reason;
			explained := coalesce(explained, 'none');
		EXCEPTION WHEN OTHERS THEN
			explained := SQLSTATE;
		END;
		EXECUTE everything INTO after;
		ASSERT before IS NOT DISTINCT FROM after, 'explaining has changed something';
		BEGIN
			EXECUTE format('SELECT get_or_assign_server(%s)', scene.arguments) INTO done;
			EXECUTE format('SELECT e.server, a.reason FROM explain_assignment(%s) e, room_server_assignments a
				WHERE e.chosen AND a.room_id = (%s)::text', scene.arguments, split_part(scene.arguments, ',', 1))
			INTO afterwards, recorded;
		EXCEPTION WHEN OTHERS THEN
			done := SQLSTATE;
		END;
		agree := explained = coalesce(afterwards, done) OR explained = 'none' AND done IN ('53000', '53400', '55000');
		RAISE division_by_zero;
	EXCEPTION WHEN division_by_zero THEN
		NULL;
	END;
END
$$;
SELECT s.name, p.explained, p.tier, p.reason, p.done, p.recorded, p.afterwards
FROM scenes s, LATERAL pg_temp.play(s) p ORDER BY s.number;
SELECT count(*) AS scenes, count(*) FILTER (WHERE p.agree) AS agree,
	bool_and(p.reason = p.recorded) FILTER (WHERE s.name NOT LIKE 'has %' AND p.recorded IS NOT NULL) AS same_reason
FROM scenes s, LATERAL pg_temp.play(s) p;
SELECT count(*) FROM room_server_assignments;
SELECT count(*) FROM balancer_servers;

-- Arbitrary mixtures: 200 random pools, each with random rooms on half of its capacity.
CREATE FUNCTION pg_temp.number(seed int, below int) RETURNS int LANGUAGE sql IMMUTABLE AS $$
	SELECT (hashtext(seed::text)::bigint + 2147483648) % below
$$;
CREATE PROCEDURE pg_temp.compare(seed int, INOUT agree int, INOUT refused int) LANGUAGE plpgsql AS $$
DECLARE
	explained text;
	done text;
	region text := (ARRAY[NULL, 'IL', 'DE'])[1 + pg_temp.number(seed + 1, 3)];
	people int := NULLIF(pg_temp.number(seed + 2, 60), 0);
BEGIN
	PERFORM set_config('gxy_balancer.strategy', (ARRAY['least_loaded', 'sequential'])[1 + seed % 2], true),
		set_config('gxy_balancer.overflow', (ARRAY['overcommit', 'error'])[1 + seed / 2 % 2], true),
		set_config('gxy_balancer.load_metric', (ARRAY['users', 'users', 'rooms'])[1 + seed % 3], true);
	DELETE FROM room_server_assignments;
	DELETE FROM app_sessions;
	DELETE FROM balancer_pins;
	DELETE FROM balancer_servers;
	INSERT INTO balancer_servers (name, position, priority, capacity, regions, pool, state)
	SELECT 's' || i, pg_temp.number(s, 4), pg_temp.number(s + 1, 2), 20 + pg_temp.number(s + 2, 90),
		(ARRAY[NULL, NULL, '{IL}', '{DE,IL}'])[1 + pg_temp.number(s + 3, 4)]::text[],
		(ARRAY['primary', 'primary', 'primary', 'standby', 'reserved'])[1 + pg_temp.number(s + 4, 5)],
		(ARRAY['online', 'online', 'online', 'draining', 'offline'])[1 + pg_temp.number(s + 5, 5)]
	FROM generate_series(1, 1 + pg_temp.number(seed, 6)) i, LATERAL (SELECT seed * 1000 + i * 10) x (s);
	INSERT INTO room_server_assignments (room_id, gateway_name, expected_users)
	SELECT i, 's' || 1 + pg_temp.number(seed * 100 + i, 7), 1 + pg_temp.number(seed * 200 + i, 30)
	FROM generate_series(1, pg_temp.number(seed + 3, 15)) i;
	INSERT INTO app_sessions
	SELECT CASE WHEN i % 9 = 0 AND seed % 4 = 0 THEN 'new' ELSE pg_temp.number(seed * 300 + i, 20)::text END, i,
		's' || 1 + pg_temp.number(seed * 400 + i, 7)
	FROM generate_series(1, pg_temp.number(seed + 4, 40)) i;
	IF seed % 5 = 0 THEN
		INSERT INTO balancer_pins SELECT 'new', name FROM balancer_servers ORDER BY name LIMIT 1;
	END IF;
	SELECT server INTO explained FROM explain_assignment('new', region, people) WHERE chosen;
	BEGIN
		done := get_or_assign_server('new', region, people);
	EXCEPTION WHEN insufficient_resources OR configuration_limit_exceeded THEN
		refused := refused + 1;
	END;
	IF explained IS NOT DISTINCT FROM done THEN
		agree := agree + 1;
	ELSE
		RAISE INFO 'pool %: explained %, done %', seed, explained, done;
	END IF;
END
$$;
BEGIN;
SELECT attach_sessions('app_sessions'), init_servers('one to be deleted');
DO $$
DECLARE
	agree int := 0;
	refused int := 0;
BEGIN
	FOR seed IN 1 .. 200 LOOP
		CALL pg_temp.compare(seed, agree, refused);
	END LOOP;
	RAISE INFO '% pools agree, some of them in refusing: %', agree, refused > 0;
END
$$;
ROLLBACK;
DROP TABLE app_sessions;
