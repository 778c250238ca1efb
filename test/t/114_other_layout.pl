# 114_other_layout.pl: the library file was replaced by one that lays out shared memory otherwise, and the server not restarted.
#
# Nothing is written into the memory of the other library: what would change something fails and says what to do; what
# does not depend on it goes on.

use strict;
use warnings FATAL => 'all';

use Cwd;
use FindBin;
use lib $FindBin::Bin;

use GxyWorker;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $library = Cwd::getcwd() . '/test/lib/other_layout';

system_or_bail('make', '-s', '-C', $library, 'PG_CONFIG=' . ($ENV{PG_CONFIG} // 'pg_config'));

my $node = PostgreSQL::Test::Cluster->new('layout');

$node->init;
$node->start;
create_extension($node, 'postgres');
$node->safe_psql('postgres', 'CREATE DATABASE galaxy');

my $server = $node->safe_psql('postgres', 'SELECT get_or_assign_server(1)');

$node->safe_psql('postgres', "SELECT get_or_assign_server(2), get_or_assign_server(3);
	UPDATE room_server_assignments SET assigned_at = now() - interval '40 s', last_used_at = now() - interval '40 s' WHERE room_id = '2';
	UPDATE room_server_assignments SET assigned_at = now() - interval '2 min', last_used_at = now() - interval '2 min' WHERE room_id = '3'");
$node->safe_psql('postgres', "LOAD '$library/other_layout'");
is($node->safe_psql('postgres', 'SELECT get_or_assign_server(1)'), $server, 'a sticky call is answered');
is($node->safe_psql('postgres', 'SELECT get_or_assign_server(r::int) IS NOT NULL FROM (VALUES (2), (3)) AS v(r)'), "t\nt", 'also one that renews');
is($node->safe_psql('postgres', 'SELECT touch_room(3, 5)'), 't', 'and one that reports users');
like($node->safe_psql('postgres', 'SELECT shared_memory FROM balancer_stats'), qr/another version/, 'balancer_stats says why there are no counts');

for my $call (q(SELECT set_server_state('gxy1', 'draining')))
{
	my ($status, $stdout, $stderr) = $node->psql('postgres', $call, extra_params => [ '--set=VERBOSITY=verbose' ]);

	like($stderr, qr/ERROR:  55000: another version of the gxy_balancer library.*\nDETAIL: .*replaced.*\nHINT:  Restart the server/s, $call);
}
my ($status, $stdout, $stderr) = $node->psql('galaxy', 'CREATE EXTENSION gxy_balancer');

like($stderr, qr/another version/, 'CREATE EXTENSION fails');
is($node->safe_psql('galaxy', 'SELECT count(*) FROM pg_extension WHERE extname = $$gxy_balancer$$'), '0', 'and leaves nothing behind');

$node->restart;
is($node->safe_psql('postgres', q(SELECT get_or_assign_server(1), set_server_state('gxy1', 'draining'))), "$server|draining",
	'after a restart all is well');
create_extension($node, 'galaxy');
wait_for_first_run($node, 'galaxy');
pass('the worker included');
$node->stop;
done_testing();
