# 215_room_servers.pl: a failover by the worker, where not every room exists on every server.
#
# The standby takes the rooms that exist on it, the policy spreads the others over the servers on
# which they exist, and those that exist on no server online stay until one is. More rooms than the
# worker moves at once cannot move, and come first in the table. Hot standbys and READ ONLY
# transactions give the same answers.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;

use GxyWorker;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('primary', init => { allows_streaming => 1 }, conf => "gxy_balancer.failover_delay = '1s'\n");

$node->start;
$node->backup('copy');

my $replica = PostgreSQL::Test::Cluster->new('replica');

$replica->init_from_backup($node, 'copy', has_streaming => 1);
$replica->start;
create_extension($node, 'postgres');
$node->safe_psql('postgres', q(
	INSERT INTO balancer_servers (name, pool) VALUES
		('gxy1', 'primary'), ('gxy2', 'primary'), ('gxy3', 'primary'), ('spare', 'standby');
	CREATE ROLE app;
	CREATE TABLE app_rooms (room_id text PRIMARY KEY, servers text[]);
	ALTER TABLE app_rooms OWNER TO app;
	-- gxy3 is draining.
	INSERT INTO app_rooms SELECT 'only gxy1 ' || n, '{gxy1,gxy3}' FROM generate_series(1, 5500) n;
	INSERT INTO app_rooms SELECT 'everywhere ' || n, NULL FROM generate_series(1, 20) n;
	INSERT INTO app_rooms SELECT 'on the standby ' || n, '{gxy1,spare}' FROM generate_series(1, 20) n;
	INSERT INTO app_rooms SELECT 'on two ' || n, '{gxy1,gxy2,gxy3}' FROM generate_series(1, 20) n;
	SELECT attach_rooms('app_rooms');
	INSERT INTO room_server_assignments (room_id, gateway_name) SELECT room_id, 'gxy1' FROM app_rooms;
	UPDATE balancer_servers SET state = 'draining' WHERE name = 'gxy3'));
wait_for_first_run($node, 'postgres');

my $rooms = q(SELECT string_agg(format('%s: %s %s', gateway_name, count, kind), ', ' ORDER BY gateway_name, kind)
	FROM (SELECT gateway_name, rtrim(room_id, ' 0123456789') AS kind, count(*) FROM room_server_assignments GROUP BY 1, 2) r);
my $spread = 'gxy1: 5500 only gxy, gxy2: 20 on two, spare: 20 everywhere, spare: 20 on the standby';

$node->safe_psql('postgres', q(SELECT set_server_state('gxy1', 'offline')));
ok($node->poll_query_until('postgres', "SELECT ($rooms) = '$spread'"), 'each room goes where it exists');
is($node->safe_psql('postgres', 'SELECT to_server, rooms, outcome FROM balancer_failovers'), 'spare|60|pending',
	'the failover is not finished');
is($node->safe_psql('postgres', q(SELECT DISTINCT reason FROM room_server_assignments WHERE gateway_name <> 'gxy1')),
	'failover from gxy1', 'the rows say why');

# What stays is answered where it is: by calls that may write, and by those that may not.
my $answers = q(SELECT get_or_assign_server('only gxy1 7'), room_server('only gxy1 7'), get_or_assign_server('on two 7'),
	get_or_assign_server('on the standby 7'));
my $explained = q(SELECT server, reason FROM explain_assignment('only gxy1 7') WHERE chosen);

$node->wait_for_catchup($replica, 'replay');
for my $where ([ $node, '', 'a caller' ], [ $node, 'BEGIN READ ONLY;', 'READ ONLY' ], [ $replica, '', 'a hot standby' ])
{
	my ($server, $begin, $name) = @$where;

	is($server->safe_psql('postgres', "$begin $answers"), 'gxy1|gxy1|gxy2|spare', "$name has the same answers");
	is($server->safe_psql('postgres', "$begin $explained"),
		'gxy1|the room is assigned here, and no other server with the room is online', "$name is told why");
}

# The next run finds that all but one exist on a server that is online now.
$node->safe_psql('postgres', q(UPDATE app_rooms SET servers = '{gxy1}' WHERE room_id = 'only gxy1 7';
	UPDATE balancer_servers SET state = 'online' WHERE name = 'gxy3'));
set_interval($node, '1s');
ok($node->poll_query_until('postgres', q(SELECT count(*) = 1 FROM room_server_assignments WHERE gateway_name = 'gxy1')),
	'they move when a server with them is online');
$node->safe_psql('postgres', q(UPDATE app_rooms SET servers = NULL WHERE room_id = 'only gxy1 7'));
ok($node->poll_query_until('postgres', q(SELECT outcome = 'moved' FROM balancer_failovers)), 'the last one finishes the failover');
is($node->safe_psql('postgres', q(SELECT gateway_name FROM room_server_assignments WHERE room_id = 'only gxy1 7')), 'spare',
	'on the standby, if it exists there');
is($node->safe_psql('postgres', 'SELECT rooms FROM balancer_failovers'), '5560', 'all are counted');

$replica->stop;
$node->stop;
done_testing();
