# Failovers that the worker carries out while something else changes: a server that fails again, one
# that recovers in an open transaction, a standby that fails during the move, a pool that is not
# restored yet.
#
# The interval is an hour, and 200 ms while a test waits for a run.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;

use GxyWorker;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('races', conf => "gxy_balancer.failover_delay = 0\n");
$node->start;

sub run_worker
{
	my ($database) = @_;
	my $before = server_time($node);

	set_interval($node, '200ms');
	wait_for_run_after($node, $database, $before) for 1 .. 2;
	set_interval($node, '1h');
	# A run of the short interval may still be under way.
	wait_until($node, $database, q(SELECT worker = 'idle' AND next_due > now() + interval '10 min' FROM balancer_stats));
	return;
}

sub rooms
{
	my ($database) = @_;
	return $node->safe_psql($database, q(SELECT string_agg(server || ':' || n, ' ' ORDER BY server)
		FROM (SELECT gateway_name, count(*) FROM room_server_assignments GROUP BY 1) r(server, n)));
}

# SQL that holds up the next write of a room until the table gate is empty.
sub gate
{
	return <<'SQL';
CREATE TABLE gate ();
CREATE FUNCTION is_open() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	WHILE EXISTS (SELECT FROM public.gate) LOOP
		PERFORM pg_catalog.pg_sleep(0.01);
	END LOOP;
	RETURN true;
END$$;
ALTER TABLE room_server_assignments ADD CHECK (is_open());
INSERT INTO gate DEFAULT VALUES;
SQL
}

sub wait_for_gate
{
	my ($database) = @_;
	return wait_until($node, 'postgres', qq(SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'gxy_balancer worker'
		AND datname = '$database' AND wait_event = 'PgSleep'));
}

# A server that fails, recovers and fails again: the second failover counts its own rooms.
create_database($node, 'again');
$node->safe_psql('again', <<'SQL');
INSERT INTO balancer_servers (name, pool) VALUES ('a', 'primary'), ('b', 'primary'), ('s1', 'standby'), ('s2', 'standby');
INSERT INTO room_server_assignments (room_id, gateway_name) SELECT 'first ' || n, 'a' FROM generate_series(1, 3) n;
SELECT set_server_state('a', 'offline');
SQL
wait_until($node, 'again', q(SELECT outcome = 'moved' FROM balancer_failovers));
$node->safe_psql('again', <<'SQL');
SELECT set_server_state('a', 'online');
INSERT INTO room_server_assignments (room_id, gateway_name) SELECT 'second ' || n, 'a' FROM generate_series(1, 2) n;
SELECT set_server_state('a', 'offline');
SQL
wait_until($node, 'again', q(SELECT bool_and(outcome = 'moved') FROM balancer_failovers));
is($node->safe_psql('again', q(SELECT string_agg(to_server || ' ' || rooms, ', ' ORDER BY declared_at) FROM balancer_failovers)),
	's1 3, s2 2', 'rooms of an earlier failover are not counted again');

# An operator's open transaction has recovered the server: the worker moves no room meanwhile.
create_database($node, 'open');
$node->safe_psql('open', <<'SQL');
INSERT INTO balancer_servers (name, pool) VALUES ('a', 'primary'), ('b', 'primary'), ('s', 'standby');
INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('1', 'a'), ('2', 'a');
SET gxy_balancer.failover_delay = '1h';
SELECT set_server_state('a', 'offline');
SQL
run_worker('open');
$node->safe_psql('open', 'UPDATE balancer_failovers SET due_at = now()');
my $operator = hold($node, 'open', q(SELECT set_server_state('a', 'online')));
run_worker('open');
is(rooms('open'), 'a:2', 'the worker moves no room while the recovery of its server is not committed');
release($operator);
run_worker('open');
is(rooms('open'), 'a:2', 'nor afterwards');

