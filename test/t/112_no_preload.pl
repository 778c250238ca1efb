# 112_no_preload.pl: CREATE EXTENSION is all, on a server that was never configured for it nor restarted.
#
# The launcher starts with the commit of CREATE EXTENSION, or with the first call after a restart or a promotion; there
# is never a second one; it comes back after whatever ends it; and it leaves when no database has the extension.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;

use GxyWorker;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $launchers = q(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'gxy_balancer launcher');

sub launchers_are
{
	my ($node, $count) = @_;

	return $node->poll_query_until('postgres', $launchers, $count);
}

my $node = PostgreSQL::Test::Cluster->new('plain');

$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', "autovacuum = off\nrestart_after_crash = on\nlog_line_prefix = '%m [%p] %b '\n");
$node->start;

#
# Nothing before CREATE EXTENSION has been committed
#

$node->safe_psql('postgres', 'CREATE DATABASE galaxy');
$node->safe_psql('galaxy', 'BEGIN; CREATE EXTENSION gxy_balancer; ROLLBACK');
is($node->safe_psql('postgres', $launchers), '0', 'a CREATE EXTENSION that is rolled back starts nothing');

my $stderr;

$node->psql('galaxy', 'CREATE EXTENSION gxy_balancer', stderr => \$stderr);
unlike($stderr, qr/WARNING|preload/, 'CREATE EXTENSION asks for nothing more');
ok(launchers_are($node, 1), 'CREATE EXTENSION starts the launcher');
ok(wait_for_first_run($node, 'galaxy'), 'and a worker runs');

#
# Forty databases, one after the other
#

set_interval($node, '1s');
for my $i (1 .. 40)
{
	$node->safe_psql('postgres', "CREATE DATABASE galaxy$i");
	create_extension($node, "galaxy$i");
}
my $started = $node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()');
my $before = server_time($node);

# The sessions' view notes when a run reads it. With a second as the interval the time that 41 workers take would matter.
attach_watched_sessions($node, 'galaxy40');
set_interval($node, '5s');
overdue($node, 'galaxy40', 'idle');
ok(rooms_are($node, 'galaxy40'), 'an idle room of the fortieth is freed');
is($node->safe_psql('galaxy40', "SELECT min(at) < '$before'::timestamptz + interval '10 s' FROM app.looks WHERE rooms = 1"), 't',
	'within two intervals');
set_interval($node, '1s');
is($node->safe_psql('galaxy40', 'SELECT worker IN (\'idle\', \'running\'), freed, shared_memory IS NULL FROM balancer_stats'),
	't|1|t', 'and balancer_stats says so');
is($node->safe_psql('galaxy40', q(SELECT count(DISTINCT get_or_assign_server(i)) FROM generate_series(1, 12) i)),
	'12', 'its rooms are spread');
# After a start, leases from before last for a whole assignment_grace again.
$node->safe_psql('galaxy40', q(UPDATE room_server_assignments SET last_used_at = 'infinity'; ALTER DATABASE galaxy40 SET gxy_balancer.assignment_grace = '1s'));
is( $node->safe_psql('galaxy40', q(SELECT count(*), min(bytes) > 0 FROM balancer_memory WHERE what = 'database' AND database ~ '^galaxy')),
	'41|t', 'each database has its share of the memory');

#
# Whatever ends the launcher, one comes back
#

sub ends_launcher
{
	my ($what, $end) = @_;
	my $old = launcher_pid($node);

	$end->($old);
	launcher_pid($node, $old);
	$node->safe_psql("galaxy$_", 'SELECT get_or_assign_server(1)') for 1 .. 10;
	is($node->safe_psql('postgres', $launchers), '1', "$what: one launcher comes back");
	overdue($node, 'galaxy40', 'idle');
	ok(rooms_are($node, 'galaxy40', 1 .. 12), "$what: and the runs go on");
	$node->safe_psql('galaxy40', "SELECT get_or_assign_server(i) FROM generate_series(1, 12) i");
}

