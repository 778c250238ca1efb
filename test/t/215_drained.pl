# A draining server that has become empty: balancer_load says so, and the worker sends the
# notification "server_drained", once in each drain.

use strict;
use warnings FATAL => 'all';

use lib 'test/t';
use GxyBalancer qw(session);
use GxyWorker;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('drained', conf => "gxy_balancer.load_max_age = 0\nmax_prepared_transactions = 5\n");
$node->start;
create_extension($node, 'postgres');
$node->safe_psql('postgres', q(SELECT init_servers('a,b,c');
	CREATE TABLE sessions (room_id text, user_id int, gateway_name text); SELECT attach_sessions('sessions')));
wait_for_first_run($node, 'postgres');

my $listener = session($node);
$listener->query_safe('LISTEN gxy_balancer');

sub ask
{
	return $node->safe_psql('postgres', $_[0]);
}

sub shown
{
	return ask(q(SELECT state, regexp_replace(cause, '; (recovering|takes few)[^;]*', '') FROM balancer_load WHERE server = 'a'));
}

# Waits for a run that begins now; returns the servers that were told of as drained since the last
# call.
sub told
{
	my $since = server_time($node);

	ask(q(SELECT set_server_state('c', CASE server_state('c') WHEN 'online' THEN 'draining' ELSE 'online' END)));
	wait_for_run_after($node, 'postgres', $since);

	my $out = $listener->query_safe('SELECT 1');

	return join ' ', grep { $_ ne 'c' } $out =~ /"event": "server_drained", "server": "(\w+)"/g;
}

# A run that meets a change of a server leaves the drains to the next one.
sub told_soon
{
	my $told = '';

	for (1 .. 10)
	{
		$told = told();
		last if $told ne '';
	}
	return $told;
}

# Draining, from the first room to the last user.
ask(q(UPDATE balancer_servers SET state = 'draining' WHERE name = 'c';
	INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('1', 'a'), ('2', 'a'), ('3', 'b');
	INSERT INTO sessions VALUES ('1', 1, 'a'), ('2', 2, 'a'), ('3', 3, 'b')));
told();
ask(q(SELECT set_server_state('a', 'draining')));
is(told(), '', 'a draining server that has rooms is not told of');
is(shown(), 'draining|set draining', 'nor shown');
ask(q(SELECT evacuate_server('a', 'b')));
is(told(), '', 'nor one whose users have not gone');
is(shown(), 'draining|set draining; no rooms, users connected', 'which is shown');
is(ask(q(SELECT server_state('a'))), 'draining', 'server_state() counts nothing');
my $open = session($node);
$open->query_safe(q(BEGIN; INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('4', 'a')));
ask(q(DELETE FROM sessions WHERE user_id < 3));
is(told(), '', 'nor one with a room of a transaction that has not ended');
is(shown(), 'draining|set draining', 'which counts');
$open->query_safe('ROLLBACK');
is(shown(), 'drained|set draining; safe to stop', 'an empty one is drained');
is(ask(q(SELECT server_state('a'))), 'draining', 'server_state() still counts nothing');
like(told_soon(), qr/\ba\b/, 'which is told');
unlike(told(), qr/\ba\b/, 'once');
$listener->quit;
$node->restart;
wait_for_first_run($node, 'postgres');
$listener = session($node);
$listener->query_safe('LISTEN gxy_balancer');
unlike(told(), qr/\ba\b/, 'not again after a restart');

# Pins hold on a draining server.
ask(q(SELECT pin_room(9, 'a')));
is(shown(), 'drained|set draining; no rooms, 1 pinned: set it offline', 'rooms may still come by a pin');
is(ask(q(SELECT get_or_assign_server(9))), 'a', 'one comes');
is(shown(), 'draining|set draining', 'then it is not drained any more');
ask(q(SELECT release_room(9), unpin_room(9)));
is(shown(), 'drained|set draining; safe to stop', 'but when it has gone');
unlike(told(), qr/\ba\b/, 'the drain was told of before');

