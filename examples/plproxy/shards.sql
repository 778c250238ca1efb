/*
 * The proxy of several databases with gxy_balancer (shards): what is written by hand. What follows it, a function or view
 * for each of the extension's, is written by `generate`.
 *
 * Rooms belong to partitions, and partitions to shards: the options p0, p1, ... of the foreign server "balancer" say in
 * which database each partition is. Their number is a power of two and never changes. Partitions move from one shard to
 * another (see `move`). A shard is called by the number of its first partition.
 *
 * The functions run as their owner, so that EXECUTE on them is all that a role needs; the user mapping of the owner says
 * as whom they connect. PL/Proxy commits at once on the shard: an assignment is not rolled back with the caller's
 * transaction on the proxy.
 *
 * Calls read shard_gate first. While a transaction has it locked in ACCESS EXCLUSIVE mode they wait, and afterwards see
 * the partitions where that transaction has put them.
 */
CREATE EXTENSION IF NOT EXISTS plproxy;

CREATE TABLE @schema@.shard_gate ();
REVOKE ALL ON @schema@.shard_gate FROM PUBLIC;
COMMENT ON TABLE @schema@.shard_gate IS 'empty; a transaction that locks it pauses all calls, so that partitions can move';

/* The same on every machine and in every version, unlike hashtext(). Text of the same bytes gives the same partition. */
CREATE FUNCTION @schema@.shard_of(room text) RETURNS int
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN coalesce(('x' || left(md5(room), 8))::bit(32)::int, 0);
REVOKE ALL ON FUNCTION @schema@.shard_of(text) FROM PUBLIC;
COMMENT ON FUNCTION @schema@.shard_of(text) IS 'the partition of a room, modulo their number; by_region.sql has another';

CREATE VIEW @schema@.balancer_shards AS
	SELECT min(p.partition) AS shard, array_agg(p.partition ORDER BY p.partition) AS partitions, p.connection
	FROM (SELECT substr(o.option_name, 2)::int AS partition, o.option_value AS connection
		FROM pg_foreign_server s, pg_options_to_table(s.srvoptions) o
		WHERE s.srvname = 'balancer' AND o.option_name ~ '^p[0-9]+$') p
	GROUP BY p.connection;
REVOKE ALL ON @schema@.balancer_shards FROM PUBLIC;
COMMENT ON VIEW @schema@.balancer_shards IS 'the databases of the foreign server "balancer", and which partitions are in each';

/* One statement each, which all proxies run: see `move`. */
CREATE FUNCTION @schema@.place_partitions(partitions int[], connection text) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	_partition int;
BEGIN
	FOREACH _partition IN ARRAY partitions LOOP
		EXECUTE format('ALTER SERVER balancer OPTIONS (SET p%s %L)', _partition, connection);
	END LOOP;
END $$;
REVOKE ALL ON FUNCTION @schema@.place_partitions(int[], text) FROM PUBLIC;
COMMENT ON FUNCTION @schema@.place_partitions(int[], text) IS 'sends the calls for these partitions to this database from now on; moves no rooms';

CREATE FUNCTION @schema@.create_shards(partitions int, VARIADIC connections text[]) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF partitions NOT BETWEEN 1 AND 1024 OR partitions & (partitions - 1) <> 0 THEN
		RAISE EXCEPTION 'the number of partitions must be a power of two' USING ERRCODE = '22023',
			DETAIL = format('It is %s.', partitions);
	END IF;
	EXECUTE (SELECT 'CREATE SERVER balancer FOREIGN DATA WRAPPER plproxy OPTIONS ('
			|| string_agg(format('p%s %L', i, connections[1 + i * cardinality(connections) / partitions]), ', ' ORDER BY i) || ')'
		FROM generate_series(0, partitions - 1) i);
END $$;
REVOKE ALL ON FUNCTION @schema@.create_shards(int, text[]) FROM PUBLIC;
COMMENT ON FUNCTION @schema@.create_shards(int, text[]) IS 'spreads partitions over these databases evenly, in their order';

CREATE FUNCTION @schema@._shards() RETURNS int[]
	LANGUAGE sql STABLE
	BEGIN ATOMIC
		SELECT coalesce(array_agg(s.shard ORDER BY s.shard), '{}') FROM @schema@.balancer_shards s;
	END;
REVOKE ALL ON FUNCTION @schema@._shards() FROM PUBLIC;
COMMENT ON FUNCTION @schema@._shards() IS 'a partition of each shard';

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
	_hint text := 'The answer is that of the other shards. What was to be changed is not changed on this one: call again when it is well.';
BEGIN
	IF @schema@._is_lost(state, message) THEN
		RAISE WARNING 'shard % does not answer', shard USING ERRCODE = '08006', DETAIL = message, HINT = _hint;
	ELSIF state <> '42704' THEN
		RAISE WARNING 'shard % reports an error', shard USING ERRCODE = state, DETAIL = message, HINT = _hint;
	END IF;
END $$;
REVOKE ALL ON FUNCTION @schema@._shard_failed(int, text, text) FROM PUBLIC;
COMMENT ON FUNCTION @schema@._shard_failed(int, text, text) IS 'the warning of a call for all shards that fails on one';

/*
 * Media servers that several shards use, of which others use fewer. A shard counts its own rooms only; this tells it what the
 * others have on each server, as a measured load (server_heartbeat() without a word on the health). A measured load comes
 * on top of the users that the shard itself still expects, so those are left out of it.
 *
 *     score of a server on one shard = (load of all shards - expected of this one) / capacity + expected of this one / capacity
 *
 * Call it every second or so, from one place, unless monitors report measured loads: those have the users of all shards.
 * capacity is that of the whole server, on all shards. A shard that does not answer is left out.
 */
CREATE FUNCTION @schema@._share_loads_on(int, text[], real[])
	RETURNS bigint
	LANGUAGE plproxy VOLATILE AS $$
	CLUSTER 'balancer';
	RUN ON $1;
	SELECT count(@schema@.server_heartbeat(x.name, NULL, x.share))
		FROM pg_catalog.set_config('lock_timeout', '2s', true), unnest($2::text[], $3::real[]) x (name, share);
$$;
REVOKE ALL ON FUNCTION @schema@._share_loads_on(int, text[], real[]) FROM PUBLIC;
COMMENT ON FUNCTION @schema@._share_loads_on(int, text[], real[]) IS 'tells one shard the load of servers';

CREATE FUNCTION @schema@.share_loads() RETURNS int
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	_told record;
	_shards int := 0;
BEGIN
	PERFORM FROM @schema@.shard_gate;
	FOR _told IN
		SELECT l.shard, array_agg(l.server) AS servers, array_agg(l.share) AS shares
		FROM (SELECT b.shard, b.server, least(10, (sum(b.load) OVER (PARTITION BY b.server) - b.expected) / b.capacity)::real AS share
			FROM @schema@._balancer_load() b) l
		WHERE l.share >= 0
		GROUP BY l.shard
	LOOP
		BEGIN
			PERFORM @schema@._share_loads_on(_told.shard, _told.servers, _told.shares);
			_shards := _shards + 1;
		EXCEPTION WHEN OTHERS THEN
			PERFORM @schema@._shard_failed(_told.shard, SQLSTATE, SQLERRM);
		END;
	END LOOP;
	RETURN _shards;
END $$;
REVOKE ALL ON FUNCTION @schema@.share_loads() FROM PUBLIC;
COMMENT ON FUNCTION @schema@.share_loads() IS 'tells each shard what the other shards have on the servers; returns how many it has told';
