# 104_promotion.pl: a standby has no launcher, and starts one when it is promoted.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;

use GxyWorker;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# The log of the standby names the background workers it starts.
my $primary = new_node('primary', init => { allows_streaming => 1 }, conf => "log_min_messages = debug1\ngxy_balancer.assignment_grace = '1s'\n");
my $started = qr/DEBUG:  starting background worker process "gxy_balancer/;

$primary->start;
create_database($primary, 'galaxy');
$primary->safe_psql('galaxy', q(INSERT INTO room_server_assignments (room_id, gateway_name, last_used_at) VALUES ('mine', 'gxy1', 'infinity')));
overdue($primary, 'galaxy', 'idle');
count_in_log($primary, 0, $started) >= 2 or die 'the log tells of no launcher';
$primary->backup('copy');

my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'copy', has_streaming => 1);
$standby->append_conf('postgresql.conf', "gxy_balancer.cleanup_interval = '500ms'");
$standby->start;

# Waits until the standby has replayed everything: it is as far as it will get before its promotion.
overdue($primary, 'galaxy', 'last');
rooms_are($standby, 'galaxy', 'idle', 'last', 'mine') or die 'the standby does not follow';
$standby->safe_psql('galaxy', q(SELECT get_or_assign_server('mine')));
is(count_in_log($standby, 0, $started), 0, 'a standby has no launcher');
is($standby->safe_psql('galaxy', 'SELECT worker, last_run FROM balancer_stats'), 'standby|', 'and without runs');

$standby->promote;
ok(rooms_are($standby, 'galaxy', 'mine'), 'its rooms are freed after its promotion');
ok(launcher_pid($standby), 'by a launcher of its own');

$primary->stop;
$standby->stop;
done_testing();
