/*
 * The way back: the service's own table again, with the rooms as they are now, and no extension; see doc/taking-over.md.
 * Only where no API calls the extension's functions any more, and its views are gone (3_balancer_views.down.sql).
 *
 * As a superuser, and in one transaction. The table is as the service's own migration made it.
 */
SET LOCAL lock_timeout = '2s';
LOCK TABLE public.room_server_assignments IN ACCESS EXCLUSIVE MODE;
CREATE TABLE public.new_assignments (
	room_id varchar(255) PRIMARY KEY,
	gateway_name varchar(50) NOT NULL,
	region varchar(50),
	assigned_at timestamp NOT NULL DEFAULT now(),
	last_used_at timestamp NOT NULL DEFAULT now()
);
INSERT INTO public.new_assignments
	SELECT room_id, gateway_name, region, assigned_at AT TIME ZONE 'UTC', last_used_at AT TIME ZONE 'UTC'
	FROM public.room_server_assignments;
DROP EXTENSION gxy_balancer;
ALTER TABLE public.new_assignments RENAME TO room_server_assignments;
ALTER INDEX public.new_assignments_pkey RENAME TO room_server_assignments_pkey;
CREATE INDEX room_server_assignments_last_used_at_idx ON public.room_server_assignments (last_used_at);
ALTER TABLE public.room_server_assignments OWNER TO gxydb_api;
