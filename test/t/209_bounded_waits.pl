# Every function and view, while another transaction has locked a table or written a row: each call
# returns, or raises 55P03 with a message of the extension, after assign_timeout, or after
# lock_timeout if that is smaller.
#
# Tables in this file list the calls and the locks. The catalog shows whether the lists are
# complete.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;

use GxyBalancer;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('bounded', 'max_worker_processes = 1');

$node->safe_psql('postgres', 'CREATE DATABASE unwritten');
$node->safe_psql('unwritten', 'CREATE EXTENSION gxy_balancer');
for my $database ('postgres', 'unwritten')
{
	$node->safe_psql($database, <<'SQL');
CREATE TABLE live (room_id text, user_id text);
CREATE TABLE rooms (room_id text);
SET client_min_messages = warning;
SELECT attach_sessions('live');
-- Runs a call and undoes it; the error's state and message, and whether the wait had no other end than lock_timeout.
CREATE FUNCTION attempt(query text, assign_timeout text, lock_timeout text, OUT state text, OUT message text, OUT slow boolean)
	LANGUAGE plpgsql AS $$
DECLARE
	start timestamptz := clock_timestamp();
BEGIN
	PERFORM set_config('gxy_balancer.assign_timeout', assign_timeout, true);
	PERFORM set_config('lock_timeout', lock_timeout, true);
	BEGIN
		EXECUTE query;
		RAISE EXCEPTION 'undone';
	EXCEPTION WHEN OTHERS THEN
		state := CASE SQLERRM WHEN 'undone' THEN '' ELSE SQLSTATE END;
		message := SQLERRM;
	END;
	slow := clock_timestamp() - start >= '15 s';
END $$;
SQL
}
$node->safe_psql('postgres', <<'SQL');
SET allow_in_place_tablespaces = on;
CREATE TABLESPACE elsewhere LOCATION '';
CREATE INDEX ON room_server_assignments (gateway_name);
INSERT INTO balancer_servers (name) VALUES ('gxy1'), ('gxy2'), ('gxy3');
SELECT server_heartbeat('gxy1'), server_heartbeat('gxy3');
INSERT INTO balancer_pins (room_id, server) VALUES ('2', 'gxy1');
INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('1', 'gxy1');
INSERT INTO room_server_assignments (room_id, gateway_name, assigned_at, last_used_at)
	VALUES ('old', 'gxy1', now() - interval '1 h', now() - interval '1 h');
SQL

my @calls = (
	q(SELECT get_or_assign_server(1)), q(SELECT get_or_assign_server('old')), q(SELECT get_or_assign_server('new')),
	q(SELECT touch_room(1, 5)), q(SELECT touch_room('old')), q(SELECT room_server(1)),
	q(SELECT release_room(1)), q(SELECT clean_inactive_assignments()), q(SELECT clean_inactive_assignments('0')),
	q(SELECT attach_sessions('live')), q(SELECT attach_sessions(NULL)), q(SELECT attach_rooms('rooms')),
	q(SELECT init_servers()), q(SELECT init_servers('gxy1, gxy4')), q(SELECT server_state('gxy1')),
	q(SELECT set_server_state('gxy1', 'draining')), q(SELECT set_server_state('gxy2', 'offline')),
	q(SELECT server_heartbeat('gxy1')), q(SELECT server_heartbeat('gxy1', false)), q(SELECT server_heartbeat('gxy2')),
	q(SELECT pin_room(1, 'gxy2')), q(SELECT pin_room(2, 'gxy2')), q(SELECT unpin_room(2)), q(SELECT move_room(1, 'gxy2')),
	q(SELECT evacuate_server('gxy1')), q(SELECT evacuate_server('gxy1', 'gxy2')), q(SELECT evacuate_server('gxy1', max_rooms => 1)),
	q(SELECT what_if('gxy1', 'offline')), q(SELECT what_if('gxy1', 'draining')), q(SELECT what_if_added('gxy99', 100)),
	q(SELECT rebalance(NULL, NULL)), q(SELECT rebalance(NULL, NULL, false)),
	q(SELECT explain_assignment(1)), q(SELECT explain_assignment('new')), q(SELECT reset_balancer_stats()),
	q(TABLE balancer_load), q(TABLE balancer_rooms), q(TABLE balancer_stats), q(TABLE balancer_memory),
	q(TABLE balancer_now), q(TABLE balancer_alerts), q(TABLE balancer_metrics), q(TABLE balancer_server_metrics));

# Locks besides those on whole tables.
my %rows = (
	'a server is being added' => q(INSERT INTO balancer_servers (name) VALUES ('gxy4')),
	'a server is being changed' => q(UPDATE balancer_servers SET priority = 1 WHERE name = 'gxy1'),
	'a state is being changed' => q(SELECT set_server_state('gxy1', 'offline')),
	'a report is being written' => q(UPDATE balancer_health SET since = now() WHERE server = 'gxy1'),
	'a first report is being written' => q(SELECT server_heartbeat('gxy2')),
	'a pin is being written' => q(SELECT pin_room(1, 'gxy3')),
	'a pin is being changed' => q(UPDATE balancer_pins SET server = 'gxy3'),
	'a room is being moved' => q(SELECT move_room(1, 'gxy3')),
	'a room is being assigned' => q(SELECT get_or_assign_server('new')),
	'rooms are being freed' => q(SELECT clean_inactive_assignments('0')),
	'sessions are being attached' => q(UPDATE balancer_sources SET schema_name = 'public' WHERE source = 'sessions'),
	'rooms are being attached' => q(SELECT attach_rooms('rooms')),
	'another index is being moved' => q(ALTER INDEX room_server_assignments_gateway_name_idx SET TABLESPACE elsewhere),
	'events have another number' => q(ALTER SEQUENCE balancer_events RESTART 1000));

