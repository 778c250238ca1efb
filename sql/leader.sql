/*
 * leader: a room placed by the ranking of the servers' loads gets the server that a comparison of all servers, counted
 * anew, would give it. Transactions, savepoints, deletions, moves and changes of the pool come in between.
 */
SET client_min_messages = warning;
SET gxy_balancer.load_max_age = '1h';
SET gxy_balancer.default_capacity = 400;
SET gxy_balancer.strategy = least_loaded;
SET gxy_balancer.load_metric = users;
SET gxy_balancer.overflow = overcommit;
SET gxy_balancer.failover_delay = '1h';
SET gxy_balancer.failover_on_call = off;
SET gxy_balancer.recovery_delay = 0;
SET gxy_balancer.heartbeat_timeout = 0;
SET gxy_balancer.touch_interval = '1h';
SET gxy_balancer.assignment_grace = '1d';
DROP EXTENSION IF EXISTS gxy_balancer;
CREATE EXTENSION gxy_balancer;
CREATE TABLE differences (step int, room text, explained text, placed text);
SELECT setseed(0.2171);

CREATE FUNCTION place(step int, room text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	explained text := (SELECT server FROM explain_assignment(room, NULL, 1 + step % 9) LIMIT 1);
	placed text := get_or_assign_server(room, NULL, 1 + step % 9);
BEGIN
	IF placed <> explained THEN
		INSERT INTO differences VALUES (step, room, explained, placed);
	END IF;
END
$$;

CREATE PROCEDURE work(first int, steps int) LANGUAGE plpgsql AS $$
DECLARE
	kind int;
BEGIN
	FOR step IN first .. first + steps - 1 LOOP
		kind := floor(random() * 12);
		IF kind = 0 THEN
			DELETE FROM room_server_assignments WHERE room_id IN
				(SELECT room_id FROM room_server_assignments ORDER BY room_id LIMIT 3);
			PERFORM place(step, 'after a deletion ' || step);
		ELSIF kind = 1 THEN
			UPDATE room_server_assignments SET gateway_name = 's' || 1 + floor(random() * 40)
				WHERE room_id = (SELECT min(room_id) FROM room_server_assignments);
		ELSIF kind = 2 THEN
			BEGIN
				PERFORM place(step, 'rolled back ' || i || ' ' || step) FROM generate_series(1, 5) i;
				RAISE EXCEPTION division_by_zero;
			EXCEPTION WHEN division_by_zero THEN
				NULL;
			END;
		ELSIF kind = 3 AND step % 5 = 0 THEN
			UPDATE balancer_servers SET state = (ARRAY['online', 'online', 'draining'])[1 + floor(random() * 3)]
				WHERE position = 1 + step % 40;
		ELSIF kind = 4 THEN
			PERFORM place(step, 'undone ' || step);
			ROLLBACK;
		ELSE
			PERFORM place(step, 'room ' || step);
		END IF;
		IF random() < 0.7 THEN
			COMMIT;
		END IF;
	END LOOP;
	COMMIT;
END
$$;

\echo # one capacity
INSERT INTO balancer_servers (name, position) SELECT 's' || i, i FROM generate_series(1, 40) i;
INSERT INTO balancer_pins (room_id, server) SELECT 'room ' || i, 's' || 1 + i % 40 FROM generate_series(1, 1200, 17) i;
CALL work(1, 300);
\echo # all of them full
SET gxy_balancer.default_capacity = 3;
CALL work(301, 150);
SET gxy_balancer.overflow = error;
DO $$
BEGIN
	PERFORM get_or_assign_server('one too many', NULL, 3);
EXCEPTION WHEN configuration_limit_exceeded THEN
	RAISE WARNING 'refused: %', SQLERRM;
END
$$;
RESET gxy_balancer.overflow;
SET gxy_balancer.overflow = overcommit;
\echo # by rooms
SET gxy_balancer.load_metric = rooms;
CALL work(451, 150);
SET gxy_balancer.load_metric = users;
\echo # capacities and priorities of their own
SET gxy_balancer.default_capacity = 400;
UPDATE balancer_servers SET capacity = 5 + 37 * position % 90, priority = position % 3;
CALL work(601, 300);
\echo # in sequence
SET gxy_balancer.strategy = sequential;
CALL work(901, 150);
\echo # emptied
SET gxy_balancer.strategy = least_loaded;
CALL work(1051, 50);
TRUNCATE room_server_assignments;
CALL work(1101, 100);
\echo # a TRUNCATE that was rolled back: the load cache goes on
BEGIN;
SAVEPOINT before;
TRUNCATE room_server_assignments;
ROLLBACK TO before;
SELECT placed_by_cache AS placed FROM balancer_stats \gset
SELECT get_or_assign_server('after it') IS NOT NULL AS assigned;
SELECT placed_by_cache - :placed AS by_cache FROM balancer_stats;
COMMIT;

SELECT * FROM differences;
DROP PROCEDURE work;
DROP FUNCTION place;
DROP TABLE differences;
DROP EXTENSION gxy_balancer CASCADE;
