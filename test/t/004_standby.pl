# Calls on a hot standby, and in READ ONLY transactions on the primary: a room that has a server is
# answered, a call that would have to write raises 25006 with a hint, and nothing is written.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use GxyBalancer;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = new_server('primary');

$primary->backup('base');

my $standby = PostgreSQL::Test::Cluster->new('standby');

$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

sub replicated
{
	$primary->safe_psql('postgres', $_[0]);
	$primary->wait_for_catchup($standby, 'replay');
}

sub rows
{
	return $primary->safe_psql('postgres', 'SELECT r::text FROM room_server_assignments r ORDER BY room_id');
}

# Rooms on gxy3: one whose lease is fresh, one due to be renewed, one expired.
replicated(q{
	INSERT INTO room_server_assignments (room_id, gateway_name, assigned_at, last_used_at)
		SELECT room, 'gxy3', now() - age, now() - age
		FROM (VALUES ('1', interval '0'), ('2', interval '20 s'), ('3', interval '1 h')) r (room, age);
});

# Every function of the SQL interface either only reads, or is called here in every way that writes.
my @looks = ('room_server', 'server_state', 'explain_assignment', 'what_if', 'what_if_added', 'reset_balancer_stats');
my @writes = (
	'get_or_assign_server(9)', 'touch_room(1)', 'touch_room(9)', 'touch_room(1, 5)', 'release_room(1)', 'release_room(9)',
	'clean_inactive_assignments()', q(clean_inactive_assignments('0')), 'attach_sessions(NULL)', q(attach_sessions('pg_class')),
	'attach_rooms(NULL)', q(attach_rooms('pg_class')), 'init_servers()', q(init_servers('x')),
	q(set_server_state('gxy3', 'offline')), q(set_server_state('gxy3', 'online')), q(server_heartbeat('gxy3')),
	q(server_heartbeat('gxy3', false)), q(server_heartbeat('nowhere')), q(pin_room(1, 'gxy3')), q(pin_room(9, 'nowhere')),
	'unpin_room(1)', q(move_room(1, 'gxy1')), q(move_room(9, 'gxy1')), q(evacuate_server('gxy3')),
	q(evacuate_server('gxy3', 'gxy1')), q(evacuate_server('gxy3', max_rooms => 0)),
	'rebalance(NULL, NULL, false)');
my @untested = grep { my $name = $_; !grep { /^\Q$name\E\b/ } @looks, @writes } split /\n/, $primary->safe_psql('postgres', <<'SQL');
SELECT DISTINCT p.proname FROM pg_depend d JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
WHERE d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'gxy_balancer') AND d.deptype = 'e' AND p.proname !~ '^_'
SQL
is("@untested", '', 'every function is in the table');

my $before = rows();
my $session = session($standby);

#
# On the standby, and in READ ONLY transactions
#

for my $where ('standby', 'READ ONLY')
{
	my ($node, $begin) = $where eq 'standby' ? ($standby, '') : ($primary, 'BEGIN READ ONLY;');

	is(scalar attempt($node, "$begin SELECT get_or_assign_server(n) FROM generate_series(1, 3) n"), "gxy3\ngxy3\ngxy3",
		"$where: a room that has a server is answered, whatever its lease");
	is(scalar attempt($node, "$begin SELECT room_server(2), coalesce(room_server(9), 'none')"), 'gxy3|none',
		"$where: room_server() looks");
	is(scalar attempt($node, "$begin SELECT server_state('gxy3')"), 'online', "$where: server_state() tells");
	is(scalar attempt($node, "$begin SELECT rooms FROM balancer_load WHERE server = 'gxy3'"), '3',
		"$where: balancer_load counts");
	is(scalar attempt($node, "$begin SELECT m.rooms, s.rooms, m.worker_lag_seconds FROM balancer_metrics m, balancer_server_metrics s WHERE server = 'gxy3'"),
		'3|3|0', "$where: balancer_metrics and balancer_server_metrics measure");
	is(scalar attempt($node, "$begin SELECT server FROM explain_assignment(9) WHERE chosen"), 'gxy1',
		"$where: explain_assignment() explains");
	is(scalar attempt($node, "$begin SELECT rooms_before, rooms_after FROM what_if('gxy3', 'draining') WHERE server = 'gxy3'"), '3|0',
		"$where: what_if() foresees");
	is(scalar attempt($node, "$begin SELECT sum(rooms_after) FROM what_if_added('gxy99', 100)"), '3',
		"$where: what_if_added() foresees");
	is(scalar attempt($node, "$begin SELECT count(*) >= 0 FROM rebalance(NULL, NULL)"), 't', "$where: rebalance() lists moves");

	for my $call (@writes)
	{
		my (undef, $state, $error) = attempt($node, "$begin SELECT $call");

		is($state, '25006', "$where: $call is 25006");
		like($error, $where eq 'standby' ? qr/^HINT:.*primary/m : qr/^HINT:.*READ WRITE/m,
			"$where: $call: the hint says where to call it");
	}
	is(scalar attempt($node, 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT get_or_assign_server(3)'), 'gxy3',
		"$where: a REPEATABLE READ, READ ONLY transaction is answered");
}
is(scalar attempt($primary, 'BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE; SELECT get_or_assign_server(3)'),
	'gxy3', 'READ ONLY: a SERIALIZABLE, DEFERRABLE transaction is answered');
is(rows(), $before, 'nothing of all that was written, no lease renewed');

#
# What the standby's sessions remember of the pool
#

is($session->query("SELECT server_state('gxy3')"), 'online', 'standby: a session has read the pool');
replicated("SELECT init_servers(); UPDATE balancer_servers SET state = 'draining' WHERE name = 'gxy3'");
is($session->query("SELECT server_state('gxy3')"), 'draining', 'standby: an edit of the pool reaches a session that has read it');
is($session->query('SELECT server FROM explain_assignment(9) WHERE chosen'), 'gxy1', 'standby: a session explains by the pool');
replicated("INSERT INTO balancer_servers (name, priority) VALUES ('gxy0', 1)");
is($session->query('SELECT server FROM explain_assignment(9) WHERE chosen'), 'gxy0', 'standby: so does a server that was added');
replicated("INSERT INTO balancer_pins (room_id, server) VALUES ('9', 'gxy5')");
is($session->query('SELECT server FROM explain_assignment(9) WHERE chosen'), 'gxy5', 'standby: and a pin');
replicated('DROP EXTENSION gxy_balancer; CREATE EXTENSION gxy_balancer; SELECT get_or_assign_server(4)');
is($session->query('SELECT get_or_assign_server(4)'), 'gxy1', 'standby: a session finds the tables of a new CREATE EXTENSION');

#
# As old as replay
#

$standby->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
wait_until($standby, 'postgres', "SELECT pg_get_wal_replay_pause_state() = 'paused'");
$primary->safe_psql('postgres', "UPDATE room_server_assignments SET gateway_name = 'gxy7' WHERE room_id = '4'");
is($session->query('SELECT get_or_assign_server(4)'), 'gxy1', 'standby: the answer is as old as replay');
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
$primary->wait_for_catchup($standby, 'replay');
is($session->query('SELECT get_or_assign_server(4)'), 'gxy7', 'standby: and no older');

#
# Promotion
#

$primary->stop;
$standby->promote;
is($session->query('SELECT get_or_assign_server(9)'), 'gxy1', 'promoted: the same session assigns new rooms');
is($session->query('SELECT get_or_assign_server(4)'), 'gxy7', 'promoted: rooms keep their servers');
is($session->query('SELECT touch_room(4)'), 't', 'promoted: and are touched');
$session->quit;

done_testing();
