# DELETE of a server: the moment of its commit, and PREPARE TRANSACTION.
#
# A commit that waits for a synchronous standby stands for one that takes long: it is not visible
# yet, but its last check for rooms is done.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;

use GxyBalancer;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

for my $cache ('without', 'with')
{
	my @preload = $cache eq 'with'
	  ? ("shared_preload_libraries = 'gxy_balancer'", 'max_worker_processes = 1', "gxy_balancer.load_max_age = '1h'")
	  : ('gxy_balancer.load_max_age = 0');
	my $node = new_server("removal_$cache", @preload, 'max_prepared_transactions = 5', 'synchronous_commit = local',
		"synchronous_standby_names = 'none'");

	$node->safe_psql('postgres', <<'SQL');
INSERT INTO balancer_servers (name) VALUES ('gxy1'), ('gxy2');
SELECT move_room(i, 'gxy1') FROM generate_series(1, 5) i WHERE get_or_assign_server(i) IS NOT NULL;
SQL

	# In another session, because the commit does not return.
	my $deleter = session($node);
	$deleter->query_until(qr/committing/, <<'SQL');
SET synchronous_commit = on;
\echo committing
DELETE FROM balancer_servers WHERE name = 'gxy2';
\echo done
SQL
	$node->poll_query_until('postgres', q(SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'))
	  or die 'the DELETE does not wait';
	is($node->safe_psql('postgres', q(SELECT count(*) FROM balancer_servers)), '2', "$cache load cache: the DELETE is not visible");
	is((attempt($node, q(SET gxy_balancer.assign_timeout = '200ms'; SELECT get_or_assign_server('a'))))[1], '55P03',
		"$cache load cache: no room is placed by the old pool while it commits");
	is((attempt($node, q(SET gxy_balancer.assign_timeout = '200ms'; SELECT move_room(1, 'gxy2'))))[1], '55P03',
		"$cache load cache: and none is moved");
	is(scalar attempt($node, 'SELECT get_or_assign_server(2)'), 'gxy1', "$cache load cache: sticky calls wait for nothing");

	# Calls that have read the pool before the commit, and wait for it.
	my %waiting = (
		place => q(SELECT get_or_assign_server('b')),
		move => q(SELECT move_room(1, 'gxy2')),
		spread => q(SELECT evacuate_server('gxy1', max_rooms => 1)));
	my %caller;
	for my $call (sort keys %waiting)
	{
		$caller{$call} = session($node);
		$caller{$call}->query_until(qr/called/, "SET gxy_balancer.assign_timeout = '3min';\n\\echo called\n$waiting{$call};\n");
	}
	wait_for_waiters($node, 3);
	$node->safe_psql('postgres', q(SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'));
	for my $call (sort keys %waiting)
	{
		# Waits for the call's end.
		$caller{$call}->query('SELECT 1');
		$caller{$call}->quit;
	}
	is($node->safe_psql('postgres', q(SELECT string_agg(room_id || ' ' || gateway_name, ', ' ORDER BY room_id) FROM room_server_assignments)),
		'1 gxy1, 2 gxy1, 3 gxy1, 4 gxy1, 5 gxy1, b gxy1', "$cache load cache: calls that have waited for it use the new pool");
	$deleter->query('SELECT 1');
	$deleter->quit;
	is($node->safe_psql('postgres', q(SELECT string_agg(name, ' ') FROM balancer_servers)), 'gxy1', "$cache load cache: it commits");
	is(scalar attempt($node, q(SELECT get_or_assign_server('a'))), 'gxy1', "$cache load cache: the next room goes elsewhere");

	# A prepared transaction would keep the placement lock until it is committed.
	$node->safe_psql('postgres', q(INSERT INTO balancer_servers (name) VALUES ('gxy2')));
	my (undef, $state, $error) = attempt($node, q(BEGIN; DELETE FROM balancer_servers WHERE name = 'gxy2'; PREPARE TRANSACTION 'p'));
	is($state, '0A000', "$cache load cache: a DELETE cannot be prepared");
	like($error, qr/cannot prepare a transaction that has deleted server "gxy2"/, "$cache load cache: which is said");
	is( (attempt($node, q(BEGIN; SAVEPOINT s; DELETE FROM balancer_servers WHERE name = 'gxy2'; ROLLBACK TO s;
			PREPARE TRANSACTION 'p'; ROLLBACK PREPARED 'p')))[1], '', "$cache load cache: unless it is rolled back to a savepoint");
	$node->stop;
}

done_testing();
