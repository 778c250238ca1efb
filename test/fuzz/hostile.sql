/*
 * hostile.sql: calls every function of the extension and writes every table of it with hostile
 * values, all found in the catalog. psql variables: seed, count.
 *
 * Each call is a subtransaction. Errors must have one of the SQLSTATEs of doc/reference.md, or one
 * that PostgreSQL gives for a bad value. The invariants are checked three times in a thousand calls.
 * Prints TAP; the same seed makes the same calls.
 */
\set QUIET on
\set SHOW_CONTEXT never
\pset tuples_only on
\pset format unaligned
SET client_min_messages = error;
CREATE EXTENSION gxy_balancer;
SELECT setseed(:seed / 1000000.0) \g /dev/null
SELECT init_servers('gxy1,gxy2,gxy3,spare') \g /dev/null
UPDATE balancer_servers SET pool = 'standby' WHERE name = 'spare';
CREATE SCHEMA fuzz;
CREATE TABLE fuzz.live (room_id text, user_id int, gateway_name text, last_seen_at timestamptz);
INSERT INTO fuzz.live SELECT n % 40, n, 'gxy' || n % 5, now() FROM generate_series(1, 200) n;
CREATE TABLE fuzz.rooms (room_id bigint, expected_users int, region text, servers text[]);
INSERT INTO fuzz.rooms SELECT n, n, 'IL', NULL FROM generate_series(1, 300) n;
SELECT attach_sessions('fuzz.live') \g /dev/null

