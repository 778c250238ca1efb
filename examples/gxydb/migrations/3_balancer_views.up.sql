/*
 * The adapter between the service and gxy_balancer: two views, and the API's grants.
 *
 * The extension knows nothing of the service's tables. It reads two relations by column name, and
 * these views give them those names: who is in which room now, and which rooms may be assigned. A
 * change of the service's schema is a change of this file, not of the extension.
 *
 * As a superuser, after CREATE EXTENSION; may be run again. The extension reads a view as its
 * owner, who should be the owner of the tables and not a superuser.
 */

/*
 * All users in rooms now. A session that never reported is as old as its creation; it is dead after
 * gxy_balancer.dead_session_timeout without a report. LEFT JOIN: a session on an unknown server
 * still counts as a user in the room, and a count that does not read the server's name skips the
 * join.
 */
CREATE OR REPLACE VIEW public.live_sessions AS
	SELECT s.room_id, s.user_id, g.name AS gateway_name, coalesce(s.updated_at, s.created_at) AS last_seen_at
	FROM public.sessions s LEFT JOIN public.gateways g ON g.id = s.gateway_id
	WHERE s.removed_at IS NULL AND s.room_id IS NOT NULL;
ALTER VIEW public.live_sessions OWNER TO gxydb_owner;
COMMENT ON VIEW public.live_sessions IS 'sessions that have not ended, as gxy_balancer reads them';

/*
 * The same, one row for each connection: what a second device of a user costs counts too. The
 * media server's feed is the connection; a session without a feed yet is one by itself. To count
 * connections, attach this view instead of live_sessions, below: a count costs the same. In the
 * sample (one user in 25 has two devices) the servers have 4% more users and the busiest one is at
 * 1.745 times the mean, not at 1.737.
 */
CREATE OR REPLACE VIEW public.live_connections AS
	SELECT s.room_id, coalesce(s.gateway_feed, '#' || s.id) AS user_id, g.name AS gateway_name,
		coalesce(s.updated_at, s.created_at) AS last_seen_at
	FROM public.sessions s LEFT JOIN public.gateways g ON g.id = s.gateway_id
	WHERE s.removed_at IS NULL AND s.room_id IS NOT NULL;
ALTER VIEW public.live_connections OWNER TO gxydb_owner;
COMMENT ON VIEW public.live_connections IS 'the same sessions for gxy_balancer, counted by connection';

/*
 * The rooms that may be assigned. A room that is not listed here is refused when it is assigned;
 * one that is removed from here keeps its server until its users are gone. A service that knows how
 * many users a room is booked for adds an expected_users column; without it the extension learns
 * the size. home_server is where the service put the room before it balanced: with
 * gxy_balancer.strategy = home rooms go there again.
 */
CREATE OR REPLACE VIEW public.assignable_rooms AS
	SELECT r.gateway_uid AS room_id, g.name AS home_server
	FROM public.rooms r LEFT JOIN public.gateways g ON g.id = r.default_gateway_id
	WHERE NOT r.disabled AND r.removed_at IS NULL;
ALTER VIEW public.assignable_rooms OWNER TO gxydb_owner;
COMMENT ON VIEW public.assignable_rooms IS 'rooms in service, as gxy_balancer reads them';

SELECT public.attach_sessions('public.live_sessions');
SELECT public.attach_rooms('public.assignable_rooms');

/*
 * What the API calls: for rooms, and for the health of the servers that it hears of. And the table that it lists. It
 * needs nothing on the views.
 */
GRANT USAGE ON SCHEMA public TO gxydb_api;
GRANT EXECUTE ON FUNCTION
	public.get_or_assign_server(text, text, int),
	public.get_or_assign_server(bigint, text, int),
	public.touch_room(text, int),
	public.touch_room(bigint, int),
	public.room_server(text),
	public.room_server(bigint),
	public.server_heartbeat(text, boolean, real)
TO gxydb_api;
GRANT SELECT ON public.room_server_assignments TO gxydb_api;
