# Out of locks in the middle of a call: another session has taken all of the server's lock table but for a few entries.
#
# The call fails with 53200, and its transaction leaves no reservation: the load cache agrees with a count. When there are
# locks again, all goes on. So does a transaction with more new rooms than there are locks, because room locks are released
# when the row is written.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;

use GxyFaults;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_faults_server('locks', "max_locks_per_transaction = 10\nmax_connections = 12\nshared_preload_libraries = 'gxy_balancer'\nmax_worker_processes = 1\n");

sql($node, "SELECT get_or_assign_server('first')");

# Takes all locks. They are of the session, so an error does not end them. Returns how many it has.
my $eater = $node->background_psql('postgres', on_error_stop => 0);

$eater->query_safe(<<'SQL');
SET client_min_messages = warning;
CREATE FUNCTION eat(first int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	taken int := first - 1;
BEGIN
	BEGIN
		LOOP
			PERFORM pg_advisory_lock(taken + 1);
			taken := taken + 1;
		END LOOP;
	EXCEPTION WHEN out_of_memory THEN
		RETURN taken;
	END;
END $$;
SQL

# It is connected before: a session cannot start without locks.
my $caller = $node->background_psql('postgres', on_error_stop => 0);
my $most = 30; # enough for any of the calls

# So many tables take the places for locks that a session has outside of the lock table.
sql($node, "CREATE TABLE t$_ ()") for 1 .. 16;
overdue($node, 'postgres', map { "idle.$_" } 1 .. 5);

my %calls = (
	'a reservation' => q(SELECT get_or_assign_server('new.N')),
	'a count for one room' => q(BEGIN; SET LOCAL gxy_balancer.load_max_age = 0; SELECT get_or_assign_server('counted.N'); COMMIT),
	'the second of two rooms' => q(BEGIN; SELECT get_or_assign_server('first.N'); SELECT pg_advisory_xact_lock(-1), pg_advisory_xact_lock(-2);
		SELECT get_or_assign_server('second.N'); COMMIT),
	'a cleanup' => q(BEGIN; SELECT FROM t1, t2, t3, t4, t5, t6, t7, t8, t9, t10, t11, t12, t13, t14, t15, t16; SELECT clean_inactive_assignments(); COMMIT),
	'a move' => q(SELECT move_room('first', 'gxy2')),
	'a state' => q(SELECT set_server_state('gxy7', 'draining'), set_server_state('gxy7', 'online')));

my $all = $eater->query_safe('SELECT eat(1)');

cmp_ok($all, '>', 100, 'a session has taken all locks');
for my $what (sort keys %calls)
{
	my %states;

	# One more is there for each call.
	for my $spare (0 .. $most)
	{
		my $call = $calls{$what} =~ s/\bN\b/$spare/gr;

		$eater->query_safe("SELECT pg_advisory_unlock($all - $spare + 1)") if $spare > 0;
		$states{ $caller->query(join '', map { "$_;\n\\echo state :SQLSTATE\n" } split /; /, $call) =~ /^state (?!00000|25P02)(\w+)$/m ? $1 : 'done' }++;
	}
	note "$what: " . join ', ', map { "$_: $states{$_}" } sort keys %states;
	cmp_ok($states{53200} // 0, '>', 0, "$what fails with 53200");
	cmp_ok($states{done} // 0, '>', 0, "$what: or not at all, with more locks");
	is(join(' ', grep { !/^(?:53200|done)$/ } keys %states), '', "$what: and not otherwise");
	is(cache_is_right($node), '', "$what: the load cache is right");
	$all = $eater->query_safe("SELECT eat($all - $most + 1)");
}
$eater->query_safe('SELECT pg_advisory_unlock_all()');
is(cache_is_right($node, 'after'), '', 'when there are locks again, all goes on');
is(sql($node, "SELECT count(get_or_assign_server('many.' || i)) FROM generate_series(1, 1000) i"), 1000,
	'one transaction may have more new rooms than there are locks');
$_->quit for $caller, $eater;

# Without the library preloaded, and before the first call after a start: the lock table has grown into the memory that the
# extension would use. The answers and the errors, without those of earlier calls:
$node->append_conf('postgresql.conf', q(shared_preload_libraries = ''));
$node->restart;
($caller, $eater) = map { $node->background_psql('postgres', on_error_stop => 0) } 1 .. 2;

sub call_unloaded
{
	my ($call) = @_;

	$caller->{stderr} = '';

	my $out = $caller->query("\\set VERBOSITY verbose\n$call;");

	return $out . $caller->{stderr} =~ s/background_psql: QUERY_SEPARATOR.*//sr;
}

$all = $eater->query_safe('SELECT eat(1)');
like(call_unloaded(q(SELECT get_or_assign_server('unloaded.1'))), qr/ERROR:  53200: .*\nHINT:  .*max_locks_per_transaction/,
	'not preloaded: without locks the error says what to raise');
$eater->query_safe("SELECT pg_advisory_unlock($all - i) FROM generate_series(0, $most) i");
like(call_unloaded(q(SELECT get_or_assign_server('unloaded.2'))), qr/^gxy\d+$/, 'not preloaded: with some locks a room is placed');
$eater->query_safe('SELECT pg_advisory_unlock_all()');
like(call_unloaded(q(SELECT get_or_assign_server('unloaded.3'), get_or_assign_server('first'))), qr/^gxy\d+\|gxy\d+$/,
	'not preloaded: with all locks, too');
$_->quit for $caller, $eater;

$node->stop;
done_testing();
