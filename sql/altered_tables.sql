/*
 * altered_tables: columns, constraints and indexes that a DBA adds to the tables apply to the rows
 * that the extension writes. A key that would let a room have two rows is refused.
 * test/t/012_altered_tables.pl alters every column.
 */
\getenv abs_srcdir PG_ABS_SRCDIR
\set helpers :abs_srcdir '/sql/include/helpers.sql'
\set ECHO none
\i :helpers

INSERT INTO balancer_servers (name) VALUES ('a'), ('b');
CREATE VIEW rooms AS
	SELECT room_id, gateway_name, reported_users FROM room_server_assignments ORDER BY room_id COLLATE "C";
-- A statement that is refused leaves no rows, and no locks except those on tables.
CREATE VIEW locks AS
	SELECT locktype, mode FROM pg_locks
	WHERE pid = pg_backend_pid() AND locktype NOT IN ('relation', 'virtualxid', 'transactionid');

-- The primary key.
SELECT get_or_assign_server('old');
ALTER TABLE room_server_assignments DROP CONSTRAINT room_server_assignments_pkey;
CALL pg_temp.refused($$SELECT get_or_assign_server('old')$$);
ALTER TABLE room_server_assignments ADD PRIMARY KEY (room_id, gateway_name);
CALL pg_temp.refused($$SELECT get_or_assign_server('old')$$);
CALL pg_temp.refused($$SELECT get_or_assign_server('new')$$);
CALL pg_temp.refused($$SELECT touch_room('old')$$);
CALL pg_temp.refused($$SELECT release_room('old')$$);
CALL pg_temp.refused($$SELECT clean_inactive_assignments('0')$$);
CALL pg_temp.refused($$SELECT * FROM balancer_load$$);
ALTER TABLE room_server_assignments DROP CONSTRAINT room_server_assignments_pkey,
	ADD PRIMARY KEY (gateway_name, room_id);
CALL pg_temp.refused($$SELECT get_or_assign_server('old')$$);
ALTER TABLE room_server_assignments DROP CONSTRAINT room_server_assignments_pkey,
	ADD PRIMARY KEY (gateway_name);
CALL pg_temp.refused($$SELECT get_or_assign_server('old')$$);
ALTER TABLE room_server_assignments DROP CONSTRAINT room_server_assignments_pkey,
	ADD PRIMARY KEY (room_id) DEFERRABLE;
CALL pg_temp.refused($$SELECT get_or_assign_server('old')$$);
-- A key that includes other columns still finds the rooms.
ALTER TABLE room_server_assignments DROP CONSTRAINT room_server_assignments_pkey,
	ADD PRIMARY KEY (room_id) INCLUDE (gateway_name);
SELECT get_or_assign_server('old'), get_or_assign_server('new');
ALTER TABLE room_server_assignments DROP CONSTRAINT room_server_assignments_pkey, ADD PRIMARY KEY (room_id);
SELECT get_or_assign_server('old'), release_room('old'), release_room('new');
BEGIN;
ALTER TABLE balancer_room_sizes DROP CONSTRAINT balancer_room_sizes_pkey, ADD PRIMARY KEY (room_id, size);
CALL pg_temp.refused($$SELECT get_or_assign_server('old')$$);
ROLLBACK;
-- The columns.
BEGIN;
ALTER TABLE room_server_assignments RENAME COLUMN region TO area;
CALL pg_temp.refused($$SELECT get_or_assign_server('old')$$);
ROLLBACK;
BEGIN;
ALTER TABLE room_server_assignments ALTER region TYPE varchar;
CALL pg_temp.refused($$SELECT get_or_assign_server('old')$$);
ROLLBACK;
BEGIN;
ALTER TABLE room_server_assignments ALTER gateway_name DROP NOT NULL;
CALL pg_temp.refused($$SELECT get_or_assign_server('old')$$);
ROLLBACK;
BEGIN;
ALTER TABLE room_server_assignments DROP COLUMN region;
ALTER TABLE room_server_assignments ADD COLUMN region text;
CALL pg_temp.refused($$SELECT get_or_assign_server('old')$$);
ROLLBACK;
-- Foreign keys from and to the assignments and deferrable constraints do not hold for what the extension writes.
BEGIN;
CREATE TABLE known (server text PRIMARY KEY);
CREATE TABLE tickets (room_id text REFERENCES room_server_assignments);
ALTER TABLE room_server_assignments ADD FOREIGN KEY (gateway_name) REFERENCES known DEFERRABLE INITIALLY DEFERRED,
	ADD UNIQUE (gateway_name) DEFERRABLE INITIALLY DEFERRED;
