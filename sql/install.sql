/*
 * install: the objects that CREATE EXTENSION makes. The extension works in any schema, after its
 * schema is renamed, and after DROP and CREATE in a session that has used it before.
 */
-- The notice of the default pool is not tested here.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS gxy_balancer;
CREATE EXTENSION gxy_balancer;

-- All objects. Not \dx+, which lists row types too from PostgreSQL 17.
CREATE TEMPORARY VIEW members AS
	SELECT classid, objid, pg_describe_object(classid, objid, 0) AS object
	FROM pg_depend
	WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e' AND classid <> 'pg_type'::regclass
		AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'gxy_balancer');
SELECT object FROM members ORDER BY object COLLATE "C";

-- Every object has a comment: no rows.
SELECT object FROM members WHERE obj_description(objid, classid::regclass::name) IS NULL;

-- Every column of every relation has a comment: no rows.
SELECT m.object, a.attname
FROM members m JOIN pg_attribute a ON a.attrelid = m.objid AND a.attnum > 0 AND NOT a.attisdropped
WHERE m.classid = 'pg_class'::regclass AND m.object NOT LIKE 'sequence%' AND col_description(a.attrelid, a.attnum) IS NULL;

-- The names of trigger functions start with an underscore: no rows.
SELECT object
FROM members JOIN pg_proc p ON classid = 'pg_proc'::regclass AND p.oid = objid
WHERE p.prorettype = 'trigger'::regtype AND p.proname NOT LIKE '\_%';

-- PUBLIC has no privileges: no rows.
SELECT m.object, acl.privilege_type
FROM members m
LEFT JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
LEFT JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid,
	aclexplode(CASE WHEN c.oid IS NOT NULL THEN coalesce(c.relacl, acldefault('r', c.relowner))
		ELSE coalesce(p.proacl, acldefault('f', p.proowner)) END) acl
WHERE acl.grantee = 0
UNION ALL
SELECT m.object, acl.privilege_type
FROM members m JOIN pg_attribute a ON a.attrelid = m.objid, aclexplode(a.attacl) acl
WHERE m.classid = 'pg_class'::regclass AND acl.grantee = 0;

-- No role but the owner may write a table: no rows.
SELECT m.object, acl.grantee::regrole, acl.privilege_type
FROM members m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid, aclexplode(c.relacl) acl
WHERE acl.grantee <> c.relowner AND acl.privilege_type <> 'SELECT';

-- The privileges of pg_monitor.
SELECT m.object, acl.privilege_type
FROM members m
LEFT JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
LEFT JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid,
	aclexplode(coalesce(c.relacl, p.proacl)) acl
WHERE acl.grantee = 'pg_monitor'::regrole
ORDER BY m.object COLLATE "C";

-- A dump includes the rows of every table: no rows.
SELECT m.object
FROM members m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid AND c.relkind = 'r'
WHERE NOT EXISTS (SELECT FROM pg_extension e WHERE c.oid = ANY (e.extconfig));

-- The script itself writes no rows, or a restore would insert them twice.
SELECT count(*) AS servers FROM balancer_servers;

-- The counters are returned.
SELECT count(*) FROM balancer_stats;
SELECT reset_balancer_stats();

-- The table has no index except its key: an index on last_used_at would prevent heap-only updates
-- at renewals.
SELECT indexrelid::regclass FROM pg_index WHERE indrelid = 'room_server_assignments'::regclass;
DROP VIEW members;

-- DROP leaves nothing, and CREATE in the same session starts with empty tables.
SELECT get_or_assign_server(2171);
DROP EXTENSION gxy_balancer;
SELECT relname FROM pg_class WHERE relname ~ '^(room_server|balancer_)';
SELECT proname FROM pg_proc WHERE probin LIKE '%gxy_balancer%';
CREATE EXTENSION gxy_balancer;
SELECT count(*) AS rooms FROM room_server_assignments;
SELECT get_or_assign_server(2171) FROM (SELECT init_servers('b1,b2')) pool;
SELECT room_id, gateway_name FROM room_server_assignments;

-- DROP in a transaction that is rolled back.
BEGIN;
DROP EXTENSION gxy_balancer;
CREATE EXTENSION gxy_balancer;
SELECT get_or_assign_server(2171);
ROLLBACK;
SELECT get_or_assign_server(2171);
DROP EXTENSION gxy_balancer;

-- In a schema of its own, called from outside of it: objects of the same name earlier in the
-- search_path are not used.
CREATE SCHEMA "The Balancer";
CREATE SCHEMA decoys;
CREATE EXTENSION gxy_balancer SCHEMA "The Balancer";
CREATE TABLE decoys.room_server_assignments (room_id text PRIMARY KEY, gateway_name text, region text,
	assigned_at timestamptz, last_used_at timestamptz, reason text, expected_users int, reported_users int);
CREATE TABLE decoys.balancer_servers (name text, position int, priority int, capacity int, regions text[], pool text,
	state text);
