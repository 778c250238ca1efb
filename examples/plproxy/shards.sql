/*
 * The proxy of several databases with gxy_balancer (shards): what is written by hand. What follows it, a function or view
 * for each of the extension's, is written by `generate`.
 *
 * Rooms belong to partitions, and partitions to shards: the options p0, p1, ... of the foreign server "balancer" say in
 * which database each partition is. Their number is a power of two and never changes. Partitions move from one shard to
 * another (see `move`). A shard has a number, which stays with its connection: see shard_list.
 *
 * PL/Proxy sends the calls for rooms. Those for all shards go by dblink, because only that can stop waiting for a shard
 * that takes connections and does not answer: see _ask().
 *
 * The functions run as their owner, so that EXECUTE on them is all that a role needs; the user mapping of the owner says
 * as whom they connect. Both ways commit at once on the shard: an assignment is not rolled back with the caller's
 * transaction on the proxy.
 *
 * Calls read shard_gate first. While a transaction has it locked in ACCESS EXCLUSIVE mode they wait, and afterwards see
 * the partitions where that transaction has put them.
 */
BEGIN;
DO $$
DECLARE
	_schema text := (SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'dblink' AND n.nspname <> 'gxy_dblink');
BEGIN
	IF _schema IS NOT NULL THEN
		RAISE EXCEPTION 'this database has the extension dblink already, in the schema "%"', _schema USING ERRCODE = '42710',
			HINT = 'Make the proxy in a database of its own. If nothing else here uses dblink: DROP EXTENSION dblink.';
	END IF;
END $$;
CREATE EXTENSION IF NOT EXISTS plproxy;
-- Its functions use connections by name that stay open. In this schema no other role reaches them.
CREATE SCHEMA IF NOT EXISTS gxy_dblink;
CREATE EXTENSION IF NOT EXISTS dblink SCHEMA gxy_dblink;

CREATE TABLE @schema@.shard_gate ();
REVOKE ALL ON @schema@.shard_gate FROM PUBLIC;
COMMENT ON TABLE @schema@.shard_gate IS 'empty; a transaction that locks it pauses all calls, so that partitions can move';

CREATE TABLE @schema@.shard_list (
	shard int PRIMARY KEY CHECK (shard > 0),
	connection text NOT NULL UNIQUE,
	database text
);
REVOKE ALL ON @schema@.shard_list FROM PUBLIC;
COMMENT ON TABLE @schema@.shard_list IS 'the number of each shard, which no other shard ever gets; set_shard_connection() changes a connection';
COMMENT ON COLUMN @schema@.shard_list.database IS 'which database it is, on the primary and on its standbys; NULL until it has answered';

/*
 * The same on every machine, in every version and in every encoding of the proxy, unlike hashtext(). STABLE as
 * convert_to() is, so that it can be inlined.
 */
CREATE FUNCTION @schema@.shard_of(room text) RETURNS int
	LANGUAGE sql STABLE PARALLEL SAFE
	RETURN coalesce(('x' || left(md5(convert_to(room, 'UTF8')), 8))::bit(32)::int, 0);
REVOKE ALL ON FUNCTION @schema@.shard_of(text) FROM PUBLIC;
COMMENT ON FUNCTION @schema@.shard_of(text) IS 'the partition of a room, modulo their number; by_region.sql has another';

/* A connection that is not in shard_list (ALTER SERVER by hand) has a negative number. */
CREATE VIEW @schema@._placed AS
	SELECT coalesce(l.shard, -1 - p.partitions[1]) AS shard, p.partitions, p.connection
	FROM (SELECT array_agg(substr(o.option_name, 2)::int ORDER BY substr(o.option_name, 2)::int) AS partitions, o.option_value AS connection
		FROM pg_foreign_server s, pg_options_to_table(s.srvoptions) o
		WHERE s.srvname = 'balancer' AND o.option_name ~ '^p[0-9]+$'
		GROUP BY o.option_value) p
		LEFT JOIN @schema@.shard_list l USING (connection);
REVOKE ALL ON @schema@._placed FROM PUBLIC;
COMMENT ON VIEW @schema@._placed IS 'the databases of the foreign server "balancer", and which partitions are in each';

/*
 * Replaced whenever partitions or connections change. A call sees its newest version in a transaction of any isolation
 * level, and a query of pg_proc the one of the transaction's snapshot.
 */
CREATE FUNCTION @schema@._placed_version() RETURNS text
	LANGUAGE sql STABLE AS $$SELECT '0'$$;
REVOKE ALL ON FUNCTION @schema@._placed_version() FROM PUBLIC;
COMMENT ON FUNCTION @schema@._placed_version() IS 'changes with _placed';

/* Also gives each shard the sequence that _was_silent() reads. */
CREATE FUNCTION @schema@._placed_changes() RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	_shard int;
BEGIN
	FOR _shard IN SELECT l.shard FROM @schema@.shard_list l WHERE to_regclass('@schema@.shard_silence_' || l.shard) IS NULL LOOP
		EXECUTE format('CREATE UNLOGGED SEQUENCE @schema@.shard_silence_%s', _shard);
	END LOOP;
	EXECUTE format('CREATE OR REPLACE FUNCTION @schema@._placed_version() RETURNS text LANGUAGE sql STABLE AS %L',
		format('SELECT %L', gen_random_uuid()));
END $$;
REVOKE ALL ON FUNCTION @schema@._placed_changes() FROM PUBLIC;
COMMENT ON FUNCTION @schema@._placed_changes() IS 'lets transactions with an older snapshot know that shards have changed';

/* PL/Proxy and _full_connection() add options at the end of the string. */
CREATE FUNCTION @schema@._check_connection(connection text) RETURNS void
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF connection IS NULL THEN
		RAISE EXCEPTION 'a connection string must not be NULL' USING ERRCODE = '22004';
	ELSIF connection ~ '^\s*postgres(ql)?://' THEN
		RAISE EXCEPTION 'the connection string of a shard must not be a URI' USING ERRCODE = '22023',
			HINT = 'Write it as host=... dbname=...';
	ELSIF (strpos(connection, 'user=') > 0) <> (connection ~ '(^|\s)user\s*=') THEN
		RAISE EXCEPTION 'the connection string of a shard must have "user=" for the user only, and without blanks' USING ERRCODE = '22023',
			DETAIL = 'PL/Proxy looks for it anywhere, and takes that of the user mapping if it is not there.';
	END IF;
END $$;
REVOKE ALL ON FUNCTION @schema@._check_connection(text) FROM PUBLIC;
COMMENT ON FUNCTION @schema@._check_connection(text) IS 'an error for a connection string that cannot be that of a shard';

