/*
 * owners: the extension's tables may belong to roles that do not trust each other, the caller or
 * the worker, and are not trusted by them. Each statement runs as the owner of its table, and so
 * does code that an owner has put on a table, for every caller. include/owners.sql lists what that
 * code tries.
 */
\getenv abs_srcdir PG_ABS_SRCDIR
\set helpers :abs_srcdir '/sql/include/helpers.sql'
\set owners :abs_srcdir '/sql/include/owners.sql'
\set ECHO none
\i :helpers
\set ECHO none
\i :owners
\set ECHO all

SET client_min_messages = warning;
DROP EXTENSION gxy_balancer;
CREATE EXTENSION gxy_balancer SCHEMA public;
DROP ROLE IF EXISTS regress_gxy_operator, regress_gxy_other, regress_gxy_super;
RESET client_min_messages;
CREATE ROLE regress_gxy_operator;
CREATE ROLE regress_gxy_other;
CREATE ROLE regress_gxy_super SUPERUSER;
CALL pg_temp.give_away();
-- A table with a foreign key to one of the extension's tables; changes of its rows run as its owner
-- as well.
CREATE SCHEMA other AUTHORIZATION regress_gxy_other;
GRANT REFERENCES ON balancer_servers, balancer_pins TO regress_gxy_other;
SET ROLE regress_gxy_other;
CREATE FUNCTION other.fire() RETURNS trigger LANGUAGE plpgsql AS
	$$BEGIN PERFORM spied.note('other', 'trigger'); RETURN coalesce(NEW, OLD); END$$;
CREATE TABLE other.pins (room_id text REFERENCES public.balancer_pins ON DELETE CASCADE);
RESET ROLE;

-- Every function that writes, called by a superuser with the search_path of an application.
SET search_path = other, public;
SET gxy_balancer.failover_delay = 0;
SELECT init_servers('gxy1,gxy2,gxy3,gxy4');
SELECT get_or_assign_server('a') IS NOT NULL AS assigned, get_or_assign_server('b') IS NOT NULL AS assigned;
SELECT pin_room('p', 'gxy1'), pin_room('p', 'gxy2', 7), move_room('a', 'gxy1'), touch_room('a', 5), move_room('b', 'gxy2');
SET ROLE regress_gxy_other;
INSERT INTO other.pins VALUES ('p');
CREATE TRIGGER fire BEFORE DELETE ON other.pins FOR EACH ROW EXECUTE FUNCTION other.fire();
RESET ROLE;
SELECT unpin_room('p'), pin_room('p', 'gxy2');
SELECT server_heartbeat('gxy1', true), server_heartbeat('gxy1', false), get_or_assign_server('a') <> 'gxy1' AS elsewhere;
SELECT server_heartbeat('gxy1', true), set_server_state('gxy2', 'offline'), set_server_state('gxy2', 'online');
SELECT evacuate_server('gxy2') >= 0 AS evacuated, set_server_state('gxy2', 'online');
CREATE TABLE public.members AS SELECT 'a' AS room_id, i AS user_id FROM generate_series(1, 20) i;
ALTER TABLE public.members OWNER TO regress_gxy_operator;
SELECT attach_sessions('members'), clean_inactive_assignments('0'), attach_sessions(NULL);
SELECT clean_inactive_assignments('0');
SELECT get_or_assign_server('c') IS NOT NULL AS assigned, release_room('c'), get_or_assign_server('d') IS NOT NULL AS assigned;
SET gxy_balancer.touch_interval = 0;
SELECT get_or_assign_server('d') IS NOT NULL AS renewed;
RESET gxy_balancer.touch_interval;
SELECT clean_inactive_assignments('0');
-- An operator's own statement runs the code on the table with the operator's rights, as on any
-- table. Its cascaded changes of other tables run as their owners.
SET client_min_messages = warning;
DROP SCHEMA regress_gxy_balancer_servers CASCADE;
RESET client_min_messages;
GRANT SELECT, UPDATE, DELETE ON balancer_servers TO regress_gxy_operator;
SET ROLE regress_gxy_operator;
UPDATE balancer_servers SET name = 'gxy5' WHERE name = 'gxy2';
DELETE FROM balancer_servers WHERE name = 'gxy1';
RESET ROLE;
RESET search_path;
SELECT room_id, server FROM balancer_pins;
SELECT count(*) FROM balancer_health;
SELECT tab, role, outcomes, count(DISTINCT code) > 1 AS several FROM spied.seen GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;

