# heartbeat_timeout after a promotion: the silence of a server counts from the promotion, not from
# the start of the standby, because no monitor could report to it.
#
# The clock of the standby is set ahead by an hour before the promotion, so that the standby has been
# running for an hour.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;

use GxyClock;
use GxyWorker;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = new_node('primary', init => { allows_streaming => 1 },
	conf => "gxy_balancer.failover_delay = 0\ngxy_balancer.heartbeat_timeout = '10min'\n");

$primary->start;
create_extension($primary, 'postgres');
# Four that report, so that a silent one is not put down to the monitor.
$primary->safe_psql('postgres', q(INSERT INTO balancer_servers (name) VALUES ('gxy1'), ('gxy2'), ('gxy3'), ('gxy4')));
$primary->safe_psql('postgres', q(SELECT server_heartbeat(name) FROM balancer_servers));
wait_for_first_run($primary, 'postgres');
$primary->backup('copy');

my $standby = PostgreSQL::Test::Cluster->new('standby');

$standby->init_from_backup($primary, 'copy', has_streaming => 1);
start_with_clock($standby);
set_clock($standby, 3600);
$standby->safe_psql('postgres', q(SELECT now() - pg_postmaster_start_time() > interval '59 min')) eq 't'
  or die 'the clock has not been set';
# gxy1 is silent from now on. The others are reported to the primary until the end.
$primary->safe_psql('postgres', q(UPDATE balancer_health SET last_heartbeat = now() + interval '1 h',
	counts_from = now() + interval '1 h' WHERE server <> 'gxy1'));
$primary->wait_for_catchup($standby);
$primary->stop;
$standby->promote;
wait_for_first_run($standby, 'postgres');
$standby->safe_psql('postgres', q(SELECT server_heartbeat('gxy2')));
is($standby->safe_psql('postgres', q(SELECT server_state('gxy1'))), 'online', 'silence from before the promotion does not count');
for my $seconds (250, 500, 650)
{
	set_clock($standby, 3600 + $seconds);
	$standby->safe_psql('postgres', q(SELECT server_heartbeat(name) FROM balancer_servers WHERE name <> 'gxy1'));
}
is($standby->safe_psql('postgres', q(SELECT server_state('gxy1'))), 'offline', 'silence since then does');

$standby->stop;
done_testing();
