/*
 * reentry: an attached view whose code calls the extension while the extension reads it. The call
 * is answered or refused, the server does not crash, and the cached plan of the view stays valid.
 * Near the end of the list: a crash here would fail the tests after it.
 */
\getenv abs_srcdir PG_ABS_SRCDIR
\set helpers :abs_srcdir '/sql/include/helpers.sql'
\set ECHO none
\i :helpers

SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_gxy_loop;
RESET client_min_messages;
CREATE ROLE regress_gxy_loop;
GRANT EXECUTE ON FUNCTION get_or_assign_server(text, text, int), explain_assignment(text, text, int),
	clean_inactive_assignments(interval), attach_sessions(regclass), attach_rooms(regclass) TO regress_gxy_loop;
CREATE SCHEMA app AUTHORIZATION regress_gxy_loop;
SET ROLE regress_gxy_loop;
CREATE TABLE app.members (room_id text, user_id text);
INSERT INTO app.members SELECT 'busy', i FROM generate_series(1, 3) i;
-- Executes a statement when the view is read, once.
CREATE FUNCTION app.act() RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	statement text := current_setting('app.statement', true);
BEGIN
	IF coalesce(statement, '') <> '' THEN
		PERFORM set_config('app.statement', '', true);
		EXECUTE statement;
	END IF;
	RETURN true;
END
$$;
CREATE VIEW app.live AS SELECT room_id, user_id FROM app.members WHERE app.act();
SELECT attach_sessions('app.live');
RESET ROLE;

-- Each statement runs while the sessions are read for a new room; then everything works as before.
CREATE PROCEDURE pg_temp.interfere(statement text) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('app.statement', statement, true);
	CALL pg_temp.refused('SELECT get_or_assign_server(''outer'')');
	PERFORM set_config('app.statement', '', true);
	PERFORM get_or_assign_server('next'), get_or_assign_server('busy');
	RAISE INFO 'users %, freed %', (SELECT users FROM balancer_rooms WHERE room_id = 'busy'),
		clean_inactive_assignments('0') > 0;
END
$$;
CALL pg_temp.interfere('SELECT public.get_or_assign_server(''inner'')');
CALL pg_temp.interfere('SELECT count(*) FROM public.explain_assignment(''inner'')');
CALL pg_temp.interfere('SELECT public.clean_inactive_assignments(''0'')');
CALL pg_temp.interfere('SELECT public.attach_sessions(''app.live'')');
-- With a change of the view in between, so that its cached plan is outdated.
CALL pg_temp.interfere('DO $x$BEGIN GRANT SELECT ON app.live TO PUBLIC;
	PERFORM public.get_or_assign_server(''inner''); END$x$');
CALL pg_temp.interfere('DO $x$BEGIN REVOKE SELECT ON app.live FROM PUBLIC;
	PERFORM count(*) FROM public.explain_assignment(''inner''); END$x$');
CALL pg_temp.interfere('DO $x$BEGIN GRANT SELECT ON app.live TO PUBLIC;
	PERFORM public.clean_inactive_assignments(''0''); END$x$');
CALL pg_temp.interfere('DO $x$BEGIN PERFORM public.attach_sessions(''app.members'');
	PERFORM public.get_or_assign_server(''inner''); END$x$');

-- What a call reads and writes waits for other transactions no longer than the call may: lock_timeout is what is left of
-- assign_timeout, or the caller's own, if that is smaller.
CREATE FUNCTION public.say_limit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE INFO 'within 1 h: %, within 1 min: %', current_setting('lock_timeout')::interval BETWEEN '1 ms' AND '1 h',
		current_setting('lock_timeout')::interval BETWEEN '1 ms' AND '1 min';
	RETURN new;
END
$$;
CREATE TRIGGER say_limit BEFORE INSERT ON balancer_pins FOR EACH ROW EXECUTE FUNCTION public.say_limit();
\set say_limit 'DO $x$BEGIN RAISE INFO $$within 1 h: %, within 1 min: %$$, current_setting($$lock_timeout$$)::interval BETWEEN $$1 ms$$ AND $$1 h$$, current_setting($$lock_timeout$$)::interval BETWEEN $$1 ms$$ AND $$1 min$$; END$x$'
SET gxy_balancer.assign_timeout = '1h';
CALL pg_temp.interfere(:'say_limit');
SELECT pin_room('pinned', 'gxy1');
SET lock_timeout = '1min';
CALL pg_temp.interfere(:'say_limit');
SELECT pin_room('pinned too', 'gxy1');
SET gxy_balancer.assign_timeout = '1min';
RESET lock_timeout;
CALL pg_temp.interfere(:'say_limit');
SELECT pin_room('pinned as well', 'gxy1');
RESET gxy_balancer.assign_timeout;
SELECT count(unpin_room(room_id)) FROM balancer_pins;
DROP TRIGGER say_limit ON balancer_pins;
DROP FUNCTION public.say_limit();

SELECT attach_sessions(NULL);
TRUNCATE room_server_assignments;
SET client_min_messages = warning;
DROP SCHEMA app CASCADE;
RESET client_min_messages;
DROP OWNED BY regress_gxy_loop;
DROP ROLE regress_gxy_loop;
