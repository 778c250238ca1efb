# A failover of 1500 rooms while sixteen clients call. Each client notes each answer and the times
# of the question and the answer; the notes are checked afterwards.
#
# A room is on one server at a time: once a caller has been answered with the new server, no later
# question is answered with the old one. Once the failover is due, no answer names the failed
# server, even for rooms whose rows cannot be rewritten: another transaction locks every tenth row
# for longer than the failover lasts.

use strict;
use warnings FATAL => 'all';

use lib 'test/t';
use GxyWorker;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('failover_under_load', conf => "gxy_balancer.failover_delay = '1s'\nmax_connections = 60\n");
$node->start;
create_extension($node, 'postgres');
$node->safe_psql('postgres', q(INSERT INTO balancer_servers (name, pool) VALUES
	('gxy1', 'primary'), ('gxy2', 'primary'), ('gxy3', 'primary'), ('gxy4', 'primary'), ('spare1', 'standby')));
$node->safe_psql('postgres', 'CREATE UNLOGGED TABLE answers
	(room int, server text, asked timestamptz, answered timestamptz, client int)');
$node->safe_psql('postgres', 'SELECT count(get_or_assign_server(i)) FROM generate_series(1, 6000) i');
wait_for_first_run($node, 'postgres');

my $script = $node->basedir . '/ask.sql';
append_to_file($script, q{\set room random(1, 6000)
SELECT clock_timestamp() AS asked \gset
SELECT get_or_assign_server(:room) AS server \gset
SELECT clock_timestamp() AS answered \gset
INSERT INTO answers VALUES (:room, ':server', ':asked', ':answered', :client_id);
});

# let_fail($server): while sixteen clients ask, a server fails and its failover ends. Returns
# pgbench's output, and how many rooms were left when it ended.
sub let_fail
{
	my ($server) = @_;
	my ($out, $err) = ('', '');
	my $before = $node->safe_psql('postgres', 'SELECT count(*) FROM answers');
	my $clients = IPC::Run::start(
		[ 'pgbench', '-n', '-c', 16, '-j', 2, '-T', 120, '-f', $script, '-h', $node->host, '-p', $node->port, 'postgres' ],
		'>', \$out, '2>', \$err);

	wait_until($node, 'postgres', "SELECT count(*) > $before + 2000 FROM answers");
	my $in_hand = hold($node, 'postgres',
		"SELECT 1 FROM room_server_assignments WHERE gateway_name = '$server' AND room_id LIKE '%7' FOR UPDATE");
	$node->safe_psql('postgres', "SELECT set_server_state('$server', 'offline')");
	wait_until($node, 'postgres', "SELECT count(*) > 2000 FROM answers, balancer_failovers
		WHERE from_server = '$server' AND asked > due_at");
	release($in_hand);
	wait_until($node, 'postgres', "SELECT outcome IN ('moved', 'spread') FROM balancer_failovers
		WHERE from_server = '$server' AND recovered_at IS NULL");
	my $left = $node->safe_psql('postgres', "SELECT count(*) FROM room_server_assignments WHERE gateway_name = '$server'");
	my $then = $node->safe_psql('postgres', 'SELECT count(*) FROM answers');
	wait_until($node, 'postgres', "SELECT count(*) > $then + 2000 FROM answers");
	# Not INT, which a shell's background jobs ignore.
	$clients->signal('TERM');
	$clients->finish;
	return ($err, $left);
}

my ($told_first, $left_first) = let_fail('gxy1');
my ($told_then, $left_then) = let_fail('gxy2');
unlike($told_first . $told_then, qr/ERROR|FATAL|abort/, 'no caller gets an error');

is($node->safe_psql('postgres', q(SELECT string_agg(from_server || ' ' || coalesce(to_server, 'spread'), ', ' ORDER BY declared_at)
	FROM balancer_failovers)), 'gxy1 spare1, gxy2 spread', 'the rooms of one server go to the standby, those of the next are spread');
is("$left_first $left_then", '0 0', 'none is left behind when a failover is said to have ended');

$node->safe_psql('postgres', 'SELECT count(*) FROM (SELECT FROM answers GROUP BY room HAVING count(DISTINCT server) > 1) r') > 500
  or die 'too few rooms were asked for before and after';

# For each room: the first answer that names the new server, and the last question answered with the
# old one.
is($node->safe_psql('postgres', q(
	WITH seen AS (SELECT room, server, min(answered) AS first_answered, max(asked) AS last_asked, min(asked) AS first_asked
		FROM answers GROUP BY room, server)
	SELECT count(*) FROM seen a JOIN seen b ON a.room = b.room AND a.first_asked < b.first_asked AND a.server <> b.server
	WHERE a.last_asked > b.first_answered)), 0, 'no room has two servers at a time');
is($node->safe_psql('postgres', q(SELECT count(*) FROM answers JOIN balancer_failovers ON server = from_server
	WHERE to_server IS NOT NULL AND asked > due_at)), 0, 'no answer names a failed server once its failover is due');
is($node->safe_psql('postgres', q(SELECT count(*), max(rooms) - min(rooms) <= 20 FROM (SELECT count(*) AS rooms
	FROM room_server_assignments WHERE reason = 'failover from gxy2' GROUP BY gateway_name) s)), '2|t', 'what was spread is even');

$node->stop;
done_testing();
