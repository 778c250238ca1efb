# 111_changes_during_run.pl: the database, or the extension in it, changes during a run.
#
# A run waits for a lock that a transaction holds. The transaction drops or renames an object that
# the run has already read. The run must end without an error, or its process must be gone.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;

use GxyWorker;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('between');
my $odd = q(we"ird 'db' Ü);

$node->start;
create_database($node, 'galaxy');
set_interval($node, '200ms');

# The errors in the log, except those of a run that has given way: it may have waited its maximum
# before the transaction ended, or have seen that the transaction waits for it.
sub complaints
{
	my ($offset) = @_;

	return count_in_log($node, $offset, qr/\] gxy_balancer \w+ (?:WARNING|ERROR|FATAL|PANIC):  (?!timed out waiting|deadlock detected)/);
}

# Runs the statements in one transaction, which holds a lock on a table. The run waits for that lock
# when the last statement comes.
sub while_a_run_waits
{
	my ($database, $table, @statements) = @_;
	my $session = hold($node, $database, "LOCK $table");

	wait_for_blocked_worker($node, $database);
	$session->query_safe("SET client_min_messages = warning; $_") for @statements;
	release($session);
	return;
}

# The table that a run reads first, and the one that it writes.
for my $table ('balancer_servers', 'room_server_assignments')
{
	my $log_before = log_size($node);
	my $now = server_time($node);

	while_a_run_waits('galaxy', $table, 'DROP EXTENSION gxy_balancer', 'CREATE EXTENSION gxy_balancer');
	wait_for_run_after($node, 'galaxy', $now);
	is(complaints($log_before), 0, "dropped and created in one transaction, while a run waits for $table");
}

# DROP EXTENSION begins while a run is between two tables, and locks the second one first: here the
# run has read the servers and has yet to read the rooms, because a failover is due.
$node->safe_psql('galaxy', <<'SQL');
SELECT init_servers('a,b');
SET gxy_balancer.failover_delay = '1h';
SELECT set_server_state('a', 'offline');
SQL
my $log_before = log_size($node);
my $session = hold($node, 'galaxy', 'LOCK balancer_pins; DELETE FROM balancer_failovers');
wait_for_blocked_worker($node, 'galaxy');
my $dropper = $node->background_psql('galaxy', on_error_stop => 0);
$dropper->query_until(qr/dropping/, "\\echo dropping\nDROP EXTENSION gxy_balancer;\n");
wait_until($node, 'postgres', q(SELECT count(*) = 1 FROM pg_stat_activity
	WHERE wait_event_type = 'Lock' AND query ~ '^DROP EXTENSION'));
release($session);
$dropper->quit;
$node->safe_psql('galaxy', q(SELECT count(*) FROM pg_extension WHERE extname = 'gxy_balancer')) == 0 or die 'nothing was dropped';
is(count_in_log($node, $log_before, qr/deadlock detected/), 0, 'DROP EXTENSION beside a run is no deadlock');
create_extension($node, 'galaxy');

# A transaction locks the application's table and then the extension's; a run takes them in the
# other order. The run, which comes last, gives way. The view holds it up between the two locks.
create_database($node, 'crossed');
$node->safe_psql('crossed', <<'SQL');
SET client_min_messages = warning;
CREATE TABLE sessions (room_id text, user_id int);
CREATE VIEW live AS SELECT room_id, user_id FROM sessions;
SELECT attach_sessions('live');
SQL
my $gate = hold($node, 'crossed', 'ALTER VIEW live RESET (security_barrier)');
wait_for_blocked_worker($node, 'crossed');
my $crossing = $node->background_psql('crossed', on_error_stop => 0);
$crossing->query_until(qr/locking/, "BEGIN; LOCK sessions;\n\\echo locking\nLOCK room_server_assignments; COMMIT;\n");
# Unless the run has given up before: it waits for a second at most.
wait_until($node, 'postgres', q(SELECT count(*) = 1 FROM pg_stat_activity
	WHERE wait_event_type = 'Lock' AND query ~ '^LOCK room_server' OR datname = 'crossed' AND state = 'idle' AND query ~ '^COMMIT'));
release($gate);
$crossing->query('SELECT 1');
$crossing->quit;
is(count_in_log($node, $log_before, qr/client backend ERROR:  deadlock detected/), 0, 'nor is anybody else in one because of a run');

# The same for a caller of a function.
$session = hold($node, 'galaxy', 'LOCK balancer_servers, room_server_assignments');
my $caller = $node->background_psql('galaxy', on_error_stop => 0);
$caller->query_until(qr/called/, "\\echo called\nSELECT get_or_assign_server('new');\n");
wait_until($node, 'postgres', q(SELECT count(*) = 1 FROM pg_stat_activity
	WHERE wait_event_type = 'Lock' AND query ~ 'get_or_assign_server'));
$session->query_safe('SET client_min_messages = warning; DROP EXTENSION gxy_balancer; CREATE EXTENSION gxy_balancer');
release($session);
like($caller->query('SELECT 1'), qr/gxy1/, 'a call that waited meanwhile is answered by the new one');
$caller->quit;

# The schema of the extension is renamed.
$node->safe_psql('galaxy', 'DROP EXTENSION gxy_balancer; CREATE SCHEMA one');
$node->safe_psql('galaxy', 'SET client_min_messages = warning; CREATE EXTENSION gxy_balancer SCHEMA one');
$log_before = log_size($node);
while_a_run_waits('galaxy', 'one.room_server_assignments', 'ALTER SCHEMA one RENAME TO two');
$node->safe_psql('postgres', 'ALTER DATABASE galaxy SET search_path = two, public');
overdue($node, 'galaxy', 'idle');
rooms_are($node, 'galaxy') or die 'no run in galaxy';
is(complaints($log_before), 0, 'moved with its schema while a run waits');

# The attached view is replaced by another.
$node->safe_psql('galaxy', <<'SQL');
SET client_min_messages = warning;
CREATE VIEW public.live AS SELECT NULL::text AS room_id, NULL::text AS user_id WHERE false;
SELECT attach_sessions('public.live');
SQL
while_a_run_waits('galaxy', 'public.live', 'DROP VIEW public.live',
	'CREATE VIEW public.live AS SELECT 0 AS user_id, 0 AS room_id WHERE false');
overdue($node, 'galaxy', 'idle');
rooms_are($node, 'galaxy') or die 'no run in galaxy';
is(complaints($log_before), 0, 'the attached view is exchanged while a run waits for it');

# A schema name that needs quotes and is not ASCII.
$node->safe_psql('postgres', q(CREATE DATABASE "we""ird 'db' Ü"));
create_extension($node, $odd);
overdue($node, $odd, 'idle');
rooms_are($node, $odd) or die 'no run in the one with the odd name';
$node->safe_psql($odd, 'ALTER TABLE balancer_servers ALTER COLUMN priority DROP NOT NULL');
ok($node->poll_query_until($odd, q(SELECT worker LIKE 'backing off: column "priority"%' FROM balancer_stats)), 'a database with an odd name backs off like any');
is(count_logged($node, $log_before, $odd, 'ERROR:  column "priority"'), 1, 'which the log tells with its name');

$node->stop;
done_testing();
