# A backend that is stopped (SIGSTOP) while it holds a lock: each lock of the extension, and locks on a table and a row.
#
# Who waits in the lock manager gives up after assign_timeout with 55P03. Who waits for one of the two locks of the shared
# memory waits until the backend goes on; calls for known rooms in a session that has called before do not wait. Afterwards
# all goes on.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;

use GxyFaults;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_faults_server('stopped', "gxy_balancer.assign_timeout = '500ms'\ngxy_balancer.assignment_grace = '1h'\n"
	  . "gxy_balancer.touch_interval = '15min'\n");

load_faults($node);
sql($node, 'SELECT init_servers()');
sql($node, q(SELECT get_or_assign_server('known.' || i) FROM generate_series(1, 4) i));
ok(wait_for_first_run($node, 'postgres'), 'no run is under way');

# A session that has called before. It knows one room by its place.
my $old = $node->background_psql('postgres', on_error_stop => 0);

sub ask_old
{
	my ($call) = @_;

	return ($old->query("$call;\n\\echo :SQLSTATE\n") =~ s/\s+$//r) =~ s/\n/ /gr;
}

ask_old(q(SELECT get_or_assign_server('known.1'), get_or_assign_server('known.1')));

my $known = sql($node, q(SELECT gateway_name FROM room_server_assignments WHERE room_id = 'known.1'));
my $number = 0;

sub new_room { return "SELECT get_or_assign_server('new." . ++$number . "')" }

# Statements, in one transaction, whose backend stops in them.
sub stop_in
{
	my ($statements) = @_;
	my $victim = calling($node, "SET application_name = 'victim'; $statements");
	my $pid;

	wait_until($node, 'postgres', q(SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'victim'));
	$pid = sql($node, q(SELECT pid FROM pg_stat_activity WHERE application_name = 'victim'));
	wait_for('the stop of the backend', sub { process_state($pid) eq 'T' });
	return ($victim, $pid);
}

# A session whose transaction has a lock, and then is stopped.
sub stop_with
{
	my ($statement) = @_;
	my $victim = $node->background_psql('postgres', on_error_stop => 0);
	my $pid = $victim->query_safe('SELECT pg_backend_pid()');

	$victim->query_safe("BEGIN; $statement");
	kill_process('STOP', $pid);
	wait_for('the stop of the backend', sub { process_state($pid) eq 'T' });
	return ($victim, $pid);
}

sub at_release { return "SELECT signal_at_release('$_[0]', 19);" }

sub gives_up
{
	my ($what, $call, $message) = @_;

	like(settled(calling($node, $call)), qr/^55P03: $message/, "$what gives up after assign_timeout");
	return;
}

sub all_goes_on
{
	my ($what) = @_;

	like(settled(calling($node, new_room())), qr/^gxy\d+$/, "$what: then all goes on");
	is(cache_is_right($node), '', "$what: and the load cache is right");
	return;
}

sub knows
{
	my ($what) = @_;

	is(ask_old(q(SELECT get_or_assign_server('known.1'))), "$known 00000", "$what: a call for a known room is answered");
	return;
}

# The room lock, after the row is written.
{
	my ($victim, $pid) = stop_in(at_release('room') . q(SELECT get_or_assign_server('room')));

	knows('room lock');
	gives_up('room lock: a call for the same room', q(SELECT get_or_assign_server('room')), 'timed out waiting for the server of room "room"');
	like(settled(calling($node, new_room())), qr/^gxy\d+$/, 'room lock: other rooms get servers');
	kill_process('CONT', $pid);
	like(settled($victim), qr/gxy\d+$/, 'room lock: the stopped call ends well');
	all_goes_on('room lock');
}

# The placement lock, shared and exclusive.
for my $by ('cache', 'count')
{
	my $what = "placement lock, by $by";
	my $count = 'SET gxy_balancer.load_max_age = 0;';
	my ($victim, $pid) = stop_in(($by eq 'count' ? $count : '') . at_release('placement') . new_room());

	knows($what);
	if ($by eq 'cache')
	{
		like(settled(calling($node, new_room())), qr/^gxy\d+$/, "$what: other rooms get servers");
		gives_up("$what: a call that counts", $count . new_room(), 'timed out waiting for room');
		# It has no rooms yet.
		gives_up("$what: the removal of a server", q(DELETE FROM balancer_servers WHERE name = 'gxy12'),
			'timed out waiting for rooms that are being placed');
	}
	else
	{
		gives_up("$what: another new room", new_room(), 'timed out waiting for room');
	}
	kill_process('CONT', $pid);
	like(settled($victim), qr/gxy\d+$/, "$what: the stopped call ends well");
	all_goes_on($what);
}

# The locks in shared memory.
for my $lock ('cache', 'header')
{
	my $what = "$lock lock";
	my ($victim, $pid) = stop_in(at_release($lock) . new_room());

	knows($what);

	my $waiting = calling($node, "SET application_name = 'waiting'; " . new_room());

	ok(wait_until($node, 'postgres', q(SELECT count(*) = 1 FROM pg_stat_activity
		WHERE application_name = 'waiting' AND wait_event_type = 'LWLock')), "$what: a new room waits");
	kill_process('CONT', $pid);
	like(settled($victim), qr/gxy\d+$/, "$what: the stopped call ends well");
	like(settled($waiting), qr/gxy\d+$/, "$what: and so does the one that waited");
	all_goes_on($what);
}

# Locks that the application may take.
{
	my ($victim, $pid) = stop_with('LOCK TABLE room_server_assignments');

	knows('table lock');
	gives_up('table lock: a new room', new_room(), '');
	kill_process('CONT', $pid);
	$victim->query_safe('COMMIT');
	$victim->quit;
	all_goes_on('table lock');
}
{
	my ($victim, $pid) = stop_with(q(SELECT FROM room_server_assignments WHERE room_id = 'known.1' FOR UPDATE));

	knows('row lock');
	gives_up('row lock: a release', q(SELECT release_room('known.1')), '');
	kill_process('CONT', $pid);
	$victim->query_safe('COMMIT');
	$victim->quit;
	all_goes_on('row lock');
}
{
	my ($victim, $pid) = stop_with(q(SELECT set_server_state('gxy1', 'draining')));

	knows('server states');
	gives_up('server states: another state', q(SELECT set_server_state('gxy2', 'offline')), '');
	like(settled(calling($node, new_room())), qr/^gxy\d+$/, 'server states: new rooms get servers');
	kill_process('CONT', $pid);
	$victim->query_safe('ROLLBACK');
	$victim->quit;
	all_goes_on('server states');
}
$old->quit;
is(worker_works($node), '1', 'the worker works');

$node->stop;
done_testing();
