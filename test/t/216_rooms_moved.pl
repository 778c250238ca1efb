# The notifications "rooms_moved": every room whose move commits is named once, with the server that
# it is on, whether an operator, the worker or a call moves it.

use strict;
use warnings FATAL => 'all';

use JSON::PP;
use lib 'test/t';
use GxyBalancer qw(session);
use GxyWorker;
use PostgreSQL::Test::Utils;
use Test::More;

# UTF-8 in every locale, for the room ids.
my $node = new_node('rooms_moved', init => { extra => [ '--encoding=UTF8', '--locale=C' ] }, conf => "gxy_balancer.failover_delay = 0\nmax_prepared_transactions = 5\n");
$node->start;
create_extension($node, 'postgres');
$node->safe_psql('postgres', q(INSERT INTO balancer_servers (name, pool) VALUES ('a', 'primary'), ('b', 'primary'), ('c', 'primary'),
	('s', 'standby')));
wait_for_first_run($node, 'postgres');

my $listener = session($node);
$listener->query_safe('LISTEN gxy_balancer');
my @lengths;

# What a session has printed, or the listener since the last call: the names of the events, without that of
# an empty server, and the rooms as "room: why from>to", sorted.
sub received
{
	my $out = $_[0] // $listener->query_safe('SELECT 1');
	my (@events, @rooms);

	for my $payload ($out =~ /^Asynchronous notification "gxy_balancer" with payload "(.*)" received from server process with PID \d+\.$/mg)
	{
		my $event = decode_json($payload);
		push @lengths, length $payload;
		push @events, $event->{event} if $event->{event} ne 'server_drained';
		push @rooms, map { "$_: $event->{why} $event->{server}>$event->{target}" } @{ $event->{rooms} } if $event->{event} eq 'rooms_moved';
	}
	return { events => join(' ', @events), rooms => join("\n", sort @rooms) };
}

# The rooms where the table has them, in the same form.
sub rows
{
	my ($why, $from) = @_;

	return join "\n", sort map { decode_json(qq("$_")) } split /\n/, $node->safe_psql('postgres',
		qq(SELECT trim('"' FROM to_json(room_id || ': $why $from>' || gateway_name)::text) FROM room_server_assignments WHERE reason ~ ' from $from\$'));
}

sub place
{
	my ($server, $rooms) = @_;

	$node->safe_psql('postgres', qq(DELETE FROM room_server_assignments; UPDATE balancer_servers SET state = 'online';
		INSERT INTO room_server_assignments (gateway_name, room_id) SELECT '$server', $rooms));
	$node->poll_query_until('postgres', q(SELECT count(*) = 0 FROM balancer_failovers WHERE recovered_at IS NULL)) or die;
	received();
	return;
}

# A room id of 255 bytes, each of which JSON writes as up to six.
my $awkward = q(i || (ARRAY[repeat('"', 250), repeat(E'\\\\', 250), repeat(E'\x01', 250), repeat(E'\u05d0', 125)])[i % 4 + 1] FROM generate_series(1, 3000) i);

place('a', $awkward);
@lengths = ();
$listener->query_safe('UNLISTEN *');
my $told = received($node->safe_psql('postgres', q(LISTEN gxy_balancer; SELECT evacuate_server('a', 'b'))));
is($told->{rooms}, rows('evacuated', 'a'), 'an evacuation tells of 3 000 rooms with awkward names, each once');
is(scalar(split /\n/, $told->{rooms}), 3000, 'of all of them');
cmp_ok((sort { $b <=> $a } @lengths)[0], '<', 8000, 'in payloads below the limit');
cmp_ok((sort { $b <=> $a } @lengths)[0], '>', 6400, 'which are filled');
like($told->{events}, qr/^server_state (rooms_moved )+evacuation$/, 'before the summary');

$listener->query_safe('LISTEN gxy_balancer');
place('a', 'i::text FROM generate_series(1, 1000) i');
$node->safe_psql('postgres', q(SELECT evacuate_server('a')));
$told = received();
is($told->{rooms}, rows('evacuated', 'a'), 'one that the policy spreads tells where each room is');
is($told->{events}, 'server_state rooms_moved rooms_moved evacuation', 'in one payload a server');

place('a', 'i::text FROM generate_series(1, 3) i');
$node->safe_psql('postgres', q(BEGIN; SELECT evacuate_server('a', 'b', 2); ROLLBACK;
	BEGIN; SAVEPOINT s; SELECT move_room(3, 'c'); ROLLBACK TO s; SELECT move_room(2, 'c'); COMMIT;
	SELECT move_room(2, 'c')));
is(received()->{rooms}, '2: moved a>c', 'what is rolled back, or moves nothing, is not told');

place('b', 'i::text FROM generate_series(1, 90) i');
$node->safe_psql('postgres', q(BEGIN; SELECT rebalance(NULL, NULL, false); ROLLBACK; SELECT rebalance(NULL, NULL); SELECT rebalance(NULL, NULL, false)));
$told = received();
is($told->{rooms}, rows('rebalanced', 'b'), 'a rebalance tells which rooms it has moved');
is(scalar(split /\n/, $told->{rooms}), 60, 'and a dry run, or one that is undone, of none');

