/*
 * edges: odd inputs and rare states that no test of a feature meets: triggers that are called by hand, rows that a restore has
 * left, ids and formats that differ from the usual ones, equal positions, the last position, more regions than are kept.
 *
 *     createdb x && pg_prove -d x test/pgtap/edges.sql
 */
BEGIN;
SET LOCAL client_min_messages = warning;
CREATE EXTENSION pgtap;
CREATE EXTENSION gxy_balancer;
/* What is asked is counted when it is asked. */
SET LOCAL gxy_balancer.load_max_age = 0;
SET LOCAL gxy_balancer.failover_delay = '1h';

CREATE TABLE sessions (room_id text, user_id int, gateway_name text);
CREATE TABLE rooms (room_id int, servers text[]);
CREATE TABLE named_rooms (room_id text, servers text[]);
/* Raises an error with this SQLSTATE. */
CREATE FUNCTION fails(code text) RETURNS text[] LANGUAGE plpgsql AS $$
BEGIN
	RAISE 'raised by the application' USING ERRCODE = code;
END$$;
CREATE VIEW room_1_fails AS
	SELECT room_id, CASE WHEN room_id = '1' THEN fails(current_setting('edges.code')) ELSE servers END AS servers FROM named_rooms;

CREATE VIEW sessions_fail AS SELECT s.room_id, s.user_id, fails(current_setting('edges.code'))::text AS gateway_name FROM sessions s;
/* Raises an error from the third read on. */
CREATE SEQUENCE reads;
CREATE FUNCTION twice() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	IF nextval('reads') > 2 THEN
		RAISE 'read too often' USING ERRCODE = '22012';
	END IF;
	RETURN true;
END$$;
CREATE VIEW read_twice AS SELECT room_id, user_id FROM sessions WHERE twice();
CREATE FUNCTION ask(room text) RETURNS text LANGUAGE plpgsql PARALLEL SAFE AS $$BEGIN RETURN get_or_assign_server(room); END$$;
CREATE FUNCTION look_room_up(room text) RETURNS text LANGUAGE plpgsql PARALLEL SAFE AS $$BEGIN RETURN room_server(room); END$$;
CREATE FUNCTION pass_row() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN new; END$$;

CREATE TEMPORARY TABLE cases (number serial, what text, prepare text, question text, answer text);
INSERT INTO cases (what, prepare, question, answer)
	SELECT format('%s() is called by hand', name), '', format('SELECT %s()', name), '39P01'
	FROM unnest('{_forget_backend_copies,_guard_servers,_guard_pins,_note_pool_written,_note_change,_reconcile_failovers}'::text[]) name;
INSERT INTO cases (what, prepare, question, answer)
	SELECT format('a trigger %s %s that calls %s()', moment, level, name),
		format('CREATE TRIGGER odd %s INSERT ON balancer_pins FOR EACH %s EXECUTE FUNCTION %s()', moment, level, name),
		$$INSERT INTO balancer_pins VALUES ('r', 'a')$$, '39P01'
	FROM (VALUES ('BEFORE', 'STATEMENT', '_guard_pins'), ('AFTER', 'ROW', '_guard_pins'), ('BEFORE', 'ROW', '_note_change'),
		('BEFORE', 'STATEMENT', '_note_change'), ('AFTER', 'ROW', '_guard_servers'), ('BEFORE', 'ROW', '_reconcile_failovers'),
		('AFTER', 'ROW', '_reconcile_failovers'), ('AFTER', 'STATEMENT', '_forget_backend_copies')) odd (moment, level, name);