SELECT count(get_or_assign_server('free' || i)) FROM generate_series(1, 3) i;
INSERT INTO tickets VALUES ('free1');
SELECT release_room('free1');
SET CONSTRAINTS ALL IMMEDIATE;
SELECT room_id FROM rooms;
ROLLBACK;
-- Nor does a publication refuse that for want of a replica identity.
BEGIN;
SET LOCAL client_min_messages = error;
CREATE PUBLICATION regress_gxy_rooms FOR TABLE room_server_assignments;
RESET client_min_messages;
ALTER TABLE room_server_assignments REPLICA IDENTITY NOTHING;
SELECT get_or_assign_server('free') IS NOT NULL AS assigned;
CALL pg_temp.refused($$DELETE FROM room_server_assignments$$);
SELECT touch_room('free', 3), release_room('free');
ROLLBACK;

-- Error details show the row, which contains times; hide them.
\set VERBOSITY terse
\set ON_ERROR_ROLLBACK on

-- A NOT NULL column.
ALTER TABLE room_server_assignments ADD COLUMN tenant text NOT NULL;
BEGIN;
SELECT get_or_assign_server('one');
TABLE rooms;
TABLE locks;
COMMIT;
-- A default applies as in an INSERT that does not name the column.
CREATE SEQUENCE numbers;
ALTER TABLE room_server_assignments ALTER tenant SET DEFAULT 'tenant of ' || current_user,
	ADD COLUMN number int NOT NULL DEFAULT nextval('numbers'), ADD COLUMN ident int GENERATED ALWAYS AS IDENTITY;
SELECT get_or_assign_server('one'), get_or_assign_server('two');
SELECT room_id, tenant = 'tenant of ' || current_user AS tenant, number, ident FROM room_server_assignments ORDER BY 1;
ALTER TABLE room_server_assignments ALTER tenant SET DEFAULT 1 / 0;
SELECT get_or_assign_server('three');
TABLE rooms;
ALTER TABLE room_server_assignments DROP COLUMN tenant, DROP COLUMN number, DROP COLUMN ident;
DROP SEQUENCE numbers;

-- A domain that refuses NULL.
CREATE DOMAIN present AS int NOT NULL;
CREATE DOMAIN tenant AS text CHECK (value IS NOT NULL AND value <> 'nobody');
ALTER TABLE room_server_assignments ADD COLUMN number present DEFAULT 1, ADD COLUMN tenant tenant DEFAULT 'galaxy';
ALTER TABLE room_server_assignments ALTER number DROP DEFAULT;
SELECT get_or_assign_server('of a domain');
ALTER TABLE room_server_assignments ALTER number SET DEFAULT 1, ALTER tenant DROP DEFAULT;
SELECT get_or_assign_server('of a domain');
ALTER TABLE room_server_assignments ALTER tenant SET DEFAULT 'galaxy';
SELECT get_or_assign_server('of a domain') IS NOT NULL AS assigned, release_room('of a domain');
ALTER TABLE room_server_assignments DROP COLUMN number, DROP COLUMN tenant;
DROP DOMAIN present, tenant;

-- A generated column.
ALTER TABLE room_server_assignments ADD COLUMN place text NOT NULL GENERATED ALWAYS AS (room_id || '@' || gateway_name) STORED,
	ADD COLUMN many boolean GENERATED ALWAYS AS (reported_users > 3) STORED;
SELECT get_or_assign_server('three') IS NOT NULL AS assigned, touch_room('one', 7), touch_room('two', 2),
	move_room('one', 'b') IS NOT NULL AS moved;
