# pg_dump -j and pg_restore -j beside the worker and clients: the dump is of one moment, no command
# fails, and the worker of the database that is being restored, which runs all the time, neither
# frees nor moves a room that is in use. Its sessions are restored last.

use strict;
use warnings FATAL => 'all';

use lib 'test/t';
use GxyBalancer;
use GxyWorker qw(set_interval wait_for_run_after server_time);
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('dumped');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'gxy_balancer'
gxy_balancer.cleanup_interval = '100ms'
gxy_balancer.touch_interval = '1s'
log_min_messages = warning
CONF
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE galaxy');
$node->safe_psql('galaxy', <<'SQL');
CREATE EXTENSION gxy_balancer;
SELECT init_servers('gxy1,gxy2,gxy3');
CREATE TABLE zz_sessions (room_id text, user_id int, filler text);
INSERT INTO zz_sessions SELECT 'kept' || n, u, repeat('x', 400) FROM generate_series(1, 200) n, generate_series(1, 40) u;
CREATE INDEX ON zz_sessions (room_id);
CREATE VIEW live AS SELECT room_id, user_id FROM zz_sessions;
SELECT attach_sessions('live');
SELECT count(get_or_assign_server('kept' || n)) FROM generate_series(1, 200) n;
SQL

my $folder = PostgreSQL::Test::Utils::tempdir;
append_to_file("$folder/load.sql", <<'PGBENCH');
\set room random(1, 1000)
SELECT get_or_assign_server('kept' || least(:room, 200));
BEGIN;
SELECT get_or_assign_server('pair a ' || :room);
SELECT get_or_assign_server('pair b ' || :room);
END;
BEGIN;
SELECT release_room('pair a ' || :room);
SELECT release_room('pair b ' || :room);
END;
PGBENCH
my $output = '';
my $clients = IPC::Run::start([ 'pgbench', '-n', '-c', '4', '-T', '600', '--max-tries=100', '-f', "$folder/load.sql", '-h', $node->host, '-p', $node->port, 'galaxy' ],
	'<', \undef, '>&', \$output);
wait_until($node, 'galaxy', q(SELECT sticky > 20 FROM balancer_stats));
$node->command_ok([ 'pg_dump', '-Fd', '-j4', '-f', "$folder/dump", '-d', $node->connstr('galaxy') ], 'pg_dump -j beside clients and the worker');
my $servers = q(SELECT string_agg(room_id || ' ' || gateway_name, ',' ORDER BY room_id COLLATE "C") FROM room_server_assignments WHERE room_id LIKE 'kept%');
my $before = $node->safe_psql('galaxy', $servers);

for my $copy (1 .. 3)
{
	$node->safe_psql('postgres', "CREATE DATABASE copy$copy TEMPLATE template0");
	$node->command_ok([ 'pg_restore', '--exit-on-error', '-j4', '-d', $node->connstr("copy$copy"), "$folder/dump" ],
		"pg_restore -j beside clients and the worker ($copy)");
	wait_for_run_after($node, "copy$copy", server_time($node));
	is($node->safe_psql("copy$copy", $servers), $before, "rooms in use keep their servers ($copy)");
	is($node->safe_psql("copy$copy", q(SELECT count(*) FROM room_server_assignments a WHERE room_id LIKE 'pair a%'
		AND NOT EXISTS (SELECT FROM room_server_assignments b WHERE b.room_id = replace(a.room_id, 'pair a', 'pair b')))), '0',
		"the dump is of one moment ($copy)");
	is($node->safe_psql("copy$copy", 'SELECT count(*) FROM _check_load_cache() WHERE usable AND cached_rooms <> rooms'), '0',
		"the load cache of the copy is right ($copy)");
}
ok($clients->pumpable, 'the clients have met no error') or diag $output;
$clients->signal('INT');
$clients->finish;
unlike($output, qr/ERROR|aborted/, 'nor has their log one');
$node->stop;
done_testing();
