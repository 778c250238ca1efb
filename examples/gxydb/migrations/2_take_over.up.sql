/*
 * Puts the extension in the place of the service's own table room_server_assignments, while the service is in use; see
 * doc/taking-over.md. For a service without such a table: CREATE EXTENSION and init_servers() are enough.
 *
 * Replace the names of the servers by yours: those of AVAILABLE_JANUS_SERVERS, and those of FAILOVER_JANUS_SERVERS as
 * standbys. As a superuser, and in one transaction: callers wait for its end, and then meet the new table with their
 * rights on it. Attach the sessions (3_balancer_views.up.sql) within 90 seconds: until then each room has a lease only.
 */
SET LOCAL lock_timeout = '2s';
ALTER TABLE public.room_server_assignments RENAME TO old_assignments;
ALTER INDEX IF EXISTS public.room_server_assignments_pkey RENAME TO old_assignments_pkey;
CREATE EXTENSION gxy_balancer SCHEMA public;

SELECT public.init_servers('gxy1,gxy2,gxy3,gxy4,gxy5,gxy6,gxy7,gxy8,gxy9,gxy10,gxy11,gxy12');
INSERT INTO public.balancer_servers (name, pool) VALUES ('gxy13', 'standby'), ('gxy14', 'standby');

DO $$
DECLARE
	others text := (SELECT string_agg(DISTINCT o.gateway_name, ', ') FROM public.old_assignments o
		WHERE NOT EXISTS (SELECT FROM public.balancer_servers s WHERE s.name = o.gateway_name));
BEGIN
	IF others IS NOT NULL THEN
		RAISE EXCEPTION 'rooms are on servers that are not in the pool'
			USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = others;
	END IF;
END
$$;

INSERT INTO public.room_server_assignments (room_id, gateway_name, region, assigned_at, last_used_at, reason)
	SELECT room_id, gateway_name, CASE WHEN region NOT IN ('', 'pinned') THEN region END, assigned_at AT TIME ZONE 'UTC', now(),
		'taken over'
	FROM public.old_assignments;
GRANT SELECT, INSERT, UPDATE (last_used_at) ON public.room_server_assignments TO gxydb_api;
DROP TABLE public.old_assignments;
