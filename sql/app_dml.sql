/*
 * app_dml: the application's own statements on room_server_assignments, which it used before the
 * extension existed. They keep working on the five columns they know, and the load counts their
 * rows. What a DBA adds to the table is respected: indexes are maintained, columns keep their
 * values, and triggers do not fire for what the extension writes.
 */
\getenv abs_srcdir PG_ABS_SRCDIR
\set helpers :abs_srcdir '/sql/include/helpers.sql'
\set ECHO none
\i :helpers

SELECT init_servers('gxy1,gxy2,gxy3');
CREATE VIEW loads AS
	SELECT string_agg(format('%s: %s rooms, %s users', server, rooms, load), '; ') FROM balancer_load;

-- The service's statements, unchanged.
PREPARE app_insert AS
	INSERT INTO room_server_assignments (room_id, gateway_name, region, assigned_at, last_used_at)
	VALUES ($1, $2, $3, NOW(), NOW());
PREPARE app_upsert AS
	INSERT INTO room_server_assignments (room_id, gateway_name, region, assigned_at, last_used_at)
	VALUES ($1, $2, $3, $4, $4)
	ON CONFLICT (room_id) DO UPDATE
	SET gateway_name = excluded.gateway_name, region = excluded.region, last_used_at = excluded.last_used_at;
PREPARE app_select AS SELECT gateway_name FROM room_server_assignments WHERE room_id = $1;
PREPARE app_touch AS UPDATE room_server_assignments SET last_used_at = NOW() WHERE room_id = $1;
PREPARE app_expire AS DELETE FROM room_server_assignments WHERE last_used_at < $1;
EXECUTE app_insert ('1', 'gxy1', 'IL');
EXECUTE app_insert ('2', 'gxy1', NULL);
SELECT * FROM loads;
SELECT get_or_assign_server(1), get_or_assign_server('2'), get_or_assign_server(3), get_or_assign_server(4);
EXECUTE app_upsert ('5', 'gxy2', '', now());
EXECUTE app_upsert ('1', 'gxy3', 'IL', now());
EXECUTE app_select ('3');
SELECT * FROM loads;
SELECT get_or_assign_server(1), room_server(5), touch_room(5, 30);
SELECT * FROM loads;
EXECUTE app_touch ('3');
UPDATE room_server_assignments SET gateway_name = 'gxy1' WHERE room_id = '4';
SELECT get_or_assign_server(4);
SELECT * FROM loads;
DELETE FROM room_server_assignments WHERE room_id = '5';
SELECT * FROM loads;
SELECT get_or_assign_server(6);
UPDATE room_server_assignments SET room_id = '7' WHERE room_id = '6';
SELECT room_server(6), room_server(7), get_or_assign_server(7), release_room(7), release_room(6);
-- Statements in a transaction that is rolled back. The next call in it sees their effect at once.
BEGIN;
EXECUTE app_insert ('8', 'gxy2', NULL);
EXECUTE app_insert ('9', 'gxy2', NULL);
SELECT * FROM loads;
SELECT get_or_assign_server(10);
SAVEPOINT s;
TRUNCATE room_server_assignments;
SELECT * FROM loads;
SELECT get_or_assign_server(8);
ROLLBACK TO s;
SELECT get_or_assign_server(8);
ROLLBACK;
SELECT room_id, gateway_name, region FROM room_server_assignments ORDER BY room_id COLLATE "C";
SELECT * FROM loads;
-- The cleanup uses the times that the application writes.
UPDATE room_server_assignments SET last_used_at = now() - interval '1 hour', assigned_at = now() - interval '2 hours';
EXECUTE app_touch ('2');
SELECT clean_inactive_assignments();
SELECT room_id FROM room_server_assignments;
EXECUTE app_expire ('infinity');
SELECT * FROM loads;
-- A room's row is answered with any server name; a server outside the pool is counted nowhere.
EXECUTE app_insert ('11', 'an unknown server', NULL);
SELECT get_or_assign_server(11);
SELECT * FROM loads;
SELECT room_id, server FROM balancer_rooms;
-- Rows that the extension cannot handle are refused.
\set VERBOSITY sqlstate
EXECUTE app_insert ('11', 'gxy1', NULL);
EXECUTE app_insert ('', 'gxy1', NULL);
EXECUTE app_insert (repeat('x', 256), 'gxy1', NULL);
EXECUTE app_insert ('12', '', NULL);
EXECUTE app_insert ('12', NULL, NULL);
EXECUTE app_insert ('12', 'gxy1', repeat('x', 256));
INSERT INTO room_server_assignments (room_id, gateway_name, last_used_at) VALUES ('12', 'gxy1', NULL);
\set VERBOSITY default
TRUNCATE room_server_assignments;
-- COPY, and an INSERT that names only the required columns.
COPY room_server_assignments (room_id, gateway_name) FROM stdin;
20	gxy1
21	gxy2
\.
INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('22', 'gxy3') RETURNING room_id, gateway_name, region;
SELECT count(*) FROM room_server_assignments WHERE now() - last_used_at < interval '1 minute' AND reason IS NULL;
SELECT * FROM loads;
SELECT clean_inactive_assignments(), clean_inactive_assignments('0');
-- MERGE, and a join that reads while the statement writes.
MERGE INTO room_server_assignments a USING (VALUES ('30', 'gxy2'), ('31', 'gxy2')) s (room_id, server)
ON a.room_id = s.room_id
WHEN MATCHED THEN UPDATE SET gateway_name = s.server
WHEN NOT MATCHED THEN INSERT (room_id, gateway_name) VALUES (s.room_id, s.server);
UPDATE room_server_assignments a SET gateway_name = l.server
FROM (SELECT server FROM balancer_load ORDER BY load, server LIMIT 1) l WHERE a.room_id = '31';
SELECT * FROM loads;
TRUNCATE room_server_assignments;

