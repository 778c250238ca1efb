# 103_lifecycle.pl: reload, termination, shutdown and crash.
#
# A changed interval applies at once. Launcher and workers end when they are told to, also in the middle of a run, and
# are back afterwards; nothing of what they knew has to survive.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;

use GxyWorker;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('lifecycle');
my ($log_before, $session);

sub terminate
{
	my ($condition) = @_;

	return $node->safe_psql('postgres', "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE $condition");
}

# A run that cannot go on before the session ends.
sub block_a_run
{
	$log_before = log_size($node);
	overdue($node, 'galaxy', 'idle');
	$session = hold($node, 'galaxy', 'LOCK room_server_assignments');
	return wait_for_blocked_worker($node, 'galaxy');
}

$node->start;
create_database($node, 'galaxy');
create_database($node, 'broken');
$node->safe_psql('broken', <<'SQL');
SET client_min_messages = warning;
CREATE VIEW live AS SELECT NULL::text AS room_id, NULL::text AS user_id WHERE false;
SELECT attach_sessions('live');
DROP VIEW live;
SQL
set_interval($node, '500ms');
ok($node->poll_query_until('broken', q(SELECT worker LIKE 'backing off: %' FROM balancer_stats)), 'one of two databases is broken');
set_interval($node, '1h');
ok($node->poll_query_until('broken', q(SELECT next_due > now() + '30 min' FROM balancer_stats)), 'a new interval also counts for a broken one');
$node->safe_psql('broken', q(SELECT attach_sessions(NULL)));

# From an hour to half a second: nobody waits for the hour to end.
overdue($node, 'galaxy', 'idle');
overdue($node, 'broken', 'idle');
set_interval($node, '500ms');
ok(rooms_are($node, 'galaxy'), 'a shorter interval applies at once');
ok(rooms_are($node, 'broken'), 'also where the last run failed');

# pg_terminate_backend: first a worker, then the launcher, in the middle of a run.
ok(block_a_run(), 'a run is waiting');
terminate(q(backend_type = 'gxy_balancer worker' AND datname = 'galaxy'));
ok($node->poll_query_until('galaxy', q(SELECT last_error = 'the worker was terminated' FROM balancer_stats)),
	'the worker ends when told to, and is missed');
release($session);
ok(rooms_are($node, 'galaxy'), 'the next one takes its place');

my $launcher = launcher_pid($node);
ok(block_a_run(), 'a run is waiting');
is(terminate("pid = $launcher"), 't', 'the launcher ends when told to');
isnt(launcher_pid($node, $launcher), $launcher, 'and is started again');
release($session);
ok(rooms_are($node, 'galaxy'), 'the runs go on');
wait_for_run_after($node, 'galaxy', server_time($node)) for 1 .. 3;

# At an interval of an hour a launcher that comes back asks nobody who is known for another run.
set_interval($node, '1h');
wait_for_first_run($node, $_) for 'galaxy', 'broken';
my $last_run = $node->safe_psql('galaxy', 'SELECT last_run FROM balancer_stats');
$launcher = launcher_pid($node);
terminate("pid = $launcher");
launcher_pid($node, $launcher);
$node->safe_psql('postgres', 'CREATE DATABASE fresh');
create_extension($node, 'fresh');
ok(wait_for_first_run($node, 'fresh'), 'the new launcher is called like the old one');
is($node->safe_psql('galaxy', 'SELECT last_run FROM balancer_stats'), $last_run, 'and takes over its plan');
set_interval($node, '500ms');

# Shutdown in the middle of a run.
ok(block_a_run(), 'a run is waiting');
$node->stop('fast');
$session->{run}->finish;
is(count_in_log($node, $log_before, qr/LOG:  received fast shutdown request/), 1, 'a fast shutdown');
is(count_in_log($node, $log_before, qr/LOG:  database system is shut down/), 1, 'comes to an end');
is(count_in_log($node, $log_before, qr/timed out|PANIC:|was terminated by signal/),
	0, 'without the run waiting for anything');
$node->start;
ok(rooms_are($node, 'galaxy'), 'the next start goes on');

ok(block_a_run(), 'a run is waiting');
$node->stop('immediate');
$session->{run}->finish;
$node->start;
ok(rooms_are($node, 'galaxy'), 'the start after an immediate shutdown recovers, and goes on');

# A backend that dies takes the shared memory with it.
$node->safe_psql('galaxy', q(SELECT get_or_assign_server('mine')));
$launcher = launcher_pid($node);
ok(block_a_run(), 'a run is waiting');
my $pid = $session->query_safe('SELECT pg_backend_pid()');
command_ok([ 'pg_ctl', 'kill', 'ABRT', $pid ], 'a backend crashes');
$session->{run}->finish;
isnt(launcher_pid($node, $launcher), $launcher, 'the server restarts, and the launcher');
ok(rooms_are($node, 'galaxy', 'mine'), 'the runs go on, and lose no room in use');

# pg_upgrade starts the server like this; log_min_messages has it name the background workers it registers.
$node->stop;
$node->append_conf('postgresql.conf', 'log_min_messages = debug1');
my $registered = qr/DEBUG:  registering background worker "gxy_balancer launcher"/;
my $option = '-b';
for (0, 1)
{
	$log_before = log_size($node);
	command_ok([ 'pg_ctl', '-D', $node->data_dir, '-l', $node->logfile, '-o', $option, '-w', 'start' ], "a start with $option");
	is($node->psql('galaxy', q(SELECT get_or_assign_server('mine'))), 0, 'the functions work');
	command_ok([ 'pg_ctl', '-D', $node->data_dir, '-w', 'stop' ], 'and a stop');
	is(count_in_log($node, $log_before, $registered), $_, $_ ? 'has a launcher otherwise' : 'has no launcher for pg_upgrade');
	$option = '-F';
}

done_testing();
