# 103_lifecycle.pl: reload, termination, shutdown and crash.
#
# A changed interval applies at once. Launcher and workers end when they are told to, also in the
# middle of a run, and start again afterwards. They need no state from before.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;

use GxyWorker;
use PostgreSQL::Test::Utils;
use Test::More;

# After a start, leases from before last for a whole assignment_grace again.
my $node = new_node('lifecycle', conf => "max_prepared_transactions = 1\ngxy_balancer.assignment_grace = '1s'\n");
my ($log_before, $session);

sub terminate
{
	my ($condition) = @_;

	return $node->safe_psql('postgres', "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE $condition");
}

# Starts a run that cannot continue before the session ends.
sub block_a_run
{
	$log_before = log_size($node);
	overdue($node, 'galaxy', 'idle');
	$session = hold($node, 'galaxy', 'LOCK room_server_assignments');
	wait_for_blocked_worker($node, 'galaxy');
	return;
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
wait_until($node, 'broken', q(SELECT worker LIKE 'backing off: %' FROM balancer_stats));
set_interval($node, '1h');
wait_until($node, 'broken', q(SELECT next_due > now() + '30 min' FROM balancer_stats));
$node->safe_psql('broken', q(SELECT attach_sessions(NULL)));

# The interval goes from an hour to half a second: the next run does not wait for the hour to end.
overdue($node, 'galaxy', 'idle');
overdue($node, 'broken', 'idle');
set_interval($node, '500ms');
ok(rooms_are($node, 'galaxy'), 'a shorter interval applies at once');
ok(rooms_are($node, 'broken'), 'also where the last run failed');

# pg_terminate_backend: first a worker, then the launcher, in the middle of a run.
block_a_run();
terminate(q(backend_type = 'gxy_balancer worker' AND datname = 'galaxy'));
ok($node->poll_query_until('galaxy', q(SELECT worker = 'backing off: the worker was terminated' FROM balancer_stats)),
	'the worker ends when told to, and is missed');
release($session);
ok(rooms_are($node, 'galaxy'), 'the next one takes its place');

my $launcher = launcher_pid($node);
block_a_run();
is(terminate("pid = $launcher"), 't', 'the launcher ends when told to');
launcher_pid($node, $launcher);
release($session);
ok(rooms_are($node, 'galaxy'), 'and is started again');
wait_for_run_after($node, 'galaxy', server_time($node)) for 1 .. 3;

# At an interval of an hour, a restarted launcher starts no run in a database that had one already.
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

# Shutdown in the middle of a run, which waits for a transaction that the shutdown does not end.
block_a_run();
$session->query_safe(q(PREPARE TRANSACTION 'lock'));
$session->quit;
$node->stop('fast');
is(count_in_log($node, $log_before, qr/timed out|lock timeout|PANIC:|was terminated by signal/),
	0, 'a fast shutdown ends a run before its wait does');
$node->start;
$node->safe_psql('galaxy', q(COMMIT PREPARED 'lock'));
ok(rooms_are($node, 'galaxy'), 'the next start goes on');

block_a_run();
$node->stop('immediate');
$session->{run}->finish;
$node->start;
ok(rooms_are($node, 'galaxy'), 'the start after an immediate shutdown recovers, and goes on');

# A backend that crashes takes the shared memory with it.
$node->safe_psql('galaxy', q(INSERT INTO room_server_assignments (room_id, gateway_name, last_used_at) VALUES ('mine', 'gxy1', 'infinity')));
$launcher = launcher_pid($node);
block_a_run();
my $pid = $session->query_safe('SELECT pg_backend_pid()');
system_or_bail('pg_ctl', 'kill', 'ABRT', $pid);
$session->{run}->finish;
launcher_pid($node, $launcher);
ok(rooms_are($node, 'galaxy', 'mine'), 'the runs go on after a crash, and lose no room in use');

# pg_upgrade starts the server with these options; log_min_messages makes it log the background
# workers it registers.
$node->stop;
$node->append_conf('postgresql.conf', 'log_min_messages = debug1');
my $registered = qr/DEBUG:  registering background worker "gxy_balancer launcher"/;
my @launchers;
for my $option ('-b', '-F')
{
	$log_before = log_size($node);
	system_or_bail('pg_ctl', '-D', $node->data_dir, '-l', $node->logfile, '-o', $option, '-w', 'start');
	$node->safe_psql('galaxy', q(SELECT get_or_assign_server('mine')));
	system_or_bail('pg_ctl', '-D', $node->data_dir, '-w', 'stop');
	push @launchers, count_in_log($node, $log_before, $registered);
}
is_deeply(\@launchers, [ 0, 1 ], 'pg_upgrade gets no launcher, others do');

done_testing();
