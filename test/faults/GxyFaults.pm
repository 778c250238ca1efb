# Helpers of the tests in this folder: clients that note their answers, the library of faults, and what must hold after each
# fault.
package GxyFaults;

use strict;
use warnings FATAL => 'all';

use Carp;
use Cwd;
use Exporter 'import';
use FindBin;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

use lib "$FindBin::Bin/../t";
use GxyWorker;

our @EXPORT = (@GxyWorker::EXPORT, qw(cycles new_faults_server sql load_faults start_clients interrupt_clients answers_of answers_hold
  cache_is_right counts_calls worker_works wait_for wait_until_started process_state calling settled kill_process run_script));

# How many faults of each kind; 100 with `make test-faults`.
sub cycles
{
	return $ENV{FAULT_CYCLES} // 5;
}

# Statements of the server, but not of the worker, may take as long as they take: a stopped backend
# holds up others. The answers of the first cycle are still looked at after the last one, so leases
# last for longer than the test, as do the users that a new room expects.
sub new_faults_server
{
	my ($name, $conf, %init) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init(%init);
	$node->append_conf('postgresql.conf', <<"CONF");
autovacuum = off
restart_after_crash = on
gxy_balancer.cleanup_interval = '1h'
gxy_balancer.assignment_grace = '12h'
gxy_balancer.join_window = '12h'
log_line_prefix = '%m [%p] %b '
$conf
CONF
	$node->start;
	create_extension($node, 'postgres');
	return $node;
}

sub sql
{
	my ($node, $query) = @_;

	return $node->safe_psql('postgres', $query);
}