# The next drain, set by an UPDATE; online for so short a time that no run has seen it.
ask(q(BEGIN; UPDATE balancer_servers SET state = 'online' WHERE name = 'a'; UPDATE balancer_servers SET state = 'draining' WHERE name = 'a'; COMMIT));
like(told_soon(), qr/\ba\b/, 'the next drain is told of again');
# If another transaction has noted the drain meanwhile, listeners have been told by that.
ask(q(INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('8', 'a');
	SELECT set_server_state('a', 'online'), set_server_state('a', 'draining')));
my $noting = session($node);
$noting->query_safe(q(BEGIN; INSERT INTO _drained_servers VALUES ('a')));
ask(q(SELECT release_room('8'), set_server_state('c', CASE server_state('c') WHEN 'online' THEN 'draining' ELSE 'online' END)));
wait_for_blocked_worker($node, 'postgres');
$noting->query_safe('COMMIT');
$noting->quit;
unlike(told(), qr/\ba\b/, 'a drain that another session has noted meanwhile is not told of again');
ask(q(SELECT server_heartbeat('a', false)));
is(ask(q(SELECT state FROM balancer_load WHERE server = 'a')), 'offline', 'an unhealthy one is offline');
ask(q(SELECT server_heartbeat('a')));
unlike(told(), qr/\ba\b/, 'and when it is back its drain is the same');

# Sessions that do not say which server they are on, or cannot be read.
ask(q(SELECT set_server_state('a', 'online'); ALTER TABLE sessions RENAME TO gone));
ask(q(SELECT set_server_state('a', 'draining')));
$node->poll_query_until('postgres', q(SELECT worker LIKE 'backing off%' FROM balancer_stats)) or die;
unlike($listener->query_safe('SELECT 1'), qr/server_drained/, 'unreadable sessions: not told');
like(shown(), qr/^draining\|set draining; sessions unreadable/, 'and not drained');
ask(q(CREATE TABLE sessions AS SELECT room_id, user_id FROM gone));
is(shown(), 'drained|set draining; no rooms, users connected unknown', 'sessions without servers');
like(told_soon(), qr/\ba\b/, 'are told of by the rooms alone');
ask(q(SELECT attach_sessions(NULL)));
is(shown(), 'drained|set draining; no rooms, users connected unknown', 'and without any sessions');

# The worker's own cleanup takes the last room. After a start, leases from before last for a whole assignment_grace again.
ask(q(ALTER DATABASE postgres SET gxy_balancer.assignment_grace = '1s'));
ask(q(SELECT set_server_state('b', 'draining');
	UPDATE room_server_assignments SET assigned_at = now() - interval '1 h', last_used_at = now() - interval '1 h'));
like(told_soon(), qr/\bb\b/, 'the run that frees the last room tells of it');
ask(q(ALTER DATABASE postgres RESET gxy_balancer.assignment_grace));

# The operator who empties a server wakes the worker.
ask(q(DELETE FROM _drained_servers; SELECT set_server_state('a', 'online'), set_server_state('b', 'draining')));
told();
ask(q(DELETE FROM _drained_servers; INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('7', 'b')));
told();
ask(q(SELECT move_room('7', 'a')));
$node->poll_query_until('postgres', q(SELECT count(*) = 1 FROM _drained_servers WHERE server = 'b')) or die;
like($listener->query_safe('SELECT 1'), qr/"event": "server_drained", "server": "b"/, 'a move of the last room wakes the worker');

# What the table holds goes with the server.
ask(q(DELETE FROM balancer_servers WHERE name = 'b'));
is(ask(q(SELECT count(*) FROM _drained_servers WHERE server = 'b')), '0', 'a deleted server leaves nothing behind');

$listener->quit;
$open->quit;
$node->stop;
done_testing();
