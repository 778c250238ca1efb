/*
 * room_sizes: how many users a new room is expected to have, and how cleanups learn that from the
 * room's earlier assignments.
 *
 * The unit tests cover how assignments are weighed; the constants do not matter here.
 */
\getenv abs_srcdir PG_ABS_SRCDIR
\set helpers :abs_srcdir '/sql/include/helpers.sql'
\set ECHO none
\i :helpers

CREATE TABLE app_sessions (room_id text, user_id int);
CREATE TABLE app_rooms (room_id text, expected_users int);
SET client_min_messages = warning;
SELECT attach_sessions('app_sessions');
RESET client_min_messages;

-- Puts the given number of users into a room, and none into any other.
CREATE PROCEDURE pg_temp.only(room text, people int) LANGUAGE sql AS $$
	DELETE FROM app_sessions;
	INSERT INTO app_sessions SELECT room, i FROM generate_series(1, people) i;
$$;
-- One assignment: the room is assigned, users join, a cleanup sees them, they leave, and the room
-- is freed.
CREATE PROCEDURE pg_temp.occasion(room text, people int) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM get_or_assign_server(room);
	CALL pg_temp.only(room, people);
	PERFORM clean_inactive_assignments('0');
	CALL pg_temp.only(room, 0);
	PERFORM clean_inactive_assignments('0');