ends_launcher('pg_terminate_backend', sub { $node->safe_psql('postgres', "SELECT pg_terminate_backend($_[0])") });
ends_launcher('kill -9 of the launcher', sub {
	system_or_bail('pg_ctl', 'kill', 'KILL', $_[0]);
	$node->poll_query_until('postgres', undef, '') or die 'the server has not started again';
});
ends_launcher('kill -9 of a backend', sub {
	my $session = $node->background_psql('galaxy1');
	my $pid = $session->query_safe('SELECT get_or_assign_server(1)::text IS NULL, pg_backend_pid()');

	$pid =~ s/.*\|//;
	system_or_bail('pg_ctl', 'kill', 'KILL', $pid);
	$session->{run}->finish;
	$node->poll_query_until('postgres', undef, '') or die 'the server has not started again';
});
is($node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()'), $started, 'all that without a restart');

#
# The first call after a restart
#

$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', $launchers), '0', 'after a restart there is no launcher');
$node->safe_psql('galaxy7', 'SELECT room_server(1)');
ok(launchers_are($node, 1), 'the first call starts it, also one that only looks');
overdue($node, 'galaxy40', 'idle');
ok(rooms_are($node, 'galaxy40', 1 .. 12), 'and it finds all databases by itself');

$node->restart;
isnt($node->safe_psql('galaxy7', 'SELECT worker FROM balancer_stats'), 'no launcher', 'balancer_stats does not say that it has no slot');
ok(launchers_are($node, 1), 'and is a call that starts it');

#
# A standby: with its promotion
#

$node->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('standby');

$standby->init_from_backup($node, 'copy', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
is($standby->safe_psql('galaxy40', 'SELECT get_or_assign_server(1)::text <> $$$$'), 't', 'a standby answers');
is($standby->safe_psql('galaxy40', 'SELECT worker FROM balancer_stats'), 'standby', 'and has no launcher');
$node->stop;
$standby->promote;
ok(launchers_are($standby, 1), 'the launcher starts with the promotion');
overdue($standby, 'galaxy40', 'idle');
ok(rooms_are($standby, 'galaxy40', 1 .. 12), 'and frees rooms');
$standby->stop;

#
# No slot
#

$node->append_conf('postgresql.conf', "max_worker_processes = 1\nmax_logical_replication_workers = 0");
$node->start;
my ($holder, $query) = occupy_worker_slot($node);
my $log_before = log_size($node);
my $warning = qr/WARNING:  gxy_balancer: no background worker slot is free for the launcher/;

$node->psql('galaxy', 'SELECT get_or_assign_server(1)', stderr => \$stderr);
like($stderr, $warning, 'without a slot a call warns');
for (1 .. 3)
{
	my $since = server_time($node);

	wait_until($node, 'postgres', "SELECT clock_timestamp() > timestamptz '$since' + interval '1.1 s'");
	$node->psql('galaxy', 'SELECT get_or_assign_server(1)', stderr => \$stderr);
	is($stderr, '', 'once, however often it is tried again');
}
is($node->safe_psql('galaxy', 'SELECT worker FROM balancer_stats'), 'no launcher', 'balancer_stats shows it');
is(count_in_log($node, $log_before, $warning), 1, 'and the log has it once');
release($holder);
$query->quit;
wait_until($node, 'galaxy', q(SELECT worker <> 'no launcher' FROM (SELECT get_or_assign_server(1)) call, balancer_stats));
ok(launchers_are($node, 1), 'with a slot free the next call starts it');
$node->append_conf('postgresql.conf', 'max_worker_processes = 8');
$node->restart;

#
# The memory of databases that are gone, and a launcher that is not needed any more
#

my $used = q(SELECT sum(bytes) FROM balancer_memory WHERE what IN ('common', 'database'));
my $got = q(SELECT sum(bytes) FROM balancer_memory WHERE what <> 'limit');

# A database's memory is made at its first use, so each of them is used before.
$node->safe_psql($_, 'SELECT get_or_assign_server(1), release_room(1)') for 'galaxy', map { "galaxy$_" } 1 .. 40;
set_interval($node, '200ms');
wait_for_first_run($node, 'galaxy');

sub create_and_drop
{
	for my $i (1 .. 15)
	{
		$node->safe_psql('postgres', 'CREATE DATABASE passing');
		$node->safe_psql('passing', 'SET client_min_messages = warning; CREATE EXTENSION gxy_balancer; SELECT get_or_assign_server(1)');
		$node->safe_psql('postgres', 'DROP DATABASE passing');
	}
	wait_until($node, 'galaxy', q(SELECT NOT EXISTS (SELECT FROM balancer_memory WHERE what = 'database' AND database IS NULL)));
}

create_and_drop();
my $used_before = $node->safe_psql('galaxy', $used);
my $got_before = $node->safe_psql('galaxy', $got);
create_and_drop();
is($node->safe_psql('galaxy', $used), $used_before, 'databases that come and go use no memory');
is($node->safe_psql('galaxy', $got), $got_before, 'and none is got for them');

$node->safe_psql($_, 'DROP EXTENSION gxy_balancer') for 'galaxy', map { "galaxy$_" } 1 .. 40;
ok(launchers_are($node, 0), 'the launcher leaves when no database has the extension');
create_extension($node, 'galaxy3');
ok(launchers_are($node, 1), 'and comes back with the extension');
ok(wait_for_first_run($node, 'galaxy3'), 'for a run');

#
# A limit
#

$node->append_conf('postgresql.conf', "gxy_balancer.max_shared_memory = '256kB'\ngxy_balancer.cleanup_interval = '1h'");
$node->restart;
$log_before = log_size($node);
$node->psql('galaxy3', 'SELECT get_or_assign_server(1)', stderr => \$stderr);
is($stderr, '', 'within the limit there is nothing to say');
is($node->safe_psql('galaxy3', q(SELECT bytes FROM balancer_memory WHERE what = 'limit')), 256 * 1024, 'the limit is shown');

#
# Preloaded, and asked for by a call at the same time: one launcher
#

$node->append_conf('postgresql.conf', "shared_preload_libraries = 'gxy_balancer'");
$node->restart;
ok(launchers_are($node, 1), 'preloaded, the launcher is there from the start');
$node->safe_psql('galaxy3', 'SELECT get_or_assign_server(1)');
is($node->safe_psql('postgres', $launchers), '1', 'and stays the only one');
$node->stop;
done_testing();
