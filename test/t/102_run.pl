# 102_run.pl: what one run does, and what other sessions see of it.
#
# A run works in batches, in short transactions. It stays in a database for about a second at most,
# and comes back at once if work is left. It waits for a lock for a second at most, whatever the
# database's settings are. It reports the rows to the statistics that autovacuum uses, and
# pg_stat_activity shows it. A room in use keeps its server when its sessions are lost.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;

use GxyWorker;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('run', init => { allows_streaming => 1 });
$node->start;

# 12,000 idle rooms: a transaction frees up to 5,000.
create_database($node, 'batches');
attach_watched_sessions($node, 'batches');
overdue($node, 'batches', 1 .. 12000);
$node->safe_psql('batches', q(SELECT set_server_state('gxy1', 'draining'), set_server_state('gxy1', 'online')));    # calls for a run
ok(rooms_are($node, 'batches'), 'all rooms are freed');
is($node->safe_psql('batches', <<'SQL'), '5000,5000,2000', 'in batches, each a transaction');
SELECT string_agg(freed::text, ',' ORDER BY at)
FROM (SELECT lag(max(rooms)) OVER (ORDER BY min(at)) - min(rooms) AS freed, min(at) AS at FROM app.looks GROUP BY xid) transactions
WHERE freed > 0
SQL
ok( $node->poll_query_until('batches',
		q(SELECT n_tup_del = 12000 FROM pg_stat_user_tables WHERE relname = 'room_server_assignments')),
	'which the cumulative statistics learn');
