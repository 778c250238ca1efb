# Prepared transactions: no session can end them, they survive a restart, and they may stay open for
# days.
#
# A call that must not wait is made with lock_timeout = 1 s: the prepared transaction does not end
# by itself, so a call that waits for it fails.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use GxyBalancer;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', 'max_prepared_transactions = 10');

sub prepare
{
	my ($gid, @statements) = @_;

	$gid =~ s/'/''/g;
	$node->safe_psql('postgres', join(";\n", 'BEGIN', @statements, "PREPARE TRANSACTION '$gid'"));
}

sub at_once
{
	return scalar attempt($node, "SET lock_timeout = '1s'; $_[0]");
}

sub patiently
{
	return attempt($node, "SET gxy_balancer.assign_timeout = '200ms'; $_[0]");
}

sub reset_rooms
{
	$node->safe_psql('postgres', 'DELETE FROM room_server_assignments');
}

# Puts rooms on gxy3 that were last used the given time ago.
sub aged_rooms
{
	my ($age, @rooms) = @_;

	$node->safe_psql('postgres', qq{
		INSERT INTO room_server_assignments (room_id, gateway_name, assigned_at, last_used_at)
		VALUES ('$_', 'gxy3', now() - interval '$age', now() - interval '$age')}) for @rooms;
}

$node->safe_psql('postgres', q{
	SELECT init_servers('gxy1,gxy2,gxy3');
	INSERT INTO balancer_servers (name, regions) VALUES ('gxy4', ARRAY['IL']);
});

#
# An assignment
#

prepare("it's prepared", 'SELECT get_or_assign_server(1)');
is(at_once('SELECT get_or_assign_server(2)'), 'gxy2', 'a prepared assignment delays no other room, and counts');
is(at_once('SELECT get_or_assign_server(3)'), 'gxy3', 'it counts for the next one');
is(at_once('SELECT get_or_assign_server(4)'), 'gxy1', 'it counts once');

my (undef, $state, $error) = patiently('SELECT get_or_assign_server(1)');

