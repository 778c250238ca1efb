# The hint of a call that timed out names the session it waited for, whatever that session is doing
# and whichever of its subtransactions holds the lock.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use GxyBalancer;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main');
my $holder = session($node);
my $pid = $holder->query('SELECT pg_backend_pid()');

sub is_named
{
	my ($what, $room, @statements) = @_;

	$node->safe_psql('postgres', q{
		DELETE FROM room_server_assignments;
		INSERT INTO room_server_assignments (room_id, gateway_name, assigned_at, last_used_at)
			VALUES ('expired', 'gxy3', now() - interval '1 h', now() - interval '1 h');
	});
	$holder->query_safe(join '; ', 'BEGIN', @statements);

	my (undef, $state, $error) =
	  attempt($node, "SET gxy_balancer.assign_timeout = '200ms'; SELECT get_or_assign_server('$room')");

	is($state, '55P03', "$what: 55P03 after assign_timeout");
	like($error, qr/room "$room"/, "$what: the message names the room");
	like($error, qr/^HINT:.*\bpid $pid\b/m, "$what: the hint names the pid of the session that has it");
	$holder->query_safe('ROLLBACK');
}

is_named('open assignment', 'new', "SELECT get_or_assign_server('new')");
is_named('assignment in a released savepoint', 'new', 'SAVEPOINT a', "SELECT get_or_assign_server('new')", 'RELEASE a');
is_named('assignment in an open savepoint', 'new', 'SAVEPOINT a', "SELECT get_or_assign_server('new')");
is_named('INSERT of the application', 'new', "INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('new', 'gxy1')");
is_named('cleanup of an expired lease', 'expired', 'SELECT clean_inactive_assignments()');
is_named('release of an expired lease', 'expired', "SELECT release_room('expired')");
is_named('DELETE of an expired lease', 'expired', 'DELETE FROM room_server_assignments');

# Here lock_timeout, set by the session, is the smaller limit. The hint is the same.
$holder->query_safe("BEGIN; SELECT get_or_assign_server('new')");
my (undef, $state, $error) =
  attempt($node, "SET lock_timeout = '200ms'; SELECT get_or_assign_server('new')");
is($state, '55P03', 'a smaller lock_timeout: 55P03');
like($error, qr/^HINT:.*\bpid $pid\b/m, 'a smaller lock_timeout: the hint names the pid');

# pg_locks shows that the callers wait for that transaction.
my $waiter = session($node);
$waiter->query_until(qr/calling/, "\\echo calling\nSELECT get_or_assign_server('new');\n");
wait_for_waiters($node, 1);
is($node->safe_psql('postgres', "SELECT DISTINCT unnest(pg_blocking_pids(pid)) FROM pg_locks WHERE NOT granted"), $pid,
	'pg_blocking_pids() of a waiting caller names the same session');

# A cancelled caller leaves nothing behind.
$node->safe_psql('postgres', q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'});
$waiter->query('SELECT 1');
like($waiter->{stderr}, qr/canceling statement due to user request/, 'a waiting caller can be cancelled');
$waiter->{stderr} = '';
$holder->query_safe('ROLLBACK');
is($waiter->query("SELECT get_or_assign_server('new')"), 'gxy1', 'and call again');
is($waiter->query('SHOW lock_timeout'), '0', 'with its own lock_timeout');
$_->quit for $holder, $waiter;

done_testing();
