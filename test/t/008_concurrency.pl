# Many clients at once: new rooms are spread exactly (G2), and a room has one answer (G1) for all
# callers at the same moment and at every isolation level.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use GxyBalancer;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $clients = 32;
my $node = new_server('main', 'max_connections = 60');

$node->safe_psql('postgres', q{
	CREATE SEQUENCE rooms;
	CREATE UNLOGGED TABLE answers (room bigint, answer text);
});

# Runs a script with all clients; every transaction of it has to succeed.
sub run_clients
{
	my ($what, $transactions, $script, @options) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir . '/script.sql';

	open my $out, '>', $file or die $!;
	print $out $script;
	close $out;

	my $report = '';
	my $errors = '';
	my $ok = IPC::Run::run [
		'pgbench', '-n', '-c', $clients, '-j', 2, '-t', $transactions, '-f', $file, @options, $node->connstr('postgres')
	  ],
	  '>', \$report, '2>', \$errors;
	my $all = $clients * $transactions;

	like($report, qr{transactions actually processed: $all/$all\b}, "$what: every transaction succeeds");
	unlike($errors, qr/error|abort|fail/i, "$what: no client has an error");
	return;
}

sub forget_rooms
{
	$node->safe_psql('postgres', 'TRUNCATE answers, room_server_assignments');
}

#
# New rooms only
#

run_clients('new rooms, autocommit', 40, "SELECT get_or_assign_server(nextval('rooms'));\n");
ok(even($node), 'new rooms, autocommit: the servers differ by at most one room') or diag(spread($node));

forget_rooms();
run_clients('new rooms, each held 5 ms', 20,
	"BEGIN;\nSELECT get_or_assign_server(nextval('rooms'));\n\\sleep 5 ms\nCOMMIT;\n");
ok(even($node), 'new rooms, each held 5 ms: the servers differ by at most one room') or diag(spread($node));

forget_rooms();
run_clients('new rooms at REPEATABLE READ, each held 5 ms', 20,
	"BEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT 1;\n\\sleep 1 ms\n"
	  . "SELECT get_or_assign_server(nextval('rooms'));\n\\sleep 5 ms\nCOMMIT;\n");
ok(even($node), 'new rooms at REPEATABLE READ, each held 5 ms: the servers differ by at most one room')
  or diag(spread($node));

# A reservation counts until it is rolled back, so the remaining rooms are not spread exactly. But
# no rolled-back room is left.
forget_rooms();
run_clients('new rooms, some rolled back', 20,
	"\\set keep random(0, 1)\nBEGIN;\nSELECT get_or_assign_server(nextval('rooms'));\n\\sleep 2 ms\n"
	  . "\\if :keep\nCOMMIT;\n\\else\nROLLBACK;\n\\endif\n");
is( $node->safe_psql('postgres', q{
		SELECT bool_and(l.rooms = (SELECT count(*) FROM room_server_assignments r WHERE r.gateway_name = l.server))
		FROM balancer_load l
	}),
	't', 'new rooms, some rolled back: nothing counts that is not there');
is(scalar attempt($node, 'SELECT clean_inactive_assignments($$0$$) > 0; SELECT max(rooms) FROM balancer_load'), "t\n0",
	'new rooms, some rolled back: a cleanup leaves every server empty');

#
# The same rooms
#

for my $level ('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE')
{
	my $what = "32 clients on the same 300 new rooms at $level";

	forget_rooms();
	run_clients($what, 300,
		"\\set room :room + 1\nBEGIN ISOLATION LEVEL $level;\nSELECT 1;\n"
		  . "INSERT INTO answers SELECT :room, get_or_assign_server(:room);\nCOMMIT;\n",
		'-D', 'room=0', '-M', 'prepared');
	is($node->safe_psql('postgres', 'SELECT count(*) FROM answers'), 300 * $clients, "$what: every call is answered");
	is( $node->safe_psql('postgres', q{
			SELECT count(*) FROM (
				SELECT a.room FROM answers a LEFT JOIN room_server_assignments r ON r.room_id = a.room::text
				GROUP BY a.room HAVING count(DISTINCT a.answer) <> 1 OR max(a.answer) IS DISTINCT FROM max(r.gateway_name)) s
		}),
		'0', "$what: one answer a room, that of the table");
	ok(even($node), "$what: spread evenly") or diag(spread($node));
}

done_testing();