# The worker: to a standby, and spread.
place('a', 'i::text FROM generate_series(1, 6000) i');
$node->safe_psql('postgres', q(SELECT server_heartbeat('a', false)));
$node->poll_query_until('postgres', q(SELECT outcome = 'moved' FROM balancer_failovers WHERE recovered_at IS NULL)) or die;
$told = received();
is($told->{rooms}, rows('failover', 'a'), 'a failover to a standby tells of every room, in several transactions');
like($told->{events}, qr/^server_health failover_declared (rooms_moved )+failover_finished$/, 'before its end');
$node->safe_psql('postgres', q(SELECT server_heartbeat('a')));

place('a', 'i::text FROM generate_series(1, 60) i');
$node->safe_psql('postgres', q(SELECT set_server_state('s', 'draining'), set_server_state('a', 'offline')));
$node->poll_query_until('postgres', q(SELECT outcome = 'spread' FROM balancer_failovers WHERE recovered_at IS NULL)) or die;
is(received()->{rooms}, rows('failover', 'a'), 'one without a standby');

place('a', 'i::text FROM generate_series(1, 0) i');
$node->safe_psql('postgres', q(INSERT INTO room_server_assignments (room_id, gateway_name, assigned_at)
	SELECT i::text, 'nowhere', now() - interval '1 h' FROM generate_series(1, 6) i; SELECT server_heartbeat('b', false)));
$node->poll_query_until('postgres', q(SELECT count(*) = 6 FROM room_server_assignments WHERE reason = 'failover from nowhere')) or die;
is(received()->{rooms}, rows('failover', 'nowhere'), 'and rooms of a server outside of the pool');
$node->safe_psql('postgres', q(SELECT server_heartbeat('b')));

# Calls send no notification. The worker tells of the rooms that they have moved, soon.
my $on_call = q(SET gxy_balancer.failover_on_call = on; SET gxy_balancer.failover_delay = '1h');
my $none_left = q(SELECT count(*) = 0 FROM _moved_on_call);

place('a', 'i::text FROM generate_series(1, 6) i');
$node->safe_psql('postgres', qq($on_call; SELECT set_server_state('a', 'offline')));
$node->safe_psql('postgres', q(SELECT get_or_assign_server(1) FROM generate_series(1, 3); BEGIN; SELECT get_or_assign_server(2); ROLLBACK));
$node->poll_query_until('postgres', $none_left) or die;
is(received()->{rooms}, '1: failover a>s', 'a room that a call has moved to the standby is told of, once');
my $locker = session($node);
$locker->query_safe('BEGIN; LOCK _moved_on_call');
is($node->safe_psql('postgres', q(SELECT get_or_assign_server(4); SELECT gateway_name FROM room_server_assignments WHERE room_id = '4')), "s\na",
	'while the table of such moves is locked a call answers at once, and moves nothing');
$locker->query_safe('ROLLBACK');
# A move by a prepared transaction wakes no worker.
$node->safe_psql('postgres', q(BEGIN; SELECT get_or_assign_server(5); PREPARE TRANSACTION 'p'; COMMIT PREPARED 'p'));
is($locker->query_safe('BEGIN; SELECT room_id FROM _moved_on_call FOR UPDATE'), '5', 'a session locks what the worker is to tell of');
my $before = server_time($node);
$node->safe_psql('postgres', q(SELECT set_server_state('c', 'draining')));
wait_for_run_after($node, 'postgres', $before);
is(received()->{rooms}, '', 'a run leaves it');
$locker->query_safe('ROLLBACK');
$node->safe_psql('postgres', q(SELECT set_server_state('c', 'online')));
$node->poll_query_until('postgres', $none_left) or die;
is(received()->{rooms}, '5: failover a>s', 'to the next one');
$locker->quit;

# One moved by a prepared transaction, which wakes no worker, and told of after a restart. A prepared
# lock keeps the worker from it until the listener is back.
$node->safe_psql('postgres', q(BEGIN; SELECT get_or_assign_server(3); PREPARE TRANSACTION 'p'; COMMIT PREPARED 'p';
	BEGIN; LOCK _moved_on_call IN SHARE MODE; PREPARE TRANSACTION 'lock'));
$listener->quit;
$node->stop('immediate');
$node->start;
$listener = session($node);
$listener->query_safe('LISTEN gxy_balancer');
is($node->safe_psql('postgres', 'SELECT room_id FROM _moved_on_call'), '3', 'a move by a prepared transaction waits for the next run');
$node->safe_psql('postgres', q(ROLLBACK PREPARED 'lock'; SELECT set_server_state('c', 'draining')));
$node->poll_query_until('postgres', $none_left) or die;
is(received()->{rooms}, '3: failover a>s', 'also after a crash');

place('a', 'i::text FROM generate_series(1, 6) i');
$node->safe_psql('postgres', qq($on_call; SELECT set_server_state('s', 'draining'), set_server_state('a', 'offline')));
$node->safe_psql('postgres', q(SELECT get_or_assign_server(1)));
$node->poll_query_until('postgres', $none_left) or die;
my $where = $node->safe_psql('postgres', q(SELECT gateway_name FROM room_server_assignments WHERE room_id = '1'));
is(received()->{rooms}, "1: failover a>$where", 'so is one that a call has moved where the policy sent it');

$listener->quit;
$node->stop;
done_testing();
