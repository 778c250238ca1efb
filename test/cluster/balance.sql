/*
 * How even the servers are over all shards, while rooms open and close through the proxy: rounds rooms open one after the
 * other; rooms are open at once, of sizes that nobody has said before; a tenth have half of the users. Variables: rooms,
 * rounds, every (share_loads() after so many rooms; 0: never), seed. Prints the mean of busiest / mean of the servers'
 * users, taken after every 20th room once half of the first have closed.
 */
SELECT setseed(:seed) \g /dev/null
SET plpgsql.variable_conflict = 'error';
CREATE TEMPORARY TABLE figures (ratio numeric);
CREATE TEMPORARY TABLE opened (room int PRIMARY KEY, users int, closes int);
SELECT set_config('balance.rooms', :'rooms', false), set_config('balance.rounds', :'rounds', false),
	set_config('balance.every', :'every', false) \g /dev/null
DO $$
DECLARE
	rooms int := current_setting('balance.rooms');
	every int := current_setting('balance.every');
	closing record;
	size int;
BEGIN
	FOR n IN 1 .. current_setting('balance.rounds')::int LOOP
		FOR closing IN DELETE FROM opened WHERE closes <= n RETURNING room LOOP
			PERFORM release_room(closing.room);
		END LOOP;
		size := CASE WHEN random() < 0.1 THEN 41 + random() * 110 WHEN random() < 0.33 THEN 11 + random() * 30 ELSE 2 + random() * 8 END;
		PERFORM get_or_assign_server(n);
		INSERT INTO opened VALUES (n, size, n + 1 + (2 * rooms * random())::int);
		-- Its users are there 10 rooms later.
		PERFORM touch_room(o.room, o.users) FROM opened o WHERE o.room = n - 10;
		IF every > 0 AND n % every = 0 THEN
			PERFORM share_loads();
		END IF;
		IF n > rooms * 3 / 2 AND n % 20 = 0 THEN
			INSERT INTO figures SELECT max(users) / avg(users) FROM balancer_load;
		END IF;
	END LOOP;
	PERFORM release_room(room) FROM opened;
END $$;
SELECT round(avg(ratio), 3) FROM figures;
