# The failover guide of the service, carried out by the worker: a server fails and a standby takes
# its rooms; it recovers; more servers fail than there are standbys. The interval is an hour, so
# that only the launcher's own wake-ups count.

use strict;
use warnings FATAL => 'all';

use lib 'test/t';
use GxyBalancer qw(attempt);
use GxyWorker;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('failover', conf => "gxy_balancer.failover_delay = '1s'\nmax_prepared_transactions = 5\n");
$node->start;
create_extension($node, 'postgres');
$node->safe_psql('postgres', q(INSERT INTO balancer_servers (name, pool) VALUES
	('gxy1', 'primary'), ('gxy2', 'primary'), ('gxy3', 'primary'), ('gxy4', 'primary'), ('gxy5', 'primary'),
	('spare1', 'standby'), ('spare2', 'standby')));
wait_for_first_run($node, 'postgres');

sub ask
{
	my ($sql) = @_;
	return $node->safe_psql('postgres', $sql);
}

sub finished
{
	my ($server) = @_;
	return $node->poll_query_until('postgres',
		"SELECT outcome IN ('moved', 'spread') FROM balancer_failovers WHERE from_server = '$server' AND recovered_at IS NULL");
}

sub spread
{
	return ask(q(SELECT string_agg(server || ':' || rooms, ' ' ORDER BY position)
		FROM balancer_load JOIN balancer_servers ON name = server));
}

# 40 rooms on each.
ask('SELECT count(get_or_assign_server(i)) FROM generate_series(1, 200) i');
spread() eq 'gxy1:40 gxy2:40 gxy3:40 gxy4:40 gxy5:40 spare1:0 spare2:0' or die 'uneven to begin with';

# A single failure with a standby.
ask(q(SELECT set_server_state('gxy1', 'offline')));
ok(finished('gxy1'), 'a server fails');
is(ask(q(SELECT to_server, rooms, outcome FROM balancer_failovers)), 'spare1|40|moved', 'all its rooms go to one standby');
is(spread(), 'gxy1:0 gxy2:40 gxy3:40 gxy4:40 gxy5:40 spare1:40 spare2:0', 'which counts them');
is(ask(q(SELECT count(*) FROM room_server_assignments WHERE gateway_name = 'spare1' AND reason = 'failover from gxy1')), 40,
	'the rooms say why');
is(ask(q(SELECT moved FROM balancer_stats)), 40, 'the moves are counted');

# Recovery.
ask(q(SELECT set_server_state('gxy1', 'online')));
ask('SELECT count(get_or_assign_server(i)) FROM generate_series(201, 210) i');
is(spread(), 'gxy1:10 gxy2:40 gxy3:40 gxy4:40 gxy5:40 spare1:40 spare2:0', 'it recovers: nothing moves back, new rooms go there');
is(ask('SELECT recovered_at > finished_at FROM balancer_failovers'), 't', 'the history has the time');
ask('SELECT count(release_room(i)) FROM generate_series(201, 210) i');

# Flapping within the delay, here an hour.
ask(q(ALTER DATABASE postgres SET gxy_balancer.failover_delay = '1h'));
ask(q(SELECT set_server_state('gxy2', 'offline')));
ask(q(SELECT set_server_state('gxy2', 'online')));
ask(q(ALTER DATABASE postgres RESET gxy_balancer.failover_delay));
is(ask(q(SELECT outcome, rooms FROM balancer_failovers WHERE from_server = 'gxy2')), 'cancelled|0', 'flapping moves nothing');

# Exhaustion: spare1 is in use, so three failures meet one standby more.
ask(q(UPDATE balancer_servers SET state = 'offline' WHERE name = 'gxy2'));
ask(q(SELECT server_heartbeat('gxy3', false)));
ok(finished('gxy2') && finished('gxy3'), 'two more fail, one by its state, one by its health');
is(ask(q(SELECT to_server, rooms, outcome, cause FROM balancer_failovers WHERE from_server = 'gxy2' AND recovered_at IS NULL)),
	'spare2|40|moved|set offline', 'one has the last standby');
is(ask(q(SELECT to_server IS NULL, rooms, outcome, cause FROM balancer_failovers WHERE from_server = 'gxy3')),
	't|40|spread|reported unhealthy', 'the rooms of the other are spread');
