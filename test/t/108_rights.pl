# 108_rights.pl: no application code runs with the worker's rights, and its changes fire no
# application trigger.
#
# A worker is connected as a superuser. It reads the attached view as the view's owner. The view's
# code cannot become superuser, and what it sets does not last beyond the read. The worker follows
# the settings that an administrator has given the database.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;

use GxyWorker;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('rights');
$node->start;
create_database($node, 'galaxy');

# A view whose code tries to gain rights.
$node->safe_psql('galaxy', <<'SQL');
CREATE ROLE app;
CREATE ROLE other;
GRANT SELECT ON room_server_assignments TO app;
CREATE SCHEMA app AUTHORIZATION app;
CREATE TABLE secrets AS SELECT 'secret' AS secret;
SET ROLE app;
CREATE TABLE app.seen (pid int, number serial, role name, superuser boolean, search_path text, work_mem text,
	lock_timeout text, idle boolean);
CREATE TABLE app.tried (what text, error text);
CREATE FUNCTION app.try(what text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE what;
	INSERT INTO app.tried VALUES (what, 'none');
EXCEPTION WHEN OTHERS THEN
	INSERT INTO app.tried VALUES (what, SQLSTATE);
END
$$;
CREATE FUNCTION app.look() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO app.seen
		SELECT pg_backend_pid(), nextval('app.seen_number_seq'), current_user, rolsuper, current_setting('search_path'),
			current_setting('work_mem'), current_setting('lock_timeout'),
			EXISTS (SELECT FROM public.room_server_assignments WHERE room_id = 'idle')
		FROM pg_roles WHERE rolname = current_user;
	PERFORM app.try(what) FROM unnest(ARRAY['SET ROLE NONE', 'SET ROLE postgres', 'SET SESSION AUTHORIZATION DEFAULT',
		'ALTER ROLE app SUPERUSER', 'SELECT * FROM public.secrets', 'CREATE TEMP TABLE room_server_assignments (a int)',
		'SET gxy_balancer.assignment_grace = 0']) what;
	PERFORM set_config('search_path', 'app', false), set_config('work_mem', '64kB', false),
		set_config('lock_timeout', '0', false);
	RETURN true;
END
$$;
CREATE VIEW app.live AS SELECT NULL::text AS room_id, NULL::text AS user_id WHERE (SELECT NOT app.look());
RESET ROLE;
SELECT attach_sessions('app.live');
SQL

# The application's triggers on the table, one of each kind. If they fired, they would keep every
# room.
$node->safe_psql('galaxy', <<'SQL');
CREATE TABLE fired (how text);
CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO fired VALUES (format('%s %s %s as %s', TG_WHEN, TG_OP, TG_LEVEL, current_user));
	RETURN NULL;
END
$$;
CREATE TRIGGER a BEFORE UPDATE OR DELETE ON room_server_assignments FOR EACH ROW EXECUTE FUNCTION fire();
CREATE TRIGGER b AFTER UPDATE OR DELETE ON room_server_assignments FOR EACH ROW EXECUTE FUNCTION fire();
CREATE TRIGGER c BEFORE UPDATE OR DELETE ON room_server_assignments FOR EACH STATEMENT EXECUTE FUNCTION fire();
ALTER TABLE room_server_assignments ENABLE ALWAYS TRIGGER a;
ALTER TABLE room_server_assignments ENABLE ALWAYS TRIGGER b;
SQL

# The grace period that the database sets.
create_database($node, 'patient');
$node->safe_psql('postgres', q(ALTER DATABASE patient SET gxy_balancer.assignment_grace = '1h'));
for my $database ('galaxy', 'patient')
{
	$node->safe_psql($database, <<'SQL');
INSERT INTO room_server_assignments (room_id, gateway_name, assigned_at, last_used_at)
	SELECT room, 'gxy1', now() - age, now() - age
	FROM (VALUES ('idle', interval '50 min'), ('older', '70 min')) rooms (room, age);
SQL
}

$node->safe_psql('galaxy', 'TRUNCATE app.seen, app.tried');
set_interval($node, '250ms');
ok(rooms_are($node, 'galaxy'), 'rooms are freed by the default grace');
ok(rooms_are($node, 'patient', 'idle'), q(and by a database's own));
is($node->safe_psql('galaxy', 'SELECT count(*) FROM fired'), 0, 'no trigger fires');

my $now = server_time($node);
wait_for_run_after($node, $_, $now) for 'galaxy', 'patient';
ok(rooms_are($node, 'patient', 'idle'), 'which the next run remembers');
set_interval($node, '1h');

is($node->safe_psql('galaxy', 'SELECT DISTINCT role, superuser, search_path FROM app.seen'),
	'app|f|pg_catalog, pg_temp', q(the view is read as its owner, with nothing else in the path));
is($node->safe_psql('galaxy', 'SELECT what, error FROM app.tried GROUP BY 1, 2 ORDER BY 1'), <<'TRIED' =~ s/\n$//r, 'who gets no further');
ALTER ROLE app SUPERUSER|42501
CREATE TEMP TABLE room_server_assignments (a int)|42501
SELECT * FROM public.secrets|42501
SET ROLE NONE|42501
SET ROLE postgres|42501
SET SESSION AUTHORIZATION DEFAULT|42501
SET gxy_balancer.assignment_grace = 0|42501
TRIED
cmp_ok($node->safe_psql('galaxy', 'SELECT max(count) FROM (SELECT count(*) FROM app.seen GROUP BY pid) looks'),
	'>', 1, 'the run that freed a room looked twice');
is($node->safe_psql('galaxy', 'SELECT DISTINCT work_mem, lock_timeout FROM app.seen'),
	'4MB|1s', 'and what the first look had set was gone by the second');

# An index whose expression is code of the table's owner: it runs without superuser rights unless
# the owner is a superuser.
create_database($node, 'indexed');
attach_watched_sessions($node, 'indexed');
$node->safe_psql('indexed', <<'SQL');
CREATE TABLE app.evaluated (superuser boolean);
GRANT INSERT ON app.evaluated TO app;
INSERT INTO app.sessions VALUES ('busy', 1);
DO $$
DECLARE relation text;
BEGIN
	FOR relation IN SELECT objid::regclass FROM pg_depend d JOIN pg_class c ON c.oid = objid
		WHERE d.deptype = 'e' AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'gxy_balancer') AND relkind = 'r'
	LOOP
		EXECUTE format('ALTER TABLE %s OWNER TO app', relation);
	END LOOP;
END
$$;
CREATE FUNCTION app.note() RETURNS void LANGUAGE sql AS
	'INSERT INTO app.evaluated SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user';
CREATE FUNCTION app.spy(at timestamptz) RETURNS timestamptz LANGUAGE plpgsql IMMUTABLE AS
	'BEGIN PERFORM app.note(); RETURN at; END';
CREATE INDEX ON room_server_assignments (app.spy(last_used_at));
SQL
overdue($node, 'indexed', 'busy', 'idle');
$node->safe_psql('indexed', 'TRUNCATE app.evaluated');
set_interval($node, '250ms');
ok(rooms_are($node, 'indexed', 'busy'), 'a table with code of its owner in an index is cleaned');
wait_for_run_after($node, 'indexed', server_time($node));
set_interval($node, '1h');
is($node->safe_psql('indexed', 'SELECT DISTINCT superuser FROM app.evaluated'), 'f', 'and the code is run as its owner');

# The same for a role that calls a function.
is($node->safe_psql('galaxy', <<'SQL'), "gxy1\n\"\$user\", public|4MB|0", 'nor does it stay in the session of a caller');
SET search_path = DEFAULT;
SELECT get_or_assign_server('new');
SELECT current_setting('search_path'), current_setting('work_mem'), current_setting('lock_timeout');
SQL

$node->stop;
done_testing();