/* One statement each, which all proxies run: see `move`. */
CREATE FUNCTION @schema@.place_partitions(partitions int[], connection text, database text DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	_partition int;
BEGIN
	PERFORM @schema@._check_connection(connection);
	FOREACH _partition IN ARRAY partitions LOOP
		EXECUTE format('ALTER SERVER balancer OPTIONS (SET p%s %L)', _partition, connection);
	END LOOP;
	INSERT INTO @schema@.shard_list AS s
	SELECT 1 + coalesce(max(l.shard), 0), place_partitions.connection, place_partitions.database
	FROM @schema@.shard_list l
	ON CONFLICT ON CONSTRAINT shard_list_connection_key DO UPDATE SET database = coalesce(excluded.database, s.database);
	PERFORM @schema@._placed_changes();
END $$;
REVOKE ALL ON FUNCTION @schema@.place_partitions(int[], text, text) FROM PUBLIC;
COMMENT ON FUNCTION @schema@.place_partitions(int[], text, text) IS 'sends the calls for these partitions to this database from now on; moves no rooms';

-- Waits for calls that use the old connection, and new ones wait for it: so not for long, and not while databases are asked.
CREATE FUNCTION @schema@.set_shard_connection(shard int, connection text) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET lock_timeout = '5s' AS $$
DECLARE
	_partitions int[];
	_version text := @schema@._placed_version();
	_other int;
	_database text;
BEGIN
	IF current_setting('transaction_isolation') <> 'read committed' THEN
		RAISE EXCEPTION 'a shard''s connection can be changed in READ COMMITTED only' USING ERRCODE = '25001',
			DETAIL = 'An older snapshot has the partitions where they were before they moved.';
	END IF;
	PERFORM @schema@._check_connection(connection);
	IF NOT EXISTS (SELECT FROM @schema@.shard_list l WHERE l.shard = set_shard_connection.shard) THEN
		RAISE EXCEPTION 'there is no shard %', shard USING ERRCODE = '42704';
	END IF;
	SELECT l.shard INTO _other FROM @schema@.shard_list l
	WHERE l.connection = set_shard_connection.connection AND l.shard <> set_shard_connection.shard;
	IF FOUND AND EXISTS (SELECT FROM @schema@._placed p WHERE p.shard = _other) THEN
		RAISE EXCEPTION 'shard % has this connection', _other USING ERRCODE = '42710';
	ELSIF FOUND THEN
		RAISE EXCEPTION 'shard %, which has no partitions any more, had this connection', _other USING ERRCODE = '42710',
			HINT = 'A string that has one more space at its end is another one.';
	END IF;
	_database := @schema@._check_database(connection, shard);
	LOCK TABLE @schema@.shard_gate IN ACCESS EXCLUSIVE MODE;
	IF @schema@._placed_version() <> _version THEN
		RAISE EXCEPTION 'partitions have moved meanwhile' USING ERRCODE = '40001', HINT = 'Call again.';
	END IF;
	SELECT p.partitions INTO _partitions FROM @schema@._placed p WHERE p.shard = set_shard_connection.shard;
	UPDATE @schema@.shard_list l SET connection = set_shard_connection.connection WHERE l.shard = set_shard_connection.shard;
	PERFORM @schema@.place_partitions(coalesce(_partitions, '{}'), connection, _database);
END $$;
REVOKE ALL ON FUNCTION @schema@.set_shard_connection(int, text) FROM PUBLIC;
COMMENT ON FUNCTION @schema@.set_shard_connection(int, text) IS 'another connection string for the same database; moves no rooms';

CREATE FUNCTION @schema@.create_shards(partitions int, VARIADIC connections text[]) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF partitions IS NULL OR partitions NOT BETWEEN 1 AND 1024 OR partitions & (partitions - 1) <> 0 THEN
		RAISE EXCEPTION 'the number of partitions must be a power of two' USING ERRCODE = '22023',
			DETAIL = format('It is %s.', coalesce(partitions::text, 'NULL'));
	ELSIF connections IS NULL OR cardinality(connections) NOT BETWEEN 1 AND partitions THEN
		RAISE EXCEPTION 'there must be one connection at least, and one for each partition at most' USING ERRCODE = '22023',
			DETAIL = format('%s connections, %s partitions.', coalesce(cardinality(connections), 0), partitions);
	ELSIF array_position(connections, NULL) IS NOT NULL
		OR cardinality(connections) > (SELECT count(DISTINCT c) FROM unnest(connections) c) THEN
		RAISE EXCEPTION 'connections must differ, and none be NULL' USING ERRCODE = '22023';
	END IF;
	PERFORM @schema@._check_connection(c) FROM unnest(connections) c;
	IF EXISTS (SELECT FROM pg_foreign_server WHERE srvname = 'balancer') THEN
		RAISE EXCEPTION 'there are shards already' USING ERRCODE = '42710', DETAIL = 'balancer_shards has them.',
			HINT = 'set_shard_connection() corrects a connection. To start over: DROP SERVER balancer CASCADE.';
	END IF;
	DELETE FROM @schema@.shard_list;
	EXECUTE (SELECT 'CREATE SERVER balancer FOREIGN DATA WRAPPER plproxy OPTIONS ('
			|| string_agg(format('p%s %L', i, connections[1 + i * cardinality(connections) / partitions]), ', ' ORDER BY i) || ')'
		FROM generate_series(0, partitions - 1) i);
	INSERT INTO @schema@.shard_list SELECT n, c FROM unnest(connections) WITH ORDINALITY u (c, n);
	PERFORM @schema@._placed_changes();
END $$;
REVOKE ALL ON FUNCTION @schema@.create_shards(int, text[]) FROM PUBLIC;
COMMENT ON FUNCTION @schema@.create_shards(int, text[]) IS 'spreads partitions over these databases evenly, in their order';

CREATE FUNCTION @schema@._shards() RETURNS int[]
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF format('SELECT %L', @schema@._placed_version())
		<> (SELECT p.prosrc FROM pg_proc p WHERE p.oid = '@schema@._placed_version()'::regprocedure) THEN
		RAISE EXCEPTION 'partitions have moved since this transaction began' USING ERRCODE = '40001',
			HINT = 'Repeat the transaction.';
	END IF;
	RETURN (SELECT coalesce(array_agg(p.shard ORDER BY p.shard), '{}') FROM @schema@._placed p);
END $$;
REVOKE ALL ON FUNCTION @schema@._shards() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION @schema@._shards() TO pg_monitor;
COMMENT ON FUNCTION @schema@._shards() IS 'the numbers of the shards that have partitions';

/*
 * Calls for all shards. All are asked at once, each by a connection of the session's own, which stays open. Returns a row
 * for each shard: link is the connection on which dblink_get_result() has its answer, or NULL, with an SQLSTATE and a message.
 *
 * No caller waits for a shard for long: connecting has a limit (connect_timeout, 2 s if the connection string has none), so
 * has an answer to the empty statement on a connection that was open (2 s), and so has the answer to the statement
 * (seconds; NULL: none). The living get the statement before the caller waits for one that is silent:
 *
 *     1. A connection that was open gets the statement as soon as it has answered the empty one. This waits for 0.1 s.
 *     2. Shards without a connection are connected and get it, last those that have let a session wait: see _was_silent().
 *        Connections cannot be made at once, nor is the wait for one cancelled in every version. So a session that has
 *        waited in vain takes the shard for silent for 5 s, and then tries one such shard in a call.
 *     3. Connections of 1 that have not answered get the rest of the 2 s.
 */
CREATE FUNCTION @schema@._link(connection text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN 'shard_' || md5(connection);
REVOKE ALL ON FUNCTION @schema@._link(text) FROM PUBLIC;
COMMENT ON FUNCTION @schema@._link(text) IS 'the name of the connection of dblink';

/* The user as PL/Proxy takes it: that of the connection string, or of the mapping, or of that for PUBLIC, or the current one. */
CREATE FUNCTION @schema@._full_connection(connection text) RETURNS text
	LANGUAGE sql STABLE
	BEGIN ATOMIC
		SELECT connection
			|| CASE WHEN strpos(connection, 'user=') > 0 THEN '' ELSE format(' user=''%s''', current_user) || coalesce(
				(SELECT string_agg(format(' %s=''%s''', o.option_name, replace(replace(o.option_value, '\', '\\'), '''', '\''')), '')
				FROM (SELECT m.umoptions FROM pg_catalog.pg_user_mappings m
					WHERE m.srvname = 'balancer' AND (m.usename = current_user OR m.umuser = 0)
					ORDER BY m.umuser = 0 LIMIT 1) m, pg_catalog.pg_options_to_table(m.umoptions) o), '') END
			|| CASE WHEN connection ~ '(^|\s)connect_timeout\s*=' THEN '' ELSE ' connect_timeout=2' END;
	END;
REVOKE ALL ON FUNCTION @schema@._full_connection(text) FROM PUBLIC;
COMMENT ON FUNCTION @schema@._full_connection(text) IS 'a connection string with the user';

/* Ends what is left of the last answer. */
CREATE FUNCTION @schema@._drain(link text) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF link IS NOT NULL THEN
		PERFORM FROM gxy_dblink.dblink_get_result(link, false) AS x (a text);
	END IF;
END $$;
REVOKE ALL ON FUNCTION @schema@._drain(text) FROM PUBLIC;
COMMENT ON FUNCTION @schema@._drain(text) IS 'makes a connection ready for the next statement';

/*
 * Returns those of the connections that have no answer at the end of the time. A call of dblink_is_busy() reads 16 kB, so there are
 * several before each pause: a large answer comes as fast as the shard sends it.
 */
CREATE FUNCTION @schema@._wait(links text[], seconds float8) RETURNS text[]
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	_until timestamptz := clock_timestamp() + make_interval(secs => seconds);
BEGIN
	LOOP
		links := ARRAY(SELECT l FROM unnest(links) l
			WHERE (SELECT min(gxy_dblink.dblink_is_busy(l) + 0 * i) FROM generate_series(0, 32 / greatest(1, cardinality(links))) i) = 1);
		EXIT WHEN links = '{}' OR clock_timestamp() >= _until;
		PERFORM pg_sleep(0.001);
	END LOOP;
	RETURN links;
END $$;
REVOKE ALL ON FUNCTION @schema@._wait(text[], float8) FROM PUBLIC;
COMMENT ON FUNCTION @schema@._wait(text[], float8) IS 'waits for answers';

/*
 * Only the order in which a new session connects to shards: those that have let a session wait come last. A sequence keeps
 * it when the caller's statement is cancelled.
 */
CREATE FUNCTION @schema@._was_silent(shard int) RETURNS boolean
	LANGUAGE sql VOLATILE
	RETURN shard > 0 AND pg_catalog.pg_sequence_last_value(to_regclass('@schema@.shard_silence_' || shard)) IS NOT NULL;
REVOKE ALL ON FUNCTION @schema@._was_silent(int) FROM PUBLIC;
COMMENT ON FUNCTION @schema@._was_silent(int) IS 'whether the session that has connected last to a shard has waited in vain';

CREATE FUNCTION @schema@._set_silent(shard int, silent boolean) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF shard > 0 AND NOT current_setting('transaction_read_only')::boolean AND @schema@._was_silent(shard) <> silent THEN
		PERFORM setval(to_regclass('@schema@.shard_silence_' || shard), 1, silent);
	END IF;
END $$;
REVOKE ALL ON FUNCTION @schema@._set_silent(int, boolean) FROM PUBLIC;
COMMENT ON FUNCTION @schema@._set_silent(int, boolean) IS 'what _was_silent() returns from now on';

/* What libpq or the shard says of a failed connection, in one line and without passwords. */
CREATE FUNCTION @schema@._reason(message text, detail text, connection text) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	_reason text := rtrim(regexp_replace(coalesce(nullif(detail, ''), message), '\s+', ' ', 'g'));
	_password text;
BEGIN
	FOR _password IN
		SELECT o.option_value FROM pg_user_mappings m, pg_options_to_table(m.umoptions) o
		WHERE m.srvname = 'balancer' AND o.option_name = 'password' AND o.option_value <> ''
		UNION ALL
		SELECT p[1] FROM regexp_matches(connection, 'password\s*=\s*''?((?:\\.|[^''\s\\])+)', 'g') p
	LOOP
		_reason := replace(_reason, _password, '***');
	END LOOP;
	RETURN _reason;
END $$;
REVOKE ALL ON FUNCTION @schema@._reason(text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION @schema@._reason(text, text, text) IS 'why a connection has failed';

/*
 * Whether the session itself was cancelled. A shard that cancels a statement (statement_timeout, pg_cancel_backend) reports the
 * same SQLSTATE, and dblink says on which connection.
 */
CREATE FUNCTION @schema@._is_cancelled(state text, context text) RETURNS boolean
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN state = '57014' AND context NOT LIKE '% on dblink connection named %';
REVOKE ALL ON FUNCTION @schema@._is_cancelled(text, text) FROM PUBLIC;
COMMENT ON FUNCTION @schema@._is_cancelled(text, text) IS 'whether an error says that the session was cancelled, and not a shard';

/* Sends the statement on each of the connections that has answered the empty one. Returns those that have not at the end of the time. */
CREATE FUNCTION @schema@._send_ready(links text[], statement text, seconds float8) RETURNS text[]
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	_until timestamptz := clock_timestamp() + make_interval(secs => seconds);
	_pause float8 := 0.0005;
	_link text;
	_context text;
BEGIN
	LOOP
		FOREACH _link IN ARRAY links LOOP
			CONTINUE WHEN gxy_dblink.dblink_is_busy(_link) = 1;
			links := array_remove(links, _link);
			BEGIN
				PERFORM FROM gxy_dblink.dblink_get_result(_link) AS x (a text);
				PERFORM @schema@._drain(_link);
				IF gxy_dblink.dblink_send_query(_link, statement) = 0 THEN
					PERFORM gxy_dblink.dblink_disconnect(_link);
				END IF;
			EXCEPTION WHEN OTHERS OR query_canceled THEN
				GET STACKED DIAGNOSTICS _context = PG_EXCEPTION_CONTEXT;
				IF @schema@._is_cancelled(SQLSTATE, _context) THEN
					RAISE;
				END IF;
				PERFORM gxy_dblink.dblink_disconnect(_link);
			END;
		END LOOP;
		EXIT WHEN links = '{}' OR clock_timestamp() >= _until;
		PERFORM pg_sleep(_pause);
		_pause := least(_pause * 1.5, 0.02);
	END LOOP;
	RETURN links;
END $$;
REVOKE ALL ON FUNCTION @schema@._send_ready(text[], text, float8) FROM PUBLIC;
COMMENT ON FUNCTION @schema@._send_ready(text[], text, float8) IS 'sends a statement where there is an answer to the one before it';

/* A session keeps why it has waited for a shard in vain. No other session goes by that: the shard may have been slow once. */
CREATE FUNCTION @schema@._note_silence(link text, reason text) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM set_config('gxy_dblink.' || link, jsonb_build_array(extract(epoch FROM clock_timestamp()), reason)::text, false);
END $$;
REVOKE ALL ON FUNCTION @schema@._note_silence(text, text) FROM PUBLIC;
COMMENT ON FUNCTION @schema@._note_silence(text, text) IS 'what _silence() returns in this session from now on';

CREATE FUNCTION @schema@._silence(link text, seconds int) RETURNS text
	LANGUAGE sql VOLATILE
	BEGIN ATOMIC
		SELECT n.a ->> 1 FROM (SELECT nullif(pg_catalog.current_setting('gxy_dblink.' || link, true), '')::jsonb) n (a)
		WHERE extract(epoch FROM clock_timestamp()) BETWEEN (n.a ->> 0)::numeric AND (n.a ->> 0)::numeric + seconds;
	END;
REVOKE ALL ON FUNCTION @schema@._silence(text, int) FROM PUBLIC;
COMMENT ON FUNCTION @schema@._silence(text, int) IS 'why the session has waited for a shard in vain, if it did so in these last seconds';

CREATE FUNCTION @schema@._ask(shards int[], statement text, seconds float8)
	RETURNS TABLE (shard int, link text, state text, message text)
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET client_min_messages = warning AS $$
#variable_conflict use_column
DECLARE
	_numbers jsonb := (SELECT coalesce(jsonb_object_agg(@schema@._link(p.connection), p.shard), '{}') FROM @schema@._placed p);
	_placed record;
	_probed text[] := '{}';
	_late text[];
	_were_late text[];
	_waiting text[] := '{}';
	_answers jsonb := '{}';
	_began timestamptz := clock_timestamp();
	_connecting timestamptz;
	_waited boolean := false;
	_detail text;
	_link text;
BEGIN
	-- 1
	FOREACH _link IN ARRAY coalesce(gxy_dblink.dblink_get_connections(), '{}') LOOP
		CONTINUE WHEN _link NOT LIKE 'shard\_%' OR _numbers ? _link AND ((_numbers ->> _link)::int = ANY (shards)) IS NOT TRUE;
		IF _numbers ? _link AND gxy_dblink.dblink_is_busy(_link) = 0 AND gxy_dblink.dblink_send_query(_link, 'SELECT NULL::text') = 1 THEN
			_probed := _probed || _link;
		ELSE
			PERFORM gxy_dblink.dblink_disconnect(_link);
		END IF;
	END LOOP;
	_late := @schema@._send_ready(_probed, statement, 0.1);
	_were_late := _late;
	PERFORM @schema@._set_silent((_numbers ->> l)::int, true) FROM unnest(_late) l;
	-- 2
	FOR _placed IN
		SELECT p.shard, p.connection, l.link
		FROM @schema@._placed p, @schema@._link(p.connection) AS l (link)
		WHERE p.shard = ANY (shards) AND l.link <> ALL (coalesce(gxy_dblink.dblink_get_connections(), '{}'))
		ORDER BY @schema@._was_silent(p.shard), p.shard
	LOOP
		_detail := @schema@._silence(_placed.link, CASE WHEN _waited THEN 60 ELSE 5 END);
		IF _detail IS NOT NULL THEN
			_answers := _answers || jsonb_build_object(_placed.link, jsonb_build_array('08006', _detail));
			CONTINUE;
		END IF;
		_connecting := clock_timestamp();
		PERFORM @schema@._set_silent(_placed.shard, true);
		BEGIN
			PERFORM gxy_dblink.dblink_connect(_placed.link, @schema@._full_connection(_placed.connection));
			IF gxy_dblink.dblink_send_query(_placed.link, statement) = 0 THEN
				RAISE EXCEPTION '%', gxy_dblink.dblink_error_message(_placed.link) USING ERRCODE = '08006';
			END IF;
			_waiting := _waiting || _placed.link;
		EXCEPTION WHEN OTHERS THEN
			GET STACKED DIAGNOSTICS _detail = PG_EXCEPTION_DETAIL;
			_detail := @schema@._reason(SQLERRM, _detail, _placed.connection);
			_answers := _answers || jsonb_build_object(_placed.link, jsonb_build_array(SQLSTATE, _detail));
		END;
		IF _answers ? _placed.link AND clock_timestamp() > _connecting + interval '1 s' THEN
			_waited := true;
			PERFORM @schema@._note_silence(_placed.link, _detail);
		ELSE
			PERFORM @schema@._set_silent(_placed.shard, false);
		END IF;
	END LOOP;
	-- 3
	_late := @schema@._send_ready(_late, statement, greatest(0, 2 - extract(epoch FROM clock_timestamp() - _began)::float8));
	PERFORM @schema@._set_silent((_numbers ->> l)::int, false) FROM unnest(_were_late) l WHERE l <> ALL (_late);
	FOREACH _link IN ARRAY _late LOOP
		PERFORM @schema@._note_silence(_link, 'no answer within 2 s');
		PERFORM gxy_dblink.dblink_disconnect(_link);
		_answers := _answers || jsonb_build_object(_link, jsonb_build_array('08006', 'no answer within 2 s'));
	END LOOP;
	FOREACH _link IN ARRAY _probed LOOP
		IF _link = ANY (coalesce(gxy_dblink.dblink_get_connections(), '{}')) THEN
			_waiting := array_remove(_waiting, _link) || _link;
		ELSIF NOT _answers ? _link AND _link = ANY (_were_late) THEN
			_answers := _answers || jsonb_build_object(_link, jsonb_build_array('08006', 'the connection is lost'));
		END IF;
	END LOOP;
	_late := @schema@._wait(_waiting, coalesce(seconds, 1e9));
	FOREACH _link IN ARRAY _late LOOP
		PERFORM gxy_dblink.dblink_disconnect(_link);
		_answers := _answers || jsonb_build_object(_link, jsonb_build_array('08006', format('no answer within %s s', seconds)));
	END LOOP;
	RETURN QUERY
		SELECT p.shard, CASE WHEN NOT _answers ? l.link THEN l.link END, _answers -> l.link ->> 0, _answers -> l.link ->> 1
		FROM @schema@._placed p, @schema@._link(p.connection) AS l (link)
		WHERE p.shard = ANY (shards) ORDER BY p.shard;
END $$;
REVOKE ALL ON FUNCTION @schema@._ask(int[], text, float8) FROM PUBLIC;
COMMENT ON FUNCTION @schema@._ask(int[], text, float8) IS 'sends a statement to shards and waits for their answers';

/* PL/Proxy's own errors have XX000, and one of libpq without SQLSTATE has (null) for its text. */
CREATE FUNCTION @schema@._is_lost(state text, message text) RETURNS boolean
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN state LIKE '08%' OR state LIKE '57P0%'
		OR (state = 'XX000' AND (message LIKE 'PL/Proxy function %' OR message LIKE '%REMOTE (null): (null)'));
REVOKE ALL ON FUNCTION @schema@._is_lost(text, text) FROM PUBLIC;
COMMENT ON FUNCTION @schema@._is_lost(text, text) IS 'whether an error says that a shard does not answer';

CREATE FUNCTION @schema@._room_lost(room text, message text) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RAISE EXCEPTION 'the shard of room "%" does not answer', room USING ERRCODE = '08006', DETAIL = message,
		HINT = 'Rooms of other shards are not affected. Call again; it is not known whether this call was carried out.';
END $$;
REVOKE ALL ON FUNCTION @schema@._room_lost(text, text) FROM PUBLIC;
COMMENT ON FUNCTION @schema@._room_lost(text, text) IS 'the error of a call whose shard does not answer';

/* Raises an error if none has answered: that of a shard that has refused the call, if there is one. */
CREATE FUNCTION @schema@._check_answers(answered int, state text, refusal text) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF answered > 0 THEN
		RETURN;
	ELSIF refusal IS NOT NULL THEN
		RAISE EXCEPTION '%', refusal USING ERRCODE = state;
	END IF;
	IF NOT EXISTS (SELECT FROM @schema@._placed) THEN
		RAISE EXCEPTION 'there are no shards' USING ERRCODE = '55000', HINT = 'create_shards() makes them.';
	END IF;
	RAISE EXCEPTION 'no shard answers' USING ERRCODE = '08006', HINT = 'balancer_shards has their connections.';
END $$;
REVOKE ALL ON FUNCTION @schema@._check_answers(int, text, text) FROM PUBLIC;
COMMENT ON FUNCTION @schema@._check_answers(int, text, text) IS 'an error if a call for all shards was answered by none';

/* Not for a server that a shard does not have: pools may differ. */
CREATE FUNCTION @schema@._shard_failed(shard int, state text, message text) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	_hint text := 'The answer is that of the other shards. What was to be changed may not be changed on this one: call again when it is well.';
BEGIN
	IF @schema@._is_lost(state, message) THEN
		RAISE WARNING 'shard % does not answer', shard USING ERRCODE = '08006', DETAIL = message, HINT = _hint;
	ELSIF state <> '42704' THEN
		RAISE WARNING 'shard % reports an error', shard USING ERRCODE = state, DETAIL = message, HINT = _hint;
	END IF;
END $$;
REVOKE ALL ON FUNCTION @schema@._shard_failed(int, text, text) FROM PUBLIC;
COMMENT ON FUNCTION @schema@._shard_failed(int, text, text) IS 'the warning of a call for all shards that fails on one';

/* Raises the error of a shard that has none of the connections of _ask(). */
CREATE FUNCTION @schema@._check_link(link text, state text, message text) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF link IS NULL THEN
		RAISE EXCEPTION '%', message USING ERRCODE = state;
	END IF;
END $$;
REVOKE ALL ON FUNCTION @schema@._check_link(text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION @schema@._check_link(text, text, text) IS 'the error of a shard that was not reached';

/* What a shard is asked about itself: its state; its database, which a standby has, too; and its server. */
CREATE FUNCTION @schema@._identify() RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN 'SELECT pg_catalog.jsonb_build_object('
		'''state'', CASE WHEN pg_catalog.current_setting(''transaction_read_only'')::boolean THEN ''read only'' ELSE ''up'' END, '
		'''database'', pg_catalog.format(''%s/%s'', c.system_identifier, d.oid), '
		'''server'', pg_catalog.format(''%s/%s'', c.system_identifier, extract(epoch FROM pg_catalog.pg_postmaster_start_time())), '
		'''standby'', pg_catalog.pg_is_in_recovery(), '
		'''extension'', (SELECT pg_catalog.count(*) FROM pg_catalog.pg_extension WHERE extname = ''gxy_balancer'')) '
		'FROM pg_catalog.pg_control_system() c, pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()';
REVOKE ALL ON FUNCTION @schema@._identify() FROM PUBLIC;
COMMENT ON FUNCTION @schema@._identify() IS 'the statement by which databases are told from each other';

/* The state of each shard, asked now. Keeps which database it is, where that is not known yet. */
CREATE FUNCTION @schema@._shard_states(OUT shard int, OUT partitions int[], OUT connection text, OUT state text, OUT problem text, OUT identity jsonb)
	RETURNS SETOF record
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	_asked record;
	_context text;
BEGIN
	FOR _asked IN
		SELECT a.*, p.partitions, p.connection
		FROM @schema@._ask(@schema@._shards(), @schema@._identify(), 2) a
			JOIN @schema@._placed p USING (shard)
		ORDER BY a.shard
	LOOP
		shard := _asked.shard;
		partitions := _asked.partitions;
		connection := _asked.connection;
		problem := NULL;
		BEGIN
			PERFORM @schema@._check_link(_asked.link, _asked.state, _asked.message);
			identity := (SELECT x.a FROM gxy_dblink.dblink_get_result(_asked.link) AS x (a jsonb));
			state := identity ->> 'state';
		EXCEPTION WHEN OTHERS OR query_canceled THEN
			GET STACKED DIAGNOSTICS _context = PG_EXCEPTION_CONTEXT;
			IF @schema@._is_cancelled(SQLSTATE, _context) THEN
				RAISE;
			END IF;
			state := 'down';
			problem := SQLERRM;
			identity := NULL;
		END;
		IF _asked.link IS NOT NULL THEN
			PERFORM @schema@._drain(_asked.link);
		END IF;
		IF identity IS NOT NULL AND NOT current_setting('transaction_read_only')::boolean
			AND current_setting('transaction_isolation') = 'read committed' THEN
			UPDATE @schema@.shard_list l SET database = identity ->> 'database' WHERE l.shard = _asked.shard AND l.database IS NULL;
		END IF;
		RETURN NEXT;
	END LOOP;
END $$;
REVOKE ALL ON FUNCTION @schema@._shard_states() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION @schema@._shard_states() TO pg_monitor;
COMMENT ON FUNCTION @schema@._shard_states() IS 'rows of balancer_shards';

CREATE VIEW @schema@.balancer_shards AS
	SELECT s.shard, s.partitions, s.connection, s.state, s.problem FROM @schema@._shard_states() s;
REVOKE ALL ON @schema@.balancer_shards FROM PUBLIC;
GRANT SELECT ON @schema@.balancer_shards TO pg_monitor;
COMMENT ON VIEW @schema@.balancer_shards IS 'the shards, which partitions are on each, and whether it answers now';
COMMENT ON COLUMN @schema@.balancer_shards.state IS 'up; read only: a standby, or set so; down: it does not answer within 2 s';
COMMENT ON COLUMN @schema@.balancer_shards.problem IS 'what was reported of a shard that is down';

/*
 * Raises an error if a connection does not lead to a database that may become that of the shard (or of a new one, if shard is
 * NULL): one that is another shard's would count twice, and another than the shard's own does not have its rooms. Databases
 * are known by shard_list, so that this is so while their servers are down, too. Returns which database it is.
 */
CREATE FUNCTION @schema@._check_database(connection text, shard int) RETURNS text
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	_link constant text := 'new_shard';
	_new jsonb;
	_database text;
	_detail text;
	_other record;
BEGIN
	PERFORM @schema@._check_connection(connection);
	IF _link = ANY (gxy_dblink.dblink_get_connections()) THEN
		PERFORM gxy_dblink.dblink_disconnect(_link);
	END IF;
	BEGIN
		PERFORM gxy_dblink.dblink_connect(_link, @schema@._full_connection(connection));
		PERFORM gxy_dblink.dblink_send_query(_link, @schema@._identify());
		IF @schema@._wait(ARRAY[_link], 2) <> '{}' THEN
			RAISE EXCEPTION 'no answer within 2 s';
		END IF;
		_new := (SELECT x.a FROM gxy_dblink.dblink_get_result(_link) AS x (a jsonb));
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS _detail = PG_EXCEPTION_DETAIL;
		_detail := @schema@._reason(SQLERRM, _detail, connection);
	END;
	IF _link = ANY (gxy_dblink.dblink_get_connections()) THEN
		PERFORM gxy_dblink.dblink_disconnect(_link);
	END IF;
	IF _new IS NULL THEN
		RAISE EXCEPTION 'the database of the connection does not answer' USING ERRCODE = '08001', DETAIL = _detail,
			HINT = 'It must, so that it can be told from the databases of the shards.';
	ELSIF _new ->> 'extension' = '0' THEN
		RAISE EXCEPTION 'the database of the connection does not have the extension gxy_balancer' USING ERRCODE = '22023';
	ELSIF shard IS NOT NULL AND (_new ->> 'standby')::boolean THEN
		RAISE EXCEPTION 'the database of the connection is a standby' USING ERRCODE = '22023', HINT = 'Promote it first.';
	END IF;
	_database := _new ->> 'database';
	-- They are asked anew.
	PERFORM set_config('gxy_dblink.' || @schema@._link(p.connection), '', false) FROM @schema@._placed p;
	-- Their connections are compared as texts elsewhere.
	FOR _other IN
		SELECT coalesce(s.shard, l.shard) AS shard, l.database, s.identity, s.problem
		FROM @schema@._shard_states() s FULL JOIN @schema@.shard_list l USING (shard)
		WHERE s.connection <> _check_database.connection OR s.shard IS NULL AND l.shard = _check_database.shard
	LOOP
		IF _other.identity IS NULL AND _other.database IS NULL THEN
			IF shard IS NULL THEN
				RAISE EXCEPTION 'shard % does not answer, so its database is not compared with that of the connection', _other.shard
					USING ERRCODE = '08006', DETAIL = _other.problem;
			END IF;
			RAISE WARNING 'shard % has never answered, so its database is not compared with that of the new connection', _other.shard
				USING ERRCODE = '08006', DETAIL = _other.problem;
		ELSIF _other.shard IS DISTINCT FROM shard THEN
			-- A standby that was promoted by "move" has the database of another shard, on another server.
			IF _other.identity ->> 'database' = _database AND _other.identity -> 'server' = _new -> 'server' THEN
				RAISE EXCEPTION 'the connection leads to the database of shard %', _other.shard USING ERRCODE = '42710',
					DETAIL = 'A database that were two shards would count twice, and be divided twice.',
					HINT = 'Use the connection string that this shard has in balancer_shards.';
			ELSIF _other.identity IS NULL AND _other.database = _database THEN
				RAISE EXCEPTION 'the connection may lead to the database of shard %, which does not answer', _other.shard
					USING ERRCODE = '08006', DETAIL = _other.problem, HINT = 'Call again when that shard answers.';
			END IF;
		ELSIF (_database IN (_other.database, _other.identity ->> 'database')) IS NOT TRUE THEN
			RAISE EXCEPTION 'the connection leads to another database than that of shard %', shard USING ERRCODE = '22023',
				HINT = format('To another database rooms are moved, by examples/plproxy/move. If that of the shard was upgraded or restored: '
					'UPDATE @schema@.shard_list SET database = %L WHERE shard = %s;', _database, shard);
		ELSIF _other.identity -> 'server' <> _new -> 'server' AND NOT (_other.identity ->> 'standby')::boolean THEN
			RAISE EXCEPTION 'the connection leads to another server, and that of shard % takes writes still', shard USING ERRCODE = '22023',
				DETAIL = 'Each of the two would have rooms that the other has not.', HINT = 'Stop that of the old connection, or make it a standby.';
		END IF;
	END LOOP;
	RETURN _database;
END $$;
REVOKE ALL ON FUNCTION @schema@._check_database(text, int) FROM PUBLIC;
COMMENT ON FUNCTION @schema@._check_database(text, int) IS 'an error for a connection to a database that must not be that of the shard';

/*
 * Servers that init_servers() has not written on a shard, because the shard did not answer. A row goes when the server is there, or
 * on no shard any more.
 */
CREATE TABLE @schema@.shard_missed_servers (
	shard int,
	server text,
	PRIMARY KEY (shard, server)
);
REVOKE ALL ON @schema@.shard_missed_servers FROM PUBLIC;
COMMENT ON TABLE @schema@.shard_missed_servers IS 'servers that may be missing on a shard; an alert if they are';

/* reached: the shards that have answered. */
CREATE FUNCTION @schema@._note_missed(servers text, reached int[]) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	_servers text[] := ARRAY(SELECT DISTINCT btrim(s) FROM regexp_split_to_table(servers, ',') s WHERE btrim(s) <> '');
BEGIN
	DELETE FROM @schema@.shard_missed_servers m WHERE m.shard = ANY (reached) AND m.server = ANY (_servers);
	INSERT INTO @schema@.shard_missed_servers
	SELECT p.shard, s FROM @schema@._placed p, unnest(_servers) s WHERE p.shard <> ALL (reached)
	ON CONFLICT DO NOTHING;
	-- The first call of a new proxy: learns which databases the shards are.
	PERFORM FROM @schema@._shard_states();
END $$;
REVOKE ALL ON FUNCTION @schema@._note_missed(text, int[]) FROM PUBLIC;
COMMENT ON FUNCTION @schema@._note_missed(text, int[]) IS 'notes which shards a call of init_servers() has not reached';

/*
 * What only the proxy can see: rows of balancer_alerts. _balancer_servers() is among what `generate` writes. Shards that do not
 * answer are rows here, so they are no warnings.
 */
CREATE FUNCTION @schema@._shard_alerts(OUT severity text, OUT alert text, OUT server text, OUT what text, OUT since timestamptz,
		OUT statement text, OUT shard int)
	RETURNS SETOF record
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET client_min_messages = error AS $$
#variable_conflict use_column
DECLARE
	_states jsonb := (SELECT coalesce(jsonb_agg(to_jsonb(s)), '[]') FROM @schema@._shard_states() s);
	_servers jsonb;
BEGIN
	IF _states = '[]' THEN
		RETURN QUERY SELECT 'critical', 'shard_down', NULL, 'there are no shards: create_shards() makes them', NULL::timestamptz, NULL, NULL::int;
	END IF;
	RETURN QUERY
		SELECT 'critical', 'shard_down', NULL, CASE s.state WHEN 'down' THEN format('shard %s does not answer: %s', s.shard, s.problem)
				ELSE format('shard %s is read only', s.shard) END, NULL::timestamptz, NULL, s.shard
		FROM jsonb_to_recordset(_states) s (shard int, state text, problem text) WHERE s.state <> 'up' ORDER BY s.shard;
	RETURN QUERY
		SELECT 'critical', 'shards_same', NULL, format('shards %s are the same database', string_agg(s.shard::text, ' and ' ORDER BY s.shard)),
			NULL::timestamptz, NULL, min(s.shard)
		FROM jsonb_to_recordset(_states) s (shard int, identity jsonb) WHERE s.identity IS NOT NULL
		GROUP BY s.identity -> 'database', s.identity -> 'server' HAVING count(*) > 1;
	IF NOT EXISTS (SELECT FROM jsonb_to_recordset(_states) s (state text) WHERE s.state <> 'down') THEN
		RETURN;
	END IF;
	BEGIN
		_servers := (SELECT jsonb_agg(to_jsonb(b)) FROM @schema@._balancer_servers() b);
	EXCEPTION WHEN connection_exception THEN
		RETURN;
	END;
	RETURN QUERY
		SELECT 'warning', 'states_differ', b.name, string_agg(b.state || ' on shard ' || b.shard, ', ' ORDER BY b.shard), NULL::timestamptz,
			format('SELECT @schema@.set_server_state(%L, %L);', b.name, @schema@._worst(array_agg(b.state))), NULL::int
		FROM jsonb_to_recordset(_servers) b (name text, state text, shard int)
		GROUP BY b.name HAVING count(DISTINCT b.state) > 1 ORDER BY b.name;
	IF NOT current_setting('transaction_read_only')::boolean AND current_setting('transaction_isolation') = 'read committed' THEN
		DELETE FROM @schema@.shard_missed_servers m
		USING (SELECT array_agg(b.shard) AS shards, array_agg(b.shard || ' ' || b.name) AS servers, array_agg(b.name) AS names
			FROM jsonb_to_recordset(_servers) b (name text, shard int)) b
		WHERE m.shard || ' ' || m.server = ANY (b.servers)
			OR m.server <> ALL (b.names) AND NOT EXISTS (SELECT FROM @schema@._placed p WHERE p.shard <> ALL (b.shards));
	END IF;
	RETURN QUERY
		SELECT 'warning', 'server_missing', m.server, format('missing on shard %s, which did not answer when it was added', m.shard), NULL::timestamptz,
			format('SELECT @schema@.init_servers(%L);', m.server), m.shard
		FROM @schema@.shard_missed_servers m
			JOIN jsonb_to_recordset(_servers) b (name text, shard int) ON b.name = m.server
			JOIN jsonb_to_recordset(_states) s (shard int, state text) ON s.shard = m.shard AND s.state <> 'down'
		WHERE NOT EXISTS (SELECT FROM jsonb_to_recordset(_servers) h (name text, shard int) WHERE h.name = m.server AND h.shard = m.shard)
		GROUP BY m.shard, m.server ORDER BY m.shard, m.server;
END $$;
REVOKE ALL ON FUNCTION @schema@._shard_alerts() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION @schema@._shard_alerts() TO pg_monitor;
COMMENT ON FUNCTION @schema@._shard_alerts() IS 'rows of balancer_alerts: shards that do not answer, and servers that are not alike on them';

/*
 * For a shard that was not there when states were set: it gets those of another shard. With the argument "add" it also gets the
 * servers that it does not have, and priority, capacity, regions and pool of all. Servers that only it has stay as they are.
 */
CREATE FUNCTION @schema@.synchronize_servers(from_shard int, to_shard int, add boolean DEFAULT false)
	RETURNS TABLE (server text, change text)
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	_asked record;
	_given jsonb;
	_had jsonb;
BEGIN
	PERFORM FROM @schema@.shard_gate;
	FOR _asked IN
		SELECT * FROM @schema@._ask(ARRAY[from_shard, to_shard], 'SELECT pg_catalog.jsonb_agg(s ORDER BY s.position) FROM @schema@.balancer_servers s', 10)
	LOOP
		PERFORM @schema@._check_link(_asked.link, _asked.state, _asked.message);
		IF _asked.shard = from_shard THEN
			_given := (SELECT x.a FROM gxy_dblink.dblink_get_result(_asked.link) AS x (a jsonb));
		ELSE
			_had := coalesce((SELECT x.a FROM gxy_dblink.dblink_get_result(_asked.link) AS x (a jsonb)), '[]');
		END IF;
		PERFORM @schema@._drain(_asked.link);
	END LOOP;
	IF _given IS NULL OR _had IS NULL THEN
		RAISE EXCEPTION 'there are no two such shards with a pool' USING ERRCODE = '22023',
			HINT = 'balancer_shards has their numbers.';
	END IF;
	SELECT * INTO _asked FROM @schema@._ask(ARRAY[to_shard], CASE WHEN add THEN format(
		'WITH given AS (SELECT * FROM pg_catalog.jsonb_populate_recordset(NULL::@schema@.balancer_servers, %L)), '
		'changed AS (UPDATE @schema@.balancer_servers s '
		'SET priority = g.priority, capacity = g.capacity, regions = g.regions, pool = g.pool FROM given g '
		'WHERE s.name = g.name AND (s.priority, s.capacity, s.regions, s.pool) IS DISTINCT FROM (g.priority, g.capacity, g.regions, g.pool) '
		'RETURNING s.name), '
		'added AS (INSERT INTO @schema@.balancer_servers SELECT * FROM given ON CONFLICT DO NOTHING RETURNING name) '
		'SELECT name, ''changed'' FROM changed UNION ALL SELECT name, ''added'' FROM added', _given)
		ELSE 'SELECT NULL, NULL WHERE false' END, 10);
	PERFORM @schema@._check_link(_asked.link, _asked.state, _asked.message);
	RETURN QUERY SELECT x.* FROM gxy_dblink.dblink_get_result(_asked.link) AS x (name text, change text);
	PERFORM @schema@._drain(_asked.link);
	DELETE FROM @schema@.shard_missed_servers m USING jsonb_to_recordset(_given) g (name text) WHERE add AND m.shard = to_shard AND m.server = g.name;
	-- Again: a state may have been set meanwhile.
	SELECT * INTO _asked FROM @schema@._ask(ARRAY[from_shard], 'SELECT pg_catalog.jsonb_agg(s) FROM @schema@.balancer_servers s', 10);
	PERFORM @schema@._check_link(_asked.link, _asked.state, _asked.message);
	_given := (SELECT x.a FROM gxy_dblink.dblink_get_result(_asked.link) AS x (a jsonb));
	PERFORM @schema@._drain(_asked.link);
	SELECT * INTO _asked FROM @schema@._ask(ARRAY[to_shard], format(
		'SELECT g.name, @schema@.set_server_state(g.name, g.state) '
		'FROM pg_catalog.jsonb_populate_recordset(NULL::@schema@.balancer_servers, %L) g JOIN @schema@.balancer_servers s USING (name) '
		'WHERE s.state <> g.state', _given), 10);
	PERFORM @schema@._check_link(_asked.link, _asked.state, _asked.message);
	RETURN QUERY SELECT x.name, 'state: ' || x.state FROM gxy_dblink.dblink_get_result(_asked.link) AS x (name text, state text);
	PERFORM @schema@._drain(_asked.link);
END $$;
REVOKE ALL ON FUNCTION @schema@.synchronize_servers(int, int, boolean) FROM PUBLIC;
COMMENT ON FUNCTION @schema@.synchronize_servers(int, int, boolean) IS 'gives a shard the states of the servers of another, and with "add" the servers that it has not; returns what it has changed';

/*
 * Media servers that several shards use, of which others use fewer. A shard counts its own rooms only; this tells it what the
 * others have on each server, as a measured load (server_heartbeat() without a word on the health). A measured load comes
 * on top of the users that the shard itself still expects, so those are left out of it.
 *
 *     score of a server on one shard = (load of all shards - expected of this one) / capacity + expected of this one / capacity
 *
 * Call it every second or so, from one place. capacity is that of the whole server, on all shards. The last loads of a shard
 * that does not answer count for its gxy_balancer.heartbeat_timeout (where that is 0: 30 s). A fresh load in
 * balancer_health is that of a monitor, which measures the users of all shards: it stays. (Those told from here are not there.)
 */
CREATE UNLOGGED TABLE @schema@.shard_loads (
	shard int,
	server text,
	load bigint NOT NULL,
	expected bigint NOT NULL,
	capacity bigint NOT NULL,
	counts_until timestamptz NOT NULL,
	PRIMARY KEY (shard, server)
);
REVOKE ALL ON @schema@.shard_loads FROM PUBLIC;
COMMENT ON TABLE @schema@.shard_loads IS 'what share_loads() has last seen';

CREATE FUNCTION @schema@.share_loads() RETURNS int
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	_asked record;
	_told record;
	_living int[] := '{}';
	_shards int := 0;
	_context text;
	-- How long a load is fresh: as in the shard.
	_fresh constant text := $t$coalesce(nullif(pg_catalog.current_setting('gxy_balancer.heartbeat_timeout', true)::interval, '0'), '30 s')$t$;
BEGIN
	PERFORM FROM @schema@.shard_gate;
	-- One at a time: an older sum must not follow a newer one.
	LOCK TABLE @schema@.shard_loads IN SHARE ROW EXCLUSIVE MODE;
	FOR _asked IN
		SELECT * FROM @schema@._ask(@schema@._shards(), format('SELECT l.server, l.load, l.expected, l.capacity, %s FROM @schema@.balancer_load l', _fresh), 5)
	LOOP
		BEGIN
			PERFORM @schema@._check_link(_asked.link, _asked.state, _asked.message);
			INSERT INTO @schema@.shard_loads AS s
			SELECT _asked.shard, x.server, x.load, x.expected, x.capacity, clock_timestamp() + x.fresh
			FROM gxy_dblink.dblink_get_result(_asked.link) AS x (server text, load bigint, expected bigint, capacity bigint, fresh interval)
			WHERE x.capacity > 0
			ON CONFLICT (shard, server) DO UPDATE SET load = excluded.load, expected = excluded.expected, capacity = excluded.capacity,
				counts_until = excluded.counts_until;
			_living := _living || _asked.shard;
		EXCEPTION WHEN OTHERS OR query_canceled THEN
			GET STACKED DIAGNOSTICS _context = PG_EXCEPTION_CONTEXT;
			IF @schema@._is_cancelled(SQLSTATE, _context) THEN
				RAISE;
			END IF;
			PERFORM @schema@._shard_failed(_asked.shard, SQLSTATE, SQLERRM);
		END;
		PERFORM @schema@._drain(_asked.link);
	END LOOP;
	DELETE FROM @schema@.shard_loads s
	WHERE s.counts_until < clock_timestamp() OR s.shard <> ALL (@schema@._shards())
		-- A server that is not in the pool any more.
		OR s.shard = ANY (_living) AND s.counts_until < (SELECT max(n.counts_until) - interval '5 s' FROM @schema@.shard_loads n WHERE n.shard = s.shard);
	FOR _told IN
		SELECT l.shard, array_agg(l.server) AS servers, array_agg(l.share) AS shares
		FROM (SELECT s.*, least(10, (sum(s.load) OVER (PARTITION BY s.server) - s.expected)::numeric / s.capacity)::real AS share
			FROM @schema@.shard_loads s) l
		WHERE l.share >= 0 AND l.shard = ANY (_living)
		GROUP BY l.shard
	LOOP
		BEGIN
			SELECT * INTO _asked FROM @schema@._ask(ARRAY[_told.shard], format(
				'SELECT pg_catalog.count(@schema@.server_heartbeat(x.name, NULL, x.share)) '
				'FROM pg_catalog.set_config(''lock_timeout'', ''2s'', true), '
				'unnest(%L::text[], %L::real[]) x (name, share) '
				'WHERE NOT EXISTS (SELECT FROM @schema@.balancer_health h WHERE h.server = x.name AND h.load IS NOT NULL '
				'AND h.load_at > pg_catalog.clock_timestamp() - %s)', _told.servers, _told.shares, _fresh), 5);
			PERFORM @schema@._check_link(_asked.link, _asked.state, _asked.message);
			PERFORM FROM gxy_dblink.dblink_get_result(_asked.link) AS x (a bigint);
			_shards := _shards + 1;
		EXCEPTION WHEN OTHERS OR query_canceled THEN
			GET STACKED DIAGNOSTICS _context = PG_EXCEPTION_CONTEXT;
			IF @schema@._is_cancelled(SQLSTATE, _context) THEN
				RAISE;
			END IF;
			PERFORM @schema@._shard_failed(_told.shard, SQLSTATE, SQLERRM);
		END;
		PERFORM @schema@._drain(_asked.link);
	END LOOP;
	RETURN _shards;
END $$;
REVOKE ALL ON FUNCTION @schema@.share_loads() FROM PUBLIC;
COMMENT ON FUNCTION @schema@.share_loads() IS 'tells each shard what the other shards have on the servers; returns how many it has told';
