# pgpool in front of a primary and a standby: calls that assign or renew go to the primary, because
# they are VOLATILE; calls that only read go to the standby.

use strict;
use warnings FATAL => 'all';

use lib 'test/t';
use GxyBalancer;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = new_server('primary', 'wal_level = replica');
$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;

my $folder = PostgreSQL::Test::Utils::tempdir_short();
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $config = "$folder/pgpool.conf";
# The folder of the socket has one name in older versions of pgpool and one in newer ones.
append_to_file($config, <<"CONF");
backend_clustering_mode = 'streaming_replication'
listen_addresses = ''
port = $port
socket_dir = '$folder'
unix_socket_directories = '$folder'
pcp_listen_addresses = ''
pcp_socket_dir = '$folder'
pid_file_name = '$folder/pgpool.pid'
work_dir = '$folder'
logdir = '$folder'
num_init_children = 2
backend_hostname0 = '${\$primary->host}'
backend_port0 = ${\$primary->port}
backend_weight0 = 0
backend_hostname1 = '${\$standby->host}'
backend_port1 = ${\$standby->port}
backend_weight1 = 1
load_balance_mode = on
sr_check_period = 1
sr_check_user = '${\$primary->safe_psql('postgres', 'SELECT current_user')}'
sr_check_database = 'postgres'
pool_passwd = ''
CONF
my $in = '';
my $process = IPC::Run::start([ 'pgpool', '-n', '-f', $config, '-F', '/dev/null', '-a', '/dev/null' ],
	'<', \$in, '>&', "$folder/pgpool.log");

END
{
	$process->kill_kill if $process && $process->pumpable;
}

# ask(QUERY): returns the answer through pgpool.
sub ask
{
	my ($query) = @_;
	my ($out, $err) = ('', '');

	IPC::Run::run([ 'psql', '-X', '-At', '-h', $folder, '-p', $port, '-d', 'postgres', '-c', $query ], '>', \$out, '2>', \$err);
	chomp $out;
	return $err eq '' ? $out : $err;
}

# Which server has answered: a STABLE function, which pgpool may send to the standby.
my $who = q(current_setting('port'));
my ($first, $second) = ($primary->port, $standby->port);
my $ready = 0;
for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
{
	last if $ready = ask("SELECT $who") eq $second;
	select undef, undef, undef, 0.1;
}
ok($ready, 'pgpool sends a SELECT to the standby') or diag slurp_file("$folder/pgpool.log");

like(ask("SELECT get_or_assign_server(2171), $who"), qr/^gxy1\|$first$/, 'a new room is assigned on the primary');
is(ask("SELECT get_or_assign_server(2171), $who"), "gxy1|$first", 'a sticky call goes there, too');
is(ask("SELECT touch_room(2171), $who"), "t|$first", 'so does touch_room');
$primary->wait_for_catchup($standby);
is(ask("SELECT room_server(2171), $who"), "gxy1|$second", 'room_server is answered by the standby');
is(ask("SELECT room_server('other'), $who"), "|$second", 'also for a room without a server');

# The standby lags: a call that assigns or renews never answers by its rows, in whatever way it is sent.
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
wait_until($standby, 'postgres', q(SELECT pg_get_wal_replay_pause_state() = 'paused'));
$primary->safe_psql('postgres', q(SELECT init_servers('gxy2'); SELECT move_room(2171, 'gxy2'), get_or_assign_server('later')));
is(ask("SELECT room_server(2171), room_server('later') IS NULL, $who"), "gxy1|t|$second", 'the standby has the old answer');
is(ask("SELECT get_or_assign_server(2171), $who"), "gxy2|$first", 'a sticky call has the new one');
is(ask("SELECT public.get_or_assign_server(2171), $who"), "gxy2|$first", 'with the name of its schema, too');
is(ask("WITH a AS MATERIALIZED (SELECT get_or_assign_server('later') AS server) SELECT server IS NOT NULL, $who FROM a"), "t|$first", 'inside a larger query');
is(ask("SELECT touch_room('later'), $who"), "t|$first", 'touch_room finds the room');
is(ask("PREPARE p(text) AS SELECT get_or_assign_server(\$1), $who; EXECUTE p('2171')"), "PREPARE\ngxy2|$first", 'a prepared statement, too');
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
$primary->wait_for_catchup($standby);
is(ask("SELECT room_server(2171), $who"), "gxy2|$second", 'the standby has caught up');

$process->signal('INT');
$process->finish;
$standby->stop;
$primary->stop;
done_testing();
