# what_if(), what_if_added() and dry runs of rebalance() against what then happens, in random pools: every row of the prediction must be the row of
# balancer_load after the deed. The worker carries out the failovers; the rest is done in transactions that are rolled back.
# WHAT_IF_SEED and WHAT_IF_POOLS choose other pools.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;

use GxyWorker;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{WHAT_IF_SEED} // 15;
my $pools = $ENV{WHAT_IF_POOLS} // 100;

my $node = new_node('what_if', conf => <<'CONF');
gxy_balancer.failover_delay = 0
gxy_balancer.recovery_delay = '1h'
gxy_balancer.assignment_grace = '1d'
gxy_balancer.dead_session_timeout = '1d'
gxy_balancer.heartbeat_timeout = '1d'
CONF
$node->start;
create_extension($node, 'postgres');
wait_for_first_run($node, 'postgres');
$node->safe_psql('postgres', 'CREATE TABLE sessions (room_id int, user_id int, gateway_name text)');

sub one_of { return $_[ rand @_ ] }
sub between { my ($least, $most) = @_; return $least + int(rand($most - $least + 1)) }
sub quoted { my ($value) = @_; return defined $value ? "'$value'" : 'NULL' }
sub region { return rand() < 0.7 ? undef : one_of('IL', 'EU') }

# The statements that make one pool, and the names of its servers.
sub random_pool
{
	my @servers = map { "gxy$_" } 1 .. between(2, 8);
	my @sql = ('TRUNCATE room_server_assignments, balancer_pins, balancer_failovers, balancer_health, sessions',
		'TRUNCATE balancer_servers, _pool_written');

	my $standbys_have_rooms = rand() < 0.3;
	my @hosts; # servers that have rooms
	for my $server (@servers)
	{
		my $pool = one_of(('primary') x 7, ('standby') x 3, 'reserved');
		push @hosts, $server if $pool ne 'standby' || $standbys_have_rooms;
		my $regions = one_of('NULL', 'NULL', 'NULL', "'{IL}'", "'{EU}'", "'{IL,EU}'");
		push @sql, sprintf('INSERT INTO balancer_servers (name, position, priority, capacity, regions, pool) VALUES (%s)',
			join(', ', "'$server'", between(1, 5), one_of(0, 0, 0, 1), one_of('NULL', between(20, 200)), $regions,
				quoted($pool)));
	}
	# A change of its state wakes the worker.
	push @sql, "INSERT INTO balancer_servers (name, position, pool) VALUES ('bell', 9, 'reserved')";
	push @sql, sprintf("SELECT attach_sessions(%s)", one_of("'sessions'", "'sessions'", 'NULL'));
	for my $room (1 .. between(0, 60))
	{
		# Well inside or outside of join_window, so that no room leaves it while it is compared.
		my $age = one_of(1, 1, 30) . ' minutes';
		my $server = rand() < 0.03 || !@hosts ? 'elsewhere' : one_of(@hosts);
		my $expected = one_of('NULL', 'NULL', between(1, 30));
		push @sql, 'INSERT INTO room_server_assignments (room_id, gateway_name, region, assigned_at, last_used_at,'
			. " expected_users, reported_users) VALUES ('$room', '$server', ${\ quoted(region())}, now() - interval '$age',"
			. " now() - interval '$age', $expected, ${\ one_of('NULL', between(0, 30))})";
		push @sql, "INSERT INTO balancer_pins (room_id, server, expected_users) VALUES"
			. " ('$room', '${\ one_of(@servers)}', ${\ one_of('NULL', between(1, 50))})"
			if rand() < 0.1;
		push @sql, "INSERT INTO sessions VALUES ($room, ${\ one_of('NULL', between(1, 200))}, '${\ one_of(@servers)}')"
			for 1 .. (rand() < 0.3 ? 0 : between(1, 20));
	}
	push @sql, "INSERT INTO sessions VALUES (1000 + $_, $_, '${\ one_of(@servers)}')" for 1 .. between(0, 5);
	for my $server (@servers)
	{
		my $state = one_of(('online') x 6, 'draining', 'offline');
		push @sql, "UPDATE balancer_servers SET state = '$state' WHERE name = '$server' AND state <> '$state'";
		# Some have an outage behind them, some are down, and some measure their load.
		push @sql, "SELECT server_heartbeat('$server', $_)" for @{ one_of([], [], [], [], ['true'], ['false'], [ 'false', 'true' ]) };
		push @sql, "SELECT server_heartbeat('$server', load => ${\ rand(1.5)})" if rand() < 0.1;
	}
	return \@sql, \@servers;
}

my $after = q(SELECT server, state, rooms_after, users_after, load_after, percent_after FROM what_if('%s', '%s')
	WHERE rooms_after > 0 OR capacity IS NOT NULL);
my $before = q(SELECT server, rooms_before, users_before, load_before, percent_before FROM what_if('%s', '%s')
	WHERE rooms_before > 0 OR capacity IS NOT NULL);
my $loads = 'SELECT server, state, rooms, users, load, percent FROM balancer_load';
my %wrong;
my %compared;
my %moving; # predictions in which rooms move
my $claims = 0; # failovers to standbys

