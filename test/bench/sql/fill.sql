/*
 * Fills the sample service: `servers` gateways; `ended` sessions that are over and `live` ones, spread over `rooms`
 * rooms; all of these rooms assigned, each to the server that its sessions name. Live sessions have reported in the
 * future, so that none dies however long the run takes, while the comparison that finds dead ones is still made.
 */
SET client_min_messages = warning;
INSERT INTO gateways (name, url) SELECT 'gxy' || i, 'https://gxy' || i FROM generate_series(1, :servers) i;

/* The foreign keys hold by construction, users and rooms apart, which nothing here reads. */
SET session_replication_role = replica;
INSERT INTO sessions (user_id, room_id, gateway_id, gateway_session, gateway_handle, gateway_feed, display, camera,
	user_agent, ip_address, created_at, updated_at, removed_at)
SELECT 1 + i * 31 % 8000, 1 + i::bigint * 7919 % :rooms, 1 + (1 + i::bigint * 7919 % :rooms) % :servers, 1000000 + i,
	2000000 + i, 3000000 + i, 'User ' || (1 + i * 31 % 8000), i % 3 <> 0,
	'Mozilla/5.0 (X11; Linux x86_64) Chrome/120.0', inet '10.0.0.0' + i % 60000, e.began, e.ended, e.ended
FROM generate_series(1, :ended) i,
	LATERAL (SELECT now() - interval '2 hours' - i * interval '25 seconds' AS began,
		now() - interval '1 hour' - i * interval '25 seconds' AS ended) e;
INSERT INTO sessions (user_id, room_id, gateway_id, gateway_session, gateway_handle, gateway_feed, display, camera,
	user_agent, ip_address, created_at, updated_at)
SELECT i, 1 + i::bigint * 7919 % :rooms, 1 + (1 + i::bigint * 7919 % :rooms) % :servers, 5000000 + i, 6000000 + i,
	7000000 + i, 'User ' || i, i % 3 <> 0, 'Mozilla/5.0 (X11; Linux x86_64) Chrome/120.0',
	inet '10.1.0.0' + i % 60000, now() - interval '10 minutes', now() + interval '1 day'
FROM generate_series(1, :live) i;
RESET session_replication_role;

SELECT init_servers((SELECT string_agg('gxy' || i, ',' ORDER BY i) FROM generate_series(1, :servers) i));
SELECT bench.refill(:rooms, :servers);
VACUUM (ANALYZE) gateways, sessions, room_server_assignments, bare, plain, go_assignments, plpgsql_assignments;
