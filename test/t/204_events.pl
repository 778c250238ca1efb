# The notifications on the channel gxy_balancer: valid JSON with sequence numbers, sent by
# operators, monitors and the worker. Calls for rooms send none, so their transactions can be
# prepared.

use strict;
use warnings FATAL => 'all';

use List::Util qw(uniq);
use lib 'test/t';
use GxyWorker;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('events', conf => "gxy_balancer.failover_delay = 0\nmax_prepared_transactions = 5\n");
$node->start;
create_extension($node, 'postgres');
$node->safe_psql('postgres', qq(INSERT INTO balancer_servers (name, pool) VALUES ('a', 'primary'), ('b', 'primary'), ('s', 'standby');
	INSERT INTO balancer_servers (name) VALUES (E'quo"te\\\\back')));
wait_for_first_run($node, 'postgres');

my @numbers;

# Runs statements and returns the notifications that their session receives, one object a line. The
# server's own parser must accept each as JSON. The worker's notifications may arrive as well.
sub told
{
	my ($sql) = @_;
	my ($out, $err);
	$node->psql('postgres', "SELECT 'pid ' || pg_backend_pid(); LISTEN gxy_balancer;\n$sql", stdout => \$out, stderr => \$err);
	$err eq '' or die $err;
	my ($pid) = $out =~ /^pid (\d+)$/m;
	my @payloads = $out =~ /Asynchronous notification "gxy_balancer" with payload "(.*)" received from server process with PID $pid\./g;
	my @events;
	for my $payload (@payloads)
	{
		my $text = $node->safe_psql('postgres',
			"SELECT j->>'seq', (j - 'seq' - 'due_at')::text FROM CAST(\$j\$$payload\$j\$ AS jsonb) j");
		my ($seq, $rest) = split /\|/, $text, 2;
		push @numbers, $seq;
		push @events, $rest;
	}
	return join "\n", @events;
}

is(told(q(SELECT get_or_assign_server(i) FROM generate_series(1, 4) i; SELECT pin_room(1, 'a'))), '', 'assignments and pins tell nothing');
is(told(q(SELECT set_server_state('b', 'draining'); SELECT set_server_state('b', 'draining'); UPDATE balancer_servers SET state = 'online')),
	q({"was": "online", "event": "server_state", "state": "draining", "server": "b", "wanted": "draining"}
{"was": "draining", "event": "server_state", "state": "online", "server": "b", "wanted": "online"}),
	'a change of state is notified once, by any caller');
is(told(q(SELECT server_heartbeat('b'); SELECT server_heartbeat('b'))), '', 'a heartbeat is no news');
is(told(qq(SELECT set_server_state(E'quo"te\\\\back', 'draining'))),
	q({"was": "online", "event": "server_state", "state": "draining", "server": "quo\"te\\\\back", "wanted": "draining"}),
	'names are escaped');
is(told(q(SELECT move_room(1, 'b') FROM move_room(1, 'a'); SELECT evacuate_server('b', 'a') > 0)),
	q({"room": "1", "event": "room_moved", "server": "a", "target": "b"}
{"why": "moved", "event": "rooms_moved", "rooms": ["1"], "server": "a", "target": "b"}
{"was": "online", "event": "server_state", "state": "draining", "server": "b", "wanted": "draining"}
{"why": "evacuated", "event": "rooms_moved", "rooms": ["1", "2"], "server": "b", "target": "a"}
{"event": "evacuation", "rooms": ) . $node->safe_psql('postgres', q(SELECT count(*) FROM room_server_assignments WHERE reason = 'evacuated from b'))
	  . q(, "server": "b", "target": "a"}), 'moves and evacuations');
$node->safe_psql('postgres', q(SELECT set_server_state('b', 'online')));

# A failover from its declaration to its end: the session waits for the worker's notification.
my $listener = $node->background_psql('postgres');
$listener->query_safe('LISTEN gxy_balancer');
is(told(q(SELECT server_heartbeat('a', false))),
	q({"cause": "reported", "event": "server_health", "state": "offline", "health": "unhealthy", "server": "a"}
{"cause": "reported unhealthy", "event": "failover_declared", "server": "a", "target": "s"}), 'a failover is declared');
ok($node->poll_query_until('postgres', q(SELECT outcome = 'moved' FROM balancer_failovers)), 'and carried out');
like($listener->query_safe('SELECT 1'), qr/"event": "failover_finished", "server": "a", "target": "s", "rooms": \d+/, 'which the worker tells');
is(told(q(SELECT server_heartbeat('a'))),
	q({"cause": "reported", "event": "server_health", "state": "online", "health": "healthy", "server": "a"}
{"event": "failover_ended", "server": "a"}), 'and ends');

