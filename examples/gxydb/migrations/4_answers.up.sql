/*
 * What the service answers about rooms and composites, with the server on which each room is now.
 *
 *     /rooms        SELECT coalesce(jsonb_agg(answer ORDER BY first_session_at), '[]') FROM public.room_answers
 *                   WHERE first_session_at IS NOT NULL
 *     /room/{id}    SELECT answer FROM public.room_answers WHERE room_id = '{id}'         -- no row: 404
 *     /qids         SELECT coalesce(jsonb_object_agg(name, answer), '{}') FROM public.composite_answers
 *     /qids/{id}    SELECT answer FROM public.composite_answers WHERE name = '{id}'       -- no row: 404
 *
 * The service keeps a server in composites_rooms, which is the dead one after a failover. Here the server is that of
 * room_server(), which is right from the moment at which a failover is due, before any row has been rewritten. A room
 * that has no assignment is nowhere: then it is the one that the service keeps, which for a room is its
 * default_gateway_id and in a composite is composites_rooms.gateway_id. These may differ.
 *
 * Users whose client has not reported for gxy_balancer.dead_session_timeout are left out, as in the load (not if it
 * is 0): a session that died without a word has no removed_at until the service marks it.
 *
 * As a superuser, after migration 3; may be run again. The caller needs EXECUTE on room_server(text).
 */

/* One entry for each session: a user with two devices in a room is listed, and counted, twice, as by the service. */
CREATE OR REPLACE VIEW public.room_users AS
	SELECT s.room_id, s.created_at, s.question, jsonb_build_object(
		'id', u.accounts_id, 'display', coalesce(s.display, ''), 'email', coalesce(u.email, ''), 'group', r.name,
		'ip', coalesce(host(s.ip_address), ''), 'janus', coalesce(g.name, ''), 'name', '', 'role', 'user',
		'system', coalesce(s.user_agent, ''), 'username', coalesce(u.username, ''), 'room', s.room_id,
		'timestamp', floor(extract(epoch FROM s.created_at))::bigint, 'session', coalesce(s.gateway_session, 0),
		'handle', coalesce(s.gateway_handle, 0), 'rfid', coalesce(s.gateway_feed, ''),
		'textroom_handle', coalesce(s.gateway_handle_textroom, 0), 'camera', s.camera, 'question', s.question,
		'self_test', s.self_test, 'sound_test', s.sound_test, 'extra', s.extra) AS answer
	FROM public.sessions s JOIN public.users u ON u.id = s.user_id JOIN public.rooms r ON r.gateway_uid = s.room_id
		LEFT JOIN public.gateways g ON g.id = s.gateway_id
		CROSS JOIN (SELECT coalesce(nullif(current_setting('gxy_balancer.dead_session_timeout', true), ''), '90s')::interval
			AS timeout) dead
	WHERE s.removed_at IS NULL
		AND (dead.timeout = '0' OR coalesce(s.updated_at, s.created_at) > now() - dead.timeout);
ALTER VIEW public.room_users OWNER TO gxydb_owner;
COMMENT ON VIEW public.room_users IS 'sessions in rooms, as the service lists their users';

CREATE OR REPLACE VIEW public.room_answers AS
	SELECT r.gateway_uid AS room_id, u.first_session_at, jsonb_build_object(
		'room', r.gateway_uid, 'janus', coalesce(public.room_server(r.gateway_uid::text), g.name), 'description', r.name,
		'questions', coalesce(u.questions, false), 'num_users', u.num_users, 'users', u.users,
		'region', coalesce(r.region, ''), 'extra', r.extra) AS answer
	FROM public.rooms r JOIN public.gateways g ON g.id = r.default_gateway_id
		CROSS JOIN LATERAL (SELECT min(created_at) AS first_session_at, bool_or(question) AS questions,
			count(*) AS num_users, jsonb_agg(answer ORDER BY created_at) AS users
		FROM public.room_users WHERE room_id = r.gateway_uid) u
	WHERE NOT r.disabled AND r.removed_at IS NULL;
ALTER VIEW public.room_answers OWNER TO gxydb_owner;
COMMENT ON VIEW public.room_answers IS 'the answers of /rooms and /room/{id}';

CREATE OR REPLACE VIEW public.composite_answers AS
	SELECT c.name, jsonb_build_object('vquad', coalesce(jsonb_agg(a.answer || jsonb_build_object(
		'janus', coalesce(public.room_server(m.room_id::text), g.name), 'queue', m.position) ORDER BY m.position)
		FILTER (WHERE a.room_id IS NOT NULL), '[]')) AS answer
	FROM public.composites c
		LEFT JOIN (public.composites_rooms m JOIN public.gateways g ON g.id = m.gateway_id) ON m.composite_id = c.id
		LEFT JOIN public.room_answers a ON a.room_id = m.room_id
	GROUP BY c.id, c.name;
ALTER VIEW public.composite_answers OWNER TO gxydb_owner;
COMMENT ON VIEW public.composite_answers IS 'the answers of /qids and /qids/{id}';

GRANT SELECT ON public.room_answers, public.composite_answers TO gxydb_api;