# Builds faults.c and creates its functions. The extension must have its shared memory.
sub load_faults
{
	my ($node) = @_;
	my $library = "$FindBin::Bin/faults";

	system_or_bail('make', '-s', '-C', $FindBin::Bin, 'PG_CONFIG=' . ($ENV{PG_CONFIG} // 'pg_config'));
	sql($node, "SELECT get_or_assign_server('first')");
	sql($node, <<"SQL");
CREATE FUNCTION fail_allocation(int, lasting boolean DEFAULT false) RETURNS void LANGUAGE c STRICT AS '$library';
CREATE FUNCTION has_failed() RETURNS boolean LANGUAGE c STRICT AS '$library';
CREATE FUNCTION signal_at_release(text, int) RETURNS void LANGUAGE c STRICT AS '$library';
CREATE FUNCTION refuse_shared_memory(boolean) RETURNS void LANGUAGE c STRICT AS '$library';
CREATE FUNCTION set_next_id(bigint) RETURNS void LANGUAGE c STRICT AS '$library';
SQL
	return;
}

# start_clients($node, $name, $rooms): four clients that call for the same rooms, "$name.1" and so
# on, from both ends, each call in a transaction of its own, until they lose their connection.
sub start_clients
{
	my ($node, $name, $rooms) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir . '/client';
	my @calls = map { "SELECT 'answer', '$name.$_', get_or_assign_server('$name.$_');\n" } 1 .. $rooms;
	my @clients;

	for my $number (1 .. 4)
	{
		append_to_file("$file.$number.sql", join '', $number % 2 ? @calls : reverse @calls);
		push @clients,
		  { out => "$file.$number.out",
			run => IPC::Run::start(
				[ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres') . ' application_name=client', '-f', "$file.$number.sql" ],
				'<', \undef, '>', "$file.$number.out", '2>', "$file.$number.err") };
	}
	return @clients;
}

# Waits until the clients have lost their connections. Returns how many had lost one, and not all
# answers.
sub interrupt_clients
{
	my @clients = @_;

	$_->{run}->finish for @clients;
	return scalar grep { $_->{run}->result != 0 } @clients;
}

# The answers that clients were given, as "room|server".
sub answers_of
{
	my @clients = @_;

	return map { slurp_file($_->{out}) =~ /^answer\|([^|\n]+\|\w+)$/mg } @clients;
}

# Whether all answers hold: returns those that do not, and those that contradict each other.
sub answers_hold
{
	my ($node, @answers) = @_;
	my %server = map { split /\|/ } split /\n/, sql($node, q(SELECT room_id, gateway_name FROM room_server_assignments));
	my @wrong = grep { my ($room, $answer) = split /\|/; ($server{$room} // 'none') ne $answer } @answers;

	return join ' ', @wrong[ 0 .. ($#wrong < 4 ? $#wrong : 4) ];
}

# Calls for one room, so that the cache has a count, and returns the servers whose numbers differ from
# the table's; '' if none does.
sub cache_is_right
{
	my ($node, $room) = @_;

	sql($node, "SELECT get_or_assign_server('$room')") if defined $room;
	return sql($node, q(
		SELECT string_agg(format('%s: %s/%s rooms, load %s/%s%s', server, cached_rooms, rooms, cached_load, load,
			CASE WHEN NOT usable THEN ' not usable' END), ', ')
		FROM _check_load_cache() WHERE NOT usable OR cached_rooms <> rooms OR cached_load <> load));
}

# Whether the counters grow by one for each call. Returns by how many for four new rooms and four
# known ones.
sub counts_calls
{
	my ($node, $name) = @_;
	my $sums = q(SELECT placed_by_cache + placed_by_count || ' ' || sticky FROM balancer_stats);
	my @before = split / /, sql($node, $sums);

	sql($node, "SELECT get_or_assign_server('$name.counted.' || i) FROM generate_series(1, 4) i");
	sql($node, "SELECT get_or_assign_server('$name.counted.' || i) FROM generate_series(1, 4) i");

	my @after = split / /, sql($node, $sums);

	return join ' ', map { $after[$_] - $before[$_] } 0 .. 1;
}

# Requests a run and waits until one has succeeded. Returns how many launchers there are. A run that fails makes the next one
# wait for longer, and uses the request up: so requests again, one in twenty looks.
sub worker_works
{
	my ($node) = @_;
	my $looks = 0;
	my $since = sql($node, 'SELECT clock_timestamp()');

	wait_for('a run', sub {
		request_run($node) if $looks++ % 20 == 0;
		return sql($node, "SELECT worker = 'idle' AND last_error IS NULL AND last_run > '$since' FROM balancer_stats") eq 't';
	});
	return sql($node, q(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'gxy_balancer launcher'));
}

sub request_run
{
	my ($node) = @_;

	sql($node, q(SELECT set_server_state('gxy1', 'draining'), set_server_state('gxy1', 'online')));
	return;
}

# Runs statements in a session, until the first error or with all => 1 to the end. Returns the output
# and the errors, with SQLSTATEs.
sub run_script
{
	my ($node, $script, %more) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir . '/script.sql';
	my ($out, $err) = ('', '');

	append_to_file($file, $script);
	IPC::Run::run([ 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-v', 'ON_ERROR_STOP=' . ($more{all} ? 0 : 1),
			'-d', $node->connstr($more{dbname} // 'postgres'), '-f', $file ], '<', \undef, '>', \$out, '2>', \$err);
	return ($out, $err);
}

sub wait_for
{
	my ($what, $condition) = @_;

	for (1 .. 100 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return 1 if $condition->();
		usleep(10_000);
	}
	croak "waited for too long: $what";
}

# Without a query, because writing one to a psql that could not connect fails.
sub wait_until_started
{
	my ($node) = @_;

	$node->poll_query_until('postgres', undef, '') or die 'the server has not started again';
	return;
}

# The state of a process as in ps: T is stopped; '' if there is none.
sub process_state
{
	my ($pid) = @_;

	open my $file, '<', "/proc/$pid/stat" or return '';
	my ($state) = <$file> =~ /\) (\w)/;
	close $file;
	return $state // '';
}

sub kill_process
{
	my ($signal, $pid) = @_;

	kill $signal, $pid or die "cannot signal $pid: $!";
	return;
}

# calling($node, $query): a session that runs a query, without waiting for its end; settled($call)
# waits for it and returns the answer or the SQLSTATE, with the message.
sub calling
{
	my ($node, $query) = @_;
	my $session = { out => '', err => '' };

	$session->{run} = IPC::Run::start([ 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-d', $node->connstr('postgres'), '-c', $query ],
		'<', \undef, '>', \$session->{out}, '2>', \$session->{err});
	return $session;
}

sub settled
{
	my ($session) = @_;

	$session->{run}->finish;

	my ($error) = $session->{err} =~ /(?:ERROR|FATAL):  (.*)/;

	chomp $session->{out};
	return $error // $session->{out};
}

1;