SELECT room_id, place = room_id || '@' || gateway_name AS right, many FROM room_server_assignments ORDER BY 1;
ALTER TABLE room_server_assignments DROP COLUMN place, DROP COLUMN many;
TRUNCATE room_server_assignments;

-- A CHECK constraint: by a new room, a renewal, a touch, a move.
CREATE FUNCTION tell(constraint_name text, holds boolean) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	RAISE INFO '% checked', constraint_name;
	RETURN holds;
END
$$;
INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('old', 'a');
ALTER TABLE room_server_assignments
	ADD CONSTRAINT by_name CHECK (tell('name', room_id <> 'refused')),
	ADD CONSTRAINT by_server CHECK (tell('server', gateway_name <> 'b'));
SELECT get_or_assign_server('refused');
CALL pg_temp.age('1 minute');
-- Checks on other columns are not evaluated.
SELECT get_or_assign_server('old'), touch_room('old');
SELECT move_room('old', 'b');
SELECT evacuate_server('a', 'b');
TABLE rooms;
ALTER TABLE room_server_assignments DROP CONSTRAINT by_name, DROP CONSTRAINT by_server,
	ADD CONSTRAINT few CHECK (reported_users < 5),
	ADD CONSTRAINT by_time CHECK (tell('time', last_used_at < '2001-01-01')) NOT VALID;
UPDATE room_server_assignments SET last_used_at = '2000-01-01', assigned_at = '2000-01-01';
BEGIN;
SELECT get_or_assign_server('old');
SELECT touch_room('old');
TABLE rooms;
TABLE locks;
COMMIT;
ALTER TABLE room_server_assignments DROP CONSTRAINT by_time;
SELECT touch_room('old', 4);
SELECT touch_room('old', 5);
SELECT get_or_assign_server('old');
TABLE rooms;
-- A check on the whole row, one whose function changes, and one that calls the extension.
ALTER TABLE room_server_assignments DROP CONSTRAINT few,
	ADD CONSTRAINT whole CHECK (tell('row', room_server_assignments IS DISTINCT FROM NULL));
