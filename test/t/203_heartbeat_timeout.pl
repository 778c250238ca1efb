# heartbeat_timeout: servers that stop sending heartbeats, and monitors that stop reporting. The
# test writes old times into balancer_health instead of waiting: a server last heard of an hour ago
# stands for one that has stopped.

use strict;
use warnings FATAL => 'all';

use lib 'test/t';
use GxyWorker;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('silence', conf => "gxy_balancer.failover_delay = 0\ngxy_balancer.heartbeat_timeout = '10min'\n");
$node->start;
create_extension($node, 'postgres');
my $servers = join ',', map { "('gxy$_')" } 1 .. 6;
$node->safe_psql('postgres', "INSERT INTO balancer_servers (name) VALUES $servers");
wait_for_first_run($node, 'postgres');

sub ask
{
	my ($sql) = @_;
	return $node->safe_psql('postgres', $sql);
}

sub states
{
	return ask(q(SELECT string_agg(server_state(name), ' ' ORDER BY name) FROM balancer_servers));
}

sub fell_silent
{
	my (@names) = @_;
	my $list = join ',', map { "'$_'" } @names;
	ask("UPDATE balancer_health SET last_heartbeat = now() - interval '1 h', counts_from = now() - interval '1 h' WHERE server IN ($list)");
	return;
}

sub report_all
{
	ask('SELECT count(server_heartbeat(name)) FROM balancer_servers');
	return;
}

report_all();
ask('SELECT count(*) FROM balancer_health') == 6 or die 'six servers are to report';

# The server has just started.
fell_silent('gxy1');
set_interval($node, '200ms');
my $before = server_time($node);
wait_for_run_after($node, 'postgres', $before);
set_interval($node, '1h');
is(states(), 'online online online online online online', 'silence from before the start does not count');

# From now on the timeout has passed since the server's start.
ask(q(ALTER DATABASE postgres SET gxy_balancer.heartbeat_timeout = '100ms'));
wait_until($node, 'postgres', q(SELECT now() - pg_postmaster_start_time() > interval '2 s'));

# All servers are silent at once, then report again one by one: no server is declared failed, and
# one warning says why.
fell_silent(map { "gxy$_" } 1 .. 6);
my $log = log_size($node);
set_interval($node, '200ms');
wait_for_run_after($node, 'postgres', server_time($node)) for 1 .. 2;
is(states(), 'online online online online online online', 'all silent: nothing moves');
is(count_in_log($node, $log, qr/most servers have fallen silent at once/), 1, 'which is said once');
set_interval($node, '1h');

# All report again, one by one; then one falls silent while the others report.
ask(q(ALTER DATABASE postgres SET gxy_balancer.heartbeat_timeout = '1500ms'));
my ($out, $err);
$node->psql('postgres', 'SELECT server_heartbeat(\'gxy1\')', stdout => \$out, stderr => \$err);
like($err, qr/WARNING:  6 of 6 servers had fallen silent at once/, 'the heartbeat that ends the silence says so');
is($out, 'f', 'and is no news itself');
is(states(), 'online online online online online online', 'no server is declared failed when heartbeats resume');
report_all();
fell_silent('gxy4');
ok( $node->poll_query_until('postgres',
		q(SELECT count(server_heartbeat(name)) >= 0 AND server_state('gxy4') = 'offline' FROM balancer_servers WHERE name <> 'gxy4')),
	'one that is silent while others report is offline');
is(ask(q(SELECT cause FROM balancer_failovers)), 'silent', 'and the history says why');
is(ask(q(SELECT server_heartbeat('gxy4'))), 't', 'it reports again, which is news');
is(ask(q(SELECT server_state('gxy4'))), 'online', 'and back it is');

# A new room does not go to a silent server even before the server is declared failed.
report_all();
fell_silent('gxy4');
ask(q(SELECT pin_room('p', 'gxy4')));
is($node->safe_psql('postgres', <<'SQL'), 'f', 'a new room does not go to a silent server');
UPDATE balancer_health SET last_heartbeat = now(), counts_from = now() WHERE server <> 'gxy4';
SELECT get_or_assign_server('p') = 'gxy4';
SQL
ok($node->poll_query_until('postgres', q(SELECT server_state('gxy4') = 'offline')), 'and calls the worker, which declares it');

# A transaction that is open after its heartbeat does not make the other servers' heartbeats wait.
report_all();
fell_silent('gxy3', 'gxy4');
my $open = hold($node, 'postgres', q(SELECT server FROM balancer_health WHERE server = 'gxy4' FOR UPDATE));
$node->psql('postgres', <<'SQL', stdout => \$out, stderr => \$err);
SET gxy_balancer.assign_timeout = '500ms';
UPDATE balancer_health SET last_heartbeat = now(), counts_from = now() WHERE server NOT IN ('gxy3', 'gxy4');
SELECT server_heartbeat('gxy1');
SQL
is("$out$err", 'f', 'a heartbeat does not wait for the row of a silent server');
is(states(), 'online online offline online online online', 'the other silent server is declared, this one is left out');
release($open);
ok( $node->poll_query_until('postgres',
		q(SELECT count(server_heartbeat(name)) >= 0 AND server_state('gxy4') = 'offline' FROM balancer_servers WHERE name NOT IN ('gxy3', 'gxy4'))),
	'until its row is unlocked');

$node->stop;
done_testing();
