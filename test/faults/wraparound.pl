# Transaction ids near their limits, and past their end: the next id is set ahead while the server runs, so that sessions and
# the load cache keep what they remember.
#
# From the server's first warning on all goes on. Where it assigns no more ids, calls for known rooms are answered, as in a READ
# ONLY transaction; what writes gets the server's error 54000, and changes nothing. Past the end of the ids, old and new
# ones are told apart: also by a count that began before it.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;

use GxyFaults;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# The server warns with each id that it assigns.
$ENV{PGOPTIONS} = '-c client_min_messages=error';

my $node = new_faults_server('ids', "autovacuum_freeze_max_age = 2000000000\nmax_prepared_transactions = 2\n"
	  . "gxy_balancer.failover_delay = 0\ngxy_balancer.default_servers = 'gxy1,gxy2,gxy3,gxy4,gxy5,gxy6,gxy7,gxy8'\n");

load_faults($node);

# The count of the session "counter" pauses while another session has lock 1.
sql($node, <<'SQL');
CREATE TABLE sessions (room_id text, user_id text);
CREATE FUNCTION pause() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	IF current_setting('application_name') = 'counter' THEN
		PERFORM pg_catalog.pg_advisory_lock_shared(1);
		PERFORM pg_catalog.pg_advisory_unlock_shared(1);
	END IF;
	RETURN true;
END $$;
CREATE VIEW live AS SELECT room_id, user_id FROM sessions WHERE (SELECT pause());
SELECT attach_sessions('live');
SELECT init_servers();
CREATE TABLE keeper ();
UPDATE pg_database SET datistemplate = false;
SQL
# What is left can be frozen by one statement.
sql($node, "DROP DATABASE template$_") for 0, 1;
sql($node, q(SELECT get_or_assign_server('old.' || i) FROM generate_series(1, 300) i));
sql($node, 'VACUUM (FREEZE)');

my $answers = q(SELECT string_agg(get_or_assign_server('old.' || i), ' ' ORDER BY i) FROM generate_series(1, 300) i);
my $due = q(SET gxy_balancer.touch_interval = '1ms');
my $before = sql($node, $answers);
my $known = session(); # it remembers where the rows are

is(ask($known, "$answers; $answers"), "$before $before", 'a session knows rooms');

sub session { return $node->background_psql('postgres', on_error_stop => 0) }

# The answers of a session, and the state of the last statement if that is an error.
sub ask
{
	my ($session, $statements) = @_;
	my $out = $session->query("$statements;\n\\if :ERROR\n\\echo :SQLSTATE\n\\endif\n") =~ s/\s+$//r;

	return $out =~ s/\n/ /gr;
}

# The state of an error, or the answer.
sub state_of
{
	my ($statement) = @_;

	return settled(calling($node, $statement)) =~ s/^([0-9A-Z]{5}): .*/$1/sr;
}

sub set_next_id
{
	my ($id) = @_;

	sql($node, "SELECT set_next_id($id); SELECT pg_current_xact_id()");
	return;
}

# The id of the next transaction, with its epoch.
sub next_id { return sql($node, q(SELECT pg_snapshot_xmax(pg_current_snapshot()))) }

my $stages = 0;

sub all_is_right
{
	my ($what) = @_;
	my $name = 'stage' . ++$stages;
	my $old = q(WHERE room_id LIKE 'old.%');
	my $time = sql($node, "SELECT max(last_used_at) FROM room_server_assignments $old");

	is(sql($node, "$answers; $answers"), "$before\n$before", "$what: known rooms have their servers");
	is(ask($known, $answers), $before, "$what: also for a session that knows them");
	is(ask($known, "$due; $answers; RESET gxy_balancer.touch_interval"), $before, "$what: renewed");
	is(sql($node, "SELECT min(last_used_at) > '$time' FROM room_server_assignments $old"), 't', "$what: the leases are");
	is(counts_calls($node, $name), '4 4', "$what: new rooms are placed, and found again");
	sql($node, "BEGIN; SELECT get_or_assign_server('$name.prepared'); PREPARE TRANSACTION '$name'");
	sql($node, "COMMIT PREPARED '$name'");
	is(cache_is_right($node, "$name.after"), '', "$what: the load cache is right");
	is(worker_works($node), '1', "$what: the worker works");
	is(sql($node, qq(SELECT move_room('$name.after', 'gxy8'))), 'gxy8', "$what: a room is moved");
	sql($node, q(SELECT set_server_state('gxy8', 'offline')));
	$node->poll_query_until('postgres', q(SELECT NOT EXISTS (SELECT FROM room_server_assignments WHERE gateway_name = 'gxy8')))
	  or die 'rooms stay on a failed server';
	is(sql($node, qq(SELECT get_or_assign_server('$name.after') <> 'gxy8')), 't', "$what: and gets another server when that fails");
	sql($node, q(SELECT set_server_state('gxy8', 'online')));
	is(sql($node, qq(SELECT release_room('$name.after'); SELECT room_server('$name.after') IS NULL)), "t\nt", "$what: a room is released");
	$before = sql($node, $answers);
	return;
}


