# A server whose clock is set back by an hour: work that is due within seconds does not wait for an
# hour.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;

use GxyClock;
use GxyWorker;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('clock', conf => "gxy_balancer.failover_delay = '1s'\n");

start_with_clock($node);
create_extension($node, 'postgres');
$node->safe_psql('postgres', q(INSERT INTO balancer_servers (name) VALUES ('gxy1'), ('gxy2')));
wait_for_first_run($node, 'postgres');

# A call begins before the clock is set, and waits for another transaction afterwards.
$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION pause() RETURNS boolean LANGUAGE plpgsql AS
	'BEGIN PERFORM pg_catalog.pg_advisory_xact_lock_shared(1); RETURN false; END';
CREATE VIEW live AS SELECT NULL::text AS room_id, NULL::text AS user_id WHERE pause();
SELECT attach_sessions('live');
SQL
my $pause = hold($node, 'postgres', 'SELECT pg_advisory_xact_lock(1)');
my $caller = $node->background_psql('postgres', on_error_stop => 0);
$caller->query_until(qr/called/, qq(\\echo called
SET gxy_balancer.assign_timeout = '2s';
SELECT get_or_assign_server('r');
\\echo :SQLSTATE
));
$node->poll_query_until('postgres', q(SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'advisory'))
  or die 'the call does not pause';
my $other = hold($node, 'postgres', q(INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('r', 'gxy1')));
set_clock($node, -3600);
$node->safe_psql('postgres', q(SELECT now() < pg_postmaster_start_time())) eq 't' or die 'the clock has not been set';
release($pause);
ok( $node->poll_query_until('postgres', q(SELECT count(*) = 0 FROM pg_stat_activity WHERE state = 'active' AND query ~ '^SELECT get_or')),
	'a call that began before waits no longer than assign_timeout');
like($caller->query('SELECT 1'), qr/^55P03$/m, 'and says so');
$caller->quit;
release($other);

# A count of the load that was made before: the next one does not wait either.
$node->safe_psql('postgres', q(SELECT attach_sessions(NULL)));
set_clock($node, 0);
my $count = q(SELECT get_or_assign_server(gen_random_uuid()::text) <> '' AND (SELECT max(counted_at) %s now() FROM _check_load_cache()));
wait_until($node, 'postgres', sprintf($count, q(BETWEEN now() - interval '10 min' AND)));
set_clock($node, -3600);
ok($node->poll_query_until('postgres', sprintf($count, '<=')), 'the load is counted again');
$node->safe_psql('postgres', 'TRUNCATE room_server_assignments');

# A failover that was declared before, and servers that were heard of before: of three, one is silent from now on.
$node->safe_psql('postgres', q(INSERT INTO balancer_servers (name) VALUES ('gxy3')));
set_clock($node, 0);
$node->safe_psql('postgres', q(ALTER DATABASE postgres SET gxy_balancer.heartbeat_timeout = '1500ms'));
$node->safe_psql('postgres', q(INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('f', 'gxy2')));
$node->safe_psql('postgres', q(SELECT server_heartbeat(name) FROM balancer_servers));
$node->safe_psql('postgres', q(SET gxy_balancer.failover_delay = '2s'; SELECT set_server_state('gxy2', 'offline')));
set_clock($node, -3600);
is($node->safe_psql('postgres', q(SELECT due_at > now() + interval '50 min' FROM balancer_failovers)), 't', 'the clock is back');
ok($node->poll_query_until('postgres', q(SELECT get_or_assign_server('f') IN ('gxy1', 'gxy3'))),
	'a failover that was declared before does not wait until the clock is where it was');
ok( $node->poll_query_until('postgres',
		q(SELECT count(server_heartbeat(name)) = 2 AND server_state('gxy3') = 'offline' FROM balancer_servers WHERE name <> 'gxy3')),
	'a server that falls silent is found out');
is($node->safe_psql('postgres', q(SELECT bool_and(last_heartbeat <= now()) FROM balancer_health WHERE server <> 'gxy3')), 't',
	'the others are heard of by the new time');

# The worker: its next run was planned by the old clock. The clock was set forward above; rooms are freed one grace period later.
$node->safe_psql('postgres', q(ALTER DATABASE postgres SET gxy_balancer.assignment_grace = '1s'));
$node->safe_psql('postgres', q(ALTER DATABASE postgres SET gxy_balancer.dead_session_timeout = '1s'));
set_interval($node, '1s');
overdue($node, 'postgres', 'old');
ok($node->poll_query_until('postgres', q(SELECT count(*) = 0 FROM room_server_assignments WHERE room_id = 'old')),
	'the worker runs at its interval');
set_clock($node, -7200);
overdue($node, 'postgres', 'older');
ok($node->poll_query_until('postgres', q(SELECT count(*) = 0 FROM room_server_assignments WHERE room_id = 'older')),
	'and does when the clock is set while it is waiting for its time');

$node->stop;
done_testing();
