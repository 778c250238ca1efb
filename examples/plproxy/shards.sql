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
CREATE EXTENSION IF NOT EXISTS plproxy;
-- Its functions use connections by name that stay open. In this schema no other role reaches them.
CREATE SCHEMA gxy_dblink;
CREATE EXTENSION dblink SCHEMA gxy_dblink;

CREATE TABLE @schema@.shard_gate ();
REVOKE ALL ON @schema@.shard_gate FROM PUBLIC;
COMMENT ON TABLE @schema@.shard_gate IS 'empty; a transaction that locks it pauses all calls, so that partitions can move';

CREATE TABLE @schema@.shard_list (
	shard int PRIMARY KEY CHECK (shard > 0),
	connection text NOT NULL UNIQUE
);
REVOKE ALL ON @schema@.shard_list FROM PUBLIC;
COMMENT ON TABLE @schema@.shard_list IS 'the number of each shard, which no other shard ever gets; set_shard_connection() changes a connection';

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

CREATE FUNCTION @schema@._placed_changes() RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	EXECUTE format('CREATE OR REPLACE FUNCTION @schema@._placed_version() RETURNS text LANGUAGE sql STABLE AS %L',
		format('SELECT %L', gen_random_uuid()));
END $$;
REVOKE ALL ON FUNCTION @schema@._placed_changes() FROM PUBLIC;
COMMENT ON FUNCTION @schema@._placed_changes() IS 'lets transactions with an older snapshot know that shards have changed';

/* One statement each, which all proxies run: see `move`. */
CREATE FUNCTION @schema@.place_partitions(partitions int[], connection text) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	_partition int;
BEGIN
	FOREACH _partition IN ARRAY partitions LOOP
		EXECUTE format('ALTER SERVER balancer OPTIONS (SET p%s %L)', _partition, connection);
	END LOOP;
	INSERT INTO @schema@.shard_list
	SELECT 1 + coalesce(max(l.shard), 0), place_partitions.connection
	FROM @schema@.shard_list l
	ON CONFLICT DO NOTHING;
	PERFORM @schema@._placed_changes();
END $$;
REVOKE ALL ON FUNCTION @schema@.place_partitions(int[], text) FROM PUBLIC;
COMMENT ON FUNCTION @schema@.place_partitions(int[], text) IS 'sends the calls for these partitions to this database from now on; moves no rooms';

-- Waits for calls that use the old connection, and new ones wait for it: so not for long.
CREATE FUNCTION @schema@.set_shard_connection(shard int, connection text) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET lock_timeout = '5s' AS $$
DECLARE
	_partitions int[];
BEGIN
	IF current_setting('transaction_isolation') <> 'read committed' THEN
		RAISE EXCEPTION 'a shard''s connection can be changed in READ COMMITTED only' USING ERRCODE = '25001',
			DETAIL = 'An older snapshot has the partitions where they were before they moved.';
	END IF;
	LOCK TABLE @schema@.shard_gate IN ACCESS EXCLUSIVE MODE;
	SELECT p.partitions INTO _partitions FROM @schema@._placed p WHERE p.shard = set_shard_connection.shard;
	UPDATE @schema@.shard_list l SET connection = set_shard_connection.connection WHERE l.shard = set_shard_connection.shard;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'there is no shard %', shard USING ERRCODE = '42704';
	END IF;
	PERFORM @schema@.place_partitions(coalesce(_partitions, '{}'), connection);
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
	EXECUTE (SELECT 'CREATE SERVER balancer FOREIGN DATA WRAPPER plproxy OPTIONS ('
			|| string_agg(format('p%s %L', i, connections[1 + i * cardinality(connections) / partitions]), ', ' ORDER BY i) || ')'
		FROM generate_series(0, partitions - 1) i);
	INSERT INTO @schema@.shard_list SELECT n, c FROM unnest(connections) WITH ORDINALITY u (c, n);
	PERFORM @schema@._placed_changes();
END $$;
REVOKE ALL ON FUNCTION @schema@.create_shards(int, text[]) FROM PUBLIC;
COMMENT ON FUNCTION @schema@.create_shards(int, text[]) IS 'spreads partitions over these databases evenly, in their order';

CREATE FUNCTION @schema@._shards() RETURNS int[]
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF format('SELECT %L', @schema@._placed_version())
		<> (SELECT p.prosrc FROM pg_proc p WHERE p.oid = '@schema@._placed_version()'::regprocedure) THEN
		RAISE EXCEPTION 'partitions have moved since this transaction began' USING ERRCODE = '40001',
			HINT = 'Repeat the transaction.';
	END IF;
	RETURN (SELECT coalesce(array_agg(p.shard ORDER BY p.shard), '{}') FROM @schema@._placed p);
END $$;
REVOKE ALL ON FUNCTION @schema@._shards() FROM PUBLIC;
COMMENT ON FUNCTION @schema@._shards() IS 'the numbers of the shards that have partitions';