sub compare
{
	my ($what, $pool, $predicted, $outcome, $loads_before) = @_;

	note("pool $pool, $what\n$outcome");
	$compared{$what}++;
	$moving{$what}++ if $outcome ne $loads_before;
	return if $predicted eq $outcome;
	diag("pool $pool, $what: predicted\n$predicted\nbut it came out as\n$outcome") if !$wrong{$what}++;
	return;
}

# What a query gives in a transaction after some statements, and what the second query gave before them.
sub predicted_and_done
{
	my ($prediction, $deed) = @_;
	my ($status, $out, $err) = $node->psql('postgres', <<"SQL");
BEGIN READ ONLY;
$prediction;
COMMIT;
\\echo done
BEGIN;
DO \$\$ BEGIN $deed END \$\$;
$loads;
ROLLBACK;
SQL
	my ($predicted, $done) = split /^done\n/m, $out;

	chomp($predicted);
	return $predicted, $done // '', $err;
}

# Waits until the worker has done all that is due.
sub let_worker_run
{
	my $time = server_time($node);

	$node->safe_psql('postgres', "SELECT set_server_state('bell', 'draining'); SELECT set_server_state('bell', 'online')");
	return wait_for_run_after($node, 'postgres', $time);
}

# A question about a server that does not exist leaves nothing in shared memory.
my $memory = q(SELECT sum(bytes) FROM balancer_memory WHERE what IN ('common', 'database'));
$node->safe_psql('postgres', q(INSERT INTO balancer_servers (name) VALUES ('gxy1'); SELECT count(*) FROM what_if_added('new', 1)));
my $used = $node->safe_psql('postgres', $memory);
$node->safe_psql('postgres', q(DO $$ BEGIN FOR i IN 1 .. 3000 LOOP PERFORM what_if_added('new' || i, 1); END LOOP; END $$));
is($node->safe_psql('postgres', $memory), $used, 'three thousand questions take no shared memory');

srand($seed);
diag("WHAT_IF_SEED=$seed WHAT_IF_POOLS=$pools");
for my $pool (1 .. $pools)
{
	my ($sql, $servers) = random_pool();

	$node->safe_psql('postgres', 'SET client_min_messages = warning; BEGIN; ' . join(";\n", @$sql) . '; COMMIT');
	let_worker_run();

	my $now = $node->safe_psql('postgres', $loads);
	my $server = one_of(@$servers);
	my $told = $node->safe_psql('postgres', sprintf($before, $server, one_of('online', 'draining', 'offline')));
	compare('before', $pool, $told, $node->safe_psql('postgres', 'SELECT server, rooms, users, load, percent FROM balancer_load'), '');

	# Where some rooms can go nowhere, evacuate_server() raises an error and moves none.
	my ($predicted, $done, $err) = predicted_and_done(sprintf($after, $server, 'draining'),
		"PERFORM set_server_state('$server', 'draining'); PERFORM evacuate_server('$server');");
	compare('draining', $pool, $predicted, $done, $now) if $err !~ /no server can take the rooms/;
	$compared{refused}++ if $err =~ /no server can take the rooms/;

	($predicted, $done) = predicted_and_done(sprintf($after, $server, 'online'),
		"PERFORM set_server_state('$server', 'online'); PERFORM server_heartbeat('$server', true);");
	compare('online', $pool, $predicted, $done, $now);

	# A server is added and the pool rebalanced; with limits, a dry run lists what is then done.
	my $capacity = one_of('NULL', between(20, 200));
	($predicted, $done) = predicted_and_done(
		"SELECT server, state, rooms_after, users_after, load_after, percent_after FROM what_if_added('new', $capacity)",
		"INSERT INTO balancer_servers (name, capacity) VALUES ('new', $capacity); PERFORM rebalance(NULL, NULL, false);");
	compare('added', $pool, $predicted, $done, "$now\nnew|online|0|0|0|0.0");
	my $limits = join(', ', one_of('NULL', between(0, 10)), one_of('NULL', between(0, 60)));
	($predicted, $done) = split /^done\n/m, $node->safe_psql('postgres',
		"SELECT * FROM rebalance($limits); \\echo done\nBEGIN; SELECT * FROM rebalance($limits, false); ROLLBACK") . "\n";
	compare('rebalance', $pool, $predicted, $done // '', '');

	$predicted = $node->safe_psql('postgres', sprintf($after, $server, 'offline'));
	$node->safe_psql('postgres', "SELECT set_server_state('$server', 'offline')");
	let_worker_run();
	compare('offline', $pool, $predicted, $node->safe_psql('postgres', $loads), $now);
	$claims += $node->safe_psql('postgres', "SELECT count(*) FROM balancer_failovers WHERE from_server = '$server' AND outcome = 'moved' AND rooms > 0");
}
for my $what ('before', 'draining', 'online', 'offline', 'added', 'rebalance')
{
	is($wrong{$what} // 0, 0, "$what: " . ($compared{$what} // 0) . " predictions came true, row by row");
}
# Otherwise nothing is proven. Small limits leave little to rebalance.
cmp_ok($moving{$_} // 0, '>=', 0.3 * $pools, "$_: in many pools rooms move") for 'draining', 'offline', 'added';
cmp_ok($moving{rebalance} // 0, '>=', 0.25 * $pools, 'rebalance: in many pools rooms move');
cmp_ok($claims, '>=', 0.08 * $pools, 'often a standby takes them');

$node->stop;
done_testing();
