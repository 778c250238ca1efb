# Logical replication of room_server_assignments: what the extension writes beneath SQL (speculative
# insertions, updates of single columns, deletions) is decoded like the application's own statements.
# After a load the subscriber's table equals the publisher's, with the default replica identity and
# with all columns; its load cache counts the rows that were applied; and it answers as the publisher
# did when it takes over.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use GxyBalancer;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my @settings = ('max_prepared_transactions = 20', "gxy_balancer.cleanup_interval = '1d'", "gxy_balancer.touch_interval = '1s'",
	"gxy_balancer.default_servers = 'gxy1,gxy2,gxy3'");
my $publisher = new_server('publisher', 'wal_level = logical', @settings);
my $subscriber = new_server('subscriber', @settings);
my $rows = 'SELECT t::text FROM room_server_assignments t ORDER BY t::text COLLATE "C"';

sub ask
{
	my ($sql) = @_;

	return $publisher->safe_psql('postgres', $sql);
}

sub same
{
	my ($what) = @_;

	$publisher->wait_for_catchup('rooms');

	my $theirs = $publisher->safe_psql('postgres', $rows);

	cmp_ok(length $theirs, '>', 1000, "$what: there are rooms");
	is($subscriber->safe_psql('postgres', $rows), $theirs, "$what: the subscriber has the publisher's rows");
	return;
}

ask(q(SELECT init_servers('gxy1,gxy2,gxy3')));
ask(q(SELECT get_or_assign_server('early' || n) FROM generate_series(1, 40) n));
ask('CREATE PUBLICATION rooms FOR TABLE room_server_assignments');
my $connection = $publisher->connstr('postgres') =~ s/'/''/gr;
$subscriber->safe_psql('postgres', q(SELECT init_servers('gxy1,gxy2,gxy3'); SELECT get_or_assign_server('warm'), release_room('warm')));
$subscriber->safe_psql('postgres', "CREATE SUBSCRIPTION rooms CONNECTION '$connection' PUBLICATION rooms");
$subscriber->wait_for_subscription_sync($publisher, 'rooms');
same('the first copy');

# Clients that assign the same few rooms, renew, move and free them, and roll back, beside statements
# of the application on the same rows.
my $script = PostgreSQL::Test::Utils::tempdir . '/load.sql';
append_to_file($script, <<'PGBENCH');
\set room random(1, 30)
\set what random(1, 9)
\if :what <= 3
SELECT get_or_assign_server(:room);
\elif :what = 4
SELECT touch_room(:room, :room);
\elif :what = 5
SELECT release_room(:room);
\elif :what = 6
INSERT INTO room_server_assignments (room_id, gateway_name) VALUES (:room, 'gxy2') ON CONFLICT DO NOTHING;
\elif :what = 7
UPDATE room_server_assignments SET last_used_at = now() - interval '30 s' WHERE room_id = (:room)::text;
\elif :what = 8
BEGIN;
SELECT get_or_assign_server(:room);
SAVEPOINT s;
SELECT release_room(:room);
ROLLBACK TO s;
SELECT get_or_assign_server(:room + 100);
END;
\else
BEGIN;
SELECT get_or_assign_server(:room + 200);
ROLLBACK;
\endif
PGBENCH

for my $identity ('DEFAULT', 'FULL')
{
	ask("ALTER TABLE room_server_assignments REPLICA IDENTITY $identity");
	$publisher->command_ok(
		[ 'pgbench', '-n', '-c', '6', '-j', '2', '-t', '150', '--max-tries=100', '-f', $script, '-h', $publisher->host, '-p', $publisher->port, 'postgres' ],
		"a load ($identity)");
	same("a load ($identity)");
	ask(q(SELECT move_room(room_id, 'gxy3') FROM (SELECT room_id FROM room_server_assignments WHERE gateway_name <> 'gxy3' ORDER BY 1 LIMIT 5) r));
	ask(q(BEGIN; SELECT get_or_assign_server('prepared' || n), release_room('early' || n) FROM generate_series(1, 5) n; PREPARE TRANSACTION 'p'));
	ask(q(COMMIT PREPARED 'p'));
	ask(q(UPDATE room_server_assignments SET last_used_at = now() - interval '1 day', assigned_at = now() - interval '1 day' WHERE room_id LIKE 'early1%'));
	cmp_ok(ask('SELECT clean_inactive_assignments()'), '>', 0, "a cleanup frees rooms ($identity)");
	ask(q(SELECT get_or_assign_server('early' || n) FROM generate_series(1, 20) n));
	ask(q(SELECT evacuate_server('gxy1')));
	ask(q(SELECT touch_room(room_id, 5) FROM room_server_assignments));
	same("moves, a cleanup, renewals ($identity)");
	is($subscriber->safe_psql('postgres', 'SELECT count(*) FROM _check_load_cache() WHERE usable AND cached_rooms <> rooms'), '0',
		"the subscriber's load cache counts what was applied ($identity)");
}

# A row whose region was added by the application and lies out of line.
ask(q(ALTER TABLE room_server_assignments ADD COLUMN note text DEFAULT NULL));
$subscriber->safe_psql('postgres', q(ALTER TABLE room_server_assignments ADD COLUMN note text DEFAULT NULL));
ask(q(ALTER TABLE room_server_assignments ALTER note SET STORAGE EXTERNAL;
	ALTER TABLE room_server_assignments REPLICA IDENTITY DEFAULT;
	UPDATE room_server_assignments SET note = repeat('x', 20000), last_used_at = now() - interval '30 s' WHERE room_id = 'early3'));
ask(q(SELECT touch_room('early3', 4), move_room('early3', 'gxy2')));
same('a column out of line');

# The subscriber takes over.
my $answers = q(SELECT string_agg(room_id || ' ' || room_server(room_id), ',' ORDER BY room_id COLLATE "C") FROM room_server_assignments);
my $before = ask($answers);
$publisher->stop;
$subscriber->safe_psql('postgres', 'ALTER SUBSCRIPTION rooms DISABLE; ALTER SUBSCRIPTION rooms SET (slot_name = NONE); DROP SUBSCRIPTION rooms');
is($subscriber->safe_psql('postgres', $answers =~ s/room_server\(/get_or_assign_server(/r), $before, 'callers of the subscriber get the servers that the publisher gave');

$subscriber->stop;
done_testing();