-- Values by type, as SQL. A type without values fails.
CREATE TABLE fuzz.hostile (type regtype, value text);
INSERT INTO fuzz.hostile SELECT 'text', v FROM unnest(ARRAY[
	'NULL', $$''$$, $$' '$$, $$'7'$$, $$'12'$$, $$'r'$$, $$repeat('r', 255)$$, $$repeat('r', 256)$$, $$repeat(U&'\05D0', 127)$$, $$repeat(U&'\05D0', 128)$$,
	$$repeat('x', 300000)$$, $$'gxy1'$$, $$'gxy2'$$, $$'gxy3'$$, $$'spare'$$, $$' gxy1'$$, $$'gxy1,gxy2'$$, $$','$$, $$',,,'$$, $$repeat(',', 255)$$,
	$$repeat('a,', 127)$$, $$'online'$$, $$'draining'$$, $$'offline'$$, $$'ONLINE'$$, $$'primary'$$, $$'standby'$$, $$'IL'$$, $$'IL, EU ,,US'$$, $$'sessions'$$, $$'rooms'$$,
	$$''';DROP TABLE room_server_assignments;--'$$, $$'"'$$, $$E'\\'$$, $$E'a\nb'$$, $$E'\x01\x7f'$$, $$E'\t'$$, $$'%s%n%d'$$, $$'$1'$$, $$'{NULL}'$$,
	$$'-9223372036854775808'$$, $$'99999999999999999999'$$, $$U&'\202E'$$, $$U&'\FEFF'$$, $$chr(1114111)$$, $$'pending'$$, $$'moved'$$, $$'silent'$$, $$'set offline'$$,
	$$(random() * 50)::int::text$$, $$(random() * 50)::int::text$$, $$'gxy' || (random() * 9)::int$$]) v;
INSERT INTO fuzz.hostile SELECT 'int', v FROM unnest(ARRAY['NULL', '0', '1', '-1', '7', '100', '1000000', '1000001', '1000000000', '1000000001',
	'2147483647', '(-2147483648)', '(random() * 100)::int']) v;
INSERT INTO fuzz.hostile SELECT 'bigint', v FROM unnest(ARRAY['NULL', '0', '1', '-1', '12', '9223372036854775807', '(-9223372036854775808)',
	'(random() * 50)::int::bigint', '(random() * 50)::int::bigint']) v;
INSERT INTO fuzz.hostile SELECT 'real', v FROM unnest(ARRAY['NULL', '0', $$'-0'$$, '0.5', '1', '10', '10.001', '-1', $$'NaN'$$, $$'Infinity'$$, $$'-Infinity'$$,
	$$'1e-45'$$, $$'3.4e38'$$, '1000000']) v;
INSERT INTO fuzz.hostile SELECT 'boolean', v FROM unnest(ARRAY['NULL', 'true', 'false']) v;
INSERT INTO fuzz.hostile SELECT 'interval', v FROM unnest(ARRAY['NULL', $$'0'$$, $$'1 us'$$, $$'-1 us'$$, $$'1 s'$$, $$'1 h'$$, $$'1 mon'$$, $$'-1 mon'$$, $$'178000000 years'$$,
	$$'-178000000 years'$$, $$'2147483647 days'$$, $$'1 mon -30 days'$$, $$interval '2147483647 mon 2147483647 days'$$]) v;
INSERT INTO fuzz.hostile SELECT 'interval', v FROM unnest(ARRAY[$$'infinity'$$, $$'-infinity'$$]) v WHERE current_setting('server_version_num')::int >= 170000;
INSERT INTO fuzz.hostile SELECT 'timestamptz', v FROM unnest(ARRAY['NULL', 'now()', $$now() - interval '1 day'$$, $$now() + interval '1 day'$$, $$'infinity'$$, $$'-infinity'$$,
	$$'4714-11-24 00:00:00+00 BC'$$, $$'294276-12-31 23:59:59+00'$$, $$'2000-01-01'$$]) v;
INSERT INTO fuzz.hostile SELECT 'regclass', v FROM unnest(ARRAY['NULL', '0', '4294967295', $$'fuzz.live'$$, $$'fuzz.live'$$, $$'fuzz.rooms'$$, $$'pg_class'$$, $$'pg_class_oid_index'$$,
	$$'room_server_assignments'$$, $$'balancer_rooms'$$, $$'balancer_load'$$, $$'balancer_events'$$, $$'balancer_servers'$$, $$'pg_stat_activity'$$, $$'information_schema.tables'$$]) v;
INSERT INTO fuzz.hostile SELECT 'text[]', v FROM unnest(ARRAY['NULL', $$'{}'$$, $$'{NULL}'$$, $$'{IL}'$$, $$'{IL,NULL,EU}'$$, $$'{{a,b},{c,d}}'$$, $$'[5:6]={a,b}'$$, $$'{""}'$$, $$'{" IL "}'$$, $$'{"a,b"}'$$,
	$$array_fill('x'::text, ARRAY[3000])$$, $$array_fill(NULL::text, ARRAY[300])$$, $$ARRAY[repeat('y', 300000)]$$]) v;

CREATE TABLE fuzz.own AS
	SELECT d.classid, d.objid FROM pg_depend d WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
		AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'gxy_balancer');
CREATE TABLE fuzz.functions AS
	SELECT p.oid, p.oid::regprocedure::text AS name, p.proname, p.proargtypes::oid[] AS types FROM fuzz.own o JOIN pg_proc p ON o.classid = 'pg_proc'::regclass AND p.oid = o.objid
	WHERE p.prorettype <> 'trigger'::regtype;
CREATE TABLE fuzz.tables AS
	SELECT c.oid, c.oid::regclass::text AS name, c.relkind FROM fuzz.own o JOIN pg_class c ON o.classid = 'pg_class'::regclass AND c.oid = o.objid
	WHERE c.relkind IN ('r', 'v');
CREATE TABLE fuzz.columns AS
	SELECT t.name AS relation, a.attname, a.atttypid::regtype AS type FROM fuzz.tables t JOIN pg_attribute a ON a.attrelid = t.oid
	WHERE t.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped;
SELECT CASE WHEN count(*) = 0 THEN 'ok' ELSE 'not ok' END || ' - every type of an argument or a column has hostile values ' || coalesce(string_agg(DISTINCT type::text, ' '), '')
FROM (SELECT unnest(types)::regtype AS type FROM fuzz.functions UNION SELECT type FROM fuzz.columns) t
WHERE type NOT IN (SELECT type FROM fuzz.hostile);

CREATE FUNCTION fuzz.pick(wanted regtype) RETURNS text LANGUAGE sql VOLATILE AS
	$$SELECT '(' || value || ')::' || wanted FROM (SELECT value FROM fuzz.hostile WHERE type = wanted ORDER BY value COLLATE "C") h
	OFFSET floor(random() * (SELECT count(*) FROM fuzz.hostile WHERE type = wanted)) LIMIT 1$$;

CREATE FUNCTION fuzz.call() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	f fuzz.functions;
BEGIN
	SELECT * INTO f FROM fuzz.functions ORDER BY name COLLATE "C" OFFSET floor(random() * (SELECT count(*) FROM fuzz.functions)) LIMIT 1;
	RETURN format('SELECT count(*) FROM (SELECT * FROM %s(%s)) answers', f.proname,
		(SELECT string_agg(fuzz.pick(type::regtype), ', ' ORDER BY n) FROM unnest(f.types) WITH ORDINALITY t (type, n)));
END
$$;

CREATE FUNCTION fuzz.write() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	r fuzz.tables;
	names text;
	vals text;
	sets text;
	conditions text;
	chance float := random();
BEGIN
	SELECT * INTO r FROM fuzz.tables ORDER BY name COLLATE "C" OFFSET floor(random() * (SELECT count(*) FROM fuzz.tables)) LIMIT 1;
	IF r.relkind = 'v' THEN
		RETURN 'SELECT count(*), max(v::text) FROM ' || r.name || ' v';
	END IF;
	SELECT string_agg(attname, ', '), string_agg(value, ', '), string_agg(format('%I = %s', attname, value), ', ')
	INTO names, vals, sets
	FROM (SELECT attname, fuzz.pick(type) AS value FROM (SELECT * FROM fuzz.columns WHERE relation = r.name ORDER BY attname COLLATE "C") c WHERE random() < 0.6) c;
	SELECT format('%I IS NOT DISTINCT FROM %s', attname, fuzz.pick(type)) INTO conditions
	FROM (SELECT * FROM fuzz.columns WHERE relation = r.name ORDER BY random()) c LIMIT 1;
	IF names IS NULL THEN
		RETURN format('INSERT INTO %s DEFAULT VALUES', r.name);
	END IF;
	RETURN CASE WHEN chance < 0.6 THEN format('INSERT INTO %s (%s) VALUES (%s)', r.name, names, vals)
		WHEN chance < 0.7 THEN format('INSERT INTO %s (%s) VALUES (%s) ON CONFLICT DO NOTHING', r.name, names, vals)
		WHEN chance < 0.9 THEN format('UPDATE %s SET %s WHERE %s', r.name, sets, conditions)
		WHEN chance < 0.99 THEN format('DELETE FROM %s WHERE %s', r.name, conditions)
		ELSE format('TRUNCATE %s', r.name) END;
END
$$;

-- SQLSTATEs: those that doc/reference.md has for calls; and for writes those of a bad value.
CREATE FUNCTION fuzz.is_expected(state text, is_call boolean) RETURNS boolean LANGUAGE sql AS
	$$SELECT state IN ('00000', '22004', '22023', '42704', 'P0002', '53000', '53400', '55P03', '55000', '55006',
		'42710', '42809', '42P01')
		OR (NOT is_call AND state IN ('23502', '23514', '23505', '22001', '22003', '22008', '22P02', '54000', '0A000'))$$;
CREATE TABLE fuzz.outcomes (n int, state text, message text, statement text);
CREATE TABLE fuzz.totals (is_call boolean, state text, count bigint, PRIMARY KEY (is_call, state));
CREATE TABLE fuzz.violations (n int, what text);

CREATE PROCEDURE fuzz.check_invariants(n int) LANGUAGE plpgsql AS $$
DECLARE
	relation text;
BEGIN
	INSERT INTO fuzz.violations SELECT check_invariants.n, 'load cache: ' || c FROM _check_load_cache() c WHERE usable AND cached_rooms <> rooms;
	INSERT INTO fuzz.violations SELECT check_invariants.n, 'room on no one server: ' || room_id FROM room_server_assignments a
		WHERE octet_length(room_id) NOT BETWEEN 1 AND 255 OR octet_length(gateway_name) NOT BETWEEN 1 AND 255 OR room_server(room_id) IS DISTINCT FROM gateway_name;
	INSERT INTO fuzz.violations SELECT check_invariants.n, 'load: ' || l FROM balancer_load l WHERE load < 0 OR rooms < 0 OR percent < 0;
	FOR relation IN SELECT name FROM fuzz.tables WHERE relkind = 'v' LOOP
		BEGIN
			EXECUTE format('SELECT count(v::text) FROM %s v', relation);
		EXCEPTION WHEN OTHERS THEN
			INSERT INTO fuzz.violations VALUES (check_invariants.n, relation || ': ' || SQLSTATE || ' ' || SQLERRM);
		END;
	END LOOP;
END
$$;

CREATE PROCEDURE fuzz.run(count int) LANGUAGE plpgsql AS $$
DECLARE
	is_call boolean;
	statement text;
	state text;
	message text;
BEGIN
	FOR n IN 1 .. count LOOP
		is_call := random() < 0.75;
		statement := CASE WHEN is_call THEN fuzz.call() ELSE fuzz.write() END;
		state := '00000';
		message := '';
		BEGIN
			EXECUTE statement;
			-- A third is rolled back.
			IF random() < 0.33 THEN
				RAISE SQLSTATE '00U00';
			END IF;
		EXCEPTION WHEN OTHERS THEN
			state := CASE SQLSTATE WHEN '00U00' THEN '00000' ELSE SQLSTATE END;
			message := SQLERRM;
		END;
		INSERT INTO fuzz.totals VALUES (is_call, state, 1) ON CONFLICT ON CONSTRAINT totals_pkey DO UPDATE SET count = fuzz.totals.count + 1;
		IF NOT fuzz.is_expected(state, is_call) THEN
			INSERT INTO fuzz.outcomes VALUES (n, state, left(message, 200), left(statement, 500));
		END IF;
		IF n % 50 = 0 THEN
			COMMIT;
		END IF;
		IF n % 5000 = 0 THEN
			RAISE INFO '% of % statements', n, count;
		END IF;
		-- After a commit, and in the middle of a transaction.
		IF n % 1000 IN (0, 475, 975) THEN
			CALL fuzz.check_invariants(n);
		END IF;
		-- Else the tables grow, and what is attached stays useless.
		IF n % 500 = 0 THEN
			DELETE FROM room_server_assignments WHERE random() < 0.7;
			DELETE FROM balancer_pins;
			DELETE FROM balancer_servers s WHERE name !~ '^(gxy\d|spare)$' AND NOT EXISTS (SELECT FROM room_server_assignments WHERE gateway_name = s.name);
			UPDATE balancer_servers SET state = 'online', pool = 'primary', capacity = NULL WHERE name ~ '^gxy';
			PERFORM init_servers('gxy1,gxy2,gxy3,spare'), attach_sessions('fuzz.live'), attach_rooms(CASE n % 1000 WHEN 0 THEN 'fuzz.rooms'::regclass END);
			COMMIT;
		END IF;
	END LOOP;
	COMMIT;
	CALL fuzz.check_invariants(count);
END
$$;
CALL fuzz.run(:count);

SELECT '# ' || CASE WHEN is_call THEN 'calls' ELSE 'writes' END || ' with ' || state || ': ' || count FROM fuzz.totals ORDER BY is_call, state;
SELECT '# ' || o FROM (SELECT DISTINCT ON (state, left(message, 30)) * FROM fuzz.outcomes ORDER BY state, left(message, 30), n) o LIMIT 20;
SELECT '# ' || v FROM fuzz.violations v ORDER BY n LIMIT 20;
SELECT CASE WHEN (SELECT count(*) FROM fuzz.outcomes) = 0 THEN 'ok' ELSE 'not ok' END || format(' - %s hostile statements, seed %s: every error is documented', :count, :seed);
SELECT CASE WHEN (SELECT count(*) FROM fuzz.violations) = 0 THEN 'ok' ELSE 'not ok' END || ' - the invariants hold';
SELECT CASE WHEN count(*) = 2 AND min(count) > :count / 20 THEN 'ok' ELSE 'not ok' END || ' - enough calls and writes succeed' FROM fuzz.totals WHERE state = '00000';