is(spread(), 'gxy1:40 gxy2:0 gxy3:0 gxy4:40 gxy5:40 spare1:40 spare2:40', 'by the load, over what is online');

# A standby that fails is replaced by the next one; a standby without rooms is free again.
ask(q(SELECT count(release_room(room_id)) FROM room_server_assignments WHERE gateway_name = 'spare1'));
ask(q(SELECT set_server_state('spare2', 'offline')));
ok(finished('spare2'), 'a standby fails');
is(ask(q(SELECT to_server, rooms FROM balancer_failovers WHERE from_server = 'spare2')), 'spare1|40',
	'and is followed by one whose rooms have gone');

# One without rooms fails: there is nothing to move, and the failover is finished when it is due.
ask(q(INSERT INTO balancer_servers (name, pool) VALUES ('empty', 'reserved')));
ask(q(SELECT set_server_state('empty', 'offline')));
ok(finished('empty'), 'a server without rooms fails');
is(ask(q(SELECT rooms, finished_at >= due_at FROM balancer_failovers WHERE from_server = 'empty')), '0|t',
	'and its failover is finished, once it is due');
ask(q(DELETE FROM balancer_servers WHERE name = 'empty'));

# Rooms of a server that is not in the pool, and of one inserted as offline: the run finds them.
ask(q(INSERT INTO room_server_assignments (room_id, gateway_name, assigned_at)
	VALUES ('old', 'gxy99', now() - interval '1 min'), ('older', 'gxy98', now() - interval '1 min')));
ask(q(INSERT INTO balancer_servers (name, state) VALUES ('gxy98', 'offline')));
set_interval($node, '1s');
ok($node->poll_query_until('postgres',
		q(SELECT count(*) = 2 FROM room_server_assignments WHERE reason IN ('failover from gxy98', 'failover from gxy99'))),
	'rooms of servers outside the pool are moved, too');
set_interval($node, '1h');

# A transaction that changes a state sends a notification, so it cannot be prepared. After its
# rollback no change is left.
is((attempt($node, q(BEGIN; SELECT set_server_state('gxy4', 'offline'); PREPARE TRANSACTION 'p')))[1], '0A000', 'no PREPARE');
ask(q(BEGIN; SELECT set_server_state('gxy4', 'offline'); ROLLBACK));
is(ask(q(SELECT server_state('gxy4'), count(*) FROM balancer_failovers WHERE from_server = 'gxy4')), 'online|0',
	'a declaration that is rolled back was none');

# The run skips a room whose row another transaction has locked, moves the others, and leaves it to
# the next run.
my $rooms = ask(q(SELECT rooms FROM balancer_load WHERE server = 'gxy4'));
my $holder = hold($node, 'postgres',
	q(SELECT room_id FROM room_server_assignments WHERE gateway_name = 'gxy4' ORDER BY 1 LIMIT 1 FOR UPDATE));
ask(q(SELECT set_server_state('gxy4', 'offline')));
ok($node->poll_query_until('postgres', q(SELECT count(*) = 1 FROM room_server_assignments WHERE gateway_name = 'gxy4')),
	'a locked row holds up no other');
is(ask(q(SELECT outcome FROM balancer_failovers WHERE from_server = 'gxy4')), 'pending', 'it is waited for');
release($holder);
ok(finished('gxy4'), 'and moved soon after it is let go');
is(ask(q(SELECT rooms FROM balancer_failovers WHERE from_server = 'gxy4')), $rooms, 'all are accounted for');

