-- Written by examples/plproxy/generate (make reference) from shards.sql and the catalog. Change those, not this.

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

CREATE TABLE public.shard_gate ();
REVOKE ALL ON public.shard_gate FROM PUBLIC;
COMMENT ON TABLE public.shard_gate IS 'empty; a transaction that locks it pauses all calls, so that partitions can move';

CREATE TABLE public.shard_list (
	shard int PRIMARY KEY CHECK (shard > 0),
	connection text NOT NULL UNIQUE,
	database text
);
REVOKE ALL ON public.shard_list FROM PUBLIC;
COMMENT ON TABLE public.shard_list IS 'the number of each shard, which no other shard ever gets; set_shard_connection() changes a connection';
COMMENT ON COLUMN public.shard_list.database IS 'which database it is, on the primary and on its standbys; NULL until it has answered';

/*
 * The same on every machine, in every version and in every encoding of the proxy, unlike hashtext(). STABLE as
 * convert_to() is, so that it can be inlined.
 */
CREATE FUNCTION public.shard_of(room text) RETURNS int
	LANGUAGE sql STABLE PARALLEL SAFE
	RETURN coalesce(('x' || left(md5(convert_to(room, 'UTF8')), 8))::bit(32)::int, 0);
REVOKE ALL ON FUNCTION public.shard_of(text) FROM PUBLIC;
COMMENT ON FUNCTION public.shard_of(text) IS 'the partition of a room, modulo their number; by_region.sql has another';

/* A connection that is not in shard_list (ALTER SERVER by hand) has a negative number. */
CREATE VIEW public._placed AS
	SELECT coalesce(l.shard, -1 - p.partitions[1]) AS shard, p.partitions, p.connection
	FROM (SELECT array_agg(substr(o.option_name, 2)::int ORDER BY substr(o.option_name, 2)::int) AS partitions, o.option_value AS connection
		FROM pg_foreign_server s, pg_options_to_table(s.srvoptions) o
		WHERE s.srvname = 'balancer' AND o.option_name ~ '^p[0-9]+$'
		GROUP BY o.option_value) p
		LEFT JOIN public.shard_list l USING (connection);
REVOKE ALL ON public._placed FROM PUBLIC;
COMMENT ON VIEW public._placed IS 'the databases of the foreign server "balancer", and which partitions are in each';

/*
 * Replaced whenever partitions or connections change. A call sees its newest version in a transaction of any isolation
 * level, and a query of pg_proc the one of the transaction's snapshot.
 */
CREATE FUNCTION public._placed_version() RETURNS text
	LANGUAGE sql STABLE AS $$SELECT '0'$$;
REVOKE ALL ON FUNCTION public._placed_version() FROM PUBLIC;
COMMENT ON FUNCTION public._placed_version() IS 'changes with _placed';

/* Also gives each shard the sequence that _was_silent() reads. */
CREATE FUNCTION public._placed_changes() RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	_shard int;
BEGIN
	FOR _shard IN SELECT l.shard FROM public.shard_list l WHERE to_regclass('public.shard_silence_' || l.shard) IS NULL LOOP
		EXECUTE format('CREATE UNLOGGED SEQUENCE public.shard_silence_%s', _shard);
	END LOOP;
	EXECUTE format('CREATE OR REPLACE FUNCTION public._placed_version() RETURNS text LANGUAGE sql STABLE AS %L',
		format('SELECT %L', gen_random_uuid()));
END $$;
REVOKE ALL ON FUNCTION public._placed_changes() FROM PUBLIC;
COMMENT ON FUNCTION public._placed_changes() IS 'lets transactions with an older snapshot know that shards have changed';

/* PL/Proxy and _full_connection() add options at the end of the string. */
CREATE FUNCTION public._check_connection(connection text) RETURNS void
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
REVOKE ALL ON FUNCTION public._check_connection(text) FROM PUBLIC;
COMMENT ON FUNCTION public._check_connection(text) IS 'an error for a connection string that cannot be that of a shard';

