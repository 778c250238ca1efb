# 116_killed_under_load.pl: kill -9 of the launcher, of a backend and of the postmaster while clients place rooms.
#
# Every answer that a client has got still holds after the restart. The launcher comes back with the first call at the
# latest, and there is one.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;

use GxyWorker;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $launchers = q(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'gxy_balancer launcher');
my $node = PostgreSQL::Test::Cluster->new('killed');

$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
autovacuum = off
restart_after_crash = on
gxy_balancer.cleanup_interval = '1h'
log_line_prefix = '%m [%p] %b '
CONF
$node->start;
create_extension($node, 'postgres');
$node->safe_psql('postgres', 'CREATE TABLE answers (room text, server text)');

# A client that places so many rooms, each in a transaction of its own, until it loses its connection.
sub start_client
{
	my ($number) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir . '/client';
	my %client = (out => "$file.out");

	append_to_file("$file.sql", join '', map { "SELECT 'room', '$number.$_', get_or_assign_server('$number.$_');\n" } 1 .. 20000);
	$client{run} = IPC::Run::start([ 'psql', '-X', '-q', '-At', '-d', $node->connstr('postgres') . ' application_name=client' ],
		'<', "$file.sql", '>', $client{out}, '2>', "$file.err");
	return \%client;
}

sub answers_outlive
{
	my ($what, $kill) = @_;
	my $round = $what =~ s/\W+/_/gr;
	my @clients = map { start_client("$round $_") } 1 .. 4;

	wait_until($node, 'postgres', "SELECT count(*) > 200 FROM room_server_assignments WHERE room_id LIKE '$round%'");
	$kill->();
	# psql ends with 2 when the connection is lost.
	for my $client (@clients)
	{
		$client->{run}->finish;
		is($client->{run}->result, 2, "$what: a client is interrupted");
	}

	my @answers = map { slurp_file($_->{out}) =~ /^room\|([^|]+)\|(\w+)$/mg } @clients;
	my $values = '';

	while (my ($room, $server) = splice @answers, 0, 2)
	{
		$values .= "$room|$server\n";
	}
	wait_until_started();
	$node->safe_psql('postgres', "TRUNCATE answers;\nCOPY answers FROM stdin (DELIMITER '|');\n$values\\.\n");
	cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM answers'), '>', 100, "$what: clients had answers");
	is( $node->safe_psql('postgres', 'SELECT count(*) FROM answers JOIN room_server_assignments ON room_id = room AND gateway_name = server'),
		$node->safe_psql('postgres', 'SELECT count(*) FROM answers'),
		"$what: which still hold");
	$node->safe_psql('postgres', "SELECT get_or_assign_server('$round after')");
	is($node->safe_psql('postgres', q(SELECT count(*) FROM _check_load_cache() WHERE NOT usable OR cached_rooms <> rooms)),
		'0', "$what: the load cache is right");

	# A second launcher would be there by the time a worker has run, which the first one starts.
	ok($node->poll_query_until('postgres', $launchers, '1'), "$what: the launcher is back");
	ok(wait_for_requested_run($node, 'postgres', 'gxy1'), "$what: which starts runs");
	is($node->safe_psql('postgres', $launchers), '1', "$what: the only one");
	return;
}

# Without a query, because writing one to a psql that could not connect fails.
sub wait_until_started
{
	$node->poll_query_until('postgres', undef, '') or die 'the server has not started again';
	return;
}

sub wait_for
{
	my ($condition) = @_;

	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return if $condition->();
		usleep(100_000);
	}
	die 'waited for too long';
}

sub kill_process
{
	my ($pid) = @_;

	system_or_bail('pg_ctl', 'kill', 'KILL', $pid);
	return;
}

answers_outlive('the launcher', sub { kill_process(launcher_pid($node)) });
answers_outlive('a backend', sub {
	kill_process($node->safe_psql('postgres', q(SELECT min(pid) FROM pg_stat_activity WHERE application_name = 'client')));
});
answers_outlive('the postmaster', sub {
	my $postmaster = slurp_file($node->data_dir . '/postmaster.pid') =~ s/\n.*//sr;

	$node->kill9;
	# Until it is gone, start() takes it for a server that runs, and ends the test.
	wait_for(sub { !kill 0, $postmaster });
	# The old backends notice by themselves, and keep a new server from starting until they have.
	wait_for(sub { $node->start(fail_ok => 1) });
});

$node->stop;
done_testing();