-- Indexes that a DBA adds find every row the extension writes, as a sequential scan does.
CREATE INDEX by_time ON room_server_assignments (last_used_at);
CREATE INDEX by_users ON room_server_assignments (reported_users) INCLUDE (last_used_at);
CREATE INDEX by_length ON room_server_assignments ((length(room_id)));
CREATE INDEX of_a_region ON room_server_assignments (region) WHERE region IS NOT NULL;
CREATE INDEX by_server ON room_server_assignments USING hash (gateway_name);
CREATE FUNCTION pg_temp.found(index name, condition text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	by_index text;
	by_scan text;
	plan text := '';
	line text;
	query text := format('SELECT count(*) || coalesce(md5(string_agg(r::text, chr(10) ORDER BY room_id)), repeat(''x'', 32))
		FROM room_server_assignments r WHERE %s', condition);
BEGIN
	PERFORM set_config('enable_seqscan', 'off', true), set_config('enable_indexscan', 'on', true),
		set_config('enable_bitmapscan', 'on', true);
	EXECUTE query INTO by_index;
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		plan := plan || line || chr(10);
	END LOOP;
	PERFORM set_config('enable_seqscan', 'on', true), set_config('enable_indexscan', 'off', true),
		set_config('enable_bitmapscan', 'off', true);
	EXECUTE query INTO by_scan;
	RETURN CASE
		WHEN plan NOT LIKE '% ' || index || '%' THEN index || ' was not asked: ' || plan
		WHEN by_index <> by_scan THEN format('%s finds %s, and not %s', index, by_index, by_scan)
		ELSE left(by_scan, -32)
	END;
END
$$;
CREATE FUNCTION pg_temp.check_indexes(OUT recent text, OUT old text, OUT with_users text, OUT two_digits text,
	OUT in_region text, OUT on_server text, OUT by_room text) LANGUAGE sql AS $$
	SELECT pg_temp.found(t.index, 'last_used_at > now() - interval ''1 minute'''),
		pg_temp.found(t.index, 'last_used_at < now() - interval ''1 minute'''),
		pg_temp.found('by_users', 'reported_users BETWEEN 100 AND 200'),
		pg_temp.found('by_length', 'length(room_id) = 2'),
		pg_temp.found('of_a_region', 'region = ''DE'''),
		pg_temp.found('by_server', 'gateway_name = ''gxy2'''),
		pg_temp.found('room_server_assignments_pkey', 'room_id = ''42''')
	FROM (SELECT CASE WHEN to_regclass('by_time') IS NULL THEN 'by_brin' ELSE 'by_time' END) t (index);
$$;
-- Assigns, renews, touches, frees and assigns again.
CREATE PROCEDURE pg_temp.work() LANGUAGE plpgsql AS $$
BEGIN
	PERFORM get_or_assign_server(i, (ARRAY[NULL, 'IL', 'DE'])[1 + i % 3]) FROM generate_series(1, 300) i;
	RAISE INFO 'assigned %', pg_temp.check_indexes();
	CALL pg_temp.age('1 hour');
	PERFORM get_or_assign_server(i) FROM generate_series(1, 300, 2) i;
	RAISE INFO 'renewed %', pg_temp.check_indexes();
	PERFORM touch_room(i, i) FROM generate_series(1, 300, 5) i;
	RAISE INFO 'touched %', pg_temp.check_indexes();
	PERFORM release_room(i) FROM generate_series(3, 300, 7) i;
	RAISE INFO 'released %', pg_temp.check_indexes();
	RAISE INFO 'freed %: %', clean_inactive_assignments(), pg_temp.check_indexes();
	PERFORM get_or_assign_server(i, 'DE') FROM generate_series(1, 300, 4) i;
	RAISE INFO 'assigned %', pg_temp.check_indexes();
END
$$;
SET gxy_balancer.max_learned_rooms = 0;	-- rooms go where they went the first time
CALL pg_temp.work();
-- A BRIN index over rows that exist already.
DROP INDEX by_time;
CREATE INDEX by_brin ON room_server_assignments USING brin (last_used_at);
CALL pg_temp.work();
RESET gxy_balancer.max_learned_rooms;
DROP INDEX by_brin, by_users, by_length, of_a_region, by_server;
TRUNCATE room_server_assignments;

-- Triggers on the table belong to the application: they fire for its own statements only.
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE INFO '% % fired for % of room %', TG_WHEN, TG_OP, TG_LEVEL, coalesce(NEW.room_id, OLD.room_id, 'all');
	RETURN coalesce(NEW, OLD);
END
$$;
CREATE TRIGGER before_row BEFORE INSERT OR UPDATE OR DELETE ON room_server_assignments
	FOR EACH ROW EXECUTE FUNCTION tell();
CREATE TRIGGER after_row AFTER INSERT OR UPDATE OR DELETE ON room_server_assignments
	FOR EACH ROW EXECUTE FUNCTION tell();
CREATE TRIGGER after_statement AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON room_server_assignments
	FOR EACH STATEMENT EXECUTE FUNCTION tell();
ALTER TABLE room_server_assignments ENABLE ALWAYS TRIGGER after_row;
SELECT get_or_assign_server(1), touch_room(1, 5), touch_room(1, 6), release_room(1), get_or_assign_server(2),
	clean_inactive_assignments('0');
EXECUTE app_insert ('1', 'gxy1', NULL);
EXECUTE app_touch ('1');
DELETE FROM room_server_assignments;
TRUNCATE room_server_assignments;
DROP TRIGGER before_row ON room_server_assignments;
DROP TRIGGER after_row ON room_server_assignments;
DROP TRIGGER after_statement ON room_server_assignments;
DROP FUNCTION tell();

-- Columns that a DBA adds are left alone, and may be dropped again.
SELECT get_or_assign_server(1);
ALTER TABLE room_server_assignments ADD COLUMN note text, ADD COLUMN gone int, ADD COLUMN tags text[];
UPDATE room_server_assignments SET note = repeat('a long note ', 1000), gone = 1, tags = '{x,y}';
CALL pg_temp.age('1 minute');
SELECT get_or_assign_server(1), touch_room(1, 7), get_or_assign_server(2), get_or_assign_server(3);
UPDATE room_server_assignments SET tags = '{z}' WHERE room_id = '3';
ALTER TABLE room_server_assignments DROP COLUMN gone;
CALL pg_temp.age('1 minute');
SELECT get_or_assign_server(1), touch_room(2), get_or_assign_server(4);
SELECT room_id, gateway_name, reported_users, length(note), tags FROM room_server_assignments ORDER BY room_id;
SELECT room_id, server, users FROM balancer_rooms ORDER BY room_id;
-- A DBA's constraints apply to what the extension writes as well.
ALTER TABLE room_server_assignments ADD CONSTRAINT no_thirteen CHECK (room_id <> '13');
\set VERBOSITY sqlstate
SELECT get_or_assign_server(13);
\set VERBOSITY default
-- The error came while the room was being placed, but no lock is left.
BEGIN;
DO $$
BEGIN
	PERFORM get_or_assign_server(13);
EXCEPTION WHEN check_violation THEN
	NULL;
END
$$;
SELECT locktype, mode FROM pg_locks WHERE pid = pg_backend_pid() AND locktype NOT IN ('relation', 'virtualxid');
COMMIT;
SELECT get_or_assign_server(14), room_server(13);
ALTER TABLE room_server_assignments DROP CONSTRAINT no_thirteen;
SELECT clean_inactive_assignments('0');
ALTER TABLE room_server_assignments DROP COLUMN note, DROP COLUMN tags;
SELECT get_or_assign_server(1), release_room(1);

-- The application's own joins use its indexes: room ids have the database's collation.
SELECT a.attname, a.attcollation = 'default'::regcollation AS default_collation
FROM pg_attribute a WHERE a.attrelid = 'room_server_assignments'::regclass AND a.attname = 'room_id';

TRUNCATE balancer_servers, balancer_pins;
DROP VIEW loads;
DEALLOCATE ALL;