/* One statement each, which all proxies run: see `move`. */
CREATE FUNCTION public.place_partitions(partitions int[], connection text, database text DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	_partition int;
BEGIN
	PERFORM public._check_connection(connection);
	FOREACH _partition IN ARRAY partitions LOOP
		EXECUTE format('ALTER SERVER balancer OPTIONS (SET p%s %L)', _partition, connection);
	END LOOP;
	INSERT INTO public.shard_list AS s
	SELECT 1 + coalesce(max(l.shard), 0), place_partitions.connection, place_partitions.database
	FROM public.shard_list l
	ON CONFLICT ON CONSTRAINT shard_list_connection_key DO UPDATE SET database = coalesce(excluded.database, s.database);
	PERFORM public._placed_changes();
END $$;
REVOKE ALL ON FUNCTION public.place_partitions(int[], text, text) FROM PUBLIC;
COMMENT ON FUNCTION public.place_partitions(int[], text, text) IS 'sends the calls for these partitions to this database from now on; moves no rooms';

-- Waits for calls that use the old connection, and new ones wait for it: so not for long, and not while databases are asked.
CREATE FUNCTION public.set_shard_connection(shard int, connection text) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET lock_timeout = '5s' AS $$
DECLARE
	_partitions int[];
	_version text := public._placed_version();
	_other int;
	_database text;
BEGIN
	IF current_setting('transaction_isolation') <> 'read committed' THEN
		RAISE EXCEPTION 'a shard''s connection can be changed in READ COMMITTED only' USING ERRCODE = '25001',
			DETAIL = 'An older snapshot has the partitions where they were before they moved.';
	END IF;
	PERFORM public._check_connection(connection);
	IF NOT EXISTS (SELECT FROM public.shard_list l WHERE l.shard = set_shard_connection.shard) THEN
		RAISE EXCEPTION 'there is no shard %', shard USING ERRCODE = '42704';
	END IF;
	SELECT l.shard INTO _other FROM public.shard_list l
	WHERE l.connection = set_shard_connection.connection AND l.shard <> set_shard_connection.shard;
	IF FOUND AND EXISTS (SELECT FROM public._placed p WHERE p.shard = _other) THEN
		RAISE EXCEPTION 'shard % has this connection', _other USING ERRCODE = '42710';
	ELSIF FOUND THEN
		RAISE EXCEPTION 'shard %, which has no partitions any more, had this connection', _other USING ERRCODE = '42710',
			HINT = 'A string that has one more space at its end is another one.';
	END IF;
	_database := public._check_database(connection, shard);
	LOCK TABLE public.shard_gate IN ACCESS EXCLUSIVE MODE;
	IF public._placed_version() <> _version THEN
		RAISE EXCEPTION 'partitions have moved meanwhile' USING ERRCODE = '40001', HINT = 'Call again.';
	END IF;
	SELECT p.partitions INTO _partitions FROM public._placed p WHERE p.shard = set_shard_connection.shard;
	UPDATE public.shard_list l SET connection = set_shard_connection.connection WHERE l.shard = set_shard_connection.shard;
	PERFORM public.place_partitions(coalesce(_partitions, '{}'), connection, _database);
END $$;
REVOKE ALL ON FUNCTION public.set_shard_connection(int, text) FROM PUBLIC;
COMMENT ON FUNCTION public.set_shard_connection(int, text) IS 'another connection string for the same database; moves no rooms';

CREATE FUNCTION public.create_shards(partitions int, VARIADIC connections text[]) RETURNS void
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
	PERFORM public._check_connection(c) FROM unnest(connections) c;
	IF EXISTS (SELECT FROM pg_foreign_server WHERE srvname = 'balancer') THEN
		RAISE EXCEPTION 'there are shards already' USING ERRCODE = '42710', DETAIL = 'balancer_shards has them.',
			HINT = 'set_shard_connection() corrects a connection. To start over: DROP SERVER balancer CASCADE.';
	END IF;
	DELETE FROM public.shard_list;
	EXECUTE (SELECT 'CREATE SERVER balancer FOREIGN DATA WRAPPER plproxy OPTIONS ('
			|| string_agg(format('p%s %L', i, connections[1 + i * cardinality(connections) / partitions]), ', ' ORDER BY i) || ')'
		FROM generate_series(0, partitions - 1) i);
	INSERT INTO public.shard_list SELECT n, c FROM unnest(connections) WITH ORDINALITY u (c, n);
	PERFORM public._placed_changes();
END $$;
REVOKE ALL ON FUNCTION public.create_shards(int, text[]) FROM PUBLIC;
COMMENT ON FUNCTION public.create_shards(int, text[]) IS 'spreads partitions over these databases evenly, in their order';

CREATE FUNCTION public._shards() RETURNS int[]
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF format('SELECT %L', public._placed_version())
		<> (SELECT p.prosrc FROM pg_proc p WHERE p.oid = 'public._placed_version()'::regprocedure) THEN
		RAISE EXCEPTION 'partitions have moved since this transaction began' USING ERRCODE = '40001',
			HINT = 'Repeat the transaction.';
	END IF;
	RETURN (SELECT coalesce(array_agg(p.shard ORDER BY p.shard), '{}') FROM public._placed p);
END $$;
REVOKE ALL ON FUNCTION public._shards() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public._shards() TO pg_monitor;
COMMENT ON FUNCTION public._shards() IS 'the numbers of the shards that have partitions';

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
CREATE FUNCTION public._link(connection text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN 'shard_' || md5(connection);
REVOKE ALL ON FUNCTION public._link(text) FROM PUBLIC;
COMMENT ON FUNCTION public._link(text) IS 'the name of the connection of dblink';

/* The user as PL/Proxy takes it: that of the connection string, or of the mapping, or of that for PUBLIC, or the current one. */
CREATE FUNCTION public._full_connection(connection text) RETURNS text
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
REVOKE ALL ON FUNCTION public._full_connection(text) FROM PUBLIC;
COMMENT ON FUNCTION public._full_connection(text) IS 'a connection string with the user';

/* Ends what is left of the last answer. */
CREATE FUNCTION public._drain(link text) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF link IS NOT NULL THEN
		PERFORM FROM gxy_dblink.dblink_get_result(link, false) AS x (a text);
	END IF;
END $$;
REVOKE ALL ON FUNCTION public._drain(text) FROM PUBLIC;
COMMENT ON FUNCTION public._drain(text) IS 'makes a connection ready for the next statement';

/*
 * Returns those of the connections that have no answer at the end of the time. A call of dblink_is_busy() reads 16 kB, so there are
 * several before each pause: a large answer comes as fast as the shard sends it.
 */
CREATE FUNCTION public._wait(links text[], seconds float8) RETURNS text[]
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
REVOKE ALL ON FUNCTION public._wait(text[], float8) FROM PUBLIC;
COMMENT ON FUNCTION public._wait(text[], float8) IS 'waits for answers';

/*
 * Only the order in which a new session connects to shards: those that have let a session wait come last. A sequence keeps
 * it when the caller's statement is cancelled.
 */
CREATE FUNCTION public._was_silent(shard int) RETURNS boolean
	LANGUAGE sql VOLATILE
	RETURN shard > 0 AND pg_catalog.pg_sequence_last_value(to_regclass('public.shard_silence_' || shard)) IS NOT NULL;
REVOKE ALL ON FUNCTION public._was_silent(int) FROM PUBLIC;
COMMENT ON FUNCTION public._was_silent(int) IS 'whether the session that has connected last to a shard has waited in vain';

CREATE FUNCTION public._set_silent(shard int, silent boolean) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF shard > 0 AND NOT current_setting('transaction_read_only')::boolean AND public._was_silent(shard) <> silent THEN
		PERFORM setval(to_regclass('public.shard_silence_' || shard), 1, silent);
	END IF;
END $$;
REVOKE ALL ON FUNCTION public._set_silent(int, boolean) FROM PUBLIC;
COMMENT ON FUNCTION public._set_silent(int, boolean) IS 'what _was_silent() returns from now on';

/* What libpq or the shard says of a failed connection, in one line and without passwords. */
CREATE FUNCTION public._reason(message text, detail text, connection text) RETURNS text
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
REVOKE ALL ON FUNCTION public._reason(text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION public._reason(text, text, text) IS 'why a connection has failed';

/*
 * Whether the session itself was cancelled. A shard that cancels a statement (statement_timeout, pg_cancel_backend) reports the
 * same SQLSTATE, and dblink says on which connection.
 */
CREATE FUNCTION public._is_cancelled(state text, context text) RETURNS boolean
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN state = '57014' AND context NOT LIKE '% on dblink connection named %';
REVOKE ALL ON FUNCTION public._is_cancelled(text, text) FROM PUBLIC;
COMMENT ON FUNCTION public._is_cancelled(text, text) IS 'whether an error says that the session was cancelled, and not a shard';

/* Sends the statement on each of the connections that has answered the empty one. Returns those that have not at the end of the time. */
CREATE FUNCTION public._send_ready(links text[], statement text, seconds float8) RETURNS text[]
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
				PERFORM public._drain(_link);
				IF gxy_dblink.dblink_send_query(_link, statement) = 0 THEN
					PERFORM gxy_dblink.dblink_disconnect(_link);
				END IF;
			EXCEPTION WHEN OTHERS OR query_canceled THEN
				GET STACKED DIAGNOSTICS _context = PG_EXCEPTION_CONTEXT;
				IF public._is_cancelled(SQLSTATE, _context) THEN
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
REVOKE ALL ON FUNCTION public._send_ready(text[], text, float8) FROM PUBLIC;
COMMENT ON FUNCTION public._send_ready(text[], text, float8) IS 'sends a statement where there is an answer to the one before it';

/* A session keeps why it has waited for a shard in vain. No other session goes by that: the shard may have been slow once. */
CREATE FUNCTION public._note_silence(link text, reason text) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM set_config('gxy_dblink.' || link, jsonb_build_array(extract(epoch FROM clock_timestamp()), reason)::text, false);
END $$;
REVOKE ALL ON FUNCTION public._note_silence(text, text) FROM PUBLIC;
COMMENT ON FUNCTION public._note_silence(text, text) IS 'what _silence() returns in this session from now on';

CREATE FUNCTION public._silence(link text, seconds int) RETURNS text
	LANGUAGE sql VOLATILE
	BEGIN ATOMIC
		SELECT n.a ->> 1 FROM (SELECT nullif(pg_catalog.current_setting('gxy_dblink.' || link, true), '')::jsonb) n (a)
		WHERE extract(epoch FROM clock_timestamp()) BETWEEN (n.a ->> 0)::numeric AND (n.a ->> 0)::numeric + seconds;
	END;
REVOKE ALL ON FUNCTION public._silence(text, int) FROM PUBLIC;
COMMENT ON FUNCTION public._silence(text, int) IS 'why the session has waited for a shard in vain, if it did so in these last seconds';

CREATE FUNCTION public._ask(shards int[], statement text, seconds float8)
	RETURNS TABLE (shard int, link text, state text, message text)
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET client_min_messages = warning AS $$
#variable_conflict use_column
DECLARE
	_numbers jsonb := (SELECT coalesce(jsonb_object_agg(public._link(p.connection), p.shard), '{}') FROM public._placed p);
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
	_late := public._send_ready(_probed, statement, 0.1);
	_were_late := _late;
	PERFORM public._set_silent((_numbers ->> l)::int, true) FROM unnest(_late) l;
	-- 2
	FOR _placed IN
		SELECT p.shard, p.connection, l.link
		FROM public._placed p, public._link(p.connection) AS l (link)
		WHERE p.shard = ANY (shards) AND l.link <> ALL (coalesce(gxy_dblink.dblink_get_connections(), '{}'))
		ORDER BY public._was_silent(p.shard), p.shard
	LOOP
		_detail := public._silence(_placed.link, CASE WHEN _waited THEN 60 ELSE 5 END);
		IF _detail IS NOT NULL THEN
			_answers := _answers || jsonb_build_object(_placed.link, jsonb_build_array('08006', _detail));
			CONTINUE;
		END IF;
		_connecting := clock_timestamp();
		PERFORM public._set_silent(_placed.shard, true);
		BEGIN
			PERFORM gxy_dblink.dblink_connect(_placed.link, public._full_connection(_placed.connection));
			IF gxy_dblink.dblink_send_query(_placed.link, statement) = 0 THEN
				RAISE EXCEPTION '%', gxy_dblink.dblink_error_message(_placed.link) USING ERRCODE = '08006';
			END IF;
			_waiting := _waiting || _placed.link;
		EXCEPTION WHEN OTHERS THEN
			GET STACKED DIAGNOSTICS _detail = PG_EXCEPTION_DETAIL;
			_detail := public._reason(SQLERRM, _detail, _placed.connection);
			_answers := _answers || jsonb_build_object(_placed.link, jsonb_build_array(SQLSTATE, _detail));
		END;
		IF _answers ? _placed.link AND clock_timestamp() > _connecting + interval '1 s' THEN
			_waited := true;
			PERFORM public._note_silence(_placed.link, _detail);
		ELSE
			PERFORM public._set_silent(_placed.shard, false);
		END IF;
	END LOOP;
	-- 3
	_late := public._send_ready(_late, statement, greatest(0, 2 - extract(epoch FROM clock_timestamp() - _began)::float8));
	PERFORM public._set_silent((_numbers ->> l)::int, false) FROM unnest(_were_late) l WHERE l <> ALL (_late);
	FOREACH _link IN ARRAY _late LOOP
		PERFORM public._note_silence(_link, 'no answer within 2 s');
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
	_late := public._wait(_waiting, coalesce(seconds, 1e9));
	FOREACH _link IN ARRAY _late LOOP
		PERFORM gxy_dblink.dblink_disconnect(_link);
		_answers := _answers || jsonb_build_object(_link, jsonb_build_array('08006', format('no answer within %s s', seconds)));
	END LOOP;
	RETURN QUERY
		SELECT p.shard, CASE WHEN NOT _answers ? l.link THEN l.link END, _answers -> l.link ->> 0, _answers -> l.link ->> 1
		FROM public._placed p, public._link(p.connection) AS l (link)
		WHERE p.shard = ANY (shards) ORDER BY p.shard;
END $$;
REVOKE ALL ON FUNCTION public._ask(int[], text, float8) FROM PUBLIC;
COMMENT ON FUNCTION public._ask(int[], text, float8) IS 'sends a statement to shards and waits for their answers';

/* PL/Proxy's own errors have XX000, and one of libpq without SQLSTATE has (null) for its text. */
CREATE FUNCTION public._is_lost(state text, message text) RETURNS boolean
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN state LIKE '08%' OR state LIKE '57P0%'
		OR (state = 'XX000' AND (message LIKE 'PL/Proxy function %' OR message LIKE '%REMOTE (null): (null)'));
REVOKE ALL ON FUNCTION public._is_lost(text, text) FROM PUBLIC;
COMMENT ON FUNCTION public._is_lost(text, text) IS 'whether an error says that a shard does not answer';

CREATE FUNCTION public._room_lost(room text, message text) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RAISE EXCEPTION 'the shard of room "%" does not answer', room USING ERRCODE = '08006', DETAIL = message,
		HINT = 'Rooms of other shards are not affected. Call again; it is not known whether this call was carried out.';
END $$;
REVOKE ALL ON FUNCTION public._room_lost(text, text) FROM PUBLIC;
COMMENT ON FUNCTION public._room_lost(text, text) IS 'the error of a call whose shard does not answer';

/* Raises an error if none has answered: that of a shard that has refused the call, if there is one. */
CREATE FUNCTION public._check_answers(answered int, state text, refusal text) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF answered > 0 THEN
		RETURN;
	ELSIF refusal IS NOT NULL THEN
		RAISE EXCEPTION '%', refusal USING ERRCODE = state;
	END IF;
	IF NOT EXISTS (SELECT FROM public._placed) THEN
		RAISE EXCEPTION 'there are no shards' USING ERRCODE = '55000', HINT = 'create_shards() makes them.';
	END IF;
	RAISE EXCEPTION 'no shard answers' USING ERRCODE = '08006', HINT = 'balancer_shards has their connections.';
END $$;
REVOKE ALL ON FUNCTION public._check_answers(int, text, text) FROM PUBLIC;
COMMENT ON FUNCTION public._check_answers(int, text, text) IS 'an error if a call for all shards was answered by none';

/* Not for a server that a shard does not have: pools may differ. */
CREATE FUNCTION public._shard_failed(shard int, state text, message text) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	_hint text := 'The answer is that of the other shards. What was to be changed may not be changed on this one: call again when it is well.';
BEGIN
	IF public._is_lost(state, message) THEN
		RAISE WARNING 'shard % does not answer', shard USING ERRCODE = '08006', DETAIL = message, HINT = _hint;
	ELSIF state <> '42704' THEN
		RAISE WARNING 'shard % reports an error', shard USING ERRCODE = state, DETAIL = message, HINT = _hint;
	END IF;
END $$;
REVOKE ALL ON FUNCTION public._shard_failed(int, text, text) FROM PUBLIC;
COMMENT ON FUNCTION public._shard_failed(int, text, text) IS 'the warning of a call for all shards that fails on one';

/* Raises the error of a shard that has none of the connections of _ask(). */
CREATE FUNCTION public._check_link(link text, state text, message text) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF link IS NULL THEN
		RAISE EXCEPTION '%', message USING ERRCODE = state;
	END IF;
END $$;
REVOKE ALL ON FUNCTION public._check_link(text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION public._check_link(text, text, text) IS 'the error of a shard that was not reached';

/* What a shard is asked about itself: its state; its database, which a standby has, too; and its server. */
CREATE FUNCTION public._identify() RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN 'SELECT pg_catalog.jsonb_build_object('
		'''state'', CASE WHEN pg_catalog.current_setting(''transaction_read_only'')::boolean THEN ''read only'' ELSE ''up'' END, '
		'''database'', pg_catalog.format(''%s/%s'', c.system_identifier, d.oid), '
		'''server'', pg_catalog.format(''%s/%s'', c.system_identifier, extract(epoch FROM pg_catalog.pg_postmaster_start_time())), '
		'''standby'', pg_catalog.pg_is_in_recovery(), '
		'''extension'', (SELECT pg_catalog.count(*) FROM pg_catalog.pg_extension WHERE extname = ''gxy_balancer'')) '
		'FROM pg_catalog.pg_control_system() c, pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()';
REVOKE ALL ON FUNCTION public._identify() FROM PUBLIC;
COMMENT ON FUNCTION public._identify() IS 'the statement by which databases are told from each other';

/* The state of each shard, asked now. Keeps which database it is, where that is not known yet. */
CREATE FUNCTION public._shard_states(OUT shard int, OUT partitions int[], OUT connection text, OUT state text, OUT problem text, OUT identity jsonb)
	RETURNS SETOF record
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	_asked record;
	_context text;
BEGIN
	FOR _asked IN
		SELECT a.*, p.partitions, p.connection
		FROM public._ask(public._shards(), public._identify(), 2) a
			JOIN public._placed p USING (shard)
		ORDER BY a.shard
	LOOP
		shard := _asked.shard;
		partitions := _asked.partitions;
		connection := _asked.connection;
		problem := NULL;
		BEGIN
			PERFORM public._check_link(_asked.link, _asked.state, _asked.message);
			identity := (SELECT x.a FROM gxy_dblink.dblink_get_result(_asked.link) AS x (a jsonb));
			state := identity ->> 'state';
		EXCEPTION WHEN OTHERS OR query_canceled THEN
			GET STACKED DIAGNOSTICS _context = PG_EXCEPTION_CONTEXT;
			IF public._is_cancelled(SQLSTATE, _context) THEN
				RAISE;
			END IF;
			state := 'down';
			problem := SQLERRM;
			identity := NULL;
		END;
		IF _asked.link IS NOT NULL THEN
			PERFORM public._drain(_asked.link);
		END IF;
		IF identity IS NOT NULL AND NOT current_setting('transaction_read_only')::boolean
			AND current_setting('transaction_isolation') = 'read committed' THEN
			UPDATE public.shard_list l SET database = identity ->> 'database' WHERE l.shard = _asked.shard AND l.database IS NULL;
		END IF;
		RETURN NEXT;
	END LOOP;
END $$;
REVOKE ALL ON FUNCTION public._shard_states() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public._shard_states() TO pg_monitor;
COMMENT ON FUNCTION public._shard_states() IS 'rows of balancer_shards';

CREATE VIEW public.balancer_shards AS
	SELECT s.shard, s.partitions, s.connection, s.state, s.problem FROM public._shard_states() s;
REVOKE ALL ON public.balancer_shards FROM PUBLIC;
GRANT SELECT ON public.balancer_shards TO pg_monitor;
COMMENT ON VIEW public.balancer_shards IS 'the shards, which partitions are on each, and whether it answers now';
COMMENT ON COLUMN public.balancer_shards.state IS 'up; read only: a standby, or set so; down: it does not answer within 2 s';
COMMENT ON COLUMN public.balancer_shards.problem IS 'what was reported of a shard that is down';

/*
 * Raises an error if a connection does not lead to a database that may become that of the shard (or of a new one, if shard is
 * NULL): one that is another shard's would count twice, and another than the shard's own does not have its rooms. Databases
 * are known by shard_list, so that this is so while their servers are down, too. Returns which database it is.
 */
CREATE FUNCTION public._check_database(connection text, shard int) RETURNS text
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	_link constant text := 'new_shard';
	_new jsonb;
	_database text;
	_detail text;
	_other record;
BEGIN
	PERFORM public._check_connection(connection);
	IF _link = ANY (gxy_dblink.dblink_get_connections()) THEN
		PERFORM gxy_dblink.dblink_disconnect(_link);
	END IF;
	BEGIN
		PERFORM gxy_dblink.dblink_connect(_link, public._full_connection(connection));
		PERFORM gxy_dblink.dblink_send_query(_link, public._identify());
		IF public._wait(ARRAY[_link], 2) <> '{}' THEN
			RAISE EXCEPTION 'no answer within 2 s';
		END IF;
		_new := (SELECT x.a FROM gxy_dblink.dblink_get_result(_link) AS x (a jsonb));
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS _detail = PG_EXCEPTION_DETAIL;
		_detail := public._reason(SQLERRM, _detail, connection);
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
	PERFORM set_config('gxy_dblink.' || public._link(p.connection), '', false) FROM public._placed p;
	-- Their connections are compared as texts elsewhere.
	FOR _other IN
		SELECT coalesce(s.shard, l.shard) AS shard, l.database, s.identity, s.problem
		FROM public._shard_states() s FULL JOIN public.shard_list l USING (shard)
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
					'UPDATE public.shard_list SET database = %L WHERE shard = %s;', _database, shard);
		ELSIF _other.identity -> 'server' <> _new -> 'server' AND NOT (_other.identity ->> 'standby')::boolean THEN
			RAISE EXCEPTION 'the connection leads to another server, and that of shard % takes writes still', shard USING ERRCODE = '22023',
				DETAIL = 'Each of the two would have rooms that the other has not.', HINT = 'Stop that of the old connection, or make it a standby.';
		END IF;
	END LOOP;
	RETURN _database;
END $$;
REVOKE ALL ON FUNCTION public._check_database(text, int) FROM PUBLIC;
COMMENT ON FUNCTION public._check_database(text, int) IS 'an error for a connection to a database that must not be that of the shard';

/*
 * Servers that init_servers() has not written on a shard, because the shard did not answer. A row goes when the server is there, or
 * on no shard any more.
 */
CREATE TABLE public.shard_missed_servers (
	shard int,
	server text,
	PRIMARY KEY (shard, server)
);
REVOKE ALL ON public.shard_missed_servers FROM PUBLIC;
COMMENT ON TABLE public.shard_missed_servers IS 'servers that may be missing on a shard; an alert if they are';

/* reached: the shards that have answered. */
CREATE FUNCTION public._note_missed(servers text, reached int[]) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	_servers text[] := ARRAY(SELECT DISTINCT btrim(s) FROM regexp_split_to_table(servers, ',') s WHERE btrim(s) <> '');
BEGIN
	DELETE FROM public.shard_missed_servers m WHERE m.shard = ANY (reached) AND m.server = ANY (_servers);
	INSERT INTO public.shard_missed_servers
	SELECT p.shard, s FROM public._placed p, unnest(_servers) s WHERE p.shard <> ALL (reached)
	ON CONFLICT DO NOTHING;
	-- The first call of a new proxy: learns which databases the shards are.
	PERFORM FROM public._shard_states();
END $$;
REVOKE ALL ON FUNCTION public._note_missed(text, int[]) FROM PUBLIC;
COMMENT ON FUNCTION public._note_missed(text, int[]) IS 'notes which shards a call of init_servers() has not reached';

/*
 * What only the proxy can see: rows of balancer_alerts. _balancer_servers() is among what `generate` writes. Shards that do not
 * answer are rows here, so they are no warnings.
 */
CREATE FUNCTION public._shard_alerts(OUT severity text, OUT alert text, OUT server text, OUT what text, OUT since timestamptz,
		OUT statement text, OUT shard int)
	RETURNS SETOF record
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET client_min_messages = error AS $$
#variable_conflict use_column
DECLARE
	_states jsonb := (SELECT coalesce(jsonb_agg(to_jsonb(s)), '[]') FROM public._shard_states() s);
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
		_servers := (SELECT jsonb_agg(to_jsonb(b)) FROM public._balancer_servers() b);
	EXCEPTION WHEN connection_exception THEN
		RETURN;
	END;
	RETURN QUERY
		SELECT 'warning', 'states_differ', b.name, string_agg(b.state || ' on shard ' || b.shard, ', ' ORDER BY b.shard), NULL::timestamptz,
			format('SELECT public.set_server_state(%L, %L);', b.name, public._worst(array_agg(b.state))), NULL::int
		FROM jsonb_to_recordset(_servers) b (name text, state text, shard int)
		GROUP BY b.name HAVING count(DISTINCT b.state) > 1 ORDER BY b.name;
	IF NOT current_setting('transaction_read_only')::boolean AND current_setting('transaction_isolation') = 'read committed' THEN
		DELETE FROM public.shard_missed_servers m
		USING (SELECT array_agg(b.shard) AS shards, array_agg(b.shard || ' ' || b.name) AS servers, array_agg(b.name) AS names
			FROM jsonb_to_recordset(_servers) b (name text, shard int)) b
		WHERE m.shard || ' ' || m.server = ANY (b.servers)
			OR m.server <> ALL (b.names) AND NOT EXISTS (SELECT FROM public._placed p WHERE p.shard <> ALL (b.shards));
	END IF;
	RETURN QUERY
		SELECT 'warning', 'server_missing', m.server, format('missing on shard %s, which did not answer when it was added', m.shard), NULL::timestamptz,
			format('SELECT public.init_servers(%L);', m.server), m.shard
		FROM public.shard_missed_servers m
			JOIN jsonb_to_recordset(_servers) b (name text, shard int) ON b.name = m.server
			JOIN jsonb_to_recordset(_states) s (shard int, state text) ON s.shard = m.shard AND s.state <> 'down'
		WHERE NOT EXISTS (SELECT FROM jsonb_to_recordset(_servers) h (name text, shard int) WHERE h.name = m.server AND h.shard = m.shard)
		GROUP BY m.shard, m.server ORDER BY m.shard, m.server;
END $$;
REVOKE ALL ON FUNCTION public._shard_alerts() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public._shard_alerts() TO pg_monitor;
COMMENT ON FUNCTION public._shard_alerts() IS 'rows of balancer_alerts: shards that do not answer, and servers that are not alike on them';

/*
 * For a shard that was not there when states were set: it gets those of another shard. With the argument "add" it also gets the
 * servers that it does not have, and priority, capacity, regions and pool of all. Servers that only it has stay as they are.
 */
CREATE FUNCTION public.synchronize_servers(from_shard int, to_shard int, add boolean DEFAULT false)
	RETURNS TABLE (server text, change text)
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	_asked record;
	_given jsonb;
	_had jsonb;
BEGIN
	PERFORM FROM public.shard_gate;
	FOR _asked IN
		SELECT * FROM public._ask(ARRAY[from_shard, to_shard], 'SELECT pg_catalog.jsonb_agg(s ORDER BY s.position) FROM public.balancer_servers s', 10)
	LOOP
		PERFORM public._check_link(_asked.link, _asked.state, _asked.message);
		IF _asked.shard = from_shard THEN
			_given := (SELECT x.a FROM gxy_dblink.dblink_get_result(_asked.link) AS x (a jsonb));
		ELSE
			_had := coalesce((SELECT x.a FROM gxy_dblink.dblink_get_result(_asked.link) AS x (a jsonb)), '[]');
		END IF;
		PERFORM public._drain(_asked.link);
	END LOOP;
	IF _given IS NULL OR _had IS NULL THEN
		RAISE EXCEPTION 'there are no two such shards with a pool' USING ERRCODE = '22023',
			HINT = 'balancer_shards has their numbers.';
	END IF;
	SELECT * INTO _asked FROM public._ask(ARRAY[to_shard], CASE WHEN add THEN format(
		'WITH given AS (SELECT * FROM pg_catalog.jsonb_populate_recordset(NULL::public.balancer_servers, %L)), '
		'changed AS (UPDATE public.balancer_servers s '
		'SET priority = g.priority, capacity = g.capacity, regions = g.regions, pool = g.pool FROM given g '
		'WHERE s.name = g.name AND (s.priority, s.capacity, s.regions, s.pool) IS DISTINCT FROM (g.priority, g.capacity, g.regions, g.pool) '
		'RETURNING s.name), '
		'added AS (INSERT INTO public.balancer_servers SELECT * FROM given ON CONFLICT DO NOTHING RETURNING name) '
		'SELECT name, ''changed'' FROM changed UNION ALL SELECT name, ''added'' FROM added', _given)
		ELSE 'SELECT NULL, NULL WHERE false' END, 10);
	PERFORM public._check_link(_asked.link, _asked.state, _asked.message);
	RETURN QUERY SELECT x.* FROM gxy_dblink.dblink_get_result(_asked.link) AS x (name text, change text);
	PERFORM public._drain(_asked.link);
	DELETE FROM public.shard_missed_servers m USING jsonb_to_recordset(_given) g (name text) WHERE add AND m.shard = to_shard AND m.server = g.name;
	-- Again: a state may have been set meanwhile.
	SELECT * INTO _asked FROM public._ask(ARRAY[from_shard], 'SELECT pg_catalog.jsonb_agg(s) FROM public.balancer_servers s', 10);
	PERFORM public._check_link(_asked.link, _asked.state, _asked.message);
	_given := (SELECT x.a FROM gxy_dblink.dblink_get_result(_asked.link) AS x (a jsonb));
	PERFORM public._drain(_asked.link);
	SELECT * INTO _asked FROM public._ask(ARRAY[to_shard], format(
		'SELECT g.name, public.set_server_state(g.name, g.state) '
		'FROM pg_catalog.jsonb_populate_recordset(NULL::public.balancer_servers, %L) g JOIN public.balancer_servers s USING (name) '
		'WHERE s.state <> g.state', _given), 10);
	PERFORM public._check_link(_asked.link, _asked.state, _asked.message);
	RETURN QUERY SELECT x.name, 'state: ' || x.state FROM gxy_dblink.dblink_get_result(_asked.link) AS x (name text, state text);
	PERFORM public._drain(_asked.link);
END $$;
REVOKE ALL ON FUNCTION public.synchronize_servers(int, int, boolean) FROM PUBLIC;
COMMENT ON FUNCTION public.synchronize_servers(int, int, boolean) IS 'gives a shard the states of the servers of another, and with "add" the servers that it has not; returns what it has changed';

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
CREATE UNLOGGED TABLE public.shard_loads (
	shard int,
	server text,
	load bigint NOT NULL,
	expected bigint NOT NULL,
	capacity bigint NOT NULL,
	counts_until timestamptz NOT NULL,
	PRIMARY KEY (shard, server)
);
REVOKE ALL ON public.shard_loads FROM PUBLIC;
COMMENT ON TABLE public.shard_loads IS 'what share_loads() has last seen';

CREATE FUNCTION public.share_loads() RETURNS int
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
	PERFORM FROM public.shard_gate;
	-- One at a time: an older sum must not follow a newer one.
	LOCK TABLE public.shard_loads IN SHARE ROW EXCLUSIVE MODE;
	FOR _asked IN
		SELECT * FROM public._ask(public._shards(), format('SELECT l.server, l.load, l.expected, l.capacity, %s FROM public.balancer_load l', _fresh), 5)
	LOOP
		BEGIN
			PERFORM public._check_link(_asked.link, _asked.state, _asked.message);
			INSERT INTO public.shard_loads AS s
			SELECT _asked.shard, x.server, x.load, x.expected, x.capacity, clock_timestamp() + x.fresh
			FROM gxy_dblink.dblink_get_result(_asked.link) AS x (server text, load bigint, expected bigint, capacity bigint, fresh interval)
			WHERE x.capacity > 0
			ON CONFLICT (shard, server) DO UPDATE SET load = excluded.load, expected = excluded.expected, capacity = excluded.capacity,
				counts_until = excluded.counts_until;
			_living := _living || _asked.shard;
		EXCEPTION WHEN OTHERS OR query_canceled THEN
			GET STACKED DIAGNOSTICS _context = PG_EXCEPTION_CONTEXT;
			IF public._is_cancelled(SQLSTATE, _context) THEN
				RAISE;
			END IF;
			PERFORM public._shard_failed(_asked.shard, SQLSTATE, SQLERRM);
		END;
		PERFORM public._drain(_asked.link);
	END LOOP;
	DELETE FROM public.shard_loads s
	WHERE s.counts_until < clock_timestamp() OR s.shard <> ALL (public._shards())
		-- A server that is not in the pool any more.
		OR s.shard = ANY (_living) AND s.counts_until < (SELECT max(n.counts_until) - interval '5 s' FROM public.shard_loads n WHERE n.shard = s.shard);
	FOR _told IN
		SELECT l.shard, array_agg(l.server) AS servers, array_agg(l.share) AS shares
		FROM (SELECT s.*, least(10, (sum(s.load) OVER (PARTITION BY s.server) - s.expected)::numeric / s.capacity)::real AS share
			FROM public.shard_loads s) l
		WHERE l.share >= 0 AND l.shard = ANY (_living)
		GROUP BY l.shard
	LOOP
		BEGIN
			SELECT * INTO _asked FROM public._ask(ARRAY[_told.shard], format(
				'SELECT pg_catalog.count(public.server_heartbeat(x.name, NULL, x.share)) '
				'FROM pg_catalog.set_config(''lock_timeout'', ''2s'', true), '
				'unnest(%L::text[], %L::real[]) x (name, share) '
				'WHERE NOT EXISTS (SELECT FROM public.balancer_health h WHERE h.server = x.name AND h.load IS NOT NULL '
				'AND h.load_at > pg_catalog.clock_timestamp() - %s)', _told.servers, _told.shares, _fresh), 5);
			PERFORM public._check_link(_asked.link, _asked.state, _asked.message);
			PERFORM FROM gxy_dblink.dblink_get_result(_asked.link) AS x (a bigint);
			_shards := _shards + 1;
		EXCEPTION WHEN OTHERS OR query_canceled THEN
			GET STACKED DIAGNOSTICS _context = PG_EXCEPTION_CONTEXT;
			IF public._is_cancelled(SQLSTATE, _context) THEN
				RAISE;
			END IF;
			PERFORM public._shard_failed(_told.shard, SQLSTATE, SQLERRM);
		END;
		PERFORM public._drain(_asked.link);
	END LOOP;
	RETURN _shards;
END $$;
REVOKE ALL ON FUNCTION public.share_loads() FROM PUBLIC;
COMMENT ON FUNCTION public.share_loads() IS 'tells each shard what the other shards have on the servers; returns how many it has told';

--
-- Functions for rooms: on the shard of the room
--

CREATE FUNCTION public._explain_assignment(text, text, integer, OUT rank integer, OUT server text, OUT chosen boolean, OUT tier integer, OUT reason text, OUT load bigint, OUT capacity integer, OUT expected integer, OUT expected_from text, OUT score numeric, OUT rooms bigint, OUT room_sessions bigint, OUT priority integer, OUT state text, OUT pool text, OUT regions text[], OUT score_from text)
	RETURNS SETOF record
	LANGUAGE plproxy VOLATILE AS $$
	CLUSTER 'balancer';
	RUN ON public.shard_of($1);
	SELECT x.rank, x.server, x.chosen, x.tier, x.reason, x.load, x.capacity, x.expected, x.expected_from, x.score, x.rooms, x.room_sessions, x.priority, x.state, x.pool, x.regions, x.score_from FROM public.explain_assignment($1::text, $2::text, $3::integer) x;
$$;
REVOKE ALL ON FUNCTION public._explain_assignment(text, text, integer) FROM PUBLIC;
COMMENT ON FUNCTION public._explain_assignment(text, text, integer) IS 'explain_assignment() of the shard';

CREATE FUNCTION public.explain_assignment(room text, region text DEFAULT NULL::text, expected_users integer DEFAULT NULL::integer, OUT rank integer, OUT server text, OUT chosen boolean, OUT tier integer, OUT reason text, OUT load bigint, OUT capacity integer, OUT expected integer, OUT expected_from text, OUT score numeric, OUT rooms bigint, OUT room_sessions bigint, OUT priority integer, OUT state text, OUT pool text, OUT regions text[], OUT score_from text)
	RETURNS SETOF record
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM FROM public.shard_gate;
	RETURN QUERY SELECT * FROM public._explain_assignment($1, $2, $3);
EXCEPTION WHEN internal_error OR connection_exception OR admin_shutdown OR crash_shutdown OR cannot_connect_now OR database_dropped THEN
	IF NOT public._is_lost(SQLSTATE, SQLERRM) THEN
		RAISE;
	END IF;
	PERFORM public._room_lost(room, SQLERRM);
END $$;
REVOKE ALL ON FUNCTION public.explain_assignment(text, text, integer) FROM PUBLIC;
COMMENT ON FUNCTION public.explain_assignment(text, text, integer) IS 'what get_or_assign_server() would do and why: one row a server, the chosen one first, then best first, or why it would fail where an attached relation cannot be read; tier -1: never chosen; changes nothing';

CREATE FUNCTION public._explain_assignment(bigint, text, integer, OUT rank integer, OUT server text, OUT chosen boolean, OUT tier integer, OUT reason text, OUT load bigint, OUT capacity integer, OUT expected integer, OUT expected_from text, OUT score numeric, OUT rooms bigint, OUT room_sessions bigint, OUT priority integer, OUT state text, OUT pool text, OUT regions text[], OUT score_from text)
	RETURNS SETOF record
	LANGUAGE plproxy VOLATILE AS $$
	CLUSTER 'balancer';
	RUN ON public.shard_of($1::text);
	SELECT x.rank, x.server, x.chosen, x.tier, x.reason, x.load, x.capacity, x.expected, x.expected_from, x.score, x.rooms, x.room_sessions, x.priority, x.state, x.pool, x.regions, x.score_from FROM public.explain_assignment($1::bigint, $2::text, $3::integer) x;
$$;
REVOKE ALL ON FUNCTION public._explain_assignment(bigint, text, integer) FROM PUBLIC;
COMMENT ON FUNCTION public._explain_assignment(bigint, text, integer) IS 'explain_assignment() of the shard';

CREATE FUNCTION public.explain_assignment(room bigint, region text DEFAULT NULL::text, expected_users integer DEFAULT NULL::integer, OUT rank integer, OUT server text, OUT chosen boolean, OUT tier integer, OUT reason text, OUT load bigint, OUT capacity integer, OUT expected integer, OUT expected_from text, OUT score numeric, OUT rooms bigint, OUT room_sessions bigint, OUT priority integer, OUT state text, OUT pool text, OUT regions text[], OUT score_from text)
	RETURNS SETOF record
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM FROM public.shard_gate;
	RETURN QUERY SELECT * FROM public._explain_assignment($1, $2, $3);
EXCEPTION WHEN internal_error OR connection_exception OR admin_shutdown OR crash_shutdown OR cannot_connect_now OR database_dropped THEN
	IF NOT public._is_lost(SQLSTATE, SQLERRM) THEN
		RAISE;
	END IF;
	PERFORM public._room_lost(room::text, SQLERRM);
END $$;
REVOKE ALL ON FUNCTION public.explain_assignment(bigint, text, integer) FROM PUBLIC;
COMMENT ON FUNCTION public.explain_assignment(bigint, text, integer) IS 'what get_or_assign_server() would do and why: one row a server, the chosen one first, then best first, or why it would fail where an attached relation cannot be read; tier -1: never chosen; changes nothing';

CREATE FUNCTION public._get_or_assign_server(text, text, integer)
	RETURNS text
	LANGUAGE plproxy VOLATILE AS $$
	CLUSTER 'balancer';
	RUN ON public.shard_of($1);
	SELECT public.get_or_assign_server($1::text, $2::text, $3::integer);
$$;
REVOKE ALL ON FUNCTION public._get_or_assign_server(text, text, integer) FROM PUBLIC;
COMMENT ON FUNCTION public._get_or_assign_server(text, text, integer) IS 'get_or_assign_server() of the shard';

CREATE FUNCTION public.get_or_assign_server(room text, region text DEFAULT NULL::text, expected_users integer DEFAULT NULL::integer)
	RETURNS text
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM FROM public.shard_gate;
	RETURN public._get_or_assign_server($1, $2, $3);
EXCEPTION WHEN internal_error OR connection_exception OR admin_shutdown OR crash_shutdown OR cannot_connect_now OR database_dropped THEN
	IF NOT public._is_lost(SQLSTATE, SQLERRM) THEN
		RAISE;
	END IF;
	PERFORM public._room_lost(room, SQLERRM);
END $$;
REVOKE ALL ON FUNCTION public.get_or_assign_server(text, text, integer) FROM PUBLIC;
COMMENT ON FUNCTION public.get_or_assign_server(text, text, integer) IS 'the server of a room, the same for everyone in it; assigns one if the room has none; region may list several, comma-separated, the preferred one first';

CREATE FUNCTION public._get_or_assign_server(bigint, text, integer)
	RETURNS text
	LANGUAGE plproxy VOLATILE AS $$
	CLUSTER 'balancer';
	RUN ON public.shard_of($1::text);
	SELECT public.get_or_assign_server($1::bigint, $2::text, $3::integer);
$$;
REVOKE ALL ON FUNCTION public._get_or_assign_server(bigint, text, integer) FROM PUBLIC;
COMMENT ON FUNCTION public._get_or_assign_server(bigint, text, integer) IS 'get_or_assign_server() of the shard';

CREATE FUNCTION public.get_or_assign_server(room bigint, region text DEFAULT NULL::text, expected_users integer DEFAULT NULL::integer)
	RETURNS text
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM FROM public.shard_gate;
	RETURN public._get_or_assign_server($1, $2, $3);
EXCEPTION WHEN internal_error OR connection_exception OR admin_shutdown OR crash_shutdown OR cannot_connect_now OR database_dropped THEN
	IF NOT public._is_lost(SQLSTATE, SQLERRM) THEN
		RAISE;
	END IF;
	PERFORM public._room_lost(room::text, SQLERRM);
END $$;
REVOKE ALL ON FUNCTION public.get_or_assign_server(bigint, text, integer) FROM PUBLIC;
COMMENT ON FUNCTION public.get_or_assign_server(bigint, text, integer) IS 'the server of a room, the same for everyone in it; assigns one if the room has none; region may list several, comma-separated, the preferred one first';

CREATE FUNCTION public._move_room(text, text)
	RETURNS text
	LANGUAGE plproxy VOLATILE AS $$
	CLUSTER 'balancer';
	RUN ON public.shard_of($1);
	SELECT public.move_room($1::text, $2::text);
$$;
REVOKE ALL ON FUNCTION public._move_room(text, text) FROM PUBLIC;
COMMENT ON FUNCTION public._move_room(text, text) IS 'move_room() of the shard';

CREATE FUNCTION public.move_room(room text, server text)
	RETURNS text
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM FROM public.shard_gate;
	RETURN public._move_room($1, $2);
EXCEPTION WHEN internal_error OR connection_exception OR admin_shutdown OR crash_shutdown OR cannot_connect_now OR database_dropped THEN
	IF NOT public._is_lost(SQLSTATE, SQLERRM) THEN
		RAISE;
	END IF;
	PERFORM public._room_lost(room, SQLERRM);
END $$;
REVOKE ALL ON FUNCTION public.move_room(text, text) FROM PUBLIC;
COMMENT ON FUNCTION public.move_room(text, text) IS 'moves a room to a server on which it exists, which splits it until its users reconnect; returns the server that it is on then, NULL if it has no assignment';

CREATE FUNCTION public._move_room(bigint, text)
	RETURNS text
	LANGUAGE plproxy VOLATILE AS $$
	CLUSTER 'balancer';
	RUN ON public.shard_of($1::text);
	SELECT public.move_room($1::bigint, $2::text);
$$;
REVOKE ALL ON FUNCTION public._move_room(bigint, text) FROM PUBLIC;
COMMENT ON FUNCTION public._move_room(bigint, text) IS 'move_room() of the shard';

CREATE FUNCTION public.move_room(room bigint, server text)
	RETURNS text
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM FROM public.shard_gate;
	RETURN public._move_room($1, $2);
EXCEPTION WHEN internal_error OR connection_exception OR admin_shutdown OR crash_shutdown OR cannot_connect_now OR database_dropped THEN
	IF NOT public._is_lost(SQLSTATE, SQLERRM) THEN
		RAISE;
	END IF;
	PERFORM public._room_lost(room::text, SQLERRM);
END $$;
REVOKE ALL ON FUNCTION public.move_room(bigint, text) FROM PUBLIC;
COMMENT ON FUNCTION public.move_room(bigint, text) IS 'moves a room to a server on which it exists, which splits it until its users reconnect; returns the server that it is on then, NULL if it has no assignment';

CREATE FUNCTION public._pin_room(text, text, integer)
	RETURNS text
	LANGUAGE plproxy VOLATILE AS $$
	CLUSTER 'balancer';
	RUN ON public.shard_of($1);
	SELECT public.pin_room($1::text, $2::text, $3::integer);
$$;
REVOKE ALL ON FUNCTION public._pin_room(text, text, integer) FROM PUBLIC;
COMMENT ON FUNCTION public._pin_room(text, text, integer) IS 'pin_room() of the shard';

CREATE FUNCTION public.pin_room(room text, server text, expected_users integer DEFAULT NULL::integer)
	RETURNS text
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM FROM public.shard_gate;
	RETURN public._pin_room($1, $2, $3);
EXCEPTION WHEN internal_error OR connection_exception OR admin_shutdown OR crash_shutdown OR cannot_connect_now OR database_dropped THEN
	IF NOT public._is_lost(SQLSTATE, SQLERRM) THEN
		RAISE;
	END IF;
	PERFORM public._room_lost(room, SQLERRM);
END $$;
REVOKE ALL ON FUNCTION public.pin_room(text, text, integer) FROM PUBLIC;
COMMENT ON FUNCTION public.pin_room(text, text, integer) IS 'the next assignment of the room is to this server, on which it has to exist; returns the server that the room is on now, NULL if none';

CREATE FUNCTION public._pin_room(bigint, text, integer)
	RETURNS text
	LANGUAGE plproxy VOLATILE AS $$
	CLUSTER 'balancer';
	RUN ON public.shard_of($1::text);
	SELECT public.pin_room($1::bigint, $2::text, $3::integer);
$$;
REVOKE ALL ON FUNCTION public._pin_room(bigint, text, integer) FROM PUBLIC;
COMMENT ON FUNCTION public._pin_room(bigint, text, integer) IS 'pin_room() of the shard';

CREATE FUNCTION public.pin_room(room bigint, server text, expected_users integer DEFAULT NULL::integer)
	RETURNS text
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM FROM public.shard_gate;
	RETURN public._pin_room($1, $2, $3);
EXCEPTION WHEN internal_error OR connection_exception OR admin_shutdown OR crash_shutdown OR cannot_connect_now OR database_dropped THEN
	IF NOT public._is_lost(SQLSTATE, SQLERRM) THEN
		RAISE;
	END IF;
	PERFORM public._room_lost(room::text, SQLERRM);
END $$;
REVOKE ALL ON FUNCTION public.pin_room(bigint, text, integer) FROM PUBLIC;
COMMENT ON FUNCTION public.pin_room(bigint, text, integer) IS 'the next assignment of the room is to this server, on which it has to exist; returns the server that the room is on now, NULL if none';

CREATE FUNCTION public._release_room(text)
	RETURNS boolean
	LANGUAGE plproxy VOLATILE AS $$
	CLUSTER 'balancer';
	RUN ON public.shard_of($1);
	SELECT public.release_room($1::text);
$$;
REVOKE ALL ON FUNCTION public._release_room(text) FROM PUBLIC;
COMMENT ON FUNCTION public._release_room(text) IS 'release_room() of the shard';

CREATE FUNCTION public.release_room(room text)
	RETURNS boolean
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM FROM public.shard_gate;
	RETURN public._release_room($1);
EXCEPTION WHEN internal_error OR connection_exception OR admin_shutdown OR crash_shutdown OR cannot_connect_now OR database_dropped THEN
	IF NOT public._is_lost(SQLSTATE, SQLERRM) THEN
		RAISE;
	END IF;
	PERFORM public._room_lost(room, SQLERRM);
END $$;
REVOKE ALL ON FUNCTION public.release_room(text) FROM PUBLIC;
COMMENT ON FUNCTION public.release_room(text) IS 'frees a room now, also if users are in it; returns false if it has no assignment';

CREATE FUNCTION public._release_room(bigint)
	RETURNS boolean
	LANGUAGE plproxy VOLATILE AS $$
	CLUSTER 'balancer';
	RUN ON public.shard_of($1::text);
	SELECT public.release_room($1::bigint);
$$;
REVOKE ALL ON FUNCTION public._release_room(bigint) FROM PUBLIC;
COMMENT ON FUNCTION public._release_room(bigint) IS 'release_room() of the shard';

CREATE FUNCTION public.release_room(room bigint)
	RETURNS boolean
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM FROM public.shard_gate;
	RETURN public._release_room($1);
EXCEPTION WHEN internal_error OR connection_exception OR admin_shutdown OR crash_shutdown OR cannot_connect_now OR database_dropped THEN
	IF NOT public._is_lost(SQLSTATE, SQLERRM) THEN
		RAISE;
	END IF;
	PERFORM public._room_lost(room::text, SQLERRM);
END $$;
REVOKE ALL ON FUNCTION public.release_room(bigint) FROM PUBLIC;
COMMENT ON FUNCTION public.release_room(bigint) IS 'frees a room now, also if users are in it; returns false if it has no assignment';

CREATE FUNCTION public._room_server(text)
	RETURNS text
	LANGUAGE plproxy VOLATILE AS $$
	CLUSTER 'balancer';
	RUN ON public.shard_of($1);
	SELECT public.room_server($1::text);
$$;
REVOKE ALL ON FUNCTION public._room_server(text) FROM PUBLIC;
COMMENT ON FUNCTION public._room_server(text) IS 'room_server() of the shard';

CREATE FUNCTION public.room_server(room text)
	RETURNS text
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM FROM public.shard_gate;
	RETURN public._room_server($1);
EXCEPTION WHEN internal_error OR connection_exception OR admin_shutdown OR crash_shutdown OR cannot_connect_now OR database_dropped THEN
	IF NOT public._is_lost(SQLSTATE, SQLERRM) THEN
		RAISE;
	END IF;
	PERFORM public._room_lost(room, SQLERRM);
END $$;
REVOKE ALL ON FUNCTION public.room_server(text) FROM PUBLIC;
COMMENT ON FUNCTION public.room_server(text) IS 'the server of a room or NULL; for listings, not for routing joins: a pooler may send it to a replica';

CREATE FUNCTION public._room_server(bigint)
	RETURNS text
	LANGUAGE plproxy VOLATILE AS $$
	CLUSTER 'balancer';
	RUN ON public.shard_of($1::text);
	SELECT public.room_server($1::bigint);
$$;
REVOKE ALL ON FUNCTION public._room_server(bigint) FROM PUBLIC;
COMMENT ON FUNCTION public._room_server(bigint) IS 'room_server() of the shard';

CREATE FUNCTION public.room_server(room bigint)
	RETURNS text
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM FROM public.shard_gate;
	RETURN public._room_server($1);
EXCEPTION WHEN internal_error OR connection_exception OR admin_shutdown OR crash_shutdown OR cannot_connect_now OR database_dropped THEN
	IF NOT public._is_lost(SQLSTATE, SQLERRM) THEN
		RAISE;
	END IF;
	PERFORM public._room_lost(room::text, SQLERRM);
END $$;
REVOKE ALL ON FUNCTION public.room_server(bigint) FROM PUBLIC;
COMMENT ON FUNCTION public.room_server(bigint) IS 'the server of a room or NULL; for listings, not for routing joins: a pooler may send it to a replica';

CREATE FUNCTION public._touch_room(text, integer)
	RETURNS boolean
	LANGUAGE plproxy VOLATILE AS $$
	CLUSTER 'balancer';
	RUN ON public.shard_of($1);
	SELECT public.touch_room($1::text, $2::integer);
$$;
REVOKE ALL ON FUNCTION public._touch_room(text, integer) FROM PUBLIC;
COMMENT ON FUNCTION public._touch_room(text, integer) IS 'touch_room() of the shard';

CREATE FUNCTION public.touch_room(room text, users integer DEFAULT NULL::integer)
	RETURNS boolean
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM FROM public.shard_gate;
	RETURN public._touch_room($1, $2);
EXCEPTION WHEN internal_error OR connection_exception OR admin_shutdown OR crash_shutdown OR cannot_connect_now OR database_dropped THEN
	IF NOT public._is_lost(SQLSTATE, SQLERRM) THEN
		RAISE;
	END IF;
	PERFORM public._room_lost(room, SQLERRM);
END $$;
REVOKE ALL ON FUNCTION public.touch_room(text, integer) FROM PUBLIC;
COMMENT ON FUNCTION public.touch_room(text, integer) IS 'renews the lease of a room; returns false if it has no assignment; users: how many are in it, for services without attached sessions';

CREATE FUNCTION public._touch_room(bigint, integer)
	RETURNS boolean
	LANGUAGE plproxy VOLATILE AS $$
	CLUSTER 'balancer';
	RUN ON public.shard_of($1::text);
	SELECT public.touch_room($1::bigint, $2::integer);
$$;
REVOKE ALL ON FUNCTION public._touch_room(bigint, integer) FROM PUBLIC;
COMMENT ON FUNCTION public._touch_room(bigint, integer) IS 'touch_room() of the shard';

CREATE FUNCTION public.touch_room(room bigint, users integer DEFAULT NULL::integer)
	RETURNS boolean
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM FROM public.shard_gate;
	RETURN public._touch_room($1, $2);
EXCEPTION WHEN internal_error OR connection_exception OR admin_shutdown OR crash_shutdown OR cannot_connect_now OR database_dropped THEN
	IF NOT public._is_lost(SQLSTATE, SQLERRM) THEN
		RAISE;
	END IF;
	PERFORM public._room_lost(room::text, SQLERRM);
END $$;
REVOKE ALL ON FUNCTION public.touch_room(bigint, integer) FROM PUBLIC;
COMMENT ON FUNCTION public.touch_room(bigint, integer) IS 'renews the lease of a room; returns false if it has no assignment; users: how many are in it, for services without attached sessions';

CREATE FUNCTION public._unpin_room(text)
	RETURNS boolean
	LANGUAGE plproxy VOLATILE AS $$
	CLUSTER 'balancer';
	RUN ON public.shard_of($1);
	SELECT public.unpin_room($1::text);
$$;
REVOKE ALL ON FUNCTION public._unpin_room(text) FROM PUBLIC;
COMMENT ON FUNCTION public._unpin_room(text) IS 'unpin_room() of the shard';

CREATE FUNCTION public.unpin_room(room text)
	RETURNS boolean
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM FROM public.shard_gate;
	RETURN public._unpin_room($1);
EXCEPTION WHEN internal_error OR connection_exception OR admin_shutdown OR crash_shutdown OR cannot_connect_now OR database_dropped THEN
	IF NOT public._is_lost(SQLSTATE, SQLERRM) THEN
		RAISE;
	END IF;
	PERFORM public._room_lost(room, SQLERRM);
END $$;
REVOKE ALL ON FUNCTION public.unpin_room(text) FROM PUBLIC;
COMMENT ON FUNCTION public.unpin_room(text) IS 'removes the pin of a room; returns false if it has none';

CREATE FUNCTION public._unpin_room(bigint)
	RETURNS boolean
	LANGUAGE plproxy VOLATILE AS $$
	CLUSTER 'balancer';
	RUN ON public.shard_of($1::text);
	SELECT public.unpin_room($1::bigint);
$$;
REVOKE ALL ON FUNCTION public._unpin_room(bigint) FROM PUBLIC;
COMMENT ON FUNCTION public._unpin_room(bigint) IS 'unpin_room() of the shard';

CREATE FUNCTION public.unpin_room(room bigint)
	RETURNS boolean
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM FROM public.shard_gate;
	RETURN public._unpin_room($1);
EXCEPTION WHEN internal_error OR connection_exception OR admin_shutdown OR crash_shutdown OR cannot_connect_now OR database_dropped THEN
	IF NOT public._is_lost(SQLSTATE, SQLERRM) THEN
		RAISE;
	END IF;
	PERFORM public._room_lost(room::text, SQLERRM);
END $$;
REVOKE ALL ON FUNCTION public.unpin_room(bigint) FROM PUBLIC;
COMMENT ON FUNCTION public.unpin_room(bigint) IS 'removes the pin of a room; returns false if it has none';

--
-- Functions for all shards
--

CREATE FUNCTION public._worst(states text[]) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN (SELECT s FROM unnest(states) s ORDER BY array_position('{offline,recovering,draining,online,drained}', s), s LIMIT 1);
REVOKE ALL ON FUNCTION public._worst(text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public._worst(text[]) TO pg_monitor;
COMMENT ON FUNCTION public._worst(text[]) IS 'the state of a server that has these on different shards';

CREATE FUNCTION public.clean_inactive_assignments(grace interval DEFAULT NULL::interval)
	RETURNS bigint
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	_shard int;
	_link text;
	_state text;
	_message text;
	_answered int := 0;
	_refused text;
	_refusal text;
	_context text;
	_answer bigint;
	_all bigint;
BEGIN
	PERFORM FROM public.shard_gate;
	FOR _shard, _link, _state, _message IN
		SELECT * FROM public._ask(public._shards(), format('SELECT public.clean_inactive_assignments(%L::interval)', $1), NULL)
	LOOP
		BEGIN
			PERFORM public._check_link(_link, _state, _message);
			_answer := (SELECT x.a FROM gxy_dblink.dblink_get_result(_link) AS x (a bigint));
			_all := coalesce(_all, 0) + _answer;
			_answered := _answered + 1;
		EXCEPTION
			WHEN data_exception THEN
				RAISE;
			WHEN OTHERS OR query_canceled THEN
				GET STACKED DIAGNOSTICS _context = PG_EXCEPTION_CONTEXT;
				IF public._is_cancelled(SQLSTATE, _context) THEN
					RAISE;
				END IF;
				IF NOT public._is_lost(SQLSTATE, SQLERRM) THEN
					_refused := SQLSTATE;
					_refusal := SQLERRM;
				END IF;
				PERFORM public._shard_failed(_shard, SQLSTATE, SQLERRM);
		END;
		PERFORM public._drain(_link);
	END LOOP;
	PERFORM public._check_answers(_answered, _refused, _refusal);
	RETURN _all;
END $$;
REVOKE ALL ON FUNCTION public.clean_inactive_assignments(interval) FROM PUBLIC;
COMMENT ON FUNCTION public.clean_inactive_assignments(interval) IS 'frees the rooms not used for longer than the grace period (default: gxy_balancer.assignment_grace); time before the server''s start or promotion does not count, unless the period is below that setting; returns their number';

CREATE FUNCTION public.evacuate_server(server text, target text DEFAULT NULL::text, max_rooms integer DEFAULT NULL::integer)
	RETURNS bigint
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	_shard int;
	_link text;
	_state text;
	_message text;
	_answered int := 0;
	_refused text;
	_refusal text;
	_context text;
	_moved bigint;
	_all bigint := 0;
	_rooms int := max_rooms;
BEGIN
	PERFORM FROM public.shard_gate;
	FOREACH _shard IN ARRAY public._shards() LOOP
		CONTINUE WHEN _answered > 0 AND (_rooms <= 0);
		SELECT a.link, a.state, a.message INTO _link, _state, _message
		FROM public._ask(ARRAY[_shard], format('SELECT public.evacuate_server(%L::text, %L::text, %L::integer)', server, target, _rooms), NULL) a;
		BEGIN
			PERFORM public._check_link(_link, _state, _message);
			_moved := (SELECT x.a FROM gxy_dblink.dblink_get_result(_link) AS x (a bigint));
			_all := _all + _moved;
			_rooms := _rooms - _moved;
			_answered := _answered + 1;
		EXCEPTION
			WHEN data_exception THEN
				RAISE;
			WHEN OTHERS OR query_canceled THEN
				GET STACKED DIAGNOSTICS _context = PG_EXCEPTION_CONTEXT;
				IF public._is_cancelled(SQLSTATE, _context) THEN
					RAISE;
				END IF;
				IF NOT public._is_lost(SQLSTATE, SQLERRM) THEN
					_refused := SQLSTATE;
					_refusal := SQLERRM;
				END IF;
				PERFORM public._shard_failed(_shard, SQLSTATE, SQLERRM);
		END;
		PERFORM public._drain(_link);
	END LOOP;
	PERFORM public._check_answers(_answered, _refused, _refusal);
	RETURN _all;
END $$;
REVOKE ALL ON FUNCTION public.evacuate_server(text, text, integer) FROM PUBLIC;
COMMENT ON FUNCTION public.evacuate_server(text, text, integer) IS 'moves the rooms of a server, largest first: to the target, or spread by the policy; without max_rooms it sets the server draining first; returns how many it moved; rooms that do not exist where they could go stay, with a warning';

CREATE FUNCTION public.init_servers(names text DEFAULT NULL::text)
	RETURNS integer
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	_shard int;
	_link text;
	_state text;
	_message text;
	_answered int := 0;
	_refused text;
	_refusal text;
	_context text;
	_answer integer;
	_all integer;
	_reached int[] := '{}';
BEGIN
	PERFORM FROM public.shard_gate;
	FOR _shard, _link, _state, _message IN
		SELECT * FROM public._ask(public._shards(), format('SELECT public.init_servers(%L::text)', $1), 60)
	LOOP
		BEGIN
			PERFORM public._check_link(_link, _state, _message);
			_answer := (SELECT x.a FROM gxy_dblink.dblink_get_result(_link) AS x (a integer));
			_all := greatest(_all, _answer);
			_reached := _reached || _shard;
			_answered := _answered + 1;
		EXCEPTION
			WHEN data_exception THEN
				RAISE;
			WHEN OTHERS OR query_canceled THEN
				GET STACKED DIAGNOSTICS _context = PG_EXCEPTION_CONTEXT;
				IF public._is_cancelled(SQLSTATE, _context) THEN
					RAISE;
				END IF;
				IF NOT public._is_lost(SQLSTATE, SQLERRM) THEN
					_refused := SQLSTATE;
					_refusal := SQLERRM;
				END IF;
				PERFORM public._shard_failed(_shard, SQLSTATE, SQLERRM);
		END;
		PERFORM public._drain(_link);
	END LOOP;
	PERFORM public._check_answers(_answered, _refused, _refusal);
	PERFORM public._note_missed($1, _reached);
	RETURN _all;
END $$;
REVOKE ALL ON FUNCTION public.init_servers(text) FROM PUBLIC;
COMMENT ON FUNCTION public.init_servers(text) IS 'writes the pool: comma-separated names, or gxy_balancer.default_servers; returns how many names it added';

CREATE FUNCTION public.rebalance(max_rooms integer, max_users integer, dry_run boolean DEFAULT true, OUT room text, OUT from_server text, OUT to_server text, OUT users bigint)
	RETURNS SETOF record
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	_shard int;
	_link text;
	_state text;
	_message text;
	_answered int := 0;
	_refused text;
	_refusal text;
	_context text;
	_row record;
	_rooms int := max_rooms;
	_users int := max_users;
BEGIN
	PERFORM FROM public.shard_gate;
	FOREACH _shard IN ARRAY public._shards() LOOP
		CONTINUE WHEN _answered > 0 AND (_rooms <= 0 OR _users <= 0);
		SELECT a.link, a.state, a.message INTO _link, _state, _message
		FROM public._ask(ARRAY[_shard], format('SELECT * FROM public.rebalance(%L::integer, %L::integer, %L::boolean)', _rooms, _users, dry_run), NULL) a;
		BEGIN
			PERFORM public._check_link(_link, _state, _message);
			FOR _row IN SELECT * FROM gxy_dblink.dblink_get_result(_link) AS x (room text, from_server text, to_server text, users bigint) LOOP
				room := _row.room;
				from_server := _row.from_server;
				to_server := _row.to_server;
				users := _row.users;
				_rooms := _rooms - 1;
				_users := _users - coalesce(_row.users, 0);
				RETURN NEXT;
			END LOOP;
			_answered := _answered + 1;
		EXCEPTION
			WHEN data_exception THEN
				RAISE;
			WHEN OTHERS OR query_canceled THEN
				GET STACKED DIAGNOSTICS _context = PG_EXCEPTION_CONTEXT;
				IF public._is_cancelled(SQLSTATE, _context) THEN
					RAISE;
				END IF;
				IF NOT public._is_lost(SQLSTATE, SQLERRM) THEN
					_refused := SQLSTATE;
					_refusal := SQLERRM;
				END IF;
				PERFORM public._shard_failed(_shard, SQLSTATE, SQLERRM);
		END;
		PERFORM public._drain(_link);
	END LOOP;
	PERFORM public._check_answers(_answered, _refused, _refusal);
END $$;
REVOKE ALL ON FUNCTION public.rebalance(integer, integer, boolean) FROM PUBLIC;
COMMENT ON FUNCTION public.rebalance(integer, integer, boolean) IS 'the moves that take most load off the fullest servers per user moved, rooms without users first; at most so many rooms and users (NULL: no limit); dry_run: lists them, otherwise does them, which splits occupied rooms until their users reconnect, and returns those it has moved';

CREATE FUNCTION public.reset_balancer_stats()
	RETURNS void
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	_shard int;
	_link text;
	_state text;
	_message text;
	_answered int := 0;
	_refused text;
	_refusal text;
	_context text;
BEGIN
	PERFORM FROM public.shard_gate;
	FOR _shard, _link, _state, _message IN
		SELECT * FROM public._ask(public._shards(), format('SELECT public.reset_balancer_stats()::text'), 60)
	LOOP
		BEGIN
			PERFORM public._check_link(_link, _state, _message);
			PERFORM FROM gxy_dblink.dblink_get_result(_link) AS x (a text);
			_answered := _answered + 1;
		EXCEPTION
			WHEN data_exception THEN
				RAISE;
			WHEN OTHERS OR query_canceled THEN
				GET STACKED DIAGNOSTICS _context = PG_EXCEPTION_CONTEXT;
				IF public._is_cancelled(SQLSTATE, _context) THEN
					RAISE;
				END IF;
				IF NOT public._is_lost(SQLSTATE, SQLERRM) THEN
					_refused := SQLSTATE;
					_refusal := SQLERRM;
				END IF;
				PERFORM public._shard_failed(_shard, SQLSTATE, SQLERRM);
		END;
		PERFORM public._drain(_link);
	END LOOP;
	PERFORM public._check_answers(_answered, _refused, _refusal);
END $$;
REVOKE ALL ON FUNCTION public.reset_balancer_stats() FROM PUBLIC;
COMMENT ON FUNCTION public.reset_balancer_stats() IS 'sets the counters of balancer_stats in this database to zero';

CREATE FUNCTION public.server_heartbeat(server text, healthy boolean DEFAULT true, load real DEFAULT NULL::real)
	RETURNS boolean
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	_shard int;
	_link text;
	_state text;
	_message text;
	_answered int := 0;
	_refused text;
	_refusal text;
	_context text;
	_answer boolean;
	_all boolean;
BEGIN
	PERFORM FROM public.shard_gate;
	FOR _shard, _link, _state, _message IN
		SELECT * FROM public._ask(public._shards(), format('SELECT public.server_heartbeat(%L::text, %L::boolean, %L::real) FROM pg_catalog.set_config(''lock_timeout'', ''2s'', true)', $1, $2, $3), 5)
	LOOP
		BEGIN
			PERFORM public._check_link(_link, _state, _message);
			_answer := (SELECT x.a FROM gxy_dblink.dblink_get_result(_link) AS x (a boolean));
			_all := coalesce(_all, false) OR _answer;
			_answered := _answered + 1;
		EXCEPTION
			WHEN data_exception THEN
				RAISE;
			WHEN OTHERS OR query_canceled THEN
				GET STACKED DIAGNOSTICS _context = PG_EXCEPTION_CONTEXT;
				IF public._is_cancelled(SQLSTATE, _context) THEN
					RAISE;
				END IF;
				IF NOT public._is_lost(SQLSTATE, SQLERRM) THEN
					_refused := SQLSTATE;
					_refusal := SQLERRM;
				END IF;
				PERFORM public._shard_failed(_shard, SQLSTATE, SQLERRM);
		END;
		PERFORM public._drain(_link);
	END LOOP;
	PERFORM public._check_answers(_answered, _refused, _refusal);
	RETURN _all;
END $$;
REVOKE ALL ON FUNCTION public.server_heartbeat(text, boolean, real) FROM PUBLIC;
COMMENT ON FUNCTION public.server_heartbeat(text, boolean, real) IS 'reports the health of a server; returns true if its health changed, false for a server not in the pool; load: the share of its capacity in use as the server measures it, 0 to 10 (0.42: 42%), NULL: no news; healthy NULL: a load from elsewhere, which is not a heartbeat';

CREATE FUNCTION public.server_state(server text)
	RETURNS text
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	_shard int;
	_link text;
	_state text;
	_message text;
	_answered int := 0;
	_refused text;
	_refusal text;
	_context text;
	_answer text;
	_all text;
BEGIN
	PERFORM FROM public.shard_gate;
	FOR _shard, _link, _state, _message IN
		SELECT * FROM public._ask(public._shards(), format('SELECT public.server_state(%L::text) FROM pg_catalog.set_config(''lock_timeout'', ''2s'', true)', $1), 5)
	LOOP
		BEGIN
			PERFORM public._check_link(_link, _state, _message);
			_answer := (SELECT x.a FROM gxy_dblink.dblink_get_result(_link) AS x (a text));
			_all := public._worst(ARRAY[_all, _answer]);
			_answered := _answered + 1;
		EXCEPTION
			WHEN data_exception THEN
				RAISE;
			WHEN OTHERS OR query_canceled THEN
				GET STACKED DIAGNOSTICS _context = PG_EXCEPTION_CONTEXT;
				IF public._is_cancelled(SQLSTATE, _context) THEN
					RAISE;
				END IF;
				IF NOT public._is_lost(SQLSTATE, SQLERRM) THEN
					_refused := SQLSTATE;
					_refusal := SQLERRM;
				END IF;
				PERFORM public._shard_failed(_shard, SQLSTATE, SQLERRM);
		END;
		PERFORM public._drain(_link);
	END LOOP;
	PERFORM public._check_answers(_answered, _refused, _refusal);
	RETURN _all;
END $$;
REVOKE ALL ON FUNCTION public.server_state(text) FROM PUBLIC;
COMMENT ON FUNCTION public.server_state(text) IS 'the state in force of a server: online, draining or offline';

CREATE FUNCTION public.set_server_state(server text, state text)
	RETURNS text
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	_shard int;
	_link text;
	_state text;
	_message text;
	_answered int := 0;
	_refused text;
	_refusal text;
	_context text;
	_answer text;
	_all text;
BEGIN
	PERFORM FROM public.shard_gate;
	FOR _shard, _link, _state, _message IN
		SELECT * FROM public._ask(public._shards(), format('SELECT public.set_server_state(%L::text, %L::text) FROM pg_catalog.set_config(''lock_timeout'', ''2s'', true)', $1, $2), 5)
	LOOP
		BEGIN
			PERFORM public._check_link(_link, _state, _message);
			_answer := (SELECT x.a FROM gxy_dblink.dblink_get_result(_link) AS x (a text));
			_all := public._worst(ARRAY[_all, _answer]);
			_answered := _answered + 1;
		EXCEPTION
			WHEN data_exception THEN
				RAISE;
			WHEN OTHERS OR query_canceled THEN
				GET STACKED DIAGNOSTICS _context = PG_EXCEPTION_CONTEXT;
				IF public._is_cancelled(SQLSTATE, _context) THEN
					RAISE;
				END IF;
				IF NOT public._is_lost(SQLSTATE, SQLERRM) THEN
					_refused := SQLSTATE;
					_refusal := SQLERRM;
				END IF;
				PERFORM public._shard_failed(_shard, SQLSTATE, SQLERRM);
		END;
		PERFORM public._drain(_link);
	END LOOP;
	PERFORM public._check_answers(_answered, _refused, _refusal);
	RETURN _all;
END $$;
REVOKE ALL ON FUNCTION public.set_server_state(text, text) FROM PUBLIC;
COMMENT ON FUNCTION public.set_server_state(text, text) IS 'sets the state of a server: online, draining or offline; returns the state in force afterwards';

CREATE FUNCTION public._what_if(text, text, OUT server text, OUT state text, OUT capacity integer, OUT rooms_before bigint, OUT users_before bigint, OUT load_before bigint, OUT percent_before numeric, OUT rooms_after bigint, OUT users_after bigint, OUT load_after bigint, OUT percent_after numeric, OUT note text)
	RETURNS SETOF record
	LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
	_shard int;
	_link text;
	_state text;
	_message text;
	_answered int := 0;
	_refused text;
	_refusal text;
	_context text;
	_rows jsonb := '[]';
BEGIN
	PERFORM FROM public.shard_gate;
	FOR _shard, _link, _state, _message IN
		SELECT * FROM public._ask(public._shards(), format('SELECT * FROM public.what_if(%L::text, %L::text)', $1, $2), 60)
	LOOP
		BEGIN
			PERFORM public._check_link(_link, _state, _message);
			_rows := _rows || (SELECT coalesce(jsonb_agg(to_jsonb(x)), '[]')
				FROM gxy_dblink.dblink_get_result(_link) AS x (server text, state text, capacity integer, rooms_before bigint, users_before bigint, load_before bigint, percent_before numeric, rooms_after bigint, users_after bigint, load_after bigint, percent_after numeric, note text));
			_answered := _answered + 1;
		EXCEPTION
			WHEN data_exception THEN
				RAISE;
			WHEN OTHERS OR query_canceled THEN
				GET STACKED DIAGNOSTICS _context = PG_EXCEPTION_CONTEXT;
				IF public._is_cancelled(SQLSTATE, _context) THEN
					RAISE;
				END IF;
				IF NOT public._is_lost(SQLSTATE, SQLERRM) THEN
					_refused := SQLSTATE;
					_refusal := SQLERRM;
				END IF;
				PERFORM public._shard_failed(_shard, SQLSTATE, SQLERRM);
		END;
		PERFORM public._drain(_link);
	END LOOP;
	PERFORM public._check_answers(_answered, _refused, _refusal);
	RETURN QUERY
		SELECT r.server,
			public._worst(array_agg(r.state)),
			max(r.capacity),
			sum(r.rooms_before)::bigint,
			sum(r.users_before)::bigint,
			sum(r.load_before)::bigint,
			round(100.0 * sum(r.load_before) / max(r.capacity), 1),
			sum(r.rooms_after)::bigint,
			sum(r.users_after)::bigint,
			sum(r.load_after)::bigint,
			round(100.0 * sum(r.load_after) / max(r.capacity), 1),
			string_agg(DISTINCT r.note, '; ')
		FROM ROWS FROM (jsonb_to_recordset(_rows) AS (server text, state text, capacity integer, rooms_before bigint, users_before bigint, load_before bigint, percent_before numeric, rooms_after bigint, users_after bigint, load_after bigint, percent_after numeric, note text)) WITH ORDINALITY r
		GROUP BY r.server ORDER BY min(r.ordinality);
END $$;
REVOKE ALL ON FUNCTION public._what_if(text, text) FROM PUBLIC;
COMMENT ON FUNCTION public._what_if(text, text) IS 'rows of what_if()';

CREATE FUNCTION public.what_if(server text, state text, OUT server text, OUT state text, OUT capacity integer, OUT rooms_before bigint, OUT users_before bigint, OUT load_before bigint, OUT percent_before numeric, OUT rooms_after bigint, OUT users_after bigint, OUT load_after bigint, OUT percent_after numeric, OUT note text)
	RETURNS SETOF record
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	SELECT * FROM public._what_if($1, $2);
$$;
REVOKE ALL ON FUNCTION public.what_if(text, text) FROM PUBLIC;
COMMENT ON FUNCTION public.what_if(text, text) IS 'the load of each server before and after a server fails (offline), is set draining and evacuated (draining), or comes back (online), by the code that would move the rooms; changes nothing';
GRANT EXECUTE ON FUNCTION public.what_if(text, text) TO pg_monitor;

CREATE FUNCTION public._what_if_added(text, integer, OUT server text, OUT state text, OUT capacity integer, OUT rooms_before bigint, OUT users_before bigint, OUT load_before bigint, OUT percent_before numeric, OUT rooms_after bigint, OUT users_after bigint, OUT load_after bigint, OUT percent_after numeric, OUT note text)
	RETURNS SETOF record
	LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
	_shard int;
	_link text;
	_state text;
	_message text;
	_answered int := 0;
	_refused text;
	_refusal text;
	_context text;
	_rows jsonb := '[]';
BEGIN
	PERFORM FROM public.shard_gate;
	FOR _shard, _link, _state, _message IN
		SELECT * FROM public._ask(public._shards(), format('SELECT * FROM public.what_if_added(%L::text, %L::integer)', $1, $2), 60)
	LOOP
		BEGIN
			PERFORM public._check_link(_link, _state, _message);
			_rows := _rows || (SELECT coalesce(jsonb_agg(to_jsonb(x)), '[]')
				FROM gxy_dblink.dblink_get_result(_link) AS x (server text, state text, capacity integer, rooms_before bigint, users_before bigint, load_before bigint, percent_before numeric, rooms_after bigint, users_after bigint, load_after bigint, percent_after numeric, note text));
			_answered := _answered + 1;
		EXCEPTION
			WHEN data_exception THEN
				RAISE;
			WHEN OTHERS OR query_canceled THEN
				GET STACKED DIAGNOSTICS _context = PG_EXCEPTION_CONTEXT;
				IF public._is_cancelled(SQLSTATE, _context) THEN
					RAISE;
				END IF;
				IF NOT public._is_lost(SQLSTATE, SQLERRM) THEN
					_refused := SQLSTATE;
					_refusal := SQLERRM;
				END IF;
				PERFORM public._shard_failed(_shard, SQLSTATE, SQLERRM);
		END;
		PERFORM public._drain(_link);
	END LOOP;
	PERFORM public._check_answers(_answered, _refused, _refusal);
	RETURN QUERY
		SELECT r.server,
			public._worst(array_agg(r.state)),
			max(r.capacity),
			sum(r.rooms_before)::bigint,
			sum(r.users_before)::bigint,
			sum(r.load_before)::bigint,
			round(100.0 * sum(r.load_before) / max(r.capacity), 1),
			sum(r.rooms_after)::bigint,
			sum(r.users_after)::bigint,
			sum(r.load_after)::bigint,
			round(100.0 * sum(r.load_after) / max(r.capacity), 1),
			string_agg(DISTINCT r.note, '; ')
		FROM ROWS FROM (jsonb_to_recordset(_rows) AS (server text, state text, capacity integer, rooms_before bigint, users_before bigint, load_before bigint, percent_before numeric, rooms_after bigint, users_after bigint, load_after bigint, percent_after numeric, note text)) WITH ORDINALITY r
		GROUP BY r.server ORDER BY min(r.ordinality);
END $$;
REVOKE ALL ON FUNCTION public._what_if_added(text, integer) FROM PUBLIC;
COMMENT ON FUNCTION public._what_if_added(text, integer) IS 'rows of what_if_added()';

CREATE FUNCTION public.what_if_added(server text, capacity integer, OUT server text, OUT state text, OUT capacity integer, OUT rooms_before bigint, OUT users_before bigint, OUT load_before bigint, OUT percent_before numeric, OUT rooms_after bigint, OUT users_after bigint, OUT load_after bigint, OUT percent_after numeric, OUT note text)
	RETURNS SETOF record
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	SELECT * FROM public._what_if_added($1, $2);
$$;
REVOKE ALL ON FUNCTION public.what_if_added(text, integer) FROM PUBLIC;
COMMENT ON FUNCTION public.what_if_added(text, integer) IS 'the load of each server before and after a server of this capacity (NULL: gxy_balancer.default_capacity) is added and rebalance() is called without limits; changes nothing';
GRANT EXECUTE ON FUNCTION public.what_if_added(text, integer) TO pg_monitor;

-- Not here: attach_rooms(regclass). Call it on each shard.

-- Not here: attach_sessions(regclass). Call it on each shard.

--
-- Views: the rows of all shards
--

CREATE FUNCTION public._balancer_alerts(OUT severity text, OUT alert text, OUT server text, OUT what text, OUT since timestamp with time zone, OUT statement text, OUT shard int)
	RETURNS SETOF record
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	_shard int;
	_link text;
	_state text;
	_message text;
	_answered int := 0;
	_refused text;
	_refusal text;
	_context text;
BEGIN
	PERFORM FROM public.shard_gate;
	FOR _shard, _link, _state, _message IN
		SELECT * FROM public._ask(public._shards(), 'SELECT x.severity, x.alert, x.server, x.what, x.since, x.statement FROM public.balancer_alerts x', 60)
	LOOP
		BEGIN
			PERFORM public._check_link(_link, _state, _message);
			RETURN QUERY SELECT x.*, _shard FROM gxy_dblink.dblink_get_result(_link) AS x (severity text, alert text, server text, what text, since timestamp with time zone, statement text);
			_answered := _answered + 1;
		EXCEPTION
			WHEN OTHERS OR query_canceled THEN
				GET STACKED DIAGNOSTICS _context = PG_EXCEPTION_CONTEXT;
				IF public._is_cancelled(SQLSTATE, _context) THEN
					RAISE;
				END IF;
				IF NOT public._is_lost(SQLSTATE, SQLERRM) THEN
					_refused := SQLSTATE;
					_refusal := SQLERRM;
				END IF;
				PERFORM public._shard_failed(_shard, SQLSTATE, SQLERRM);
		END;
		PERFORM public._drain(_link);
	END LOOP;
	PERFORM public._check_answers(CASE WHEN _refused IS NULL THEN 1 ELSE _answered END, _refused, _refusal);
END $$;
REVOKE ALL ON FUNCTION public._balancer_alerts() FROM PUBLIC;
COMMENT ON FUNCTION public._balancer_alerts() IS 'rows of balancer_alerts';
GRANT EXECUTE ON FUNCTION public._balancer_alerts() TO pg_monitor;

CREATE VIEW public.balancer_alerts AS
	SELECT * FROM public._balancer_alerts()
	UNION ALL
	SELECT * FROM public._shard_alerts();
REVOKE ALL ON public.balancer_alerts FROM PUBLIC;
COMMENT ON VIEW public.balancer_alerts IS 'balancer_alerts, with a row for each shard that has one';
GRANT SELECT ON public.balancer_alerts TO pg_monitor;

CREATE FUNCTION public._balancer_failovers(OUT from_server text, OUT to_server text, OUT declared_at timestamp with time zone, OUT due_at timestamp with time zone, OUT cause text, OUT rooms bigint, OUT outcome text, OUT finished_at timestamp with time zone, OUT recovered_at timestamp with time zone, OUT on_call boolean, OUT shard int)
	RETURNS SETOF record
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	_shard int;
	_link text;
	_state text;
	_message text;
	_answered int := 0;
	_refused text;
	_refusal text;
	_context text;
BEGIN
	PERFORM FROM public.shard_gate;
	FOR _shard, _link, _state, _message IN
		SELECT * FROM public._ask(public._shards(), 'SELECT x.from_server, x.to_server, x.declared_at, x.due_at, x.cause, x.rooms, x.outcome, x.finished_at, x.recovered_at, x.on_call FROM public.balancer_failovers x', 60)
	LOOP
		BEGIN
			PERFORM public._check_link(_link, _state, _message);
			RETURN QUERY SELECT x.*, _shard FROM gxy_dblink.dblink_get_result(_link) AS x (from_server text, to_server text, declared_at timestamp with time zone, due_at timestamp with time zone, cause text, rooms bigint, outcome text, finished_at timestamp with time zone, recovered_at timestamp with time zone, on_call boolean);
			_answered := _answered + 1;
		EXCEPTION
			WHEN OTHERS OR query_canceled THEN
				GET STACKED DIAGNOSTICS _context = PG_EXCEPTION_CONTEXT;
				IF public._is_cancelled(SQLSTATE, _context) THEN
					RAISE;
				END IF;
				IF NOT public._is_lost(SQLSTATE, SQLERRM) THEN
					_refused := SQLSTATE;
					_refusal := SQLERRM;
				END IF;
				PERFORM public._shard_failed(_shard, SQLSTATE, SQLERRM);
		END;
		PERFORM public._drain(_link);
	END LOOP;
	PERFORM public._check_answers(_answered, _refused, _refusal);
END $$;
REVOKE ALL ON FUNCTION public._balancer_failovers() FROM PUBLIC;
COMMENT ON FUNCTION public._balancer_failovers() IS 'rows of balancer_failovers';
GRANT EXECUTE ON FUNCTION public._balancer_failovers() TO pg_monitor;

CREATE VIEW public.balancer_failovers AS
	SELECT * FROM public._balancer_failovers();
REVOKE ALL ON public.balancer_failovers FROM PUBLIC;
COMMENT ON VIEW public.balancer_failovers IS 'balancer_failovers, with a row for each shard that has one';
GRANT SELECT ON public.balancer_failovers TO pg_monitor;

CREATE FUNCTION public._balancer_health(OUT server text, OUT healthy boolean, OUT since timestamp with time zone, OUT last_heartbeat timestamp with time zone, OUT counts_from timestamp with time zone, OUT load real, OUT load_at timestamp with time zone, OUT recovered_at timestamp with time zone, OUT differs_since timestamp with time zone, OUT shard int)
	RETURNS SETOF record
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	_shard int;
	_link text;
	_state text;
	_message text;
	_answered int := 0;
	_refused text;
	_refusal text;
	_context text;
BEGIN
	PERFORM FROM public.shard_gate;
	FOR _shard, _link, _state, _message IN
		SELECT * FROM public._ask(public._shards(), 'SELECT x.server, x.healthy, x.since, x.last_heartbeat, x.counts_from, x.load, x.load_at, x.recovered_at, x.differs_since FROM public.balancer_health x', 60)
	LOOP
		BEGIN
			PERFORM public._check_link(_link, _state, _message);
			RETURN QUERY SELECT x.*, _shard FROM gxy_dblink.dblink_get_result(_link) AS x (server text, healthy boolean, since timestamp with time zone, last_heartbeat timestamp with time zone, counts_from timestamp with time zone, load real, load_at timestamp with time zone, recovered_at timestamp with time zone, differs_since timestamp with time zone);
			_answered := _answered + 1;
		EXCEPTION
			WHEN OTHERS OR query_canceled THEN
				GET STACKED DIAGNOSTICS _context = PG_EXCEPTION_CONTEXT;
				IF public._is_cancelled(SQLSTATE, _context) THEN
					RAISE;
				END IF;
				IF NOT public._is_lost(SQLSTATE, SQLERRM) THEN
					_refused := SQLSTATE;
					_refusal := SQLERRM;
				END IF;
				PERFORM public._shard_failed(_shard, SQLSTATE, SQLERRM);
		END;
		PERFORM public._drain(_link);
	END LOOP;
	PERFORM public._check_answers(_answered, _refused, _refusal);
END $$;
REVOKE ALL ON FUNCTION public._balancer_health() FROM PUBLIC;
COMMENT ON FUNCTION public._balancer_health() IS 'rows of balancer_health';
GRANT EXECUTE ON FUNCTION public._balancer_health() TO pg_monitor;

CREATE VIEW public.balancer_health AS
	SELECT * FROM public._balancer_health();
REVOKE ALL ON public.balancer_health FROM PUBLIC;
COMMENT ON VIEW public.balancer_health IS 'balancer_health, with a row for each shard that has one';
GRANT SELECT ON public.balancer_health TO pg_monitor;

CREATE FUNCTION public._balancer_load(OUT server text, OUT state text, OUT pool text, OUT rooms bigint, OUT users bigint, OUT connected bigint, OUT expected bigint, OUT load bigint, OUT capacity integer, OUT percent numeric, OUT bar text, OUT cause text, OUT measured numeric, OUT shard int)
	RETURNS SETOF record
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	_shard int;
	_link text;
	_state text;
	_message text;
	_answered int := 0;
	_refused text;
	_refusal text;
	_context text;
BEGIN
	PERFORM FROM public.shard_gate;
	FOR _shard, _link, _state, _message IN
		SELECT * FROM public._ask(public._shards(), 'SELECT x.server, x.state, x.pool, x.rooms, x.users, x.connected, x.expected, x.load, x.capacity, x.percent, x.bar, x.cause, x.measured FROM public.balancer_load x', 60)
	LOOP
		BEGIN
			PERFORM public._check_link(_link, _state, _message);
			RETURN QUERY SELECT x.*, _shard FROM gxy_dblink.dblink_get_result(_link) AS x (server text, state text, pool text, rooms bigint, users bigint, connected bigint, expected bigint, load bigint, capacity integer, percent numeric, bar text, cause text, measured numeric);
			_answered := _answered + 1;
		EXCEPTION
			WHEN OTHERS OR query_canceled THEN
				GET STACKED DIAGNOSTICS _context = PG_EXCEPTION_CONTEXT;
				IF public._is_cancelled(SQLSTATE, _context) THEN
					RAISE;
				END IF;
				IF NOT public._is_lost(SQLSTATE, SQLERRM) THEN
					_refused := SQLSTATE;
					_refusal := SQLERRM;
				END IF;
				PERFORM public._shard_failed(_shard, SQLSTATE, SQLERRM);
		END;
		PERFORM public._drain(_link);
	END LOOP;
	PERFORM public._check_answers(_answered, _refused, _refusal);
END $$;
REVOKE ALL ON FUNCTION public._balancer_load() FROM PUBLIC;
COMMENT ON FUNCTION public._balancer_load() IS 'rows of balancer_load_by_shard';
GRANT EXECUTE ON FUNCTION public._balancer_load() TO pg_monitor;

CREATE VIEW public.balancer_load_by_shard AS
	SELECT * FROM public._balancer_load();
REVOKE ALL ON public.balancer_load_by_shard FROM PUBLIC;
COMMENT ON VIEW public.balancer_load_by_shard IS 'balancer_load, with a row for each shard that has one';
GRANT SELECT ON public.balancer_load_by_shard TO pg_monitor;

CREATE VIEW public.balancer_load AS
	WITH s AS MATERIALIZED (SELECT *, row_number() OVER () AS n FROM public._balancer_load())
	SELECT r.server AS server,
		CASE WHEN (SELECT count(DISTINCT shard) FROM s) < (SELECT cardinality(public._shards())) THEN replace(public._worst(array_agg(r.state)), 'drained', 'draining') ELSE public._worst(array_agg(r.state)) END AS state,
		min(r.pool) AS pool,
		sum(r.rooms)::bigint AS rooms,
		sum(r.users)::bigint AS users,
		sum(r.connected)::bigint AS connected,
		sum(r.expected)::bigint AS expected,
		sum(r.load)::bigint AS load,
		max(r.capacity) AS capacity,
		round(100.0 * sum(r.load) / max(r.capacity), 1) AS percent,
		CASE WHEN sum(r.load) <= max(r.capacity) THEN rpad(repeat('#', ceil(6 * sum(r.load) / max(r.capacity))::int), 6, '.') WHEN sum(r.load) > max(r.capacity) THEN '#####>' END AS bar,
		string_agg(DISTINCT r.cause, '; ') AS cause,
		max(r.measured) AS measured
	FROM s r
	GROUP BY r.server ORDER BY min(r.n);
REVOKE ALL ON public.balancer_load FROM PUBLIC;
COMMENT ON VIEW public.balancer_load IS 'the load of each server, counted now, also of servers outside of the pool that still have rooms; for people there is balancer_now; over all shards';
GRANT SELECT ON public.balancer_load TO pg_monitor;

CREATE FUNCTION public._balancer_memory(OUT what text, OUT database text, OUT bytes bigint, OUT shard int)
	RETURNS SETOF record
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	_shard int;
	_link text;
	_state text;
	_message text;
	_answered int := 0;
	_refused text;
	_refusal text;
	_context text;
BEGIN
	PERFORM FROM public.shard_gate;
	FOR _shard, _link, _state, _message IN
		SELECT * FROM public._ask(public._shards(), 'SELECT x.what, x.database, x.bytes FROM public.balancer_memory x', 60)
	LOOP
		BEGIN
			PERFORM public._check_link(_link, _state, _message);
			RETURN QUERY SELECT x.*, _shard FROM gxy_dblink.dblink_get_result(_link) AS x (what text, database text, bytes bigint);
			_answered := _answered + 1;
		EXCEPTION
			WHEN OTHERS OR query_canceled THEN
				GET STACKED DIAGNOSTICS _context = PG_EXCEPTION_CONTEXT;
				IF public._is_cancelled(SQLSTATE, _context) THEN
					RAISE;
				END IF;
				IF NOT public._is_lost(SQLSTATE, SQLERRM) THEN
					_refused := SQLSTATE;
					_refusal := SQLERRM;
				END IF;
				PERFORM public._shard_failed(_shard, SQLSTATE, SQLERRM);
		END;
		PERFORM public._drain(_link);
	END LOOP;
	PERFORM public._check_answers(_answered, _refused, _refusal);
END $$;
REVOKE ALL ON FUNCTION public._balancer_memory() FROM PUBLIC;
COMMENT ON FUNCTION public._balancer_memory() IS 'rows of balancer_memory';
GRANT EXECUTE ON FUNCTION public._balancer_memory() TO pg_monitor;

CREATE VIEW public.balancer_memory AS
	SELECT * FROM public._balancer_memory();
REVOKE ALL ON public.balancer_memory FROM PUBLIC;
COMMENT ON VIEW public.balancer_memory IS 'balancer_memory, with a row for each shard that has one';
GRANT SELECT ON public.balancer_memory TO pg_monitor;

CREATE FUNCTION public._balancer_metrics(OUT servers double precision, OUT servers_online double precision, OUT rooms double precision, OUT split_rooms double precision, OUT users double precision, OUT load double precision, OUT capacity double precision, OUT load_ratio double precision, OUT imbalance double precision, OUT failovers_active double precision, OUT standbys_free double precision, OUT failovers_total double precision, OUT sessions_readable double precision, OUT rooms_readable double precision, OUT assigned_tier_0_total double precision, OUT assigned_tier_1_total double precision, OUT assigned_tier_2_total double precision, OUT assigned_tier_3_total double precision, OUT assigned_tier_4_total double precision, OUT assigned_tier_5_total double precision, OUT assigned_tier_6_total double precision, OUT sticky_total double precision, OUT renewed_total double precision, OUT moved_total double precision, OUT freed_total double precision, OUT refused_total double precision, OUT placed_by_cache_total double precision, OUT placed_by_count_total double precision, OUT load_cache_in_use double precision, OUT shared_memory_short double precision, OUT worker_up double precision, OUT worker_lag_seconds double precision, OUT worker_run_seconds double precision, OUT worker_failed double precision, OUT shard int)
	RETURNS SETOF record
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	_shard int;
	_link text;
	_state text;
	_message text;
	_answered int := 0;
	_refused text;
	_refusal text;
	_context text;
BEGIN
	PERFORM FROM public.shard_gate;
	FOR _shard, _link, _state, _message IN
		SELECT * FROM public._ask(public._shards(), 'SELECT x.servers, x.servers_online, x.rooms, x.split_rooms, x.users, x.load, x.capacity, x.load_ratio, x.imbalance, x.failovers_active, x.standbys_free, x.failovers_total, x.sessions_readable, x.rooms_readable, x.assigned_tier_0_total, x.assigned_tier_1_total, x.assigned_tier_2_total, x.assigned_tier_3_total, x.assigned_tier_4_total, x.assigned_tier_5_total, x.assigned_tier_6_total, x.sticky_total, x.renewed_total, x.moved_total, x.freed_total, x.refused_total, x.placed_by_cache_total, x.placed_by_count_total, x.load_cache_in_use, x.shared_memory_short, x.worker_up, x.worker_lag_seconds, x.worker_run_seconds, x.worker_failed FROM public.balancer_metrics x', 60)
	LOOP
		BEGIN
			PERFORM public._check_link(_link, _state, _message);
			RETURN QUERY SELECT x.*, _shard FROM gxy_dblink.dblink_get_result(_link) AS x (servers double precision, servers_online double precision, rooms double precision, split_rooms double precision, users double precision, load double precision, capacity double precision, load_ratio double precision, imbalance double precision, failovers_active double precision, standbys_free double precision, failovers_total double precision, sessions_readable double precision, rooms_readable double precision, assigned_tier_0_total double precision, assigned_tier_1_total double precision, assigned_tier_2_total double precision, assigned_tier_3_total double precision, assigned_tier_4_total double precision, assigned_tier_5_total double precision, assigned_tier_6_total double precision, sticky_total double precision, renewed_total double precision, moved_total double precision, freed_total double precision, refused_total double precision, placed_by_cache_total double precision, placed_by_count_total double precision, load_cache_in_use double precision, shared_memory_short double precision, worker_up double precision, worker_lag_seconds double precision, worker_run_seconds double precision, worker_failed double precision);
			_answered := _answered + 1;
		EXCEPTION
			WHEN OTHERS OR query_canceled THEN
				GET STACKED DIAGNOSTICS _context = PG_EXCEPTION_CONTEXT;
				IF public._is_cancelled(SQLSTATE, _context) THEN
					RAISE;
				END IF;
				IF NOT public._is_lost(SQLSTATE, SQLERRM) THEN
					_refused := SQLSTATE;
					_refusal := SQLERRM;
				END IF;
				PERFORM public._shard_failed(_shard, SQLSTATE, SQLERRM);
		END;
		PERFORM public._drain(_link);
	END LOOP;
	PERFORM public._check_answers(_answered, _refused, _refusal);
END $$;
REVOKE ALL ON FUNCTION public._balancer_metrics() FROM PUBLIC;
COMMENT ON FUNCTION public._balancer_metrics() IS 'rows of balancer_metrics';
GRANT EXECUTE ON FUNCTION public._balancer_metrics() TO pg_monitor;

CREATE VIEW public.balancer_metrics AS
	SELECT * FROM public._balancer_metrics();
REVOKE ALL ON public.balancer_metrics FROM PUBLIC;
COMMENT ON VIEW public.balancer_metrics IS 'balancer_metrics, with a row for each shard that has one';
GRANT SELECT ON public.balancer_metrics TO pg_monitor;

CREATE FUNCTION public._balancer_now(OUT server text, OUT bar text, OUT load text, OUT rooms bigint, OUT split bigint, OUT free bigint, OUT state text, OUT shard int)
	RETURNS SETOF record
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	_shard int;
	_link text;
	_state text;
	_message text;
	_answered int := 0;
	_refused text;
	_refusal text;
	_context text;
BEGIN
	PERFORM FROM public.shard_gate;
	FOR _shard, _link, _state, _message IN
		SELECT * FROM public._ask(public._shards(), 'SELECT x.server, x.bar, x.load, x.rooms, x.split, x.free, x.state FROM public.balancer_now x', 60)
	LOOP
		BEGIN
			PERFORM public._check_link(_link, _state, _message);
			RETURN QUERY SELECT x.*, _shard FROM gxy_dblink.dblink_get_result(_link) AS x (server text, bar text, load text, rooms bigint, split bigint, free bigint, state text);
			_answered := _answered + 1;
		EXCEPTION
			WHEN OTHERS OR query_canceled THEN
				GET STACKED DIAGNOSTICS _context = PG_EXCEPTION_CONTEXT;
				IF public._is_cancelled(SQLSTATE, _context) THEN
					RAISE;
				END IF;
				IF NOT public._is_lost(SQLSTATE, SQLERRM) THEN
					_refused := SQLSTATE;
					_refusal := SQLERRM;
				END IF;
				PERFORM public._shard_failed(_shard, SQLSTATE, SQLERRM);
		END;
		PERFORM public._drain(_link);
	END LOOP;
	PERFORM public._check_answers(_answered, _refused, _refusal);
END $$;
REVOKE ALL ON FUNCTION public._balancer_now() FROM PUBLIC;
COMMENT ON FUNCTION public._balancer_now() IS 'rows of balancer_now';
GRANT EXECUTE ON FUNCTION public._balancer_now() TO pg_monitor;

CREATE VIEW public.balancer_now AS
	SELECT * FROM public._balancer_now();
REVOKE ALL ON public.balancer_now FROM PUBLIC;
COMMENT ON VIEW public.balancer_now IS 'balancer_now, with a row for each shard that has one';
GRANT SELECT ON public.balancer_now TO pg_monitor;

CREATE FUNCTION public._balancer_pins(OUT room_id text, OUT server text, OUT expected_users integer, OUT pinned_at timestamp with time zone, OUT shard int)
	RETURNS SETOF record
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	_shard int;
	_link text;
	_state text;
	_message text;
	_answered int := 0;
	_refused text;
	_refusal text;
	_context text;
BEGIN
	PERFORM FROM public.shard_gate;
	FOR _shard, _link, _state, _message IN
		SELECT * FROM public._ask(public._shards(), 'SELECT x.room_id, x.server, x.expected_users, x.pinned_at FROM public.balancer_pins x', 60)
	LOOP
		BEGIN
			PERFORM public._check_link(_link, _state, _message);
			RETURN QUERY SELECT x.*, _shard FROM gxy_dblink.dblink_get_result(_link) AS x (room_id text, server text, expected_users integer, pinned_at timestamp with time zone);
			_answered := _answered + 1;
		EXCEPTION
			WHEN OTHERS OR query_canceled THEN
				GET STACKED DIAGNOSTICS _context = PG_EXCEPTION_CONTEXT;
				IF public._is_cancelled(SQLSTATE, _context) THEN
					RAISE;
				END IF;
				IF NOT public._is_lost(SQLSTATE, SQLERRM) THEN
					_refused := SQLSTATE;
					_refusal := SQLERRM;
				END IF;
				PERFORM public._shard_failed(_shard, SQLSTATE, SQLERRM);
		END;
		PERFORM public._drain(_link);
	END LOOP;
	PERFORM public._check_answers(_answered, _refused, _refusal);
END $$;
REVOKE ALL ON FUNCTION public._balancer_pins() FROM PUBLIC;
COMMENT ON FUNCTION public._balancer_pins() IS 'rows of balancer_pins';
GRANT EXECUTE ON FUNCTION public._balancer_pins() TO pg_monitor;

CREATE VIEW public.balancer_pins AS
	SELECT * FROM public._balancer_pins();
REVOKE ALL ON public.balancer_pins FROM PUBLIC;
COMMENT ON VIEW public.balancer_pins IS 'balancer_pins, with a row for each shard that has one';
GRANT SELECT ON public.balancer_pins TO pg_monitor;

CREATE FUNCTION public._balancer_room_sizes(OUT room_id text, OUT size real, OUT occasions integer, OUT peak integer, OUT assigned_at timestamp with time zone, OUT opened_at timestamp with time zone, OUT updated_at timestamp with time zone, OUT shard int)
	RETURNS SETOF record
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	_shard int;
	_link text;
	_state text;
	_message text;
	_answered int := 0;
	_refused text;
	_refusal text;
	_context text;
BEGIN
	PERFORM FROM public.shard_gate;
	FOR _shard, _link, _state, _message IN
		SELECT * FROM public._ask(public._shards(), 'SELECT x.room_id, x.size, x.occasions, x.peak, x.assigned_at, x.opened_at, x.updated_at FROM public.balancer_room_sizes x', 60)
	LOOP
		BEGIN
			PERFORM public._check_link(_link, _state, _message);
			RETURN QUERY SELECT x.*, _shard FROM gxy_dblink.dblink_get_result(_link) AS x (room_id text, size real, occasions integer, peak integer, assigned_at timestamp with time zone, opened_at timestamp with time zone, updated_at timestamp with time zone);
			_answered := _answered + 1;
		EXCEPTION
			WHEN OTHERS OR query_canceled THEN
				GET STACKED DIAGNOSTICS _context = PG_EXCEPTION_CONTEXT;
				IF public._is_cancelled(SQLSTATE, _context) THEN
					RAISE;
				END IF;
				IF NOT public._is_lost(SQLSTATE, SQLERRM) THEN
					_refused := SQLSTATE;
					_refusal := SQLERRM;
				END IF;
				PERFORM public._shard_failed(_shard, SQLSTATE, SQLERRM);
		END;
		PERFORM public._drain(_link);
	END LOOP;
	PERFORM public._check_answers(_answered, _refused, _refusal);
END $$;
REVOKE ALL ON FUNCTION public._balancer_room_sizes() FROM PUBLIC;
COMMENT ON FUNCTION public._balancer_room_sizes() IS 'rows of balancer_room_sizes';
GRANT EXECUTE ON FUNCTION public._balancer_room_sizes() TO pg_monitor;

CREATE VIEW public.balancer_room_sizes AS
	SELECT * FROM public._balancer_room_sizes();
REVOKE ALL ON public.balancer_room_sizes FROM PUBLIC;
COMMENT ON VIEW public.balancer_room_sizes IS 'balancer_room_sizes, with a row for each shard that has one';
GRANT SELECT ON public.balancer_room_sizes TO pg_monitor;

CREATE FUNCTION public._balancer_rooms(OUT room_id text, OUT server text, OUT users bigint, OUT users_elsewhere bigint, OUT expected_users integer, OUT pinned text, OUT reason text, OUT assigned_at timestamp with time zone, OUT last_used_at timestamp with time zone, OUT problem text, OUT shard int)
	RETURNS SETOF record
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	_shard int;
	_link text;
	_state text;
	_message text;
	_answered int := 0;
	_refused text;
	_refusal text;
	_context text;
BEGIN
	PERFORM FROM public.shard_gate;
	FOR _shard, _link, _state, _message IN
		SELECT * FROM public._ask(public._shards(), 'SELECT x.room_id, x.server, x.users, x.users_elsewhere, x.expected_users, x.pinned, x.reason, x.assigned_at, x.last_used_at, x.problem FROM public.balancer_rooms x', 60)
	LOOP
		BEGIN
			PERFORM public._check_link(_link, _state, _message);
			RETURN QUERY SELECT x.*, _shard FROM gxy_dblink.dblink_get_result(_link) AS x (room_id text, server text, users bigint, users_elsewhere bigint, expected_users integer, pinned text, reason text, assigned_at timestamp with time zone, last_used_at timestamp with time zone, problem text);
			_answered := _answered + 1;
		EXCEPTION
			WHEN OTHERS OR query_canceled THEN
				GET STACKED DIAGNOSTICS _context = PG_EXCEPTION_CONTEXT;
				IF public._is_cancelled(SQLSTATE, _context) THEN
					RAISE;
				END IF;
				IF NOT public._is_lost(SQLSTATE, SQLERRM) THEN
					_refused := SQLSTATE;
					_refusal := SQLERRM;
				END IF;
				PERFORM public._shard_failed(_shard, SQLSTATE, SQLERRM);
		END;
		PERFORM public._drain(_link);
	END LOOP;
	PERFORM public._check_answers(_answered, _refused, _refusal);
END $$;
REVOKE ALL ON FUNCTION public._balancer_rooms() FROM PUBLIC;
COMMENT ON FUNCTION public._balancer_rooms() IS 'rows of balancer_rooms';
GRANT EXECUTE ON FUNCTION public._balancer_rooms() TO pg_monitor;

CREATE VIEW public.balancer_rooms AS
	SELECT * FROM public._balancer_rooms();
REVOKE ALL ON public.balancer_rooms FROM PUBLIC;
COMMENT ON VIEW public.balancer_rooms IS 'balancer_rooms, with a row for each shard that has one';
GRANT SELECT ON public.balancer_rooms TO pg_monitor;

CREATE FUNCTION public._balancer_server_metrics(OUT server text, OUT state text, OUT pool text, OUT rooms double precision, OUT users double precision, OUT connected double precision, OUT expected double precision, OUT load double precision, OUT capacity double precision, OUT load_ratio double precision, OUT measured_ratio double precision, OUT split_rooms double precision, OUT online double precision, OUT wanted_online double precision, OUT healthy double precision, OUT heartbeat_age_seconds double precision, OUT failover_active double precision, OUT stands_in double precision, OUT shard int)
	RETURNS SETOF record
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	_shard int;
	_link text;
	_state text;
	_message text;
	_answered int := 0;
	_refused text;
	_refusal text;
	_context text;
BEGIN
	PERFORM FROM public.shard_gate;
	FOR _shard, _link, _state, _message IN
		SELECT * FROM public._ask(public._shards(), 'SELECT x.server, x.state, x.pool, x.rooms, x.users, x.connected, x.expected, x.load, x.capacity, x.load_ratio, x.measured_ratio, x.split_rooms, x.online, x.wanted_online, x.healthy, x.heartbeat_age_seconds, x.failover_active, x.stands_in FROM public.balancer_server_metrics x', 60)
	LOOP
		BEGIN
			PERFORM public._check_link(_link, _state, _message);
			RETURN QUERY SELECT x.*, _shard FROM gxy_dblink.dblink_get_result(_link) AS x (server text, state text, pool text, rooms double precision, users double precision, connected double precision, expected double precision, load double precision, capacity double precision, load_ratio double precision, measured_ratio double precision, split_rooms double precision, online double precision, wanted_online double precision, healthy double precision, heartbeat_age_seconds double precision, failover_active double precision, stands_in double precision);
			_answered := _answered + 1;
		EXCEPTION
			WHEN OTHERS OR query_canceled THEN
				GET STACKED DIAGNOSTICS _context = PG_EXCEPTION_CONTEXT;
				IF public._is_cancelled(SQLSTATE, _context) THEN
					RAISE;
				END IF;
				IF NOT public._is_lost(SQLSTATE, SQLERRM) THEN
					_refused := SQLSTATE;
					_refusal := SQLERRM;
				END IF;
				PERFORM public._shard_failed(_shard, SQLSTATE, SQLERRM);
		END;
		PERFORM public._drain(_link);
	END LOOP;
	PERFORM public._check_answers(_answered, _refused, _refusal);
END $$;
REVOKE ALL ON FUNCTION public._balancer_server_metrics() FROM PUBLIC;
COMMENT ON FUNCTION public._balancer_server_metrics() IS 'rows of balancer_server_metrics';
GRANT EXECUTE ON FUNCTION public._balancer_server_metrics() TO pg_monitor;

CREATE VIEW public.balancer_server_metrics AS
	SELECT * FROM public._balancer_server_metrics();
REVOKE ALL ON public.balancer_server_metrics FROM PUBLIC;
COMMENT ON VIEW public.balancer_server_metrics IS 'balancer_server_metrics, with a row for each shard that has one';
GRANT SELECT ON public.balancer_server_metrics TO pg_monitor;

CREATE FUNCTION public._balancer_servers(OUT name text, OUT "position" integer, OUT priority integer, OUT capacity integer, OUT regions text[], OUT pool text, OUT state text, OUT shard int)
	RETURNS SETOF record
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	_shard int;
	_link text;
	_state text;
	_message text;
	_answered int := 0;
	_refused text;
	_refusal text;
	_context text;
BEGIN
	PERFORM FROM public.shard_gate;
	FOR _shard, _link, _state, _message IN
		SELECT * FROM public._ask(public._shards(), 'SELECT x.name, x."position", x.priority, x.capacity, x.regions, x.pool, x.state FROM public.balancer_servers x', 60)
	LOOP
		BEGIN
			PERFORM public._check_link(_link, _state, _message);
			RETURN QUERY SELECT x.*, _shard FROM gxy_dblink.dblink_get_result(_link) AS x (name text, "position" integer, priority integer, capacity integer, regions text[], pool text, state text);
			_answered := _answered + 1;
		EXCEPTION
			WHEN OTHERS OR query_canceled THEN
				GET STACKED DIAGNOSTICS _context = PG_EXCEPTION_CONTEXT;
				IF public._is_cancelled(SQLSTATE, _context) THEN
					RAISE;
				END IF;
				IF NOT public._is_lost(SQLSTATE, SQLERRM) THEN
					_refused := SQLSTATE;
					_refusal := SQLERRM;
				END IF;
				PERFORM public._shard_failed(_shard, SQLSTATE, SQLERRM);
		END;
		PERFORM public._drain(_link);
	END LOOP;
	PERFORM public._check_answers(_answered, _refused, _refusal);
END $$;
REVOKE ALL ON FUNCTION public._balancer_servers() FROM PUBLIC;
COMMENT ON FUNCTION public._balancer_servers() IS 'rows of balancer_servers';
GRANT EXECUTE ON FUNCTION public._balancer_servers() TO pg_monitor;

CREATE VIEW public.balancer_servers AS
	SELECT * FROM public._balancer_servers();
REVOKE ALL ON public.balancer_servers FROM PUBLIC;
COMMENT ON VIEW public.balancer_servers IS 'balancer_servers, with a row for each shard that has one';
GRANT SELECT ON public.balancer_servers TO pg_monitor;

CREATE FUNCTION public._balancer_sources(OUT source text, OUT schema_name text, OUT relation_name text, OUT shard int)
	RETURNS SETOF record
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	_shard int;
	_link text;
	_state text;
	_message text;
	_answered int := 0;
	_refused text;
	_refusal text;
	_context text;
BEGIN
	PERFORM FROM public.shard_gate;
	FOR _shard, _link, _state, _message IN
		SELECT * FROM public._ask(public._shards(), 'SELECT x.source, x.schema_name, x.relation_name FROM public.balancer_sources x', 60)
	LOOP
		BEGIN
			PERFORM public._check_link(_link, _state, _message);
			RETURN QUERY SELECT x.*, _shard FROM gxy_dblink.dblink_get_result(_link) AS x (source text, schema_name text, relation_name text);
			_answered := _answered + 1;
		EXCEPTION
			WHEN OTHERS OR query_canceled THEN
				GET STACKED DIAGNOSTICS _context = PG_EXCEPTION_CONTEXT;
				IF public._is_cancelled(SQLSTATE, _context) THEN
					RAISE;
				END IF;
				IF NOT public._is_lost(SQLSTATE, SQLERRM) THEN
					_refused := SQLSTATE;
					_refusal := SQLERRM;
				END IF;
				PERFORM public._shard_failed(_shard, SQLSTATE, SQLERRM);
		END;
		PERFORM public._drain(_link);
	END LOOP;
	PERFORM public._check_answers(_answered, _refused, _refusal);
END $$;
REVOKE ALL ON FUNCTION public._balancer_sources() FROM PUBLIC;
COMMENT ON FUNCTION public._balancer_sources() IS 'rows of balancer_sources';

CREATE VIEW public.balancer_sources AS
	SELECT * FROM public._balancer_sources();
REVOKE ALL ON public.balancer_sources FROM PUBLIC;
COMMENT ON VIEW public.balancer_sources IS 'balancer_sources, with a row for each shard that has one';

CREATE FUNCTION public._balancer_stats(OUT assigned_tier_0 bigint, OUT assigned_tier_1 bigint, OUT assigned_tier_2 bigint, OUT assigned_tier_3 bigint, OUT assigned_tier_4 bigint, OUT assigned_tier_5 bigint, OUT assigned_tier_6 bigint, OUT sticky bigint, OUT renewed bigint, OUT moved bigint, OUT freed bigint, OUT refused bigint, OUT since timestamp with time zone, OUT worker text, OUT last_run timestamp with time zone, OUT last_run_duration interval, OUT last_run_freed bigint, OUT last_error text, OUT next_due timestamp with time zone, OUT placed_by_cache bigint, OUT placed_by_count bigint, OUT counted_because text, OUT shared_memory text, OUT clock_set_at timestamp with time zone, OUT clock_set_by interval, OUT frees_from timestamp with time zone, OUT failovers bigint, OUT shard int)
	RETURNS SETOF record
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	_shard int;
	_link text;
	_state text;
	_message text;
	_answered int := 0;
	_refused text;
	_refusal text;
	_context text;
BEGIN
	PERFORM FROM public.shard_gate;
	FOR _shard, _link, _state, _message IN
		SELECT * FROM public._ask(public._shards(), 'SELECT x.assigned_tier_0, x.assigned_tier_1, x.assigned_tier_2, x.assigned_tier_3, x.assigned_tier_4, x.assigned_tier_5, x.assigned_tier_6, x.sticky, x.renewed, x.moved, x.freed, x.refused, x.since, x.worker, x.last_run, x.last_run_duration, x.last_run_freed, x.last_error, x.next_due, x.placed_by_cache, x.placed_by_count, x.counted_because, x.shared_memory, x.clock_set_at, x.clock_set_by, x.frees_from, x.failovers FROM public.balancer_stats x', 60)
	LOOP
		BEGIN
			PERFORM public._check_link(_link, _state, _message);
			RETURN QUERY SELECT x.*, _shard FROM gxy_dblink.dblink_get_result(_link) AS x (assigned_tier_0 bigint, assigned_tier_1 bigint, assigned_tier_2 bigint, assigned_tier_3 bigint, assigned_tier_4 bigint, assigned_tier_5 bigint, assigned_tier_6 bigint, sticky bigint, renewed bigint, moved bigint, freed bigint, refused bigint, since timestamp with time zone, worker text, last_run timestamp with time zone, last_run_duration interval, last_run_freed bigint, last_error text, next_due timestamp with time zone, placed_by_cache bigint, placed_by_count bigint, counted_because text, shared_memory text, clock_set_at timestamp with time zone, clock_set_by interval, frees_from timestamp with time zone, failovers bigint);
			_answered := _answered + 1;
		EXCEPTION
			WHEN OTHERS OR query_canceled THEN
				GET STACKED DIAGNOSTICS _context = PG_EXCEPTION_CONTEXT;
				IF public._is_cancelled(SQLSTATE, _context) THEN
					RAISE;
				END IF;
				IF NOT public._is_lost(SQLSTATE, SQLERRM) THEN
					_refused := SQLSTATE;
					_refusal := SQLERRM;
				END IF;
				PERFORM public._shard_failed(_shard, SQLSTATE, SQLERRM);
		END;
		PERFORM public._drain(_link);
	END LOOP;
	PERFORM public._check_answers(_answered, _refused, _refusal);
END $$;
REVOKE ALL ON FUNCTION public._balancer_stats() FROM PUBLIC;
COMMENT ON FUNCTION public._balancer_stats() IS 'rows of balancer_stats';
GRANT EXECUTE ON FUNCTION public._balancer_stats() TO pg_monitor;

CREATE VIEW public.balancer_stats AS
	SELECT * FROM public._balancer_stats();
REVOKE ALL ON public.balancer_stats FROM PUBLIC;
COMMENT ON VIEW public.balancer_stats IS 'balancer_stats, with a row for each shard that has one';
GRANT SELECT ON public.balancer_stats TO pg_monitor;

CREATE FUNCTION public._room_server_assignments(OUT room_id text, OUT gateway_name text, OUT region text, OUT assigned_at timestamp with time zone, OUT last_used_at timestamp with time zone, OUT reason text, OUT expected_users integer, OUT reported_users integer, OUT shard int)
	RETURNS SETOF record
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	_shard int;
	_link text;
	_state text;
	_message text;
	_answered int := 0;
	_refused text;
	_refusal text;
	_context text;
BEGIN
	PERFORM FROM public.shard_gate;
	FOR _shard, _link, _state, _message IN
		SELECT * FROM public._ask(public._shards(), 'SELECT x.room_id, x.gateway_name, x.region, x.assigned_at, x.last_used_at, x.reason, x.expected_users, x.reported_users FROM public.room_server_assignments x', 60)
	LOOP
		BEGIN
			PERFORM public._check_link(_link, _state, _message);
			RETURN QUERY SELECT x.*, _shard FROM gxy_dblink.dblink_get_result(_link) AS x (room_id text, gateway_name text, region text, assigned_at timestamp with time zone, last_used_at timestamp with time zone, reason text, expected_users integer, reported_users integer);
			_answered := _answered + 1;
		EXCEPTION
			WHEN OTHERS OR query_canceled THEN
				GET STACKED DIAGNOSTICS _context = PG_EXCEPTION_CONTEXT;
				IF public._is_cancelled(SQLSTATE, _context) THEN
					RAISE;
				END IF;
				IF NOT public._is_lost(SQLSTATE, SQLERRM) THEN
					_refused := SQLSTATE;
					_refusal := SQLERRM;
				END IF;
				PERFORM public._shard_failed(_shard, SQLSTATE, SQLERRM);
		END;
		PERFORM public._drain(_link);
	END LOOP;
	PERFORM public._check_answers(_answered, _refused, _refusal);
END $$;
REVOKE ALL ON FUNCTION public._room_server_assignments() FROM PUBLIC;
COMMENT ON FUNCTION public._room_server_assignments() IS 'rows of room_server_assignments';

CREATE VIEW public.room_server_assignments AS
	SELECT * FROM public._room_server_assignments();
REVOKE ALL ON public.room_server_assignments FROM PUBLIC;
COMMENT ON VIEW public.room_server_assignments IS 'room_server_assignments, with a row for each shard that has one';

COMMIT;