# The limits of the server: the oldest id that a table may have, and half of all ids.
my $oldest = sql($node, 'SELECT min(datfrozenxid::text::bigint) FROM pg_database');
my $stop = $oldest + 2**31 - 1 - 3_000_000;
my $warn = $stop - 37_000_000;

# As long as one table cannot be frozen the limits stay.
my $keeper = session();

ask($keeper, 'BEGIN; LOCK TABLE keeper IN SHARE UPDATE EXCLUSIVE MODE');

# A multiple of 65536, for which the server starts autovacuum.
set_next_id($warn + 65536 - $warn % 65536);
all_is_right('at the warnings');

# At the stop limit. Two servers have failed: one has a standby. Their rooms are not moved yet, because a session has locked the table.
my $locker = session();
my @failed = map { sql($node, qq(SELECT min(room_id) FROM room_server_assignments WHERE gateway_name = '$_')) } qw(gxy5 gxy6);

overdue($node, 'postgres', 'overdue');
sql($node, q(INSERT INTO balancer_servers (name, pool) VALUES ('spare', 'standby')));
is(cache_is_right($node, 'last'), '', 'before the stop the load cache is right');
ask($locker, 'BEGIN; LOCK TABLE room_server_assignments IN SHARE MODE');
sql($node, qq(SELECT set_server_state('$_', 'offline'))) for qw(gxy5 gxy6);

my $rooms = q(SELECT room_id, gateway_name, last_used_at FROM room_server_assignments ORDER BY 1);
my $claimed = sql($node, $answers);

isnt($claimed, $before, 'rooms of a failed server have been claimed');
my $rows = sql($node, $rooms);
set_next_id($stop - 10);
wait_for('the last id', sub { state_of('SELECT pg_current_xact_id()') eq '54000' });
ask($locker, 'COMMIT');

sub known_rooms_are_answered
{
	my ($what, $session) = @_;

	is(ask($session, "$answers; $answers"), "$claimed $claimed", "$what: known rooms are answered");
	is(ask($session, "$due; $answers"), $claimed, "$what: also if their leases are due");
	is(ask($session, "SET gxy_balancer.assignment_grace = '1ms'; $answers"), $claimed, "$what: or have expired");
	is(ask($session, qq(RESET ALL; SELECT room_server('$failed[0]'), get_or_assign_server('$failed[0]'))), 'spare|spare', "$what: a claim is followed");
	is(ask($session, qq(SELECT get_or_assign_server('$failed[1]') IN (room_server('$failed[1]')))), 't',
		"$what: without a claim a room keeps its failed server");
	is(ask($session, 'SELECT count(*) FROM balancer_load'), 9, "$what: the views answer");
	return;
}

known_rooms_are_answered('at the stop', $known);
known_rooms_are_answered('at the stop, in a new session', my $fresh = session());

my %writes = (
	'a new room' => q(SELECT get_or_assign_server('refused')),
	'a new room that is counted for' => q(SET gxy_balancer.load_max_age = 0; SELECT get_or_assign_server('refused')),
	'a reported number' => q(SELECT touch_room('old.1', 5)),
	'a release' => q(SELECT release_room('old.1')),
	'a move' => q(SELECT move_room('old.1', 'gxy4')),
	'a pin' => q(SELECT pin_room('old.1', 'gxy4')),
	'a cleanup' => q(SELECT clean_inactive_assignments()),
	'an evacuation' => q(SELECT evacuate_server('gxy1')),
	'a state' => q(SELECT set_server_state('gxy4', 'draining')),
	'a heartbeat' => q(SELECT server_heartbeat('gxy4')));

is(state_of($writes{$_}), '54000', "at the stop: $_ is refused by the server") for sort keys %writes;
is(sql($node, $rooms), $rows, 'at the stop: nothing has changed');
is(cache_is_right($node), '', 'at the stop: the load cache is right');

# Whether answers are the same, but for rooms that are still to be moved from gxy6.
sub same
{
	my ($one, $other) = map { [ split / / ] } @_;

	return @$one == @$other && !grep { $one->[$_] ne $other->[$_] && $one->[$_] ne 'gxy6' } 0 .. $#$one;
}