-- After an error the caller has its own rights again, in an exception block and at a savepoint.
CREATE FUNCTION regress_gxy_balancer_pins.refuse() RETURNS trigger LANGUAGE plpgsql AS
	$$BEGIN RAISE 'not this one' USING ERRCODE = 'GX003'; END$$;
ALTER FUNCTION regress_gxy_balancer_pins.refuse OWNER TO regress_gxy_balancer_pins;
CREATE TRIGGER refuse BEFORE INSERT ON balancer_pins FOR EACH ROW WHEN (NEW.room_id = 'no')
	EXECUTE FUNCTION regress_gxy_balancer_pins.refuse();
SET search_path = other, public;
CALL pg_temp.refused($$SELECT pin_room('no', 'gxy3')$$);
SELECT current_user = session_user AS myself, current_setting('search_path') AS search_path;
SET ROLE regress_gxy_other;
RESET ROLE;
BEGIN;
SAVEPOINT s;
\set SHOW_CONTEXT never
SELECT pin_room('no', 'gxy3');
\set SHOW_CONTEXT errors
ROLLBACK TO s;
SELECT current_user = session_user AS myself, current_setting('search_path') AS search_path;
CREATE TEMPORARY TABLE unrestricted (x int);
COMMIT;
RESET search_path;
DROP TRIGGER refuse ON balancer_pins;

-- With the TRIGGER privilege a role may put its function on another role's table. The function does
-- not get the owner's rights.
SET client_min_messages = warning;
DROP SCHEMA regress_gxy_balancer_pins CASCADE;
RESET client_min_messages;
ALTER TABLE balancer_pins OWNER TO regress_gxy_super;
GRANT TRIGGER ON balancer_pins TO regress_gxy_other;
TRUNCATE spied.seen;
SET ROLE regress_gxy_other;
CREATE TRIGGER fire BEFORE INSERT OR UPDATE ON balancer_pins FOR EACH ROW EXECUTE FUNCTION other.fire();
RESET ROLE;
CALL pg_temp.refused($$SELECT pin_room('q', 'gxy3')$$);
CALL pg_temp.refused($$UPDATE balancer_servers SET name = 'gxy6' WHERE name = 'gxy5'$$);
SELECT * FROM spied.seen;
-- A disabled trigger does not matter; neither does a trusted function, such as an audit needs.
ALTER TABLE balancer_pins DISABLE TRIGGER fire;
SELECT pin_room('q', 'gxy3');
DROP TRIGGER fire ON balancer_pins;
CREATE TABLE audit (room_id text, server text);
CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS
	$$BEGIN INSERT INTO public.audit VALUES (NEW.room_id, NEW.server); RETURN NEW; END$$;
CREATE TRIGGER audit AFTER INSERT OR UPDATE ON balancer_pins FOR EACH ROW EXECUTE FUNCTION audit();
SELECT pin_room('q', 'gxy4');
TABLE audit;
DROP TRIGGER audit ON balancer_pins;
-- The condition of a trigger runs with the owner's rights too, and an argument tells a trusted function what to do.
TRUNCATE spied.seen;
SET ROLE regress_gxy_other;
CREATE TRIGGER called BEFORE INSERT OR UPDATE ON balancer_pins FOR EACH ROW WHEN (spied.note('balancer_pins', 'condition'))
	EXECUTE FUNCTION audit();