/*
 * Calls for all shards. All are asked at once, each by a connection of the session's own, which stays open. Returns a row
 * for each shard: link is the connection on which dblink_get_result() has its answer, or NULL, with an SQLSTATE and a message.
 *
 * No caller waits for a shard for long: connecting has a limit (connect_timeout, 2 s if the connection string has none), so
 * has an answer to the empty statement on a connection that was open (2 s), and so has the answer to the statement
 * (seconds; NULL: none). A shard that has run into a limit is not asked again by this session for 5 s, so that a monitor
 * with many servers beats in time on the others.
 */
CREATE FUNCTION @schema@._link(connection text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN 'shard_' || md5(connection);
REVOKE ALL ON FUNCTION @schema@._link(text) FROM PUBLIC;
COMMENT ON FUNCTION @schema@._link(text) IS 'the name of the connection of dblink';

/* The user as PL/Proxy takes it: that of the connection string, or of the mapping, or the current one. */
CREATE FUNCTION @schema@._full_connection(connection text) RETURNS text
	LANGUAGE sql STABLE
	BEGIN ATOMIC
		SELECT connection
			|| CASE WHEN connection ~ '(^|\s)user\s*=' THEN '' ELSE coalesce(
				(SELECT string_agg(format(' %s=''%s''', o.option_name, replace(replace(o.option_value, '\', '\\'), '''', '\''')), '')
				FROM pg_catalog.pg_user_mappings m, pg_catalog.pg_options_to_table(m.umoptions) o
				WHERE m.srvname = 'balancer' AND m.usename = current_user), format(' user=''%s''', current_user)) END
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

/* Returns those of the connections that have no answer at the end of the time. */
CREATE FUNCTION @schema@._wait(links text[], seconds float8) RETURNS text[]
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	_until timestamptz := clock_timestamp() + make_interval(secs => seconds);
	_pause float8 := 0.0005;
BEGIN
	LOOP
		links := ARRAY(SELECT l FROM unnest(links) l WHERE gxy_dblink.dblink_is_busy(l) = 1);
		EXIT WHEN links = '{}' OR clock_timestamp() >= _until;
		PERFORM pg_sleep(_pause);
		_pause := least(_pause * 1.5, 0.02);
	END LOOP;
	RETURN links;
END $$;
REVOKE ALL ON FUNCTION @schema@._wait(text[], float8) FROM PUBLIC;
COMMENT ON FUNCTION @schema@._wait(text[], float8) IS 'waits for answers';

CREATE FUNCTION @schema@._ask(shards int[], statement text, seconds float8)
	RETURNS TABLE (shard int, link text, state text, message text)
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET client_min_messages = warning AS $$
#variable_conflict use_column
DECLARE
	_placed record;
	_open text[] := coalesce(gxy_dblink.dblink_get_connections(), '{}');
	_late text[];
	_waiting text[] := '{}';
	_answers jsonb := '{}';
	_began timestamptz;
	_link text;
BEGIN
	-- Connections that were open: are they still?
	FOREACH _link IN ARRAY _open LOOP
		CONTINUE WHEN _link NOT LIKE 'shard\_%';
		IF _link IN (SELECT @schema@._link(p.connection) FROM @schema@._placed p)
			AND gxy_dblink.dblink_is_busy(_link) = 0 AND gxy_dblink.dblink_send_query(_link, 'SELECT NULL::text') = 1 THEN
			_waiting := _waiting || _link;
		ELSE
			PERFORM gxy_dblink.dblink_disconnect(_link);
		END IF;
	END LOOP;
	_late := @schema@._wait(_waiting, 2);
	FOREACH _link IN ARRAY _waiting LOOP
		BEGIN
			IF _link = ANY (_late) THEN
				PERFORM set_config('shards.' || _link, clock_timestamp()::text, false);
				PERFORM gxy_dblink.dblink_disconnect(_link);
			ELSE
				PERFORM FROM gxy_dblink.dblink_get_result(_link) AS x (a text);
				PERFORM @schema@._drain(_link);
			END IF;
		EXCEPTION WHEN OTHERS THEN
			PERFORM gxy_dblink.dblink_disconnect(_link);
		END;
	END LOOP;
	_open := coalesce(gxy_dblink.dblink_get_connections(), '{}');
	_waiting := '{}';
	-- Those that are connected first.
	FOR _placed IN
		SELECT p.shard, p.connection, @schema@._link(p.connection) AS link
		FROM @schema@._placed p WHERE p.shard = ANY (shards)
		ORDER BY @schema@._link(p.connection) = ANY (_open) DESC, p.shard
	LOOP
		_began := clock_timestamp();
		BEGIN
			IF _placed.link <> ALL (_open) THEN
				IF nullif(current_setting('shards.' || _placed.link, true), '')::timestamptz > _began - interval '5 s' THEN
					RAISE EXCEPTION 'no answer a moment ago' USING ERRCODE = '08006';
				END IF;
				PERFORM gxy_dblink.dblink_connect(_placed.link, @schema@._full_connection(_placed.connection));
			END IF;
			IF gxy_dblink.dblink_send_query(_placed.link, statement) = 0 THEN
				RAISE EXCEPTION '%', gxy_dblink.dblink_error_message(_placed.link) USING ERRCODE = '08006';
			END IF;
			_waiting := _waiting || _placed.link;
		EXCEPTION WHEN OTHERS THEN
			_answers := _answers || jsonb_build_object(_placed.link, jsonb_build_array(SQLSTATE, SQLERRM));
		END;
		IF clock_timestamp() > _began + interval '1 s' AND _answers ? _placed.link THEN
			PERFORM set_config('shards.' || _placed.link, clock_timestamp()::text, false);
		END IF;
	END LOOP;
	_late := @schema@._wait(_waiting, coalesce(seconds, 1e9));
	FOREACH _link IN ARRAY _late LOOP
		PERFORM set_config('shards.' || _link, clock_timestamp()::text, false);
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

/* The state of each shard, asked now. */
CREATE FUNCTION @schema@._shard_states(OUT shard int, OUT partitions int[], OUT connection text, OUT state text, OUT problem text)
	RETURNS SETOF record
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	_asked record;
BEGIN
	FOR _asked IN
		SELECT a.*, p.partitions, p.connection
		FROM @schema@._ask(@schema@._shards(),
				'SELECT CASE WHEN pg_catalog.current_setting(''transaction_read_only'')::boolean THEN ''read only'' ELSE ''up'' END', 2) a
			JOIN @schema@._placed p USING (shard)
		ORDER BY a.shard
	LOOP
		shard := _asked.shard;
		partitions := _asked.partitions;
		connection := _asked.connection;
		problem := NULL;
		BEGIN
			PERFORM @schema@._check_link(_asked.link, _asked.state, _asked.message);
			state := (SELECT x.a FROM gxy_dblink.dblink_get_result(_asked.link) AS x (a text));
		EXCEPTION WHEN OTHERS THEN
			state := 'down';
			problem := SQLERRM;
		END;
		IF _asked.link IS NOT NULL THEN
			PERFORM @schema@._drain(_asked.link);
		END IF;
		RETURN NEXT;
	END LOOP;
END $$;
REVOKE ALL ON FUNCTION @schema@._shard_states() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION @schema@._shard_states() TO pg_monitor;
COMMENT ON FUNCTION @schema@._shard_states() IS 'rows of balancer_shards';

CREATE VIEW @schema@.balancer_shards AS
	SELECT * FROM @schema@._shard_states();
REVOKE ALL ON @schema@.balancer_shards FROM PUBLIC;
GRANT SELECT ON @schema@.balancer_shards TO pg_monitor;
COMMENT ON VIEW @schema@.balancer_shards IS 'the shards, which partitions are on each, and whether it answers now';
COMMENT ON COLUMN @schema@.balancer_shards.state IS 'up; read only: a standby, or set so; down: it does not answer within 2 s';
COMMENT ON COLUMN @schema@.balancer_shards.problem IS 'what was reported of a shard that is down';

/* What only the proxy can see: rows of balancer_alerts. _balancer_servers() is among what `generate` writes. */
CREATE FUNCTION @schema@._shard_alerts(OUT severity text, OUT alert text, OUT server text, OUT what text, OUT since timestamptz,
		OUT statement text, OUT shard int)
	RETURNS SETOF record
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY
		SELECT 'critical', 'shard_down', NULL, CASE s.state WHEN 'down' THEN format('shard %s does not answer: %s', s.shard, s.problem)
				ELSE format('shard %s is read only', s.shard) END, NULL::timestamptz, NULL, s.shard
		FROM @schema@._shard_states() s WHERE s.state <> 'up';
	RETURN QUERY
		SELECT 'warning', 'states_differ', b.name, string_agg(b.state || ' on shard ' || b.shard, ', ' ORDER BY b.shard), NULL::timestamptz,
			format('SELECT @schema@.set_server_state(%L, %L);', b.name, @schema@._worst(array_agg(b.state))), NULL::int
		FROM @schema@._balancer_servers() b GROUP BY b.name HAVING count(DISTINCT b.state) > 1 ORDER BY b.name;
END $$;
REVOKE ALL ON FUNCTION @schema@._shard_alerts() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION @schema@._shard_alerts() TO pg_monitor;
COMMENT ON FUNCTION @schema@._shard_alerts() IS 'rows of balancer_alerts: shards that do not answer, and servers whose states differ';

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
		EXCEPTION WHEN OTHERS THEN
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
		EXCEPTION WHEN OTHERS THEN
			PERFORM @schema@._shard_failed(_told.shard, SQLSTATE, SQLERRM);
		END;
		PERFORM @schema@._drain(_asked.link);
	END LOOP;
	RETURN _shards;
END $$;
REVOKE ALL ON FUNCTION @schema@.share_loads() FROM PUBLIC;
COMMENT ON FUNCTION @schema@.share_loads() IS 'tells each shard what the other shards have on the servers; returns how many it has told';