# A crash, which leaves no shared memory and no launcher. The server begins to vacuum by itself when it can.
sql($node, 'CHECKPOINT');
$node->stop('immediate');
eval { $_->quit } for $known, $fresh, $locker, $keeper;
$node->start;
$known = session();
ok(same($claimed, ask($known, $answers)), 'restarted at the stop: known rooms are answered');

# Freezes all rows, while a session calls.
sub freeze
{
	my ($what, $expected) = @_;
	local $ENV{PGOPTIONS} = "$ENV{PGOPTIONS} -c vacuum_cost_delay=1 -c vacuum_cost_limit=200";
	my $vacuum = calling($node, 'VACUUM (FREEZE)');
	my $calls = 0;

	while ($vacuum->{run}->pumpable)
	{
		same($expected, ask($known, $answers)) or die 'another answer while rows are frozen';
		$calls++;
		eval { $vacuum->{run}->pump_nb; 1 } or last;    # it has ended meanwhile
	}
	is(settled($vacuum), '', "$what: all rows are frozen");
	cmp_ok($calls, '>', 1, "$what: a session gets the same answers meanwhile");
	return;
}

freeze('at the stop', $claimed);
wait_for('the end of the failovers', sub {
	$before = sql($node, $answers);
	return $before !~ /gxy[56]/ && sql($node, q(SELECT NOT EXISTS (SELECT FROM room_server_assignments WHERE gateway_name IN ('gxy5', 'gxy6')))) eq 't';
});
sql($node, q(SELECT set_server_state('gxy5', 'online'), set_server_state('gxy6', 'online')));

# Towards the end of the ids, in steps that are less than half of them.
set_next_id(3_500_000_000);
freeze('in the upper half of the ids', $before);
all_is_right('in the upper half of the ids');

my $end = 2**32;

set_next_id($end - 200);
is(ask($known, "$answers; $answers"), "$before $before", 'before the end a session knows rooms');

# Starts a count of the load cache that pauses as long as the session $gate has lock 1. A call counts only if the last count is
# old enough.
my ($gate, $open, $consumer) = (session(), session(), session());

sub begin_count
{
	my ($room) = @_;
	my $call;

	ask($gate, 'SELECT pg_advisory_lock(1)');
	wait_for('the pause of a count', sub {
		$call->{run}->pump_nb if $call;
		$call = undef if $call && !$call->{run}->pumpable;
		$call //= calling($node, q(SET application_name = 'counter'; SET gxy_balancer.load_max_age = '1ms'; )
			  . "SELECT get_or_assign_server('$room ' || clock_timestamp())");
		return sql($node, q(SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory'));
	});
	return $call;
}

sub end_count
{
	my ($call) = @_;

	ask($gate, 'SELECT pg_advisory_unlock(1)');
	return settled($call);
}

# Begun before the end: a count, a transaction with a new room, and a prepared one.
ask($open, q(BEGIN; SELECT get_or_assign_server('open')));
sql($node, q(BEGIN; SELECT get_or_assign_server('prepared'); PREPARE TRANSACTION 'before'));
sql($node, q(SELECT get_or_assign_server('released')));

my $count = begin_count('before');

sql($node, q(SELECT get_or_assign_server('before.' || i) FROM generate_series(1, 3) i));
ask($consumer, join '; ', (q(SELECT pg_current_xact_id())) x 100) while next_id() <= $end;
sql($node, qq(SELECT get_or_assign_server('after.$_'))) for 1 .. 3;
sql($node, q(SELECT release_room('released')));
ask($open, 'COMMIT');
like(end_count($count), qr/^gxy/, 'across the end a count ends');
is(cache_is_right($node), '', 'and what has ended meanwhile is in the load cache once');
is(ask($known, "$answers; $answers"), "$before $before", 'after the end a session still knows rooms');

# After a restart, which makes another count due, that sees the prepared transaction and a younger one.
$_->quit for $known, $gate, $open, $consumer;
$node->restart;
($known, $gate, $open) = (session(), session(), session());
ask($open, q(BEGIN; SELECT get_or_assign_server('young')));
$count = begin_count('after');
sql($node, q(BEGIN; SELECT get_or_assign_server('prepared after'); PREPARE TRANSACTION 'after'));
sql($node, q(COMMIT PREPARED 'before'));
ask($open, 'COMMIT');
like(end_count($count), qr/^gxy/, 'a count with transactions of both sides ends');
sql($node, q(COMMIT PREPARED 'after'));
is(cache_is_right($node), '', 'the same holds for it');
all_is_right('after the end');
freeze('after the end', $before);
is(ask($known, "$answers; $answers"), "$before $before", 'frozen after the end a session still knows rooms');
$_->quit for $known, $gate, $open;

$node->stop;
done_testing();