INSERT INTO cases (what, prepare, question, answer) VALUES
	('a pin without a server', $$SELECT init_servers('a')$$, $$INSERT INTO balancer_pins VALUES ('r', NULL)$$, '23502'),
	('a pin that a restore loads before the servers', '',
		$$INSERT INTO balancer_pins VALUES ('r', 'a') RETURNING server$$, 'a'),
	('a pin is moved to another server by hand', $$SELECT init_servers('a,b'), pin_room(1, 'a')$$,
		$$UPDATE balancer_pins SET server = 'b' RETURNING server$$, 'b'),
	('the first change of a pool that was loaded without triggers is a deletion',
		$$ALTER TABLE balancer_servers DISABLE TRIGGER USER; INSERT INTO balancer_servers (name) VALUES ('a'), ('b');
		ALTER TABLE balancer_servers ENABLE TRIGGER USER; DELETE FROM balancer_servers WHERE name = 'a'$$,
		'SELECT count(*) FROM _pool_written', '1'),
	('a server without a name', '', 'INSERT INTO balancer_servers (name) VALUES (NULL)', '23502'),
	('all blanks around the names of the default pool', $$SET LOCAL gxy_balancer.default_servers = E'\fa\x0B,\r b\n,\tc '$$,
		$$SELECT string_agg(server, '|' ORDER BY server) FROM balancer_load$$, 'a|b|c'),

	('a new server without capacity', $$SELECT init_servers('a')$$, $$SELECT count(*) FROM what_if_added('b', 0)$$, '22023'),
	('one of a larger capacity than there is', $$SELECT init_servers('a')$$,
		$$SELECT count(*) FROM what_if_added('b', 1000000001)$$, '22023'),
	('the position after the last one', $$SELECT init_servers('a'); UPDATE balancer_servers SET position = 2147483647$$,
		$$SELECT string_agg(server, '|') FROM what_if_added('b', 10)$$, 'a|b'),
	('a server that was reported unhealthy, if it is drained', $$SELECT init_servers('a,b'), server_heartbeat('b', false)$$,
		$$SELECT state FROM what_if('b', 'draining') WHERE server = 'b'$$, 'offline'),
	('a standby that fails, if another is free', $$INSERT INTO balancer_servers (name, pool) VALUES ('a', 'primary'),
		('s', 'standby'), ('t', 'standby'); SELECT get_or_assign_server(1), set_server_state('a', 'offline')$$,
		$$SELECT string_agg(server || ':' || note, '|' ORDER BY server) FROM what_if('s', 'offline') WHERE note <> ''$$, 't:stands in for s'),
	('a standby that fails, if none is free', $$INSERT INTO balancer_servers (name, pool) VALUES ('a', 'primary'),
		('s', 'standby'); SELECT get_or_assign_server(1), set_server_state('a', 'offline')$$,
		$$SELECT count(*) FROM what_if('s', 'offline')$$, '2'),
	('standbys of one priority and position, by name',
		$$INSERT INTO balancer_servers (name, pool, position) VALUES ('a', 'primary', 1), ('t', 'standby', 2), ('s', 'standby', 2);
		SELECT get_or_assign_server(1), set_server_state('a', 'offline')$$,
		$$SELECT to_server FROM balancer_failovers$$, 's'),

	('servers of one position, by name',
		$$SELECT init_servers('c,b,a'); UPDATE balancer_servers SET position = 0; INSERT INTO room_server_assignments VALUES ('1', 'c')$$,
		$$SELECT string_agg(server, '|') FROM explain_assignment(1)$$, 'c|a|b'),
	('servers by position, then by name, while the sessions cannot be read', $$SELECT init_servers('d,c,b,a');
		UPDATE balancer_servers SET position = CASE name WHEN 'd' THEN 1 ELSE 2 END;
		CREATE VIEW broken AS SELECT room_id, user_id / 0 AS user_id FROM sessions; SELECT attach_sessions('broken');
		INSERT INTO sessions VALUES ('1', 1); INSERT INTO room_server_assignments VALUES ('1', 'c')$$,
		$$SELECT string_agg(server, '|') FROM explain_assignment(1)$$, 'c|d|a|b'),
	('rooms of a server that move when they are called for', $$SET LOCAL gxy_balancer.failover_on_call = on;
		SELECT init_servers('a,b'); INSERT INTO room_server_assignments VALUES ('1', 'a'); SELECT set_server_state('a', 'offline')$$,
		$$SELECT cause FROM balancer_load WHERE server = 'a'$$, 'set offline; rooms move when called for, others later'),
	('a failover that is over while the server is still offline', $$INSERT INTO balancer_servers (name, state) VALUES ('a', 'offline'),
		('b', 'online'); INSERT INTO balancer_failovers (from_server, declared_at, due_at, cause, outcome, finished_at) VALUES
		('a', now(), now(), 'set offline', 'spread', now()); UPDATE balancer_servers SET priority = 1 WHERE name = 'b'$$,
		$$SELECT cause FROM balancer_load WHERE server = 'a'$$, 'set offline'),
	('a load that has differed for a moment', $$SELECT init_servers('a,b');
		INSERT INTO balancer_health VALUES ('a', true, now(), now(), now(), 0.9, clock_timestamp(), NULL, clock_timestamp())$$,
		$$SELECT cause FROM balancer_load WHERE server = 'a'$$, NULL),
	('rooms of a server that will fail over later', $$SET LOCAL gxy_balancer.failover_on_call = off;
		SELECT init_servers('a,b'); INSERT INTO room_server_assignments VALUES ('1', 'a'); SELECT set_server_state('a', 'offline')$$,
		$$SELECT cause FROM balancer_load WHERE server = 'a'$$, 'set offline; rooms will move'),
	('a room of a server that is not in the pool moves when it is called for',
		$$SET LOCAL gxy_balancer.failover_on_call = on; SELECT init_servers('a');
		INSERT INTO room_server_assignments VALUES ('1', 'gone', NULL, now() - interval '1min')$$,
		'SELECT get_or_assign_server(1)', 'a'),
	('and stays before the delay is over, without that setting',
		$$SET LOCAL gxy_balancer.failover_on_call = off; SELECT init_servers('a');
		INSERT INTO room_server_assignments VALUES ('1', 'gone', NULL, now() - interval '1min')$$,
		'SELECT get_or_assign_server(1)', 'gone'),
	('a drain with users and without rooms', $$SELECT init_servers('a,b'), attach_sessions('sessions');
		INSERT INTO sessions VALUES ('1', 1, 'a'); SELECT set_server_state('a', 'draining')$$,
		$$SELECT cause FROM balancer_load WHERE server = 'a'$$, 'set draining; no rooms, users connected'),
	('a drain with a pin', $$SELECT init_servers('a,b'), pin_room(1, 'a'), set_server_state('a', 'draining')$$,
		$$SELECT cause FROM balancer_load WHERE server = 'a'$$, 'set draining; no rooms, 1 pinned: set it offline'),
	('a drain that is over', $$SELECT init_servers('a,b'), attach_sessions('sessions'), set_server_state('a', 'draining')$$,
		$$SELECT cause FROM balancer_load WHERE server = 'a'$$, 'set draining; safe to stop'),
	('a measured load that differs, of a server with a cause', $$SELECT init_servers('a,b'), attach_sessions('sessions');
		INSERT INTO balancer_health VALUES ('a', true, now(), now(), now(), 0.9, clock_timestamp(), NULL, now() - interval '1h');
		SELECT set_server_state('a', 'draining')$$,
		$$SELECT cause FROM balancer_load WHERE server = 'a'$$, 'set draining; safe to stop; measures 90%, counted 0%'),
	('a heartbeat of a server that is not in the pool', $$SELECT init_servers('a');
		INSERT INTO balancer_health VALUES ('gone', true, now(), now(), now(), 0.9, now())$$,
		$$SELECT string_agg(server, '|') FROM balancer_load$$, 'a'),
	('one while heartbeats are watched', $$SELECT init_servers('a'); SET LOCAL gxy_balancer.heartbeat_timeout = '1min';
		INSERT INTO balancer_health VALUES ('gone', true, now(), now(), now(), 0.9, now())$$,
		$$SELECT get_or_assign_server(1)$$, 'a'),
	('a load without its time', $$SELECT init_servers('a');
		INSERT INTO balancer_health VALUES ('a', true, now(), now(), now(), 0.9, NULL)$$,
		$$SELECT measured IS NULL FROM balancer_load$$, 'true'),
	('a home of a pinned room, under the strategy home', $$CREATE TABLE homes (room_id int, home_server text); INSERT INTO homes VALUES (1, 'b');
		SET LOCAL gxy_balancer.strategy = home; SELECT init_servers('a,b'), attach_rooms('homes'), pin_room(1, 'a')$$,
		$$SELECT reason FROM explain_assignment(1) WHERE server = 'b'$$, 'home'),
	('three failovers of one server, the latest counts', $$SELECT init_servers('a,b');
		INSERT INTO balancer_failovers (from_server, declared_at, due_at, cause) VALUES
		('a', '2026-01-02', '2026-01-02', 'silent'), ('a', '2026-01-01', '2026-01-01', 'silent'), ('a', '2026-01-03', '2026-01-03', 'silent');
		UPDATE balancer_servers SET state = 'offline' WHERE name = 'a'$$,
		$$SELECT string_agg(server, '|' ORDER BY server) FROM balancer_load$$, 'a|b'),

	('two failovers of a server that has left the pool end together', $$SELECT init_servers('a,b');
		INSERT INTO balancer_failovers (from_server, declared_at, due_at, cause) VALUES
		('gone', '2026-01-02', '2026-01-02', 'silent'), ('gone', '2026-01-01', '2026-01-01', 'silent');
		UPDATE balancer_servers SET priority = 1$$,
		'SELECT count(*) FROM balancer_failovers WHERE recovered_at IS NULL', '0'),
	('a standby that has left the pool is replaced', $$INSERT INTO balancer_servers (name, pool, state) VALUES
		('a', 'primary', 'offline'), ('b', 'primary', 'online'), ('s', 'standby', 'online');
		INSERT INTO balancer_failovers (from_server, to_server, declared_at, due_at, cause)
			VALUES ('a', 'lost', now(), now() + interval '1h', 'silent');
		UPDATE balancer_servers SET priority = 1$$,
		$$SELECT to_server FROM balancer_failovers WHERE from_server = 'a'$$, 's'),
	('a failover that was declared before the clock was set back', $$INSERT INTO balancer_servers (name, pool, state) VALUES
		('a', 'primary', 'offline'), ('s', 'standby', 'online');
		INSERT INTO balancer_failovers (from_server, to_server, declared_at, due_at, cause)
			VALUES ('a', 's', '2199-01-01', '2199-01-02', 'silent');
		SET LOCAL gxy_balancer.failover_on_call = off; INSERT INTO room_server_assignments VALUES ('1', 'a')$$,
		'SELECT room_server(1)', 's'),
	('notifications of rooms with long names', $$SELECT init_servers('a,b');
		INSERT INTO room_server_assignments SELECT repeat('x', 250) || n, 'a' FROM generate_series(1, 100) n$$,
		$$SELECT evacuate_server('a')$$, '100'),
	('a primary key that is not valid',
		$$SELECT init_servers('a'); UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'room_server_assignments_pkey'::regclass$$,
		'SELECT get_or_assign_server(1)', '55000'),
	('a check that is no call of a function', $$SELECT init_servers('a'), get_or_assign_server(1);
		ALTER TABLE room_server_assignments ADD CHECK (region IS NULL OR region <> 'nowhere')$$,
		'SELECT touch_room(1, 3)', 'true'),
	('another column in the place of one', 'ALTER TABLE balancer_health DROP COLUMN differs_since;
		ALTER TABLE balancer_health ADD COLUMN differs_since timestamptz', 'SELECT get_or_assign_server(1)', '55000'),
	('a column that may be NULL', 'ALTER TABLE balancer_health ALTER COLUMN since DROP NOT NULL', 'SELECT get_or_assign_server(1)', '55000'),
	('tables that have changed are looked at again', $$SELECT init_servers('a'); GRANT SELECT ON balancer_failovers, _moved_on_call TO pg_monitor;
		SELECT server_state('a'); GRANT SELECT ON _drained_servers TO pg_monitor; SELECT server_state('a');
		GRANT USAGE ON SEQUENCE balancer_events TO pg_monitor; SELECT server_state('a');
		GRANT SELECT ON _pool_written TO pg_monitor; SELECT server_state('a'); GRANT SELECT ON balancer_sources TO pg_monitor$$,
		'SELECT get_or_assign_server(1)', 'a'),
	('a trigger of the owner with a condition that only compares', $$SELECT init_servers('a'); CREATE TRIGGER own BEFORE INSERT ON balancer_pins
		FOR EACH ROW WHEN (CASE WHEN new.room_id = 'x' THEN true END) EXECUTE FUNCTION pass_row(); SELECT pin_room(1, 'a')$$,
		'SELECT server FROM balancer_pins', 'a'),
	('one with a condition that is not known to do no more', $$SELECT init_servers('a'); CREATE TRIGGER own BEFORE INSERT ON balancer_pins
		FOR EACH ROW WHEN ((ARRAY[new.room_id])[1] = 'x') EXECUTE FUNCTION pass_row()$$,
		$$SELECT pin_room(1, 'a')$$, '55000'),
	('and that one disabled', $$SELECT init_servers('a'); CREATE TRIGGER own BEFORE INSERT ON balancer_pins
		FOR EACH ROW WHEN ((ARRAY[new.room_id])[1] = 'x') EXECUTE FUNCTION pass_row();
		ALTER TABLE balancer_pins DISABLE TRIGGER own; SELECT pin_room(1, 'a')$$,
		'SELECT server FROM balancer_pins', 'a'),
	('a size that has been forgotten in this transaction', $$SELECT init_servers('a');
		INSERT INTO balancer_room_sizes (room_id, size, occasions) VALUES ('1', 50, 10); DELETE FROM balancer_room_sizes$$,
		'SELECT get_or_assign_server(1)', 'a'),
	('the extension beside a table of this name', 'DROP EXTENSION gxy_balancer; CREATE TABLE room_server_assignments ()',
		'CREATE EXTENSION gxy_balancer', '42P07'),
	('sessions that cannot be read again before rooms are freed', $$SELECT init_servers('a'), attach_sessions('read_twice'), get_or_assign_server(1);
		INSERT INTO sessions VALUES ('2', 1); SELECT setval('reads', 1)$$, $$SELECT clean_inactive_assignments('0')$$, '55000'),
	('a room that does not exist on the standby, in a READ ONLY transaction', $$INSERT INTO balancer_servers (name, pool) VALUES
		('a', 'primary'), ('s', 'standby'); INSERT INTO named_rooms VALUES ('y', '{a}'); SELECT attach_rooms('named_rooms');
		INSERT INTO room_server_assignments VALUES ('y', 'a'); SET LOCAL gxy_balancer.failover_delay = 0;
		SELECT set_server_state('a', 'offline'); SET LOCAL transaction_read_only = on$$,
		$$SELECT get_or_assign_server('y')$$, 'a'),
	('a new room in a parallel query', $$SELECT init_servers('a');
		SELECT set_config(name, 'on', true) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query')$$,
		$$SELECT ask('1')$$, '25006'),
	('a room of a failed server in a parallel query', $$INSERT INTO balancer_servers (name, pool) VALUES ('a', 'primary'), ('s', 'standby');
		INSERT INTO named_rooms VALUES ('x', '{a,s}'); SELECT attach_rooms('named_rooms'); INSERT INTO room_server_assignments VALUES ('x', 'a');
		SET LOCAL gxy_balancer.failover_delay = 0; SELECT set_server_state('a', 'offline');
		SELECT set_config(name, 'on', true) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query')$$,
		$$SELECT look_room_up('x') || ask('x')$$, 'ss'),
	('an identity column, and one that was dropped', $$SELECT init_servers('a'), get_or_assign_server(1);
		ALTER TABLE room_server_assignments ADD COLUMN gone int;
		ALTER TABLE room_server_assignments DROP COLUMN gone;
		ALTER TABLE room_server_assignments ADD COLUMN number int GENERATED ALWAYS AS IDENTITY$$,
		'SELECT touch_room(1, 3)', 'true'),
	('a room whose name is longer than any number', $$SELECT init_servers('a'), attach_rooms('rooms')$$,
		$$SELECT get_or_assign_server(repeat('1', 30))$$, 'P0002'),
	('a failed server with rooms whose names are no numbers', $$INSERT INTO balancer_servers (name, pool) VALUES ('a', 'primary'),
		('s', 'standby'); INSERT INTO rooms VALUES (7, '{a,s}'), (8, '{a}'), (8, '{s}'), (9, '{a}'); SELECT attach_rooms('rooms');
		INSERT INTO room_server_assignments SELECT n, 'a' FROM unnest('{7,8,9,07,seven}'::text[]) n;
		SET LOCAL gxy_balancer.failover_delay = 0; SELECT set_server_state('a', 'offline')$$,
		$$SELECT string_agg(room_id || ':' || server, '|' ORDER BY room_id) FROM balancer_rooms$$, '07:s|7:s|8:s|9:a|seven:s'),
	('the same with rooms that have names', $$INSERT INTO balancer_servers (name, pool) VALUES ('a', 'primary'), ('s', 'standby');
		INSERT INTO named_rooms VALUES ('x', '{a,s}'), ('y', '{a}'); SELECT attach_rooms('named_rooms');
		INSERT INTO room_server_assignments VALUES ('x', 'a'), ('y', 'a');
		SET LOCAL gxy_balancer.failover_delay = 0; SELECT set_server_state('a', 'offline')$$,
		$$SELECT string_agg(room_id || ':' || server, '|' ORDER BY room_id) FROM balancer_rooms$$, 'x:s|y:a'),
	('users on several servers of which none is the room''s count once', $$SELECT init_servers('a,b,c,d'), attach_sessions('sessions');
		INSERT INTO room_server_assignments VALUES ('1', 'a');
		INSERT INTO sessions VALUES ('1', 1, 'b'), ('1', 1, 'c'), ('1', 1, 'd'), ('1', 2, 'b'), ('1', 2, 'a'), ('1', 3, 'a')$$,
		$$SELECT users_elsewhere FROM balancer_rooms$$, '2'),
	('a room whose users were told, with sessions that cannot be read', $$SELECT init_servers('a'), get_or_assign_server(1);
		CREATE VIEW broken AS SELECT room_id, user_id / 0 AS user_id FROM sessions;
		SELECT touch_room(1, 3), attach_sessions('broken'); INSERT INTO sessions VALUES ('1', 1)$$,
		$$SELECT coalesce(users::text, 'unknown') FROM balancer_rooms$$, 'unknown'),
	('a relation of rooms by dates, under other formats', $$CREATE TABLE days (room_id date); INSERT INTO days VALUES ('2026-11-26');
		SELECT init_servers('a'), attach_rooms('days');
		SET LOCAL datestyle = 'SQL, DMY'; SET LOCAL intervalstyle = iso_8601; SET LOCAL bytea_output = escape$$,
		$$SELECT get_or_assign_server('2026-11-26')$$, 'a'),
	('sessions without a room, where rooms are numbers', $$CREATE TABLE numbered (room_id int, user_id int);
		SELECT init_servers('a'), attach_sessions('numbered'), get_or_assign_server(1); INSERT INTO numbered VALUES (NULL, 1), (1, 1)$$,
		$$SELECT users FROM balancer_rooms$$, '1'),
	('a column of the application''s whose default is NULL', $$SELECT init_servers('a');
		ALTER TABLE room_server_assignments ADD COLUMN note text DEFAULT nullif('x', 'x')$$,
		$$SELECT get_or_assign_server(1)$$, 'a'),
	('why rooms are counted', $$SELECT init_servers('a'), get_or_assign_server(1)$$,
		'SELECT counted_because FROM balancer_stats', 'gxy_balancer.load_max_age is 0'),
	('why they are after a TRUNCATE', $$SELECT init_servers('a'); SET LOCAL gxy_balancer.load_max_age = '1h';
		TRUNCATE room_server_assignments; SELECT get_or_assign_server(1)$$,
		'SELECT counted_because FROM balancer_stats', 'the transaction had emptied the table'),
	('more lists of regions than a rebalancing keeps', $$SELECT init_servers('a,b');
		INSERT INTO room_server_assignments (room_id, gateway_name, region, expected_users)
			SELECT n, 'a', 'r' || n, 2 FROM generate_series(1, 1010) n$$,
		'SELECT count(*) > 0 FROM rebalance(5, NULL)', 'true'),
	('a rebalancing beside rooms of a server that has failed, or is not in the pool', $$SET LOCAL gxy_balancer.failover_delay = 0;
		INSERT INTO balancer_servers (name, pool) VALUES ('a', 'primary'), ('b', 'primary'), ('c', 'primary'), ('s', 'standby');
		INSERT INTO room_server_assignments SELECT n, CASE n WHEN 1 THEN 'gone' WHEN 2 THEN 'c' ELSE 'a' END FROM generate_series(1, 8) n;
		SELECT set_server_state('c', 'offline')$$,
		$$SELECT string_agg(DISTINCT from_server, '|') FROM rebalance(NULL, NULL)$$, 'a'),
	('a rebalancing by rooms', $$SET LOCAL gxy_balancer.load_metric = rooms; SELECT init_servers('a,b');
		INSERT INTO room_server_assignments SELECT n, 'a' FROM generate_series(1, 10) n$$,
		'SELECT count(*) FROM rebalance(NULL, NULL)', '5');
/* A table that has changed has the version read again. */
INSERT INTO cases (what, prepare, question, answer)
	SELECT format('the extension''s objects are of version %s', version),
		format($$SELECT init_servers('a'); UPDATE pg_extension SET extversion = %L WHERE extname = 'gxy_balancer';
			ALTER TABLE balancer_servers SET (fillfactor = 90)$$, version),
		'SELECT get_or_assign_server(1)', '55000'
	FROM unnest('{1.0.1,1.0.0,1,0.9,1.x,x}'::text[]) version;
INSERT INTO cases (what, prepare, question, answer)
	SELECT format('an error %s of the relation of rooms', code),
		format($$INSERT INTO balancer_servers (name, pool) VALUES ('a', 'primary'), ('s', 'standby');
			INSERT INTO named_rooms VALUES ('1', '{a}'); SET LOCAL edges.code = %L; SELECT attach_rooms('room_1_fails');
			INSERT INTO room_server_assignments VALUES ('1', 'a');
			SET LOCAL gxy_balancer.failover_delay = 0; SELECT set_server_state('a', 'offline')$$, code),
		'SELECT server FROM balancer_rooms', answer
	FROM (VALUES ('22012', 's'), ('40001', '40001'), ('40P01', '40P01'), ('57014', '57014')) error (code, answer);

INSERT INTO cases (what, prepare, question, answer)
	SELECT format('an error %s of the relation of sessions', code),
		format($$SELECT init_servers('a'), attach_sessions('sessions_fail'); INSERT INTO sessions VALUES ('1', 1, 'a');
			SET LOCAL edges.code = %L$$, code),
		'SELECT count(*) FROM balancer_load', answer
	FROM (VALUES ('22012', '1'), ('40001', '40001'), ('57014', '57014'), ('53200', '53200')) error (code, answer);

/* Prepares, asks, and undoes both. Returns the answer or the SQLSTATE of the question's error. */
CREATE FUNCTION pg_temp.answer(prepare text, question text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
BEGIN
	BEGIN
		BEGIN
			EXECUTE coalesce(nullif(prepare, ''), 'SELECT');
		EXCEPTION WHEN query_canceled OR OTHERS THEN
			RETURN 'not prepared: ' || SQLERRM;
		END;
		BEGIN
			EXECUTE question INTO answer;
		EXCEPTION WHEN query_canceled OR OTHERS THEN
			answer := SQLSTATE;
		END;
		RAISE 'back to the start' USING ERRCODE = 'GX000';
	EXCEPTION WHEN SQLSTATE 'GX000' THEN
		NULL;
	END;
	RETURN answer;
END$$;

SELECT plan(count(*)::int) FROM cases;
SELECT is(pg_temp.answer(prepare, question), answer, what) FROM cases ORDER BY number;
SELECT * FROM finish();
ROLLBACK;