RESET ROLE;
CALL pg_temp.refused($$SELECT pin_room('q', 'gxy3')$$);
SET ROLE regress_gxy_other;
CREATE OR REPLACE TRIGGER called BEFORE INSERT OR UPDATE ON balancer_pins FOR EACH ROW
	WHEN (set_config('search_path', 'other', false) IS NULL) EXECUTE FUNCTION audit();
RESET ROLE;
CALL pg_temp.refused($$SELECT pin_room('q', 'gxy3')$$);
-- JSON_ARRAY (PostgreSQL 16) calls a cast to json.
SET ROLE regress_gxy_other;
CREATE TYPE other.letter AS ENUM ('a');
CREATE FUNCTION other.as_json(other.letter) RETURNS json LANGUAGE sql AS
	$$SELECT json_build_array(spied.note('balancer_pins', 'cast'))$$;
CREATE CAST (other.letter AS json) WITH FUNCTION other.as_json(other.letter);
DO $do$
BEGIN
	EXECUTE format('CREATE OR REPLACE TRIGGER called BEFORE INSERT OR UPDATE ON balancer_pins FOR EACH ROW
		WHEN (%s(%L::other.letter) IS NOT NULL) EXECUTE FUNCTION audit()',
		CASE WHEN current_setting('server_version_num')::int < 160000 THEN 'other.as_json' ELSE 'json_array' END, 'a');
END$do$;
RESET ROLE;
CALL pg_temp.refused($$SELECT pin_room('q', 'gxy3')$$);
SET ROLE regress_gxy_other;
CREATE OR REPLACE TRIGGER called BEFORE INSERT OR UPDATE ON balancer_pins FOR EACH ROW EXECUTE FUNCTION audit('other.pins');
RESET ROLE;
CALL pg_temp.refused($$SELECT pin_room('q', 'gxy3')$$);
CREATE OR REPLACE TRIGGER called BEFORE INSERT OR UPDATE ON balancer_pins FOR EACH ROW
	WHEN (NEW.room_id = 'q' AND NEW.expected_users IS NOT NULL) EXECUTE FUNCTION audit();
SELECT pin_room('q', 'gxy3', 5), pin_room('q2', 'gxy3', 5);
SELECT * FROM spied.seen;
TABLE audit;
DROP TRIGGER called ON balancer_pins;
-- A child table may have another owner: its rows are not the extension's, and its triggers do not fire.
CREATE TABLE other.child () INHERITS (balancer_pins);
ALTER TABLE other.child OWNER TO regress_gxy_other;
SET ROLE regress_gxy_other;
INSERT INTO other.child (room_id, server) VALUES ('child', 'gxy3'), ('q2', 'gxy3');
CREATE TRIGGER fire BEFORE UPDATE OR DELETE ON other.child FOR EACH ROW EXECUTE FUNCTION other.fire();
RESET ROLE;
SELECT unpin_room('child'), unpin_room('q2'), unpin_room('q2'), pin_room('q', 'gxy4');
SELECT * FROM spied.seen;
SELECT tableoid::regclass, room_id, server FROM balancer_pins ORDER BY 1, 2;
DROP TABLE other.child;
TRUNCATE audit;
-- Nothing may be deferred to the end of the transaction, when it would run as the caller.
CREATE CONSTRAINT TRIGGER later AFTER INSERT OR UPDATE ON balancer_pins DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION audit();
CALL pg_temp.refused($$SELECT pin_room('q', 'gxy3')$$);
DROP TRIGGER later ON balancer_pins;
DROP FUNCTION audit;
DROP TABLE audit;

