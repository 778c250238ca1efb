/*
 * A sample service for the schema of schema.sql: 12 servers in the middle of a working day.
 *
 *     psql -X -v ON_ERROR_STOP=1 -d DATABASE -f sample.sql        -- a few seconds; as a superuser or gxydb_owner
 *
 * 3 000 rooms (2001 to 5000), 8 000 users, 200 000 sessions that ended in the last two months, about 2 900 people in
 * 320 rooms now, and some sessions whose client vanished hours ago without saying so. Room sizes have the heavy tail of
 * real ones: most hold two or three people, the largest some two hundred. The service had dealt its rooms out one by
 * one, so every server has as many rooms as the next but not as many people: that is what the balancer is for.
 *
 * Arithmetic instead of random(): every load gives the same rows, only their times are relative to now. It refuses a
 * database that has rooms or sessions already, so that it cannot end up in the wrong one.
 */
\set ON_ERROR_STOP on
BEGIN;
SET LOCAL ROLE gxydb_owner;

DO $$
BEGIN
	IF EXISTS (SELECT FROM public.sessions) OR EXISTS (SELECT FROM public.rooms)
		OR EXISTS (SELECT FROM public.gateways) OR EXISTS (SELECT FROM public.users) THEN
		RAISE EXCEPTION 'this database is not empty'
			USING ERRCODE = 'object_not_in_prerequisite_state',
				HINT = 'Load the sample into a database of its own: createdb, schema.sql, sample.sql.';
	END IF;
END
$$;

INSERT INTO public.gateways (id, name, description, url, created_at)
SELECT i, 'gxy' || i, 'media server ' || i, 'https://gxy' || i || '.example.org/janus', now() - interval '1 year'
FROM generate_series(1, 12) i;

INSERT INTO public.users (id, accounts_id, email, created_at)
SELECT i, md5(i::text)::uuid, 'user' || i || '@example.org', now() - interval '1 year'
FROM generate_series(1, 8000) i;

/* The last 50 rooms are disabled and the 50 before them removed: neither may be assigned. */
INSERT INTO public.rooms (id, name, default_gateway_id, gateway_uid, disabled, created_at, removed_at)
SELECT i, 'Room ' || (2000 + i), 1 + i % 12, 2000 + i, i > 2950, now() - interval '1 year',
	CASE WHEN i BETWEEN 2901 AND 2950 THEN now() - interval '10 days' END
FROM generate_series(1, 3000) i;

/*
 * Ended sessions, oldest first: one every 25 seconds, each 5 to 95 minutes long, the last one ended
 * half an hour ago. The cube of an even distribution puts half of the sessions into a tenth of the
 * rooms.
 */
INSERT INTO public.sessions (user_id, room_id, gateway_id, gateway_session, gateway_handle, gateway_feed, display,
	camera, user_agent, ip_address, created_at, updated_at, removed_at)
SELECT 1 + e.i * 31 % 8000, 2001 + e.room, 1 + e.room % 12, 1000000 + e.i, 2000000 + e.i, 3000000 + e.i,
	'User ' || (1 + e.i * 31 % 8000), e.i % 3 <> 0, 'Mozilla/5.0 (X11; Linux x86_64) Chrome/120.0', e.address,
	e.began, e.ended, e.ended
FROM (
	SELECT i, floor(2900 * power((i::bigint * 7919 % 100003) / 100003.0, 3))::int AS room,
		inet '10.0.0.0' + i % 60000 AS address,
		now() - interval '125 minutes' - (200000 - i) * interval '25 seconds' AS began,
		now() - interval '125 minutes' - (200000 - i) * interval '25 seconds'
			+ (5 + i % 91) * interval '1 minute' AS ended
	FROM generate_series(1, 200000) i
) e
ORDER BY e.i;

/*
 * Users in rooms now. The k-th largest of 320 rooms has 220 / k^0.8 users and is on server k modulo
 * 12. One user in 25 has a second device in the room, which is a second connection but no second user.
 * Clients report every 30 seconds; a client that came less than that ago has not reported yet.
 */
INSERT INTO public.sessions (user_id, room_id, gateway_id, gateway_session, gateway_handle, gateway_feed, display,
	camera, user_agent, ip_address, created_at, updated_at)
SELECT 1 + p.nth * 7 % 7600, 2001 + p.k * 37 % 2900, 1 + p.k % 12, 5000000 + p.nth, 6000000 + p.nth,
	7000000 + 2 * p.nth + p.device,
	'User ' || (1 + p.nth * 7 % 7600), p.nth % 3 <> 0, 'Mozilla/5.0 (X11; Linux x86_64) Chrome/120.0',
	inet '10.1.0.0' + p.nth, now() - p.minutes * interval '1 minute' - p.nth % 20 * interval '1 second',
	CASE WHEN p.minutes > 0 THEN now() - p.nth % 30 * interval '1 second' END
FROM (
	SELECT h.k, h.nth, h.minutes, device
	FROM (
		SELECT k, person, row_number() OVER (ORDER BY k, person)::int AS nth, (k * 11 + person * 7) % 90 AS minutes
		FROM generate_series(1, 320) k, generate_series(1, ceil(220 / power(k, 0.8))::int) person
	) h, generate_series(1, CASE WHEN h.nth % 25 = 0 THEN 2 ELSE 1 END) device
) p
ORDER BY p.k, p.nth;

/*
 * Clients that disappeared 3 to 15 hours ago: 40 in rooms without other users, and one in each of
 * the 10 largest rooms, on the server where the room still is. removed_at was never set. They must
 * not count, and must not keep a room.
 */
INSERT INTO public.sessions (user_id, room_id, gateway_id, display, created_at, updated_at)
SELECT 7900 + i, 2001 + k * 37 % 2900, 1 + k % 12, 'User ' || (7900 + i),
	now() - (4 + i % 12) * interval '1 hour', now() - (3 + i % 12) * interval '1 hour'
FROM (
	SELECT i, CASE WHEN i <= 40 THEN 400 + i ELSE i - 40 END AS k
	FROM generate_series(1, 50) i
) d;

/*
 * Two composites of four rooms each, the largest eight, on the servers where they were when an
 * operator put them together.
 */
INSERT INTO public.composites (id, name) SELECT i, 'q' || i FROM generate_series(1, 2) i;
INSERT INTO public.composites_rooms (composite_id, room_id, gateway_id, position)
SELECT 1 + (k - 1) / 4, 2001 + k * 37 % 2900, 1 + k % 12, 1 + (k - 1) % 4 FROM generate_series(1, 8) k;

/* And 25 users who are connected but in no room. */
INSERT INTO public.sessions (user_id, display, created_at, updated_at)
SELECT 7800 + i, 'User ' || (7800 + i), now() - interval '5 minutes', now() - i * interval '1 second'
FROM generate_series(1, 25) i;

SELECT setval('public.gateways_id_seq', 12), setval('public.users_id_seq', 8000), setval('public.rooms_id_seq', 3000),
	setval('public.composites_id_seq', 2)
\g /dev/null
COMMIT;

/* Index-only scans need the visibility map, and the planner its statistics. */
VACUUM (ANALYZE) public.gateways, public.rooms, public.users, public.sessions, public.composites, public.composites_rooms;