END
$$;
CREATE FUNCTION pg_temp.expectation(room text, said int DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
	SELECT DISTINCT format('%s: %s', expected_from, expected) FROM explain_assignment(room, NULL, said)
$$;
CREATE VIEW pg_temp.remembered AS
	SELECT room_id, size, occasions, peak FROM balancer_room_sizes ORDER BY room_id COLLATE "C";

SELECT get_or_assign_server('a'), get_or_assign_server('empty');
SELECT pg_temp.expectation('a');
SELECT * FROM pg_temp.remembered;

-- The peak of what cleanups saw is stored; a room that had no users is not.
CALL pg_temp.only('a', 7);
SELECT clean_inactive_assignments();
SELECT * FROM pg_temp.remembered;
CALL pg_temp.only('a', 30);
SELECT clean_inactive_assignments();
SELECT r.*, s.assigned_at = a.assigned_at AS this_assignment, s.opened_at < s.updated_at AS opened_before
FROM pg_temp.remembered r JOIN balancer_room_sizes s USING (room_id) JOIN room_server_assignments a USING (room_id);
-- A cleanup that learns nothing new writes nothing.
SELECT xmin AS version FROM balancer_room_sizes \gset
CALL pg_temp.only('a', 30);
SELECT clean_inactive_assignments();
CALL pg_temp.only('a', 20);
SELECT clean_inactive_assignments();
SELECT *, (SELECT xmin = :'version' FROM balancer_room_sizes) AS untouched FROM pg_temp.remembered;
-- An assignment counts from its first sample on, and moves the expectation step by step away from
-- the average.
SELECT expected BETWEEN 11 AND 29 AS between, expected_from FROM explain_assignment('a') LIMIT 1;
CALL pg_temp.only('a', 0);
SELECT clean_inactive_assignments('0');
SELECT * FROM pg_temp.remembered;
CALL pg_temp.occasion('a', 30);
CALL pg_temp.occasion('a', 30);
SELECT * FROM pg_temp.remembered;
SELECT expected BETWEEN 20 AND 30 AS closer, expected_from FROM explain_assignment('a') LIMIT 1;
-- The expectation is written into the assignment, so that the room weighs the same until it is
-- freed.
SELECT get_or_assign_server('a'), get_or_assign_server('unheard of');
SELECT a.room_id, a.expected_users = e.expected AS as_explained, a.expected_users IS NULL AS average
FROM room_server_assignments a, LATERAL (SELECT expected FROM explain_assignment(a.room_id) LIMIT 1) e ORDER BY 1;
SELECT release_room('a'), release_room('unheard of');

-- A room that is freed and assigned again between two cleanups counts as one more assignment.
CALL pg_temp.only('b', 5);
SELECT get_or_assign_server('b');
SELECT clean_inactive_assignments();
SELECT release_room('b'), get_or_assign_server('b');
SELECT clean_inactive_assignments();
SELECT release_room('b'), get_or_assign_server('b');
SELECT * FROM pg_temp.remembered WHERE room_id = 'b';
SELECT clean_inactive_assignments();
SELECT * FROM pg_temp.remembered WHERE room_id = 'b';

-- The order of sources: the caller's number, the pin's, the attached rooms relation's, the room's
-- history, the average.
SET client_min_messages = warning;
SELECT attach_rooms('app_rooms');
RESET client_min_messages;
INSERT INTO app_rooms VALUES ('b', 12), ('c', 12), ('d', NULL), ('e', 0);
SELECT init_servers('gxy1,gxy2');
INSERT INTO balancer_pins (room_id, server, expected_users) VALUES ('b', 'gxy1', 200), ('c', 'gxy1', NULL);
SET gxy_balancer.avg_room_occupancy = 5;
SELECT pg_temp.expectation('b', 77) AS all_know, pg_temp.expectation('b') AS pinned, pg_temp.expectation('c') AS listed,
	pg_temp.expectation('d') AS size_unknown, pg_temp.expectation('e') AS size_zero;
UPDATE balancer_pins SET expected_users = NULL;
SELECT pg_temp.expectation('b') AS pinned_without_size;
UPDATE app_rooms SET expected_users = NULL;
SELECT pg_temp.expectation('b') AS listed_without_size;
DELETE FROM balancer_room_sizes WHERE room_id = 'b';
SELECT pg_temp.expectation('b') AS forgotten;
RESET gxy_balancer.avg_room_occupancy;
DELETE FROM balancer_pins;
SELECT attach_rooms(NULL);

-- An administrator may insert a history. It counts like a learned one.
INSERT INTO balancer_room_sizes (room_id, size, occasions) VALUES ('told', 60, 1000000), ('2171', 40, 1000000), ('nothing', 0, 0);
SELECT pg_temp.expectation('told') AS told, pg_temp.expectation('2171') AS number, pg_temp.expectation('nothing') AS nothing;
SELECT get_or_assign_server(2171);
SELECT expected_users FROM room_server_assignments WHERE room_id = '2171';
\set VERBOSITY sqlstate
INSERT INTO balancer_room_sizes (room_id, size) VALUES ('not a number', 'NaN');
\set VERBOSITY default
TRUNCATE balancer_room_sizes, room_server_assignments;
CALL pg_temp.only('a', 0);

-- Nothing is learned in a transaction block, where the rows would stay locked. Outside, every
-- isolation level works.
BEGIN;
SELECT get_or_assign_server('a');
INSERT INTO app_sessions VALUES ('a', 1), ('a', 1), ('a', NULL), ('a', NULL), ('unassigned', 1);
SELECT clean_inactive_assignments();
COMMIT;
SELECT * FROM pg_temp.remembered;
SET default_transaction_isolation = serializable;
SELECT clean_inactive_assignments();
SELECT * FROM pg_temp.remembered;
INSERT INTO app_sessions VALUES ('a', NULL);
SELECT clean_inactive_assignments(), clean_inactive_assignments();
RESET default_transaction_isolation;
SELECT * FROM pg_temp.remembered;

-- Without attached sessions, the numbers given to touch_room() are learned.
SELECT attach_sessions(NULL);
TRUNCATE balancer_room_sizes, room_server_assignments;
SELECT get_or_assign_server('told'), touch_room('told', 25), get_or_assign_server('touched'), touch_room('touched'),
	get_or_assign_server('left'), touch_room('left', 3), touch_room('left', 0);
SELECT clean_inactive_assignments();
SELECT * FROM pg_temp.remembered;

-- max_learned_rooms: the rows that were seen longest ago are deleted; rooms in use stay.
SET gxy_balancer.max_learned_rooms = 4;
INSERT INTO balancer_room_sizes (room_id, size, occasions, updated_at)
	SELECT 'old' || i, 5, 1, now() - i * interval '1 day' FROM generate_series(1, 5) i;
UPDATE balancer_room_sizes SET updated_at = now() - interval '1 year' WHERE room_id = 'told';
SELECT get_or_assign_server('new'), touch_room('new', 8);
SELECT clean_inactive_assignments();
SELECT * FROM pg_temp.remembered;
SELECT get_or_assign_server(i), touch_room(i, i::int) FROM generate_series(1, 9) i;
SELECT clean_inactive_assignments();
SELECT room_id IN ('told', 'new') AS in_use_before, count(*) FROM balancer_room_sizes GROUP BY 1 ORDER BY 1;
SET gxy_balancer.max_learned_rooms = 1;
SELECT clean_inactive_assignments();
SELECT count(*) FROM balancer_room_sizes;
-- 0: nothing is learned, and stored sizes are not used.
SET gxy_balancer.max_learned_rooms = 0;
TRUNCATE balancer_room_sizes;
INSERT INTO balancer_room_sizes (room_id, size, occasions) VALUES ('told', 60, 1000000);
SELECT clean_inactive_assignments();
SELECT * FROM pg_temp.remembered;
SELECT pg_temp.expectation('told');
RESET gxy_balancer.max_learned_rooms;
SELECT pg_temp.expectation('told');

DROP VIEW pg_temp.remembered;
-- Columns and indexes that a DBA adds are maintained; the extension's own columns must stay.
ALTER TABLE balancer_room_sizes ADD COLUMN note text, ADD COLUMN gone int;
UPDATE balancer_room_sizes SET note = 'a note', gone = 1;
ALTER TABLE balancer_room_sizes DROP COLUMN gone;
CREATE INDEX by_peak ON balancer_room_sizes (peak);
SELECT clean_inactive_assignments();
SET enable_seqscan = off;
SELECT room_id, occasions, peak, note FROM balancer_room_sizes WHERE peak IN (8, 25) ORDER BY peak;
RESET enable_seqscan;
BEGIN;
ALTER TABLE balancer_room_sizes DROP CONSTRAINT balancer_room_sizes_pkey;
CALL pg_temp.refused('SELECT get_or_assign_server(100)');
ROLLBACK;
BEGIN;
ALTER TABLE balancer_room_sizes ALTER size TYPE numeric;
CALL pg_temp.refused('SELECT get_or_assign_server(100)');
ROLLBACK;
BEGIN;
ALTER TABLE balancer_room_sizes DROP peak;
CALL pg_temp.refused('SELECT clean_inactive_assignments()');
ROLLBACK;
CALL pg_temp.refused('DROP TABLE balancer_room_sizes');
DROP INDEX by_peak;
ALTER TABLE balancer_room_sizes DROP COLUMN note;

-- A size that cannot be stored, or a lease that cannot be renewed, as on a full disk, does not keep
-- rooms from being freed. Here indexes refuse the rows.
TRUNCATE balancer_room_sizes, room_server_assignments, app_sessions;
SET client_min_messages = warning;
SELECT attach_sessions('app_sessions');
RESET client_min_messages;
INSERT INTO app_sessions VALUES ('busy', 1), ('busy', 2);
INSERT INTO room_server_assignments (room_id, gateway_name, assigned_at, last_used_at)
	SELECT room, 'gxy1', '2000-01-01', '2000-01-01' FROM unnest('{idle,busy}'::text[]) room;
CREATE INDEX no_sizes ON balancer_room_sizes ((1 / (peak - peak)));
CREATE INDEX no_leases ON room_server_assignments ((1 / (CASE WHEN last_used_at < '2001-01-01+00' THEN 1 ELSE 0 END)));
SELECT clean_inactive_assignments();
SELECT room_id, last_used_at = assigned_at AS not_renewed FROM room_server_assignments;
DROP INDEX no_sizes;
SELECT clean_inactive_assignments();
DROP INDEX no_leases;
SELECT clean_inactive_assignments();
SELECT room_id, peak, last_used_at > now() - interval '1 hour' AS renewed
FROM room_server_assignments LEFT JOIN balancer_room_sizes USING (room_id);
-- A cancellation is raised, also while sizes are written.
TRUNCATE balancer_room_sizes;
CREATE FUNCTION app_wait(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM pg_sleep(600); RETURN $1; END $$;
CREATE INDEX no_sizes ON balancer_room_sizes (app_wait(peak));
SET statement_timeout = '200ms';
\set VERBOSITY sqlstate
SELECT clean_inactive_assignments();
\set VERBOSITY default
RESET statement_timeout;
DROP INDEX no_sizes;
DROP FUNCTION app_wait;
-- So is a serialization failure.
CREATE FUNCTION app_conflict(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
	$$ BEGIN RAISE 'a conflict' USING ERRCODE = '40001'; END $$;
CREATE INDEX no_sizes ON balancer_room_sizes (app_conflict(peak));
\set VERBOSITY sqlstate
SELECT clean_inactive_assignments();
\set VERBOSITY default
DROP INDEX no_sizes;
DROP FUNCTION app_conflict;
TRUNCATE balancer_room_sizes, room_server_assignments, balancer_servers, balancer_pins;
-- More rooms than one run writes, or forgets: the next one goes on.
SELECT attach_sessions(NULL), attach_rooms(NULL);
INSERT INTO room_server_assignments (room_id, gateway_name, reported_users) SELECT n, 'gxy1', 2 FROM generate_series(1, 5003) n;
SELECT clean_inactive_assignments();
SELECT count(*) FROM balancer_room_sizes;
SELECT clean_inactive_assignments();
SELECT count(*) FROM balancer_room_sizes;
UPDATE room_server_assignments SET reported_users = 3;
SELECT clean_inactive_assignments();
SELECT count(*) FROM balancer_room_sizes WHERE peak = 3;
DELETE FROM room_server_assignments;
SET gxy_balancer.max_learned_rooms = 1;
SELECT clean_inactive_assignments();
SELECT count(*) FROM balancer_room_sizes;
SELECT clean_inactive_assignments();
SELECT count(*) FROM balancer_room_sizes;
RESET gxy_balancer.max_learned_rooms;
TRUNCATE balancer_room_sizes;
DROP TABLE app_sessions, app_rooms;
