/*
 * On each shard: the role "proxy", as which a proxy connects, and what it needs for all functions and views that the proxy has.
 * For the extension in the schema public; else name yours here, and in the role's search_path. How the role logs in
 * (password, certificate) is for you to say, here and in the user mapping of the proxy.
 */
DO $$ BEGIN
	IF to_regrole('proxy') IS NULL THEN
		CREATE ROLE proxy LOGIN;
	END IF;
END $$;
-- PL/Proxy waits without end for a call that a shard has cancelled, so time limits belong on the proxy, to its callers.
ALTER ROLE proxy SET statement_timeout = 0;
GRANT USAGE ON SCHEMA public TO proxy;
GRANT pg_monitor TO proxy;
GRANT SELECT ON room_server_assignments, balancer_sources TO proxy;
-- For synchronize_servers().
GRANT SELECT, INSERT, UPDATE ON balancer_servers TO proxy;
GRANT EXECUTE ON FUNCTION get_or_assign_server(text, text, int), get_or_assign_server(bigint, text, int),
	touch_room(text, int), touch_room(bigint, int), room_server(text), room_server(bigint),
	release_room(text), release_room(bigint), move_room(text, text), move_room(bigint, text),
	pin_room(text, text, int), pin_room(bigint, text, int), unpin_room(text), unpin_room(bigint),
	explain_assignment(text, text, int), explain_assignment(bigint, text, int),
	init_servers(text), server_state(text), set_server_state(text, text), server_heartbeat(text, boolean, real),
	evacuate_server(text, text, int), rebalance(int, int, boolean), what_if(text, text), what_if_added(text, int),
	clean_inactive_assignments(interval), reset_balancer_stats() TO proxy;
