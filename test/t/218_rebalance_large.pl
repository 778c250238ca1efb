# rebalance() and what_if_added() of a pool so large that planning the moves takes minutes: they end
# when they are cancelled, and calls for new rooms do not wait for them.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;

use GxyBalancer;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('rebalance_large', 'max_worker_processes = 1');

# No room fits the space of 6 on a server, so for each of 600 moves all rooms are compared; and each
# has a region of its own, so no two count as alike.
$node->safe_psql('postgres', <<'SQL');
SET client_min_messages = warning;
INSERT INTO balancer_servers (name, capacity) SELECT 's' || i, 100000 FROM generate_series(1, 1000) i;
INSERT INTO room_server_assignments (room_id, gateway_name, region, expected_users, reported_users)
	SELECT i, 's1', 'r' || i, 10, 10 FROM generate_series(1, 6000) i;
INSERT INTO room_server_assignments (room_id, gateway_name, expected_users, reported_users)
	SELECT 'full' || i, 's' || i, 54000, 54000 FROM generate_series(2, 1000) i;
SQL

for my $call (q(rebalance(NULL, NULL)), q(what_if_added('new', 1)))
{
	my ($err, $timed_out) = ('', 0);

	$node->psql('postgres', "SET statement_timeout = '500ms'; SELECT count(*) FROM $call", stderr => \$err,
		timeout => 20, timed_out => \$timed_out);
	ok(!$timed_out, "$call ends when it is cancelled");
	like($err, qr/canceling statement due to statement timeout/, 'which it was before its end');
}

my $is_running = q(SELECT count(*) = 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT count(*) FROM rebalance%');
my $running = session($node);
$running->query_until(qr/begun/, "\\echo begun\nSELECT count(*) FROM rebalance(NULL, NULL, false);\n");
wait_until($node, 'postgres', $is_running);

# For a second, because the moves are planned only after the rooms were read.
my (undef, $state) = attempt($node, <<'SQL');
SET gxy_balancer.assign_timeout = '500ms';
DO $$
DECLARE
	start timestamptz := clock_timestamp();
BEGIN
	WHILE clock_timestamp() < start + '1 s' LOOP
		PERFORM get_or_assign_server('new' || random());
		COMMIT;
	END LOOP;
END $$;
SQL
is($state, '', 'new rooms get servers while a rebalance plans its moves');
is($node->safe_psql('postgres', $is_running), 't', 'which lasts longer');
$node->safe_psql('postgres', q(SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT count(*) FROM rebalance%'));
ok($node->poll_query_until('postgres', $is_running, 'f'), 'it ends when it is cancelled');
is($node->safe_psql('postgres', q(SELECT count(*) FROM room_server_assignments WHERE reason ~ 'rebalanced')), '0', 'and has moved nothing');

$node->stop('immediate');
done_testing();
