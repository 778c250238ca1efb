# kill -9 of a backend, of the worker, the launcher, the checkpointer and the postmaster, while clients place rooms; of a
# backend also in the moment before it releases one of its locks, and of the worker when it has deleted a room and not
# committed yet.
#
# After each recovery every answer that a client was given still holds, the load cache agrees with a count, the counters
# count, and the one launcher starts runs.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;

use GxyFaults;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_faults_server('killed', '');
load_faults($node);

# A run pauses when it has freed the room, before it commits, as long as another session has lock 1.
sql($node, <<'SQL');
CREATE TABLE sessions (room_id text, user_id text);
CREATE FUNCTION pause() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	IF EXISTS (SELECT FROM pg_catalog.pg_stat_activity WHERE pid = pg_catalog.pg_backend_pid() AND backend_type = 'gxy_balancer worker')
		AND NOT EXISTS (SELECT FROM public.room_server_assignments WHERE room_id = 'idle')
	THEN
		PERFORM pg_catalog.pg_advisory_xact_lock_shared(1);
	END IF;
	RETURN true;
END $$;
CREATE VIEW live AS SELECT room_id, user_id FROM sessions WHERE (SELECT pause());
SELECT attach_sessions('live');
SQL

sub process_like
{
	my ($condition) = @_;

	return sql($node, "SELECT min(pid) FROM pg_stat_activity WHERE $condition");
}

# Kills the first process that is seen. before: what to do before each look.
sub kill_one
{
	my ($condition, $before) = @_;

	wait_for("a process with $condition", sub {
		$before->() if $before;
		my $pid = process_like($condition);

		return $pid && kill 'KILL', $pid; # it may have ended meanwhile
	});
	return;
}

# The statement that releases the lock never ends.
sub kill_at_release
{
	my ($lock) = @_;
	my $told = settled(calling($node, "SELECT signal_at_release('$lock', 9); SELECT get_or_assign_server('victim ' || clock_timestamp())"));

	$told =~ /gxy/ and die "the backend has not been killed: $told";
	return;
}

sub kill_worker
{
	my $is_paused = q(backend_type = 'gxy_balancer worker' AND wait_event = 'advisory');
	my $holder = $node->background_psql('postgres', on_error_stop => 0);

	$holder->query_safe('SELECT pg_advisory_lock(1)');
	overdue($node, 'postgres', 'idle');
	# After a start it is kept for a whole assignment_grace: a short one, from which the rooms of the answers are spared.
	sql($node, q(ALTER DATABASE postgres SET gxy_balancer.assignment_grace = '5s'));
	# A run waits for the lock for a second only.
	kill_one($is_paused, sub {
		sql($node, q(UPDATE room_server_assignments SET last_used_at = 'infinity' WHERE room_id <> 'idle' AND last_used_at < 'infinity'));
		GxyFaults::request_run($node);
	});
	eval { $holder->quit };
	return;
}

my $preloaded = 0;

# Each time, the server starts with or without the library preloaded.
sub kill_postmaster
{
	my $postmaster = slurp_file($node->data_dir . '/postmaster.pid') =~ s/\n.*//sr;

	$preloaded = !$preloaded;
	$node->append_conf('postgresql.conf', q(shared_preload_libraries = ') . ($preloaded ? 'gxy_balancer' : '') . q('));
	$node->kill9;
	# Until it is gone, start() takes it for a server that runs, and ends the test.
	wait_for('the end of the postmaster', sub { !kill 0, $postmaster });
	# The old backends notice by themselves, and keep a new server from starting until they have.
	wait_for('the start of the server', sub { $node->start(fail_ok => 1) });
	return;
}

my @victims = (
	[ 'a backend', sub { kill_one(q(application_name = 'client')) } ],
	[ 'a worker that has freed a room', \&kill_worker ],
	[ 'the launcher', sub { kill_one(q(backend_type = 'gxy_balancer launcher')) } ],
	[ 'the checkpointer', sub { kill_one(q(backend_type = 'checkpointer')) } ],
	[ 'the postmaster', \&kill_postmaster ],
	[ 'the holder of the load cache lock', sub { kill_at_release('cache') } ],
	[ 'the holder of a room lock', sub { kill_at_release('room') } ],
	[ 'the holder of the placement lock', sub { kill_at_release('placement') } ],
	[ 'the holder of the header lock', sub { kill_at_release('header') } ],
	[ 'the postmaster again', \&kill_postmaster ]);

my $answered = 0;
my @all_answers;

for my $cycle (1 .. cycles())
{
	my ($what, $kill) = @{ $victims[ ($cycle - 1) % @victims ] };
	my $name = "cycle$cycle";
	my $log = log_size($node);
	my @clients = start_clients($node, $name, 20000);

	wait_until($node, 'postgres', "SELECT count(*) > 100 FROM room_server_assignments WHERE room_id LIKE '$name.%'");
	$kill->();
	is(interrupt_clients(@clients), 4, "$cycle, $what: the clients are interrupted");
	wait_until_started($node);
	sql($node, 'ALTER DATABASE postgres RESET gxy_balancer.assignment_grace');

	my @answers = answers_of(@clients);

	push @all_answers, @answers;
	cmp_ok(scalar @answers, '>', 100, "$cycle, $what: after answers");
	is(answers_hold($node, @all_answers), '', "$cycle, $what: all answers so far still hold");
	is(cache_is_right($node, "$name.after"), '', "$cycle, $what: the load cache is right");
	is(counts_calls($node, $name), '4 4', "$cycle, $what: calls are counted");
	is(worker_works($node), '1', "$cycle, $what: the worker works, started by one launcher");
	is(count_in_log($node, $log, qr/PANIC|TRAP:|segfault|terminated by signal (?!9)/), 0, "$cycle, $what: nothing else has crashed");
}

# The figures of the whole run: test/run prints them.
my (%kills, %servers_of);

$kills{ $victims[ ($_ - 1) % @victims ][0] =~ s/ again$//r }++ for 1 .. cycles();
/^(.*)\|(.*)$/ and $servers_of{$1}{$2} = 1 for @all_answers;

my $split = grep { keys %$_ > 1 } values %servers_of;
my %kept = map { $_ => 1 } split /\n/, sql($node, q(SELECT room_id FROM room_server_assignments));
my $lost = grep { !$kept{$_} } keys %servers_of;

is("$lost lost, $split split", '0 lost, 0 split', 'no room of an answer is lost, none has had two servers');
note 'figures: kill -9 of ' . join(', ', map { "$_: $kills{$_}" } sort keys %kills);
note 'figures: ' . @all_answers . ' answers for ' . keys(%servers_of) . " rooms: $lost lost, $split with two servers";

$node->stop;
done_testing();
