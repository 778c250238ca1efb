/*
 * Puts the extension in the place of the service's own table room_server_assignments, while the service is in use; see
 * doc/taking-over.md. For a service without such a table: CREATE EXTENSION and init_servers() are enough.
 *
 * As a superuser, and in one transaction: callers wait for its end, and then meet the new table with their rights on it.
 */
SET LOCAL lock_timeout = '2s';
ALTER TABLE public.room_server_assignments RENAME TO old_assignments;
ALTER INDEX IF EXISTS public.room_server_assignments_pkey RENAME TO old_assignments_pkey;
CREATE EXTENSION gxy_balancer SCHEMA public;
SELECT public.init_servers('gxy1,gxy2,gxy3,gxy4,gxy5,gxy6,gxy7,gxy8,gxy9,gxy10,gxy11,gxy12');
INSERT INTO public.room_server_assignments (room_id, gateway_name, region, assigned_at, last_used_at)
	SELECT room_id, gateway_name, nullif(region, ''), assigned_at AT TIME ZONE 'UTC', last_used_at AT TIME ZONE 'UTC'
	FROM public.old_assignments;
GRANT SELECT, INSERT, UPDATE ON public.room_server_assignments TO gxydb_api;
DROP TABLE public.old_assignments;