is($node->safe_psql('batches', 'SELECT freed FROM balancer_stats'), 12000, 'and balancer_stats');
# All of them, if the machine is not busy.
wait_for_first_run($node, 'batches');
is($node->safe_psql('batches', 'SELECT last_run_freed FROM balancer_stats'),
	$node->safe_psql('batches', 'SELECT rooms FROM app.looks WHERE pid = (SELECT pid FROM app.looks WHERE rooms > 0 ORDER BY at DESC LIMIT 1)
		ORDER BY at LIMIT 1'), 'which says how many the last run has freed');

# A view so slow that a batch takes a second: each run frees one batch, and the next run follows at
# once, not an hour later.
$node->safe_psql('postgres', 'CREATE DATABASE heavy');
$node->safe_psql('heavy',
	    'SET client_min_messages = warning; BEGIN; CREATE EXTENSION gxy_balancer; '
	  . watched_sessions(0.5)
	  . overdue_rooms(1 .. 12000)
	  . 'COMMIT');
ok(rooms_are($node, 'heavy'), 'what a run leaves is not left for an hour');
is($node->safe_psql('heavy', 'SELECT count(DISTINCT pid) FROM app.looks WHERE rooms > 0'),
	3, 'each run does a part of it');
set_interval($node, '500ms');

# A view that takes over two seconds: a run reads it twice, and other sessions do not wait for the
# database.
$node->safe_psql('postgres', 'CREATE DATABASE slow');
$node->safe_psql('slow',
	    'SET client_min_messages = warning; BEGIN; CREATE EXTENSION gxy_balancer; '
	  . watched_sessions(2.2)
	  . overdue_rooms(1 .. 3)
	  . 'COMMIT');
ok(rooms_are($node, 'slow'), 'a step has as long as the one before, whatever that took');
$node->safe_psql('postgres', 'DROP DATABASE slow');

# Another session locks the whole table. The database's own lock_timeout does not apply.
create_database($node, 'locked');
overdue($node, 'locked', 'idle');
$node->safe_psql('postgres', q(ALTER DATABASE locked SET lock_timeout = '1h'));
my $log_before = log_size($node);
my $session = hold($node, 'locked', 'LOCK room_server_assignments');
ok(wait_for_blocked_worker($node, 'locked'), 'a run waits for a lock');
is($node->safe_psql('postgres', <<'SQL'), "gxy_balancer launcher||\ngxy_balancer worker|locked|gxy_balancer: moving rooms",
SELECT backend_type, datname, CASE WHEN state = 'active' THEN query END FROM pg_stat_activity
WHERE backend_type LIKE 'gxy_balancer%' AND (datname = 'locked' OR backend_type ~ 'launcher') ORDER BY 1
SQL
	'pg_stat_activity shows launcher and worker, and what it does');
is($node->safe_psql('locked', 'SELECT worker FROM balancer_stats'), 'running', 'so does balancer_stats');
ok($node->poll_query_until('locked', q(SELECT worker LIKE 'backing off: timed out waiting for %room_server_assignments%' FROM balancer_stats)),
	'not for long, then it backs off');
ok($node->poll_query_until('locked',
		q(SELECT worker LIKE 'backing off: %' AND next_due - last_run - last_run_duration >= '1 s' FROM balancer_stats)),
	'for longer each time');
is(count_logged($node, $log_before, 'locked', 'ERROR: '), 1, 'and says so once');
release($session);
ok(rooms_are($node, 'locked'), 'it recovers');
ok($node->poll_query_until('locked', q(SELECT worker = 'idle' AND last_error IS NULL FROM balancer_stats)),
	'balancer_stats forgets the error');
wait_for_run_after($node, 'locked', server_time($node));
is(count_logged($node, $log_before, 'locked', 'LOG:  gxy_balancer: the cleanup works again'), 1, 'and says so once');
is(count_complaints($node, $log_before), 1, 'and nothing else');

# The run skips a locked row instead of waiting for it. The leases expire when the row is locked
# already, by a change of the grace period.
$node->safe_psql('postgres', q(ALTER DATABASE locked SET gxy_balancer.assignment_grace = '7d'));
wait_for_run_after($node, 'locked', server_time($node));
overdue($node, 'locked', 'busy', 'free');
$session = hold($node, 'locked', q(SELECT 1 FROM room_server_assignments WHERE room_id = 'busy' FOR UPDATE));
$node->safe_psql('postgres', 'ALTER DATABASE locked RESET gxy_balancer.assignment_grace');
ok(rooms_are($node, 'locked', 'busy'), 'a locked row holds up nothing else');
$session->quit;
ok(rooms_are($node, 'locked'), 'and is freed when it is free');

# Settings that a database has for its sessions must not apply to the worker. With these, its
# transaction would wait for all other writers, or make them fail, or wait for a standby, which
# blocks DROP DATABASE.
create_database($node, 'settings');
$node->safe_psql('settings', <<'SQL');
CREATE ROLE app2;
GRANT CREATE ON SCHEMA public TO app2;
SET ROLE app2;
CREATE TABLE looks (isolation text, readonly text, deferred text);
CREATE FUNCTION look() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO public.looks VALUES (current_setting('transaction_isolation'), current_setting('transaction_read_only'),
		current_setting('transaction_deferrable'));
	RETURN true;
END
$$;
CREATE VIEW live AS SELECT NULL::text AS room_id, NULL::text AS user_id WHERE NOT public.look();
RESET ROLE;
SELECT attach_sessions('live');
TRUNCATE looks;
ALTER DATABASE settings SET default_transaction_isolation = serializable;
ALTER DATABASE settings SET default_transaction_read_only = on;
ALTER DATABASE settings SET default_transaction_deferrable = on;
ALTER DATABASE settings SET search_path = nowhere;
ALTER DATABASE settings SET role = app2;
SQL
$session = hold($node, 'locked', 'SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; CREATE TABLE anything ()');
$node->safe_psql('settings',
	'SET default_transaction_read_only = off; SET default_transaction_isolation = "read committed"; SET search_path = public; SET role = none; BEGIN; ' . overdue_rooms('idle') . 'COMMIT');
local $ENV{PGOPTIONS} = '-c default_transaction_deferrable=off -c search_path=public -c role=none';
ok(rooms_are($node, 'settings'), 'what is set for a database does not hold up its runs');
is($node->safe_psql('settings', 'SELECT DISTINCT * FROM looks'), 'read committed|off|off', 'which do not go by it');
delete $ENV{PGOPTIONS};
release($session);

# A standby that has to confirm each commit is away. The sessions of this test do not wait for it.
$node->safe_psql('postgres', q(ALTER SYSTEM SET synchronous_standby_names = 'away'));
$node->reload;
$ENV{PGOPTIONS} = '-c synchronous_commit=local';
$log_before = log_size($node);
my $waiting = $node->background_psql('postgres');
$waiting->query_until(qr/waiting/, "SET synchronous_commit = on;\n\\echo waiting\nCREATE TABLE of_a_commit_that_waits ();\n");
wait_until($node, 'postgres', q(SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'));
overdue($node, 'locked', 'idle');
rooms_are($node, 'locked') or die 'no run';
is(count_complaints($node, $log_before), 0, 'no run waits for a standby that is away');
$node->safe_psql('postgres', 'ALTER SYSTEM RESET synchronous_standby_names');
$node->reload;
delete $ENV{PGOPTIONS};
$waiting->quit;

# The application truncates its sessions while a room is in use. The room stays, because every
# earlier run has renewed its lease.
create_database($node, 'truncated');
$node->safe_psql('postgres', q(ALTER DATABASE truncated SET gxy_balancer.assignment_grace = '1h'));
attach_watched_sessions($node, 'truncated');
$node->safe_psql('truncated', q(INSERT INTO app.sessions VALUES ('busy', 1)));
overdue($node, 'truncated', 'busy', 'idle');
ok(rooms_are($node, 'truncated', 'busy'), 'a room in use is kept');
$node->safe_psql('truncated', 'TRUNCATE app.sessions');
wait_for_run_after($node, 'truncated', server_time($node)) for 1 .. 2;
is($node->safe_psql('truncated', 'SELECT room_id, gateway_name FROM room_server_assignments'),
	'busy|gxy1', 'also by the runs after its sessions are gone');

$node->stop;
done_testing();
