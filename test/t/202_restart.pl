# States, health and failovers are stored in the database: after kill -9, after a restart, from a
# dump and on a standby they are the same.

use strict;
use warnings FATAL => 'all';

use lib 'test/t';
use GxyWorker;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('restart', init => { allows_streaming => 1 }, conf => "gxy_balancer.failover_delay = '1h'\n");
$node->start;
create_extension($node, 'postgres');
$node->safe_psql('postgres', q(INSERT INTO balancer_servers (name, pool) VALUES
	('gxy1', 'primary'), ('gxy2', 'primary'), ('spare', 'standby'), ('sick', 'reserved')));
wait_for_first_run($node, 'postgres');
$node->safe_psql('postgres', 'SELECT count(get_or_assign_server(i)) FROM generate_series(1, 20) i');

# A hot standby, which only ever reads the claim.
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;

$node->safe_psql('postgres', q(SELECT set_server_state('gxy1', 'offline'); SELECT server_heartbeat('gxy2', false)));
$node->safe_psql('postgres', q(SELECT server_heartbeat('gxy2', true)));
$node->safe_psql('postgres', q(SELECT server_heartbeat('sick', false)));

# The delay of this failover ends while the server is down.
$node->safe_psql('postgres', q(UPDATE balancer_failovers SET due_at = now() WHERE from_server = 'gxy1'));
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', q(SELECT string_agg(DISTINCT get_or_assign_server(room_id), ' ')
	FROM room_server_assignments WHERE gateway_name = 'gxy1' OR reason = 'failover from gxy1')), 'spare',
	'a hot standby answers by the claim');
my $health = q(SELECT h.*, server_state(server) FROM balancer_health h ORDER BY 1);
my $before = $node->safe_psql('postgres', $health);
like($before, qr/^gxy2\|t\|.*\|online\nsick\|f\|.*\|offline$/, 'monitors have reported one as healthy and one as not');
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', $health), $before, 'after a crash their reports are still known');
ok($node->poll_query_until('postgres', q(SELECT outcome = 'moved' AND rooms = 10 FROM balancer_failovers WHERE from_server = 'gxy1')),
	'a failover that was due is carried out by the first visit, without a call for the launcher');

# A failover that is not due yet: the restarted launcher still carries it out.
$node->safe_psql('postgres', q(SELECT set_server_state('gxy1', 'online')));
$node->safe_psql('postgres', q(SELECT set_server_state('gxy2', 'offline')));
my $pid = $node->safe_psql('postgres', q(SELECT pid FROM pg_stat_activity WHERE backend_type = 'gxy_balancer launcher'));
kill 9, $pid;
wait_until($node, 'postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'gxy_balancer launcher' AND pid <> $pid");
is($node->safe_psql('postgres', q(SELECT outcome FROM balancer_failovers WHERE from_server = 'gxy2' AND recovered_at IS NULL)), 'pending',
	'after a kill -9, a failover within its delay still waits');
$node->safe_psql('postgres', q(UPDATE balancer_failovers SET due_at = now() + interval '1 s' WHERE outcome = 'pending'));
$node->reload;
# calls for a run, which sees the new time
$node->safe_psql('postgres', q(SELECT set_server_state('spare', 'draining')));
ok($node->poll_query_until('postgres', q(SELECT outcome = 'spread' FROM balancer_failovers WHERE from_server = 'gxy2' AND recovered_at IS NULL)),
	'and is carried out when its time has come');

# In a restored dump no failover is declared a second time, and no room is moved.
$node->safe_psql('postgres', q(SELECT set_server_state('spare', 'online')));
my $dump = $node->backup_dir . '/dump.sql';
system_or_bail('pg_dump', '-f', $dump, $node->connstr('postgres'));
$node->safe_psql('postgres', 'CREATE DATABASE copy');
system_or_bail('psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $node->connstr('copy'));
wait_for_first_run($node, 'copy');
for my $table ('balancer_failovers ORDER BY 1, 3', 'balancer_health ORDER BY 1', 'balancer_servers ORDER BY 1',
	'room_server_assignments ORDER BY 1')
{
	is($node->safe_psql('copy', "SELECT * FROM $table"), $node->safe_psql('postgres', "SELECT * FROM $table"), "the copy has the same $table");
}
isnt($node->safe_psql('copy', q(SELECT nextval('balancer_events'))), 1, 'events go on from their number');

$standby->stop;
$node->stop;
done_testing();