# Two failovers close to each other: the second is due while the rooms of the first are still being
# moved.
create_database($node, 'close');
$node->safe_psql('close', <<'SQL');
INSERT INTO balancer_servers (name, pool) VALUES ('a', 'primary'), ('b', 'primary'), ('s1', 'standby'), ('s2', 'standby');
SELECT get_or_assign_server(i) FROM generate_series(1, 4) i;
CREATE FUNCTION slowly(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS
	'BEGIN PERFORM pg_catalog.pg_sleep(0.4); RETURN $1; END';
CREATE INDEX ON room_server_assignments (slowly(gateway_name));
BEGIN;
SELECT set_server_state('a', 'offline');
SELECT set_server_state('b', 'offline');
UPDATE balancer_failovers f SET due_at = (SELECT due_at FROM balancer_failovers WHERE from_server = 'a') + interval '300 ms'
	WHERE from_server = 'b';
COMMIT;
SQL
ok($node->poll_query_until('close', q(SELECT count(*) = 2 FROM balancer_failovers WHERE outcome = 'moved' AND rooms = 2)),
	'a failover that falls due while another is carried out is not left for an hour');

# The failovers of many servers at once, each of which reads the sessions: together they take longer
# than a run may. What one transaction has moved stays moved.
create_database($node, 'many');
$node->safe_psql('many', <<'SQL');
INSERT INTO balancer_servers (name, position) SELECT 's' || i, i FROM generate_series(1, 12) i;
CREATE VIEW live AS SELECT NULL::text AS room_id, NULL::text AS user_id WHERE false;
SELECT attach_sessions('live');
CREATE OR REPLACE VIEW live AS SELECT NULL::text AS room_id, NULL::text AS user_id FROM pg_sleep(0.5);
INSERT INTO room_server_assignments (room_id, gateway_name) SELECT i, 's' || i FROM generate_series(1, 12) i;
UPDATE balancer_servers SET state = 'offline' WHERE position <= 10;
SQL
ok($node->poll_query_until('many', q(SELECT count(*) = 10 FROM balancer_failovers WHERE outcome = 'spread' AND rooms = 1)),
	'failovers that together take longer than a run are carried out by several');

# The history. Each backend reads it after every change of the pool, so a flapping monitor must not make it grow for ever.
create_database($node, 'history');
$node->safe_psql('history', <<'SQL');
INSERT INTO balancer_servers (name, position) VALUES ('a', 1), ('b', 2);
SELECT set_server_state('a', 'offline');
INSERT INTO balancer_failovers (from_server, declared_at, due_at, cause, outcome, finished_at, recovered_at)
	SELECT 'b', t.at, t.at, 'silent', 'moved', t.at, t.at
	FROM generate_series(1, 2000) i CROSS JOIN LATERAL (SELECT timestamptz '2026-01-01' + i * interval '1 s') t(at);
SQL

# How many have ended, when the first of them did, and which are active, after a run.
sub history
{
	wait_for_requested_run($node, 'history', 'b');
	return $node->safe_psql('history', q(SELECT count(recovered_at), min(extract(epoch FROM recovered_at - '2026-01-01')::int),
		string_agg(from_server, ' ') FILTER (WHERE recovered_at IS NULL) FROM balancer_failovers));
}

is(history(), '2000|1|a', 'a history of 2000 failovers stays');
$holder = hold($node, 'history', q(SELECT FROM balancer_failovers WHERE recovered_at = '2026-01-01 00:00:05' FOR UPDATE));
$node->safe_psql('history', <<'SQL');
INSERT INTO balancer_failovers (from_server, declared_at, due_at, cause, outcome, finished_at, recovered_at)
	SELECT 'b', t.at, t.at, 'silent', 'moved', t.at, t.at
	FROM generate_series(2001, 2002) i CROSS JOIN LATERAL (SELECT timestamptz '2026-01-01' + i * interval '1 s') t(at);
SQL
is(history(), '1001|5|a', 'of a longer one the latest 1000 stay, active failovers, and rows that are locked');
release($holder);
is($node->safe_psql('history', q(SELECT count(*) FROM balancer_failovers WHERE recovered_at > '2026-01-01 00:16:42')), 1000,
	'none of the latest is gone');
$node->safe_psql('history', <<'SQL');
INSERT INTO balancer_failovers (from_server, declared_at, due_at, cause, outcome, finished_at, recovered_at)
	SELECT 'b', t.at + i * interval '1 us', t.at, 'silent', 'moved', t.at, t.at
	FROM generate_series(1, 3000) i CROSS JOIN (SELECT timestamptz '2026-01-02') t(at);
SQL
is(history(), '1000|86400|a', 'nor do more stay if they ended at one time');
is($node->safe_psql('history', q(SELECT last_error FROM balancer_stats)), '', 'no run has failed');

# Prints how long after they were due the failovers ended. This is not tested.
diag('finished after due: ' . ask(q(SELECT max(finished_at - due_at) FROM balancer_failovers
	WHERE outcome IN ('moved', 'spread') AND from_server NOT IN ('gxy4', 'gxy98'))));

$node->stop;
done_testing();