-- Code that would make a statement do something else raises an error.
CREATE RULE elsewhere AS ON INSERT TO balancer_pins DO INSTEAD NOTHING;
CALL pg_temp.refused($$SELECT pin_room('r', 'gxy3')$$);
DROP RULE elsewhere ON balancer_pins;
ALTER TABLE balancer_health ENABLE ROW LEVEL SECURITY;
SELECT server_heartbeat('gxy3', false);
ALTER TABLE balancer_health FORCE ROW LEVEL SECURITY;
CALL pg_temp.refused($$SELECT server_heartbeat('gxy3', true)$$);
ALTER TABLE balancer_health NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
SELECT server_heartbeat('gxy3', true);
-- Only a table may stand in the place of a table.
ALTER TABLE balancer_pins RENAME TO old_pins;
CREATE VIEW balancer_pins AS SELECT * FROM old_pins;
CALL pg_temp.refused($$SELECT get_or_assign_server('e')$$);
DROP VIEW balancer_pins;
CREATE TABLE balancer_pins (LIKE old_pins INCLUDING ALL);
CALL pg_temp.refused($$SELECT get_or_assign_server('e')$$);
DROP TABLE balancer_pins;
CREATE TABLE balancer_pins (LIKE old_pins) PARTITION BY LIST (room_id);
CALL pg_temp.refused($$SELECT pin_room('e', 'gxy3')$$);
DROP TABLE balancer_pins;
CALL pg_temp.refused($$SELECT pin_room('e', 'gxy3')$$);
ALTER TABLE old_pins RENAME TO balancer_pins;
CREATE ACCESS METHOD another_heap TYPE TABLE HANDLER heap_tableam_handler;
ALTER TABLE balancer_pins SET ACCESS METHOD another_heap;
CALL pg_temp.refused($$SELECT pin_room('e', 'gxy3')$$);
ALTER TABLE balancer_pins SET ACCESS METHOD heap;
DROP ACCESS METHOD another_heap;
ALTER SEQUENCE balancer_events RENAME TO old_events;
CREATE VIEW balancer_events AS SELECT 1 AS last_value;
CALL pg_temp.refused($$SELECT set_server_state('gxy3', 'draining')$$);
DROP VIEW balancer_events;
ALTER SEQUENCE old_events RENAME TO balancer_events;
SELECT pin_room('e', 'gxy3'), get_or_assign_server('e');

-- Code of one kind alone runs as the table's owner too: an index, a constraint that calls a function, one with an operator.
SET client_min_messages = warning;
DROP SCHEMA regress_gxy_room_server_assignments CASCADE;
RESET client_min_messages;
GRANT USAGE ON SCHEMA other TO PUBLIC;
CREATE FUNCTION other.who(any_text text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$BEGIN RAISE INFO '%', CURRENT_USER; RETURN any_text; END$$;
DELETE FROM room_server_assignments;
CREATE INDEX who ON room_server_assignments (other.who(room_id));
SELECT get_or_assign_server('f') IS NOT NULL AS assigned;
DROP INDEX who;
CREATE FUNCTION other.same(a text, b text) RETURNS boolean LANGUAGE sql AS $$SELECT other.who(a) = b$$;
CREATE OPERATOR other.=== (FUNCTION = other.same, LEFTARG = text, RIGHTARG = text);
ALTER TABLE room_server_assignments ADD CONSTRAINT who CHECK (other.same(room_id, room_id)) NOT VALID;
SELECT get_or_assign_server('g') IS NOT NULL AS assigned;
ALTER TABLE room_server_assignments DROP CONSTRAINT who, ADD CONSTRAINT who CHECK (room_id OPERATOR(other.===) room_id) NOT VALID;
SELECT get_or_assign_server('h') IS NOT NULL AS assigned;
ALTER TABLE room_server_assignments DROP CONSTRAINT who;

SET client_min_messages = warning;
DROP EXTENSION gxy_balancer CASCADE;
\set ECHO none
SELECT format('DROP SCHEMA IF EXISTS %1$I CASCADE; DROP OWNED BY %1$I; DROP ROLE %1$I;', rolname)
FROM pg_roles WHERE rolname LIKE 'regress\_gxy\_%balancer\_%' OR rolname LIKE 'regress\_gxy\_%\_assignments'
	OR rolname = 'regress_gxy__pool_written' \gexec
\set ECHO all
DROP SCHEMA spied, other CASCADE;
DROP TABLE members;
DROP OWNED BY regress_gxy_operator, regress_gxy_other, regress_gxy_super;
DROP ROLE regress_gxy_operator, regress_gxy_other, regress_gxy_super;