CALL pg_temp.age('1 minute');
SELECT get_or_assign_server('old');
CREATE FUNCTION allowed(room text) RETURNS boolean LANGUAGE sql AS $$ SELECT room <> 'x' $$;
ALTER TABLE room_server_assignments DROP CONSTRAINT whole, ADD CONSTRAINT allowed CHECK (allowed(room_id));
SELECT get_or_assign_server('y') IS NOT NULL AS assigned;
CREATE OR REPLACE FUNCTION allowed(room text) RETURNS boolean LANGUAGE sql AS $$ SELECT room <> 'z' $$;
SELECT get_or_assign_server('x') IS NOT NULL AS assigned;
SELECT get_or_assign_server('z');
CREATE OR REPLACE FUNCTION allowed(room text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	RETURN room NOT LIKE 'w%' OR public.get_or_assign_server('beside ' || room) IS NOT NULL AND room <> 'wrong';
END
$$;
SELECT get_or_assign_server('w1') IS NOT NULL AS assigned, get_or_assign_server('w2') IS NOT NULL AS assigned;
SELECT get_or_assign_server('wrong');
SELECT get_or_assign_server('w3') IS NOT NULL AS assigned;
SELECT room_id FROM rooms WHERE room_id LIKE '%w%';
ALTER TABLE room_server_assignments DROP CONSTRAINT allowed;
DROP FUNCTION allowed, tell;

-- An index expression that fails after the row has been inserted speculatively.
CREATE INDEX fails ON room_server_assignments ((1 / (octet_length(room_id) - 5)));
BEGIN;
SELECT get_or_assign_server('12345');
TABLE locks;
SELECT room_server('12345') IS NULL AS none, get_or_assign_server('123456') IS NOT NULL AS assigned;
COMMIT;
DROP INDEX fails;
SELECT get_or_assign_server('12345') IS NOT NULL AS assigned;
SELECT (SELECT count(*) FROM room_server_assignments) = (SELECT sum(rooms) FROM balancer_load) AS agree;

-- The learned room sizes.
TRUNCATE room_server_assignments;
SELECT get_or_assign_server('one') IS NOT NULL AS assigned, touch_room('one', 7);
ALTER TABLE balancer_room_sizes ADD COLUMN tenant text NOT NULL;
SELECT clean_inactive_assignments();
ALTER TABLE balancer_room_sizes ALTER tenant SET DEFAULT 'galaxy', ADD CONSTRAINT small CHECK (peak < 20);
SELECT clean_inactive_assignments();
SELECT room_id, peak, tenant FROM balancer_room_sizes;
SELECT touch_room('one', 30);
SELECT clean_inactive_assignments();
SELECT room_id, peak, tenant FROM balancer_room_sizes;
ALTER TABLE balancer_room_sizes DROP CONSTRAINT small, DROP COLUMN tenant;
SELECT clean_inactive_assignments();
SELECT room_id, peak FROM balancer_room_sizes;

-- Another access method, which need not have the layout of a heap.
SET client_min_messages = warning;
CREATE ACCESS METHOD other TYPE TABLE HANDLER heap_tableam_handler;
RESET client_min_messages;
\set VERBOSITY default
ALTER TABLE room_server_assignments SET ACCESS METHOD other;
SELECT get_or_assign_server('one');
SELECT room_server('one');
ALTER TABLE room_server_assignments SET ACCESS METHOD heap;
ALTER TABLE balancer_servers SET ACCESS METHOD other;
SELECT get_or_assign_server('one');
ALTER TABLE balancer_servers SET ACCESS METHOD heap;
SELECT get_or_assign_server('one') = room_server('one') AS same;
DROP ACCESS METHOD other;
-- A partition, whose constraint is not one of the table.
CREATE TABLE parent (LIKE room_server_assignments) PARTITION BY LIST (gateway_name);
ALTER TABLE parent ATTACH PARTITION room_server_assignments FOR VALUES IN ('a', 'b');
SELECT get_or_assign_server('one');
ALTER TABLE parent DETACH PARTITION room_server_assignments;
SELECT get_or_assign_server('one') = room_server('one') AS same;
DROP TABLE parent;

\set ON_ERROR_ROLLBACK off

-- The trigger functions refuse events that they are not made for.
CREATE TABLE other (name text, state text);
CREATE PROCEDURE try_trigger(trigger_definition text, statement text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE 'CREATE TRIGGER tried ' || trigger_definition;
	CALL pg_temp.refused(statement);
	DROP TRIGGER tried ON other;
END
$$;
INSERT INTO other VALUES ('x', 'online');
CALL try_trigger('AFTER INSERT ON other FOR EACH ROW EXECUTE FUNCTION _reconcile_failovers()', $$INSERT INTO other TABLE other$$);
CALL try_trigger('AFTER DELETE ON other FOR EACH ROW EXECUTE FUNCTION _guard_pins()', $$DELETE FROM other$$);
CALL try_trigger('BEFORE DELETE ON other FOR EACH ROW EXECUTE FUNCTION _guard_pins()', $$DELETE FROM other$$);
CALL try_trigger('AFTER DELETE ON other EXECUTE FUNCTION _guard_pins()', $$DELETE FROM other$$);
CALL try_trigger('AFTER DELETE ON other FOR EACH ROW EXECUTE FUNCTION _guard_servers()', $$DELETE FROM other$$);
CALL try_trigger('AFTER DELETE ON other EXECUTE FUNCTION _note_change()', $$DELETE FROM other$$);
CALL try_trigger('BEFORE DELETE ON other FOR EACH ROW EXECUTE FUNCTION _note_change()', $$DELETE FROM other$$);
CALL try_trigger('BEFORE DELETE ON other FOR EACH ROW EXECUTE FUNCTION _note_pool_written()', $$DELETE FROM other$$);
CALL try_trigger('BEFORE DELETE ON other FOR EACH ROW EXECUTE FUNCTION _forget_backend_copies()', $$DELETE FROM other$$);
DROP TABLE other;
DROP PROCEDURE try_trigger;
TRUNCATE room_server_assignments, balancer_room_sizes;
DROP VIEW rooms, locks;
