# Out of memory in the middle of a call: each allocation that outlives the transaction fails once, and of the others one in
# some, with make test-faults each.
#
# The call fails with 53200, or does without what it wanted the memory for. Afterwards no reservation is left: the load
# cache's numbers are those of a count. The session goes on, as do others.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;

use GxyFaults;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_faults_server('memory', "max_prepared_transactions = 2\ngxy_balancer.assignment_grace = '1h'\n");

load_faults($node);
sql($node, <<'SQL');
CREATE TABLE sessions (room_id text, user_id text, last_seen_at timestamptz);
INSERT INTO sessions SELECT 'used.' || i % 100, 'user' || i, NULL FROM generate_series(1, 300) i;
SELECT get_or_assign_server('used.' || i) FROM generate_series(0, 99) i;
-- A room that has users when it is placed counts for them from the next baseline on.
CREATE FUNCTION differs() RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(format('%s: %s/%s rooms, load %s/%s%s', server, cached_rooms, rooms, cached_load, load,
			CASE WHEN NOT usable THEN ' not usable' END), ', '), '')
	FROM _check_load_cache() WHERE usable AND (cached_rooms <> rooms OR cached_load <> load AND
		NOT EXISTS (SELECT FROM balancer_sources WHERE source = 'sessions')) $$;
SQL

my $idle = q(INSERT INTO room_server_assignments (room_id, gateway_name, assigned_at, last_used_at)
	SELECT 'idle.N.' || i, 'gxy2', now() - interval '1 day', now() - interval '1 day' FROM generate_series(1, 5) i);

# N is the number of the attempt, which is that of the allocation that fails. before: what each attempt needs.
my @calls = (
	{ what => 'a reservation', call => q(SELECT get_or_assign_server('new.N')) },
	{ what => 'a reservation in a subtransaction',
		call => q(DO $$ BEGIN PERFORM get_or_assign_server('caught.N'); EXCEPTION WHEN OTHERS THEN NULL; END $$) },
	{ what => 'a reservation in a new session', before => "\\connect\nSELECT get_or_assign_server('used.1')",
		call => q(SELECT get_or_assign_server('cold.N')) },
	{ what => 'what a session keeps, of a reservation', lasting => 1, before => "\\connect\nSELECT get_or_assign_server('used.1')",
		call => q(SELECT get_or_assign_server('kept.N')) },
	{ what => 'what a session keeps, of its first reservation', lasting => 1, before => "\\connect\nSELECT 1",
		call => q(SELECT get_or_assign_server('kept.first.N')) },
	{ what => 'what a session keeps, of a prepared reservation', lasting => 1, before => "\\connect\nSELECT get_or_assign_server('used.1')",
		call => q(BEGIN; SELECT get_or_assign_server('kept.prepared.N'); PREPARE TRANSACTION 'K.N'; COMMIT PREPARED 'K.N') },
	{ what => 'what a session keeps, of a measured load', lasting => 1, before => "\\connect\nSELECT get_or_assign_server('used.1')",
		call => q(SELECT server_heartbeat('gxy3', true, 0.1); SELECT get_or_assign_server('kept.measured.N')) },
	{ what => 'a prepared reservation', call => q(BEGIN; SELECT get_or_assign_server('prepared.N'); PREPARE TRANSACTION 'N'; COMMIT PREPARED 'N') },
	{ what => 'a count for one room', first => 'SET gxy_balancer.load_max_age = 0', call => q(SELECT get_or_assign_server('counted.N')) },
	{ what => 'a count of the baseline', before => q(SELECT set_config('gxy_balancer.dead_session_timeout', 1000 + N || 's', false)),
		call => q(SELECT get_or_assign_server('baseline.N')) },
	{ what => 'a cleanup', stride => 29, before => $idle, call => q(SELECT clean_inactive_assignments()) },
	{ what => 'a release', before => q(SELECT get_or_assign_server('freed.N')), call => q(SELECT release_room('freed.N')) },
	{ what => 'a move', call => q(SELECT move_room('used.5', 'gxy' || 1 + N % 2)) },
	{ what => 'a failover', stride => 179, before => q(SELECT set_server_state('gxy7', 'online')), call => q(SELECT set_server_state('gxy7', 'offline')) },
	{ what => 'a count of the baseline, with sessions', sessions => 1,
		before => q(SELECT set_config('gxy_balancer.dead_session_timeout', 1000 + N || 's', false)),
		call => q(SELECT get_or_assign_server('baseline.N')) },
	{ what => 'a cleanup with sessions', stride => 29, before => $idle, call => q(SELECT clean_inactive_assignments()) });

