# failover_on_call, with the worker and a standby server: what is called for goes at once, the rest when it is due.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;

use GxyWorker;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('on_call', init => { allows_streaming => 1 },
	conf => "gxy_balancer.failover_delay = '1h'\ngxy_balancer.failover_on_call = on\n");
$node->start;
create_extension($node, 'postgres');
$node->safe_psql('postgres', q(INSERT INTO balancer_servers (name, pool) VALUES ('gxy1', 'primary'), ('gxy2', 'primary'), ('spare', 'standby')));
wait_for_first_run($node, 'postgres');
$node->safe_psql('postgres', 'SELECT count(get_or_assign_server(i)) FROM generate_series(1, 80) i');
$node->backup('backup');

my $replica = PostgreSQL::Test::Cluster->new('replica');

$replica->init_from_backup($node, 'backup', has_streaming => 1);
# The replica's own setting is of no consequence.
$replica->append_conf('postgresql.conf', 'gxy_balancer.failover_on_call = off');
$replica->start;

my $before = server_time($node);
$node->safe_psql('postgres', q(SELECT set_server_state('gxy1', 'offline')));
is($node->safe_psql('postgres', 'SELECT on_call FROM balancer_failovers'), 't', 'the failover is marked');

# Many at once, each for every room of the server, in an order of its own; some may not write.
my @callers = map { $node->background_psql('postgres', on_error_stop => 0) } 1 .. 6;
my $number = 0;
my @answers;
for my $caller (@callers)
{
	my $mode = $number % 3 == 2 ? 'READ ONLY' : 'READ WRITE';

	# Without waiting for the answers, which may arrive at once.
	push @answers, $caller->query_until(qr/sent/, <<"SQL");
SET gxy_balancer.failover_on_call = off;
BEGIN $mode;
COMMIT;
SET default_transaction_read_only = ${\ ($mode eq 'READ ONLY' ? 'on' : 'off')};
SELECT setseed($number / 10.0);
\\echo sent
SELECT 'answers ' || string_agg(DISTINCT get_or_assign_server(i), ' ')
	FROM (SELECT 2 * g - 1 AS i FROM generate_series(1, 20) g ORDER BY random()) r;
SQL
	$number++;
}
for my $caller (@callers)
{
	like(shift(@answers) . $caller->query('SELECT 1'), qr/^answers spare$/m, 'every caller gets the standby for every room');
	$caller->quit;
}
$node->wait_for_catchup($replica);
is($replica->safe_psql('postgres', q(SELECT string_agg(DISTINCT get_or_assign_server(i), ' ') FROM generate_series(1, 80, 2) i)), 'spare',
	'a standby server gives the same answers, for rooms that nobody has called for, too');

# The worker leaves what nobody has called for.
set_interval($node, '200ms');
wait_for_run_after($node, 'postgres', $before);
set_interval($node, '1h');
is($node->safe_psql('postgres', q(SELECT gateway_name, count(*) FROM room_server_assignments GROUP BY 1 ORDER BY 1)),
	"gxy1|20\ngxy2|40\nspare|20", 'the worker moves no other room before it is due');
is($node->safe_psql('postgres', q(SELECT outcome FROM balancer_failovers)), 'pending', 'the failover goes on');
$node->safe_psql('postgres', q(UPDATE balancer_failovers SET due_at = now()));
set_interval($node, '200ms');
wait_until($node, 'postgres', q(SELECT outcome <> 'pending' FROM balancer_failovers));
is($node->safe_psql('postgres', q(SELECT rooms, outcome FROM balancer_failovers)), '40|moved', 'then it moves the rest, and counts all');
is($node->safe_psql('postgres', q(SELECT gateway_name, count(*) FROM room_server_assignments GROUP BY 1 ORDER BY 1)),
	"gxy2|40\nspare|40", 'all are where callers were told');

$replica->stop;
$node->stop;
done_testing();