# A failover without a standby, and one whose standby is drained before it is due.
is(told(q(SET gxy_balancer.failover_delay = '1h'; UPDATE balancer_servers SET state = 'draining' WHERE name = 's';
	SELECT set_server_state('a', 'offline'))),
	q({"was": "online", "event": "server_state", "state": "draining", "server": "s", "wanted": "draining"}
{"was": "online", "event": "server_state", "state": "offline", "server": "a", "wanted": "offline"}
{"cause": "set offline", "event": "failover_declared", "server": "a", "target": null}), 'a failover without a standby has no target');
told(q(UPDATE balancer_servers SET state = 'online'; SELECT count(release_room(room_id)) FROM room_server_assignments));
is(told(q(SET gxy_balancer.failover_delay = '1h'; SELECT set_server_state('a', 'offline'); SELECT set_server_state('s', 'draining'))),
	q({"was": "online", "event": "server_state", "state": "offline", "server": "a", "wanted": "offline"}
{"cause": "set offline", "event": "failover_declared", "server": "a", "target": "s"}
{"was": "online", "event": "server_state", "state": "draining", "server": "s", "wanted": "draining"}
{"event": "failover_redirected", "server": "a", "target": null}), 'one whose standby is drained is redirected');
$node->safe_psql('postgres', q(INSERT INTO balancer_servers (name, pool) VALUES ('s2', 'standby');
	UPDATE balancer_servers SET state = 'online'));
is(told(q(SET gxy_balancer.failover_delay = '1h'; SELECT set_server_state('a', 'offline'); SELECT set_server_state('s', 'draining'))),
	q({"was": "online", "event": "server_state", "state": "offline", "server": "a", "wanted": "offline"}
{"cause": "set offline", "event": "failover_declared", "server": "a", "target": "s"}
{"was": "online", "event": "server_state", "state": "draining", "server": "s", "wanted": "draining"}
{"event": "failover_redirected", "server": "a", "target": "s2"}), 'to another standby if there is one');
$node->safe_psql('postgres', q(UPDATE balancer_servers SET state = 'online'; DELETE FROM balancer_servers WHERE name = 's2'));
$node->safe_psql('postgres', q(UPDATE balancer_servers SET state = 'online'; SELECT get_or_assign_server(i) FROM generate_series(1, 4) i));

# A server that has been silent for longer than the timeout, which has passed since the start.
wait_until($node, 'postgres', q(SELECT now() - pg_postmaster_start_time() > interval '1500 ms'));
$node->safe_psql('postgres', q(SELECT server_heartbeat(name) FROM balancer_servers;
	UPDATE balancer_health SET counts_from = now() + interval '1 s';
	UPDATE balancer_health SET last_heartbeat = now() - interval '1 h', counts_from = now() - interval '1 h' WHERE server = 'a'));
is(told(q(SET gxy_balancer.heartbeat_timeout = '1500ms'; SELECT server_heartbeat('b'))),
	q({"cause": "silent", "event": "server_health", "state": "offline", "health": "unhealthy", "server": "a"}
{"cause": "silent", "event": "failover_declared", "server": "a", "target": "s"}), 'a server that has fallen silent');
$node->safe_psql('postgres', q(SELECT server_heartbeat('a')));

# A transaction whose call moves a room can be prepared, because it has sent no notification.
$node->safe_psql('postgres', q(INSERT INTO room_server_assignments (room_id, gateway_name, assigned_at)
	VALUES ('stray', 'nowhere', now() - interval '1 h')));
is($node->psql('postgres', q(BEGIN; SELECT get_or_assign_server('stray'); PREPARE TRANSACTION 'moved'; COMMIT PREPARED 'moved')), 0,
	'a call that moves a room can be prepared');
is($node->safe_psql('postgres', q(SELECT reason FROM room_server_assignments WHERE room_id = 'stray')), 'failover from nowhere', 'it has moved it');

# A server comes into the pool offline, which declares nothing. Another change of the pool does, and nothing but the
# failover wakes the worker then.
$node->safe_psql('postgres', q(INSERT INTO balancer_servers (name, state) VALUES ('late', 'offline');
	INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('early', 'late');
	UPDATE balancer_servers SET priority = 1 WHERE name = 'b'));
ok($node->poll_query_until('postgres', q(SELECT outcome <> 'pending' FROM balancer_failovers WHERE from_server = 'late')),
	'a failover that is found later wakes the worker');

is("@numbers", join(' ', sort { $a <=> $b } uniq @numbers), 'the numbers increase');

$listener->quit;
$node->stop;
done_testing();
