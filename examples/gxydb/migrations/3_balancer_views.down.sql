/*
 * Rooms are then balanced and freed by their leases alone. Every room gets a whole lease first: the cleanup has renewed
 * the leases of rooms in use up to a minute ago. Grants on the extension's objects go with the extension.
 */
UPDATE public.room_server_assignments SET last_used_at = now();
SELECT public.attach_sessions(NULL);
SELECT public.attach_rooms(NULL);
DROP VIEW IF EXISTS public.live_sessions, public.live_connections, public.assignable_rooms;
REVOKE EXECUTE ON FUNCTION
	public.get_or_assign_server(text, text, int),
	public.get_or_assign_server(bigint, text, int),
	public.touch_room(text, int),
	public.touch_room(bigint, int),
	public.room_server(text),
	public.room_server(bigint),
	public.server_heartbeat(text, boolean, real)
FROM gxydb_api;
