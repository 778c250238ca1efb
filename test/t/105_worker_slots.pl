# 105_worker_slots.pl: other processes use up max_worker_processes.
#
# The launcher warns once and tries again every second: the runs go on as soon as a slot is free.
# Meanwhile a parallel query that waits for a lock has the only slot.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;

use GxyWorker;
use Test::More;

my $node = new_node('slots', conf => <<'CONF');
max_worker_processes = 2
max_logical_replication_workers = 0
CONF
my $warning = qr/\] gxy_balancer launcher WARNING:  .*no background worker slot is free/;

$node->start;
create_database($node, 'galaxy');
overdue($node, 'galaxy', 'idle');

my ($holder, $query) = occupy_worker_slot($node);
my $log_before = log_size($node);
set_interval($node, '250ms');
$node->wait_for_log($warning, $log_before);
pass('the launcher warns');

# A failed attempt is not logged, so the test can only wait by the clock until there were some.
my $since = server_time($node);
wait_until($node, 'postgres', "SELECT clock_timestamp() > timestamptz '$since' + interval '2.5 s'");
is(count_in_log($node, $log_before, $warning), 1, 'once');
rooms_are($node, 'galaxy', 'idle') or die 'there is a slot';

is($node->safe_psql('galaxy', 'SELECT worker FROM balancer_stats'), 'no worker slot', 'balancer_stats tells');
is($node->safe_psql('galaxy', q(SELECT severity, what, statement FROM balancer_alerts WHERE alert = 'worker_absent')),
	'critical|no worker slot: no room is freed or moved until max_worker_processes (2) is raised and PostgreSQL restarted|'
	  . 'ALTER SYSTEM SET max_worker_processes = 6;', 'so does balancer_alerts');

release($holder);
$query->quit;
ok(rooms_are($node, 'galaxy'), 'the rooms are freed when there is a slot');
is(count_complaints($node, $log_before), 1, 'and there is nothing else to complain of');
ok(wait_until($node, 'galaxy', q(SELECT worker IN ('idle', 'running') FROM balancer_stats)), 'nor in balancer_stats');
is($node->safe_psql('galaxy', q(SELECT count(*) FROM balancer_alerts WHERE alert LIKE 'worker%')), '0', 'nor in balancer_alerts');

# The server had no slot for the launcher itself, so the launcher cannot log anything. Another place
# has to report it.
wait_until($node, 'galaxy', q(SELECT worker = 'idle' FROM balancer_stats));
$node->append_conf('postgresql.conf', 'max_worker_processes = 0');
$node->restart;
is($node->safe_psql('galaxy', 'SELECT worker, last_run FROM balancer_stats'), 'no launcher|', 'and balancer_stats tells if there is none');

$node->stop;
done_testing();