# The standby fails while rooms are being moved: rooms that have not been moved by then do not go
# there. The failover has been finished before; an older application has written these rooms with the
# failed server since. A batch is 500 rooms, and a CHECK constraint holds up the first.
create_database($node, 'lost');
$node->safe_psql('lost', <<'SQL');
INSERT INTO balancer_servers (name, pool) VALUES ('a', 'primary'), ('b', 'primary'), ('s', 'standby');
SELECT set_server_state('a', 'offline');
SQL
wait_until($node, 'lost', q(SELECT outcome = 'moved' FROM balancer_failovers));
$node->safe_psql('lost', <<'SQL');
INSERT INTO room_server_assignments (room_id, gateway_name) SELECT n, 'a' FROM generate_series(1, 501) n;
SQL
$node->safe_psql('lost', gate());
set_interval($node, '200ms');
wait_for_gate('lost');
$node->safe_psql('lost', q(SET gxy_balancer.failover_delay = '1h'; SELECT set_server_state('s', 'offline'); DELETE FROM gate));
wait_until($node, 'lost', q(SELECT count(*) = 0 FROM room_server_assignments WHERE gateway_name = 'a'));
is(rooms('lost'), 'b:1 s:500', 'no room goes to a standby that has failed during the move');
set_interval($node, '1h');

# A room is freed while the rooms are being moved: the failover is finished by another run, soon.
create_database($node, 'freed');
$node->safe_psql('freed', <<'SQL');
INSERT INTO balancer_servers (name, pool) VALUES ('a', 'primary'), ('b', 'primary'), ('s', 'standby');
INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('1', 'a'), ('2', 'a');
SQL
$node->safe_psql('freed', gate());
$node->safe_psql('freed', q(SELECT set_server_state('a', 'offline')));
wait_for_gate('freed');
$node->safe_psql('freed', q(DELETE FROM room_server_assignments WHERE room_id = '2'; DELETE FROM gate));
ok($node->poll_query_until('freed', q(SELECT outcome = 'moved' AND rooms = 1 FROM balancer_failovers)),
	'a failover is finished although a room was freed meanwhile');

# Rooms that were moved and then freed have been moved all the same.
create_database($node, 'counted');
$node->safe_psql('counted', <<'SQL');
INSERT INTO balancer_servers (name, pool) VALUES ('a', 'primary'), ('b', 'primary'), ('s', 'standby');
INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('1', 'a'), ('2', 'a'), ('3', 'a');
SQL
my $holder = hold($node, 'counted', q(SELECT room_id FROM room_server_assignments WHERE room_id = '3' FOR UPDATE));
$node->safe_psql('counted', q(SELECT set_server_state('a', 'offline')));
wait_until($node, 'counted', q(SELECT rooms = 2 FROM balancer_failovers));
$node->safe_psql('counted', 'SELECT release_room(1), release_room(2)');
release($holder);
wait_until($node, 'counted', q(SELECT outcome = 'moved' FROM balancer_failovers));
is($node->safe_psql('counted', 'SELECT rooms FROM balancer_failovers'), '2', 'the history does not forget rooms that were moved');

# Nowhere to go: the worker tries again at its interval, not all the time.
create_database($node, 'stuck');
$node->safe_psql('stuck', <<'SQL');
INSERT INTO balancer_servers (name) VALUES ('a');
INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('1', 'a');
SELECT set_server_state('a', 'offline');
SQL
wait_until($node, 'stuck', q(SELECT worker = 'idle' AND last_run > (SELECT due_at FROM balancer_failovers) FROM balancer_stats));
# While the launcher starts runs in other databases.
create_database($node, 'meanwhile');
my $last = $node->safe_psql('stuck', 'SELECT last_run FROM balancer_stats');
create_database($node, 'later');
is($node->safe_psql('stuck', 'SELECT last_run FROM balancer_stats'), $last, 'a failover without a server to go to is not tried all the time');
is($node->safe_psql('stuck', 'SELECT outcome FROM balancer_failovers'), 'pending', 'and stays pending');

# Rooms are restored before the pool: they are not stranded.
create_database($node, 'restored');
$node->safe_psql('restored', q(INSERT INTO room_server_assignments (room_id, gateway_name, assigned_at)
	VALUES ('1', 'media1', now() - interval '1 h'), ('2', 'media2', now() - interval '1 h')));
run_worker('restored');
is(rooms('restored'), 'media1:1 media2:1', 'rooms without a pool stay');
$node->safe_psql('restored', q(INSERT INTO balancer_servers (name) VALUES ('media1')));
run_worker('restored');
is(rooms('restored'), 'media1:2', 'a room whose server is not in the pool is moved');

$node->stop;
done_testing();