# The statements that make the numbered allocations fail, and say what became of it.
sub attempts
{
	my ($test, @numbers) = @_;
	my $lasting = $test->{lasting} ? 'true' : 'false';
	my $script = $test->{first} ? "$test->{first};\n" : '';

	for my $n (@numbers)
	{
		my ($before, $call) = map { s/\bN\b/$n/gr } $test->{before} // 'SELECT 1', $test->{call};

		# The state of the first statement that fails.
		$script .= "\\o /dev/null\n$before;\nSELECT fail_allocation($n, $lasting);\n\\set state 00000\n\\set first t\n"
		  . join('', map { "$_;\n\\if :ERROR\n\\if :first\n\\set state :SQLSTATE\n\\set first f\n\\endif\n\\endif\n" } $call =~ /^DO/ ? $call : split /; /, $call)
		  . "SELECT has_failed() AS failed \\gset\n\\if :ERROR\n\\set failed f\n\\endif\n"
		  . "ROLLBACK;\n\\o\nSELECT 'failed', $n, :'failed', :'state', differs();\n";
	}
	return $script;
}

for my $test (@calls)
{
	my $what = $test->{what};
	sql($node, q(SELECT attach_sessions('sessions'))) if $test->{sessions};
	my $stride = $test->{lasting} || cycles() >= 100 ? 1 : $test->{stride} // 11;
	my $chunk = $test->{lasting} ? 8 : 20;
	my ($failed, $wrong, $last, %states) = (0, '', 0);

	# In chunks, until one ends without a failure.
	for (my $from = 1; ; $from += $chunk * $stride)
	{
		my @numbers = map { $from + $_ * $stride } 0 .. $chunk - 1;
		my ($out, $err) = run_script($node, attempts($test, @numbers), all => 1);
		my @results = $out =~ /^failed\|(\d+)\|(\w)\|(\w+)\|(.*)$/mg;

		@results == 4 * @numbers or die "$what: the session ended: $err";
		while (my ($n, $fired, $state, $differs) = splice @results, 0, 4)
		{
			$wrong = "at $n: $state, $differs" if $wrong eq '' && ($differs ne '' || $state !~ /^(?:53200|00000)$/);
			next if $fired ne 't';
			$last = $n;
			$failed++;
			$states{$state}++;
		}
		last if $last < $numbers[-1];
	}
	cmp_ok($failed, '>', $test->{lasting} ? 1 : 8, "$what: allocations fail");
	is($wrong, '', "$what: nothing is left");
	note "$what: $failed failures up to allocation $last, " . join ', ', map { "$_: $states{$_}" } sort keys %states;
	like(sql($node, "SELECT get_or_assign_server('after $what'); SELECT bool_and(usable), differs() FROM _check_load_cache()"),
		qr/^gxy\d+\nt\|$/, "$what: others go on");
}

# The search for the shared memory, in a new session.
my ($out, $err) = run_script($node, <<'SQL');
SELECT refuse_shared_memory(true);
SELECT get_or_assign_server('used.1') = room_server('used.1');
SELECT shared_memory FROM balancer_stats;
BEGIN;
SELECT shared_memory FROM balancer_stats;
SELECT refuse_shared_memory(false);
SELECT shared_memory FROM balancer_stats;
COMMIT;
SELECT shared_memory IS NULL, placed_by_cache > 0 FROM balancer_stats;
SELECT count(*) > 0 FROM _check_load_cache();
SQL
my $none = 'the server has none left';
is($out, "\nt\n$none\n$none\n\n$none\nt|t\nt\n", 'a session without shared memory answers, and has it from its next transaction on');
is(() = $err =~ /WARNING/g, 1, 'after one warning');

is(count_in_log($node, 0, qr/PANIC|TRAP:|terminated by signal/), 0, 'the server has not crashed');

$node->stop;
done_testing();
