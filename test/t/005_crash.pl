# Crashes: committed changes are there afterwards, uncommitted ones are not, and all functions work
# (G4, G6).
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use GxyBalancer;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# No process for the worker, which would free rooms in between.
my $node = new_server('main', 'max_prepared_transactions = 10', 'max_worker_processes = 1');

# Waits until the client sees the connection end.
sub crash
{
	my (@sessions) = @_;

	$node->stop('immediate');
	eval { $_->quit } for @sessions;
	$node->start;
}

$node->safe_psql('postgres', "SELECT init_servers('gxy1,gxy2,gxy3')");

#
# One open transaction of each kind
#

$node->safe_psql('postgres', q{
	SELECT get_or_assign_server('kept'), get_or_assign_server('released'), get_or_assign_server('cleaned'),
		get_or_assign_server('renewed');
	UPDATE room_server_assignments SET assigned_at = now() - interval '1 h', last_used_at = now() - interval '1 h'
		WHERE room_id = 'cleaned';
	UPDATE room_server_assignments SET assigned_at = now() - interval '20 s', last_used_at = now() - interval '20 s'
		WHERE room_id = 'renewed';
});

my $before = $node->safe_psql('postgres', 'SELECT r::text FROM room_server_assignments r ORDER BY room_id');
my @open = map { session($node) } 1 .. 5;

$open[0]->query_safe("BEGIN; SELECT get_or_assign_server('lost')");
$open[1]->query_safe("BEGIN; SELECT release_room('released')");
$open[2]->query_safe('BEGIN; SELECT clean_inactive_assignments()');
$open[3]->query_safe("BEGIN; SELECT get_or_assign_server('renewed')");
$open[4]->query_until(qr/calling/, "\\echo calling\nSELECT get_or_assign_server('lost');\n");
wait_for_waiters($node, 1);
crash(@open);

is($node->safe_psql('postgres', 'SELECT r::text FROM room_server_assignments r ORDER BY room_id'), $before,
	'what was committed before the crash is there, what was not is not');
is($node->safe_psql('postgres', "SELECT rooms FROM balancer_load ORDER BY server"), "2\n1\n1",
	'what was not committed does not count');
is($node->safe_psql('postgres', "SET lock_timeout = '1s'; SELECT get_or_assign_server('lost')"), 'gxy2',
	'a room whose assignment was lost is assigned without a wait');
is($node->safe_psql('postgres', "SET lock_timeout = '1s'; SELECT get_or_assign_server('kept')"), 'gxy1',
	'a committed assignment is answered');
is($node->safe_psql('postgres', "SELECT touch_room('renewed')"), 't', 'a lease is renewed');
is($node->safe_psql('postgres', "SELECT clean_inactive_assignments('1 min')"), '1', 'a cleanup cleans');
is($node->safe_psql('postgres', "SELECT release_room('released')"), 't', 'a release releases');

#
# Prepared, then crashed
#

$node->safe_psql('postgres', "BEGIN; SELECT get_or_assign_server('prepared'); PREPARE TRANSACTION 'p'");
crash();
is((attempt($node, "SET lock_timeout = '200ms'; SELECT get_or_assign_server('prepared')"))[1], '55P03',
	'a prepared assignment survives a crash');
$node->safe_psql('postgres', "COMMIT PREPARED 'p'");
is($node->safe_psql('postgres', "SELECT room_server('prepared') IS NOT NULL"), 't', 'and can be committed');

#
# In the middle of traffic: an answer that a client was given is the answer after the crash
#

my $folder = PostgreSQL::Test::Utils::tempdir;
my @clients;

for my $n (1 .. 4)
{
	my @calls = map { "SELECT $_, get_or_assign_server($_);\n" } 1 .. 5000;

	append_to_file("$folder/$n.sql", join '', $n % 2 ? @calls : reverse @calls);
	push @clients, IPC::Run::start [ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-f', "$folder/$n.sql" ],
	  '<', \undef, '>', "$folder/$n.out", '2>', "$folder/$n.err";
}
wait_until($node, 'postgres', 'SELECT count(*) > 300 FROM room_server_assignments');
$node->stop('immediate');
$_->finish for @clients;
$node->start;

my %server =
  map { split /\|/ } split /\n/, $node->safe_psql('postgres', 'SELECT room_id, gateway_name FROM room_server_assignments');
my @answers = map { grep { /^\d+\|gxy\d+$/ } split /\n/, slurp_file("$folder/$_.out") } 1 .. 4;
my @lost = grep { my ($room, $answer) = split /\|/; ($server{$room} // 'none') ne $answer } @answers;

cmp_ok(scalar @answers, '>', 300, 'clients had been answered when the server crashed');
cmp_ok(scalar keys %server, '<', 5000, 'and it crashed in the middle');
is("@lost[0 .. ($#lost > 4 ? 4 : $#lost)]", '', 'no answer that a client was given is lost or changed');
cmp_ok(gaps($node), '<=', scalar @clients, 'the servers differ by at most one room, but for those that were in flight')
  or diag(spread($node));
$node->safe_psql('postgres', 'SELECT get_or_assign_server(n) FROM generate_series(10001, 10100) n');
ok(even($node), 'and differ by at most one again after new rooms') or diag(spread($node));

done_testing();
