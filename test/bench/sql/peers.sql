/*
 * What get_or_assign_server() is measured against, each with assignments of its own, and the helpers of the bench.
 */
SET client_min_messages = warning;
CREATE SCHEMA bench;

/* The extension's table without the extension: the least that a durable new room costs. */
CREATE TABLE bare (LIKE room_server_assignments INCLUDING ALL);
ALTER TABLE bare SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

/* Without the constraints, too, which the server parses for each INSERT. */
CREATE TABLE plain (LIKE room_server_assignments INCLUDING ALL EXCLUDING CONSTRAINTS);
ALTER TABLE plain SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

/* The service's own table, as it was before the extension. */
CREATE TABLE go_assignments (
	room_id text PRIMARY KEY,
	gateway_name text NOT NULL,
	region text,
	assigned_at timestamptz NOT NULL DEFAULT now(),
	last_used_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON go_assignments (last_used_at);

CREATE FUNCTION bench_empty(room text, region text DEFAULT NULL, expected_users int DEFAULT NULL) RETURNS text
	LANGUAGE c VOLATILE AS :'empty_library';

/*
 * The same logic as a plpgsql author would write it, exact under concurrency by an advisory lock. Without tiers,
 * regions, pins and failures; a user in two rooms of one server counts twice.
 */
CREATE TABLE plpgsql_assignments (LIKE room_server_assignments INCLUDING ALL);
ALTER TABLE plpgsql_assignments SET (fillfactor = 70);
CREATE FUNCTION bench_plpgsql(room text) RETURNS text
	LANGUAGE plpgsql AS $$
DECLARE
	server text;
	used timestamptz;
BEGIN
	SELECT a.gateway_name, a.last_used_at INTO server, used FROM plpgsql_assignments a WHERE a.room_id = room;
	IF NOT FOUND THEN
		PERFORM pg_advisory_xact_lock(4217);
		SELECT a.gateway_name, a.last_used_at INTO server, used FROM plpgsql_assignments a WHERE a.room_id = room;
		IF NOT FOUND THEN
			WITH here AS (
				SELECT s.room_id, count(DISTINCT s.user_id) AS users
				FROM live_sessions s
				WHERE s.last_seen_at IS NULL OR s.last_seen_at > clock_timestamp() - interval '90 seconds'
				GROUP BY s.room_id
			), load AS (
				SELECT a.gateway_name, count(*) AS rooms,
					sum(greatest(coalesce(h.users, 0),
						CASE WHEN a.assigned_at > clock_timestamp() - interval '15 minutes'
							THEN coalesce(a.expected_users, 10) ELSE 0 END)) AS users
				FROM plpgsql_assignments a LEFT JOIN here h ON h.room_id = a.room_id
				GROUP BY a.gateway_name
			)
			SELECT b.name INTO server
			FROM balancer_servers b LEFT JOIN load l ON l.gateway_name = b.name
			WHERE b.state = 'online'
			ORDER BY coalesce(l.users, 0)::float8 / coalesce(b.capacity, 400), coalesce(l.rooms, 0), b.position
			LIMIT 1;
			INSERT INTO plpgsql_assignments (room_id, gateway_name, reason) VALUES (room, server, 'least loaded');
			RETURN server;
		END IF;
	END IF;
	IF used < clock_timestamp() - interval '10 seconds' THEN
		UPDATE plpgsql_assignments SET last_used_at = clock_timestamp() WHERE room_id = room;
	END IF;
	RETURN server;
END
$$;

/* Every side begins a round with the same rooms, and with nothing left of the round before. */
CREATE FUNCTION bench.refill(rooms int, servers int) RETURNS void
	LANGUAGE sql AS $$
	TRUNCATE room_server_assignments, bare, plain, go_assignments, plpgsql_assignments;
	INSERT INTO room_server_assignments (room_id, gateway_name, reason)
		SELECT i, 'gxy' || (1 + i % servers), 'least loaded' FROM generate_series(1, rooms) i;
	INSERT INTO bare (room_id, gateway_name, reason)
		SELECT i, 'gxy' || (1 + i % servers), 'least loaded' FROM generate_series(1, rooms) i;
	INSERT INTO plain (room_id, gateway_name, reason)
		SELECT i, 'gxy' || (1 + i % servers), 'least loaded' FROM generate_series(1, rooms) i;
	INSERT INTO plpgsql_assignments (room_id, gateway_name, reason)
		SELECT i, 'gxy' || (1 + i % servers), 'least loaded' FROM generate_series(1, rooms) i;
	INSERT INTO go_assignments (room_id, gateway_name)
		SELECT i, 'gxy' || (1 + i % servers) FROM generate_series(1, rooms) i;
$$;

/* Seconds that a query takes in this backend. */
CREATE FUNCTION bench.seconds(query text) RETURNS float8
	LANGUAGE plpgsql AS $$
DECLARE
	start timestamptz := clock_timestamp();
BEGIN
	EXECUTE query;
	RETURN extract(epoch FROM clock_timestamp() - start);
END
$$;

/* What a backend holds privately, in kB: by its own account, and by the kernel's. */
CREATE FUNCTION bench.memory(OUT contexts numeric, OUT resident numeric)
	LANGUAGE sql AS $$
	SELECT (SELECT sum(total_bytes) FROM pg_backend_memory_contexts) / 1024,
		substring(pg_read_file('/proc/self/status') FROM 'RssAnon:\s+(\d+)')::numeric;
$$;

CREATE PROCEDURE bench.call_sticky(calls int, rooms int)
	LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. calls LOOP
		PERFORM get_or_assign_server((1 + i % rooms)::text);
		IF i % 100 = 0 THEN
			COMMIT;
		END IF;
	END LOOP;
END
$$;

CREATE PROCEDURE bench.call_new(prefix text, calls int)
	LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. calls LOOP
		PERFORM get_or_assign_server(prefix || i);
		COMMIT;
	END LOOP;
END
$$;