CREATE TABLE decoys.balancer_pins (room_id text, server text, expected_users int, pinned_at timestamptz);
CREATE TABLE decoys.balancer_sources (source text, schema_name text, relation_name text);
INSERT INTO decoys.room_server_assignments VALUES ('2171', 'decoy', NULL, now(), now());
INSERT INTO decoys.balancer_servers VALUES ('decoy', 1, 0, NULL, NULL, 'primary', 'online');
INSERT INTO decoys.balancer_pins VALUES ('2171', 'decoy');
SET search_path = decoys, public;
SELECT "The Balancer".init_servers('b1,b2');
SELECT "The Balancer".get_or_assign_server(2171);
SELECT "The Balancer".get_or_assign_server('other'), "The Balancer".room_server('other'),
	"The Balancer".touch_room('other', 3), "The Balancer".server_state('b1');
SELECT server, state, rooms, load FROM "The Balancer".balancer_load;
SELECT room_id, server, users, reason FROM "The Balancer".balancer_rooms ORDER BY room_id COLLATE "C";
SELECT server, chosen FROM "The Balancer".explain_assignment('third') WHERE chosen;
SELECT "The Balancer".release_room('other'), "The Balancer".clean_inactive_assignments('0');
SELECT room_id, gateway_name FROM room_server_assignments;

-- Its schema may be renamed, in the middle of a session too.
SELECT "The Balancer".get_or_assign_server('before');
ALTER SCHEMA "The Balancer" RENAME TO balancer;
SELECT balancer.get_or_assign_server('before'), balancer.get_or_assign_server('after');
INSERT INTO balancer.balancer_servers (name) VALUES ('b3') RETURNING name, position;
UPDATE balancer.balancer_servers SET state = 'draining' WHERE name = 'b3';
SELECT balancer.init_servers('b4'), balancer.server_state('b3');
SELECT room_id, gateway_name FROM balancer.room_server_assignments ORDER BY room_id COLLATE "C";
SELECT server, state, rooms FROM balancer.balancer_load;
CREATE TABLE public.members (room_id text, user_id text);
SELECT balancer.attach_sessions('public.members');
SELECT source, schema_name, relation_name FROM balancer.balancer_sources;
SELECT balancer.clean_inactive_assignments('0');
DROP TABLE public.members;
-- A source in the schema of the extension follows a rename of the schema, also if another schema
-- takes the old name.
CREATE TABLE balancer.members (room_id text, user_id text);
INSERT INTO balancer.members VALUES ('after', 'u');
SELECT balancer.attach_sessions('balancer.members'), balancer.attach_rooms('balancer.members');
SELECT source, schema_name, relation_name FROM balancer.balancer_sources;
SELECT balancer.get_or_assign_server('after') IS NOT NULL AS assigned, balancer.clean_inactive_assignments('0');
ALTER SCHEMA balancer RENAME TO renamed;
CREATE SCHEMA balancer;
CREATE TABLE balancer.members (room_id text, user_id text);
SELECT room_id, users FROM renamed.balancer_rooms;
SELECT renamed.release_room('after'), renamed.get_or_assign_server('after') IS NOT NULL AS assigned;
SELECT renamed.get_or_assign_server('elsewhere');
DROP SCHEMA balancer CASCADE;
ALTER SCHEMA renamed RENAME TO balancer;
SELECT room_id, users FROM balancer.balancer_rooms;
SELECT balancer.attach_sessions(NULL), balancer.attach_rooms(NULL);
DROP TABLE balancer.members;

-- The extension cannot be moved to another schema.
\set VERBOSITY sqlstate
ALTER EXTENSION gxy_balancer SET SCHEMA public;
\set VERBOSITY default
RESET search_path;
DROP EXTENSION gxy_balancer;
DROP SCHEMA decoys, balancer CASCADE;

-- A schema with functions and operators that match the script's calls better than pg_catalog's: the
-- script uses none of them.
CREATE SCHEMA crowded;
CREATE FUNCTION crowded.trap(numeric, bigint) RETURNS numeric LANGUAGE sql AS 'SELECT 1 / 0.0';
CREATE FUNCTION crowded.trap(numeric, int) RETURNS numeric LANGUAGE sql AS 'SELECT 1 / 0.0';
CREATE OPERATOR crowded.* (LEFTARG = numeric, RIGHTARG = bigint, FUNCTION = crowded.trap);
CREATE OPERATOR crowded./ (LEFTARG = numeric, RIGHTARG = int, FUNCTION = crowded.trap);
CREATE EXTENSION gxy_balancer SCHEMA crowded;
SELECT pg_describe_object(classid, objid, objsubid) AS trapped
FROM pg_depend
WHERE classid <> 'pg_operator'::regclass
	AND (refclassid = 'pg_operator'::regclass
		AND refobjid IN (SELECT oid FROM pg_operator WHERE oprnamespace = 'crowded'::regnamespace)
		OR refclassid = 'pg_proc'::regclass AND refobjid IN (SELECT oid FROM pg_proc WHERE proname = 'trap'));
SELECT count(percent) FROM crowded.balancer_load;
DROP EXTENSION gxy_balancer;
DROP SCHEMA crowded CASCADE;

-- A function that a user has created from the library reports what is missing.
CREATE FUNCTION pg_temp.orphan(room text, region text, expected_users int) RETURNS text LANGUAGE c
	AS '$libdir/gxy_balancer', 'gxy_get_or_assign_server';
SELECT pg_temp.orphan('2171', NULL, NULL);
