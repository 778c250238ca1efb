/* Rooms are then balanced and freed by their leases alone. Grants on the extension's objects go with the extension. */
SELECT public.attach_sessions(NULL);
SELECT public.attach_rooms(NULL);
DROP VIEW IF EXISTS public.live_sessions, public.live_connections, public.assignable_rooms;
REVOKE EXECUTE ON FUNCTION
	public.get_or_assign_server(text, text, int),
	public.get_or_assign_server(bigint, text, int),
	public.touch_room(text, int),
	public.touch_room(bigint, int),
	public.room_server(text),
	public.room_server(bigint)
FROM gxydb_api;
