# The README's GRANT blocks, as written, and what each role can do with them: among others, an operator clears the false
# alarm of a monitor.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use GxyBalancer;
use PostgreSQL::Test::Utils;
use Test::More;

my $readme = slurp_file("$FindBin::Bin/../../README.md");
my ($blocks) = $readme =~ /^### Grants\n.*?```sql\n(.*?)```/ms;

defined $blocks or die 'the README has no GRANT blocks';

my $node = new_server('grants');

$node->safe_psql('postgres', "CREATE ROLE $_") for qw(app monitor grafana operator stranger);
$node->safe_psql('postgres', $blocks);
$node->safe_psql('postgres', "SELECT init_servers('a,b'); SELECT get_or_assign_server(1)");

sub as
{
	my ($role, $sql) = @_;

	return attempt($node, "SET ROLE $role; $sql");
}

is(scalar as('app', 'SELECT get_or_assign_server(2)'), 'b', 'the application assigns rooms');
is(scalar as('app', "SELECT set_server_state('a', 'offline')"), '42501', 'and operates nothing');
is(scalar as('monitor', "SELECT server_heartbeat('b', false), server_state('b')"), 't|offline', 'the monitor reports');
is(scalar as('monitor', 'SELECT get_or_assign_server(3)'), '42501', 'and assigns nothing');

my ($state, $code, $notice) = as('operator', "SELECT set_server_state('b', 'online')");

is($state, 'offline', 'the operator is told the state in force');
like($notice, qr/NOTICE: .*server "b" stays offline/, 'and why it is not the one wanted');
is(scalar as('operator', "SELECT server_heartbeat('b'), server_state('b')"), 't|online', 'and clears the false alarm');
is(scalar as('operator', "INSERT INTO balancer_servers (name) VALUES ('c') RETURNING position"), '3', 'the operator adds a server');
is(scalar as('operator', "SELECT move_room(1, 'c'), pin_room(2, 'c'), unpin_room(2), evacuate_server('c') >= 0"), 'c|b|t|t',
	'and moves rooms');
is(scalar as('operator', "DELETE FROM balancer_servers WHERE name = 'c' RETURNING name"), 'c', 'and takes it away again');

for my $relation (qw(balancer_servers balancer_pins balancer_health balancer_failovers balancer_load balancer_rooms
	balancer_stats balancer_room_sizes))
{
	like(scalar as('grafana', "SELECT count(*) FROM $relation"), qr/^\d$/, "those who watch read $relation");
	is(scalar as('stranger', "SELECT count(*) FROM $relation"), '42501', "and nobody else does");
}
is(scalar as('grafana', 'DELETE FROM balancer_servers'), '42501', 'those who watch change nothing');

$node->stop;
done_testing();
