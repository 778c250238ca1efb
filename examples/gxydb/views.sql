/*
 * The adapter between the conference service and gxy_balancer: two views, an index, and the API's grants.
 *
 * The extension knows nothing of the service's tables. It reads two relations by column name, and these views give them
 * those names: who is in which room now, and which rooms may be assigned. A change of the service's schema is a change
 * of this file, not of the extension.
 *
 *     psql -X -v ON_ERROR_STOP=1 -d DATABASE -f views.sql         -- as a superuser, after CREATE EXTENSION
 *
 * May be run again at any time, on a service in use too: the index is built beside the traffic. For that it cannot run
 * inside a transaction, so no psql -1. Variables, each with -v name=value:
 *
 *     balancer_schema    the schema of the extension; default: wherever it is installed
 *     api_role           the role of the API; default: gxydb_api
 *
 * The views belong to whoever owns the sessions table: the extension reads a relation as its owner, and should not read
 * the application's as a superuser.
 */
\set ON_ERROR_STOP on
\set AUTOCOMMIT on
\if :{?api_role}
\else
	\set api_role gxydb_api
\endif
\if :{?balancer_schema}
\else
	SELECT coalesce(min(n.nspname), 'public') AS balancer_schema
	FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
	WHERE e.extname = 'gxy_balancer'
	\gset
\endif
SELECT pg_catalog.pg_get_userbyid(c.relowner) AS app_owner
FROM pg_catalog.pg_class c
WHERE c.oid = 'public.sessions'::regclass
\gset

SET client_min_messages = warning;
SET search_path = pg_catalog, pg_temp;

/*
 * Ended sessions outnumber live ones by hundreds to one, and the balancer counts the live ones at every new room. This
 * index holds only those, with every column that live_sessions reads, so that the count never visits the table: 1 ms
 * instead of 23 for 2 800 live among 200 000 ended, and about 2 while renewals run ahead of VACUUM.
 *
 * Its price is that a renewal (UPDATE ... SET updated_at) is no heap-only update any more, which then writes about 530
 * bytes of WAL instead of 200. A service that renews thousands of sessions a second leaves updated_at and created_at
 * out, and counts in 2.3 ms.
 *
 * A build that was interrupted leaves an index that is not valid; IF NOT EXISTS would keep it.
 */
SELECT 'DROP INDEX CONCURRENTLY public.sessions_live_idx'
FROM pg_index i
WHERE i.indexrelid = to_regclass('public.sessions_live_idx') AND NOT i.indisvalid
\gexec
CREATE INDEX CONCURRENTLY IF NOT EXISTS sessions_live_idx ON public.sessions (room_id)
	INCLUDE (user_id, gateway_id, updated_at, created_at)
	WHERE removed_at IS NULL;

BEGIN;

/*
 * Everyone in a room now. A session that never reported is as old as it is; how long one may be silent before it is
 * dead is gxy_balancer.dead_session_timeout. LEFT JOIN: a session of no known server is still someone in the room, and
 * a count that does not ask for the server's name skips the join.
 */
CREATE OR REPLACE VIEW public.live_sessions AS
	SELECT s.room_id, s.user_id, g.name AS gateway_name, coalesce(s.updated_at, s.created_at) AS last_seen_at
	FROM public.sessions s LEFT JOIN public.gateways g ON g.id = s.gateway_id
	WHERE s.removed_at IS NULL AND s.room_id IS NOT NULL;
ALTER VIEW public.live_sessions OWNER TO :"app_owner";
COMMENT ON VIEW public.live_sessions IS 'sessions that have not ended, as gxy_balancer reads them';

/*
 * The rooms a server may be assigned to. A room not in here is refused when it is assigned, and one that leaves keeps
 * its server until its users are gone. A service that knows how many people a room is booked for adds an expected_users
 * column; without it the extension learns the size.
 */
CREATE OR REPLACE VIEW public.assignable_rooms AS
	SELECT r.gateway_uid AS room_id
	FROM public.rooms r
	WHERE NOT r.disabled AND r.removed_at IS NULL;
ALTER VIEW public.assignable_rooms OWNER TO :"app_owner";
COMMENT ON VIEW public.assignable_rooms IS 'rooms in service, as gxy_balancer reads them';

SELECT :"balancer_schema".attach_sessions('public.live_sessions') \g /dev/null
SELECT :"balancer_schema".attach_rooms('public.assignable_rooms') \g /dev/null

/*
 * What the API calls, and the table it lists. It writes none of the extension's tables, and needs nothing on the views.
 * Freeing idle rooms is the background worker's work; where that is not preloaded, grant clean_inactive_assignments to
 * whatever calls it instead.
 */
GRANT USAGE ON SCHEMA :"balancer_schema" TO :"api_role";
GRANT EXECUTE ON FUNCTION
	:"balancer_schema".get_or_assign_server(text, text, int),
	:"balancer_schema".get_or_assign_server(bigint, text, int),
	:"balancer_schema".touch_room(text, int),
	:"balancer_schema".touch_room(bigint, int),
	:"balancer_schema".room_server(text),
	:"balancer_schema".room_server(bigint)
TO :"api_role";
GRANT SELECT ON :"balancer_schema".room_server_assignments TO :"api_role";

COMMIT;

RESET search_path;
RESET client_min_messages;