is($state, '55P03', 'callers of its room get 55P03 after assign_timeout');
like($error, qr/^HINT:.*prepared transaction 'it's prepared'/m, 'the hint names the prepared transaction');
like($error, qr/^HINT:.*COMMIT PREPARED or ROLLBACK PREPARED/m, 'the hint says how to end it');
is(at_once('SELECT touch_room(1)'), 'f', 'touch_room() does not see it');
is(at_once("SELECT clean_inactive_assignments('0')"), '3', 'a cleanup passes it over');

$node->restart;
(undef, $state, $error) = patiently('SELECT get_or_assign_server(1)');
is($state, '55P03', 'after a restart it holds its room as before');
like($error, qr/'it's prepared'/, 'and is named as before');
is(at_once('SELECT get_or_assign_server(5)'), 'gxy2', 'and counts as before');

my $caller = session($node);

$caller->query_until(qr/calling/, "SET gxy_balancer.assign_timeout = '5min';\n\\echo calling\n"
	  . "SELECT get_or_assign_server(1);\n");
wait_for_waiters($node, 1);
$node->safe_psql('postgres', q{COMMIT PREPARED 'it''s prepared'});
is($caller->query('SELECT room_server(1)'), "gxy1\ngxy1", 'COMMIT PREPARED: who was waiting gets its server');
is(at_once('SELECT get_or_assign_server(1)'), 'gxy1', 'COMMIT PREPARED: everyone gets its server');

reset_rooms();
prepare('p', "SELECT get_or_assign_server(1, 'IL')");
$caller->query_until(qr/calling/, "\\echo calling\nSELECT get_or_assign_server(1);\n");
wait_for_waiters($node, 1);
is($node->safe_psql('postgres', "SELECT rooms FROM balancer_load WHERE server = 'gxy4'"), '1',
	'balancer_load shows a prepared assignment');
$node->safe_psql('postgres', "ROLLBACK PREPARED 'p'");
is($caller->query('SELECT room_server(1)'), "gxy1\ngxy1", 'ROLLBACK PREPARED: who was waiting chooses for itself');
is($node->safe_psql('postgres', "SELECT rooms FROM balancer_load WHERE server = 'gxy4'"), '0',
	'ROLLBACK PREPARED: nothing is left behind');
$caller->quit;

reset_rooms();
prepare('sub', 'SAVEPOINT a', 'SELECT get_or_assign_server(1)', 'RELEASE a');
(undef, $state, $error) = patiently('SELECT get_or_assign_server(1)');
is($state, '55P03', 'an assignment in a savepoint, prepared, holds its room');
like($error, qr/prepared transaction 'sub'/, 'and the hint names the prepared transaction');
$node->safe_psql('postgres', "ROLLBACK PREPARED 'sub'");

prepare('undone', 'SAVEPOINT a', 'SELECT get_or_assign_server(1)', 'ROLLBACK TO a', 'SELECT get_or_assign_server(2)');
is(at_once("SELECT get_or_assign_server(1, 'IL')"), 'gxy4', 'an assignment undone in a savepoint before PREPARE holds nothing');
$node->safe_psql('postgres', "ROLLBACK PREPARED 'undone'");

#
# A renewal, prepared and forgotten
#

reset_rooms();
aged_rooms('20 s', 'busy');
aged_rooms('1 h', 'expired');
prepare('renewal', "SELECT get_or_assign_server('busy'), touch_room('expired')");
for my $room ('busy', 'expired')
{
	is(at_once("SELECT get_or_assign_server('$room')"), 'gxy3', "an orphaned renewal delays no caller of its room ($room)");
	is(at_once("SELECT touch_room('$room')"), 't', "and no touch ($room)");
	is(at_once("BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT get_or_assign_server('$room'); COMMIT"), 'gxy3',
		"nor at SERIALIZABLE ($room)");
}
is(at_once('SELECT clean_inactive_assignments()'), '0', 'a cleanup passes over it');
is(at_once("SELECT get_or_assign_server('new')"), 'gxy1', 'new rooms are placed');
$node->restart;
is(at_once("SELECT get_or_assign_server('busy')"), 'gxy3', 'after a restart as before');
(undef, $state) = patiently("SELECT release_room('busy')");
is($state, '55P03', 'only a release waits for it, no longer than assign_timeout');
$node->safe_psql('postgres', "ROLLBACK PREPARED 'renewal'");
is(at_once("SELECT clean_inactive_assignments('1 min')"), '1', 'rolled back, it has renewed nothing');

#
# Deletions
#

reset_rooms();
aged_rooms('20 s', 'leased');
aged_rooms('1 h', 'expired');
prepare('deletion', "SELECT release_room('leased')", "SELECT clean_inactive_assignments('1 min')");
is(at_once("SELECT get_or_assign_server('leased')"), 'gxy3', 'a prepared release: others get the committed server at once');
(undef, $state, $error) = patiently("SELECT get_or_assign_server('expired')");
is($state, '55P03', 'a prepared cleanup: callers whose lease has expired get 55P03');
like($error, qr/^HINT:.*prepared transaction 'deletion'/m, 'and the hint names it');
is(at_once("SELECT get_or_assign_server('other')"), 'gxy1', 'no other room is delayed');
$node->safe_psql('postgres', "COMMIT PREPARED 'deletion'");
is(at_once("SELECT get_or_assign_server('leased')"), 'gxy2', 'COMMIT PREPARED: the released room is assigned anew');
is(at_once("SELECT touch_room('expired')"), 'f', 'COMMIT PREPARED: the cleaned room is gone');

aged_rooms('1 h', 'expired');
prepare('deletion', "SELECT clean_inactive_assignments('1 min')");
$node->safe_psql('postgres', "ROLLBACK PREPARED 'deletion'");
is(at_once("SELECT get_or_assign_server('expired')"), 'gxy3', 'ROLLBACK PREPARED: the room keeps its server');

done_testing();
