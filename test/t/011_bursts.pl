# Bursts of first calls, several for each room: all callers of a room get the same server, and rooms
# of equal size are spread evenly (G1, G2). Run once with the load cache and once with a count for
# each room.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use GxyBalancer;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $rooms = 12;
my $callers = 4;
my $clients = $rooms * $callers;
my $rounds = 5;

# No worker: it would free rooms in between.
my $node = new_server('main', "shared_preload_libraries = 'gxy_balancer'", "max_connections = @{[ $clients + 12 ]}",
	'max_worker_processes = 1');

$node->safe_psql('postgres', 'CREATE TABLE answers (room bigint, answer text)');

# One call of each client, all at the same moment: each client waits until the last one has arrived.
# first: the first room number.
sub burst
{
	my ($first, $max_age, $end) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir . '/script.sql';
	my $gate = session($node);
	my ($report, $errors) = ('', '');
	local $ENV{PGOPTIONS} = "-c gxy_balancer.load_max_age=$max_age";

	open my $out, '>', $file or die $!;
	print $out "SELECT pg_advisory_lock_shared(1);\n\\set room $first + :client_id % $rooms\nBEGIN;\n"
	  . "SELECT get_or_assign_server(:room) AS answer \\gset\n$end"
	  . "SELECT pg_advisory_unlock_shared(1);\nINSERT INTO answers VALUES (:room, ':answer');\n";
	close $out;
	$gate->query_safe('SELECT pg_advisory_lock(1)');

	my $pgbench = IPC::Run::start [ 'pgbench', '-n', '-c', $clients, '-j', 2, '-t', 1, '-f', $file,
		$node->connstr('postgres') ], '>', \$report, '2>', \$errors;

	wait_for_waiters($node, $clients);
	$gate->query_safe('SELECT pg_advisory_unlock(1)');
	$gate->quit;
	IPC::Run::finish $pgbench;
	return $report =~ m{transactions actually processed: $clients/$clients\b} ? '' : $errors;
}

for my $max_age ('1h', '1ms', '0')
{
	for my $end ("COMMIT;\n", "\\sleep 5 ms\nCOMMIT;\n")
	{
		my $what = "load_max_age $max_age" . ($end =~ /sleep/ ? ', held open' : '');
		my ($failed, $uneven, $torn) = ('', '', '');

		for my $round (1 .. $rounds)
		{
			$node->safe_psql('postgres', 'DELETE FROM room_server_assignments; TRUNCATE answers');
			$failed .= burst($round * 1000, $max_age, $end);
			$uneven .= spread($node) . "\n" unless even($node);
			$torn .= $node->safe_psql('postgres', q{
				SELECT a.room, count(*), string_agg(DISTINCT a.answer, ' '), max(r.gateway_name)
				FROM answers a LEFT JOIN room_server_assignments r ON r.room_id = a.room::text
				GROUP BY a.room HAVING count(*) <> } . $callers . q{ OR min(a.answer) IS DISTINCT FROM max(r.gateway_name)
					OR max(a.answer) IS DISTINCT FROM max(r.gateway_name)});
		}
		is($failed, '', "$what: every caller is answered");
		is($torn, '', "$what: all callers of a room get its server");
		is($uneven, '', "$what: the servers differ by at most one room");
	}
}

done_testing();