my %obstacles = (%rows, map { ("$_ is locked" => "LOCK TABLE $_") } split /\n/, $node->safe_psql('postgres', <<'SQL'));
SELECT c.relname FROM pg_depend d JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid AND c.relkind = 'r'
WHERE d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'gxy_balancer') AND d.deptype = 'e'
SQL
ok(exists $obstacles{'balancer_health is locked'}, 'every table is an obstacle');

# Every function and view of the SQL interface is called.
my @uncalled = grep { my $name = $_; !grep { /\b\Q$name\E\b/ } @calls } split /\n/, $node->safe_psql('postgres', <<'SQL');
SELECT DISTINCT coalesce(p.proname, c.relname)
FROM pg_depend d
	LEFT JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid AND p.prorettype <> 'trigger'::regtype
	LEFT JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid AND c.relkind = 'v'
WHERE d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'gxy_balancer') AND d.deptype = 'e'
	AND coalesce(p.proname, c.relname) !~ '^_'
SQL
is("@uncalled", '', 'every function and view is called');

# Calls each function in a session that has not used the extension yet. Returns "call: SQLSTATE,
# message" for each that is neither a success nor an error of the extension, and how many have timed
# out.
sub attempts
{
	my ($database, $assign_timeout, $lock_timeout) = @_;
	my $list = join ', ', map { my $call = $_; $call =~ s/'/''/g; "('$call')" } @calls;
	my $out = $node->safe_psql($database, qq{
		SELECT call, a.* FROM (VALUES $list) v (call), attempt(call, '$assign_timeout', '$lock_timeout') a});
	my ($timed_out, @wrong) = (0);

	for (split /\n/, $out)
	{
		my ($call, $state, $message, $slow) = split /\|/;
		my $ours = $state eq '55P03' && $message =~ /^timed out waiting for /;

		$timed_out += $ours;
		push @wrong, "$call: $state $message" . ($slow eq 't' ? ' (slow)' : '') unless ($state eq '' || $ours) && $slow eq 'f';
	}
	return ($timed_out, join "\n", @wrong);
}

for my $obstacle (sort keys %obstacles)
{
	my $other = session($node);

	$other->query_safe("SET client_min_messages = warning; BEGIN; $obstacles{$obstacle}");
	my ($timed_out, $wrong) = attempts('postgres', '50ms', '15s');
	is($wrong, '', "$obstacle: assign_timeout bounds every call");
	($timed_out, $wrong) = attempts('postgres', '15s', '50ms') if $obstacle =~ /^(?:balancer_|_)\w+ is locked|state/;
	is($wrong, '', "$obstacle: so does a smaller lock_timeout");
	cmp_ok($timed_out, '>', 0, "$obstacle: some calls wait") unless $obstacle =~ /reported|room_sizes|(?:_pool_written|_moved_on_call|_drained_servers)|attached|number/;
	$other->query_safe('ROLLBACK');
	$other->quit;
}

# A room is released without a wait for an index, because that writes none.
my $mover = session($node);
$mover->query_safe("BEGIN; $obstacles{'another index is being moved'}");
is($node->safe_psql('postgres', q(SELECT state FROM attempt('SELECT release_room(1)', '50ms', '15s'))), '',
	'a room is released while another index is being moved');
$mover->query_safe('ROLLBACK');
$mover->quit;

# A pool that has no rows yet, and is being written.
my $other = session($node, 'unwritten');
$other->query_safe(q(BEGIN; INSERT INTO balancer_servers (name) VALUES ('gxy1')));
my ($timed_out, $wrong) = attempts('unwritten', '50ms', '15s');
is($wrong, '', 'the pool is being written: assign_timeout bounds every call');
cmp_ok($timed_out, '>', 10, 'the pool is being written: every call that names a server waits');
$other->quit;

# Two waits of one call, the second in a trigger on the row that the first has waited for: the
# trigger has what is left of the call's time, not a whole assign_timeout.
$node->safe_psql('postgres', q(SELECT set_server_state('gxy3', 'offline')));
my $row = session($node);
my $failover = session($node);
$row->query_safe(q(BEGIN; SELECT FROM balancer_servers WHERE name = 'gxy3' FOR UPDATE));
$failover->query_safe(q(BEGIN; SELECT FROM balancer_failovers WHERE from_server = 'gxy3' FOR UPDATE));
my $caller = session($node);
$caller->query_until(qr/calling/, <<'SQL');
\echo calling
SELECT clock_timestamp() AS start \gset
SELECT 'told', state, message FROM attempt('SELECT set_server_state(''gxy3'', ''online'')', '8s', '0');
SELECT 'took', extract(epoch FROM clock_timestamp() - :'start')::int;
SQL
# Three quarters of the time.
wait_until($node, 'postgres', q(SELECT count(*) = 1 FROM pg_stat_activity WHERE query ~ '^SELECT .told'
	AND wait_event_type = 'Lock' AND clock_timestamp() - query_start > '6 s'));
$row->query_safe('ROLLBACK');
my $told = $caller->query('SELECT 1');
like($told, qr/^told\|55P03\|timed out waiting for /m, 'a wait in a trigger ends');
my ($seconds) = $told =~ /^took\|(\d+)/m;
cmp_ok($seconds, '<', 12, 'when the time of the call is over');
$_->quit for $row, $failover, $caller;

$node->stop;
done_testing();
