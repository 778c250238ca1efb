# Measured loads and servers that are back from an outage: after kill -9, on a standby, in prepared
# transactions, and where a server has been silent.
#
# Rooms are placed by the load cache, with a count that stays. The hours of the settings do not
# pass: times in rows are moved instead.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use GxyWorker;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', init => { allows_streaming => 1 }, conf => "gxy_balancer.recovery_delay = '1h'\n"
	  . "gxy_balancer.load_max_age = '1h'\ngxy_balancer.heartbeat_timeout = '1h'\nmax_prepared_transactions = 5\n");
my $rooms = 0;

sub ask { return $node->safe_psql('postgres', $_[0]) }
sub next_room { return ask("SELECT get_or_assign_server('room " . ++$rooms . "', NULL, 1)") }
# So that the next heartbeat is written to the row.
sub age_rows { return ask(q(UPDATE balancer_health SET last_heartbeat = now() - interval '1 min')) }
sub measured { return $_[0]->safe_psql('postgres', q(SELECT server, measured FROM balancer_load ORDER BY 1)) }

$node->start;
create_extension($node, 'postgres');
ask(q(INSERT INTO balancer_servers (name, capacity) VALUES ('gxy1', 1000), ('gxy2', 1000), ('gxy3', 1000)));
wait_for_first_run($node, 'postgres');
$node->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'copy', has_streaming => 1);
$standby->start;

#
# Measured loads
#

ask(q(SELECT server_heartbeat('gxy1', true, 0.9), server_heartbeat('gxy2', true, 0.1), server_heartbeat('gxy3', true, 0.8)));
is(next_room(), 'gxy2', 'a room goes to the server that measures least');
my $wal = ask('SELECT pg_current_wal_insert_lsn()');
ask(q(SELECT count(server_heartbeat('gxy1', true, i / 1000.0)) FROM generate_series(1, 900) i));
cmp_ok(ask("SELECT pg_current_wal_insert_lsn() - '$wal'::pg_lsn"), '<', 900 * 40, 'not every heartbeat writes');
ask(q(SELECT server_heartbeat('gxy1', true, 0.05)));
is(next_room(), 'gxy1', 'the next room sees the newest measurement, written or not');

age_rows();
ask(q(SELECT server_heartbeat('gxy1', true, 0.9), server_heartbeat('gxy2', true, 0.8), server_heartbeat('gxy3', true, 0.1)));
$node->wait_for_catchup($standby);
is(measured($standby), "gxy1|90.0\ngxy2|80.0\ngxy3|10.0", 'a standby knows them by the rows');
is($standby->safe_psql('postgres', q(SELECT server FROM explain_assignment('new') WHERE chosen)), 'gxy3', 'and explains by them');

$node->stop('immediate');
$node->start;
is(measured($node), "gxy1|90.0\ngxy2|80.0\ngxy3|10.0", 'after kill -9 they are known');
is(next_room(), 'gxy3', 'and the load cache places rooms by them');

# A prepared transaction reports nothing until it is committed, and nothing if it is rolled back.
age_rows();
ask(q(BEGIN; SELECT server_heartbeat('gxy3', true, 0.95); PREPARE TRANSACTION 'lost'));
is(next_room(), 'gxy3', 'a prepared measurement is not known yet');
ask(q(ROLLBACK PREPARED 'lost'));
is(next_room(), 'gxy3', 'one that is rolled back never is');
ask(q(BEGIN; SELECT server_heartbeat('gxy3', true, 0.95); PREPARE TRANSACTION 'kept'));
ask(q(COMMIT PREPARED 'kept'));
is(measured($node), "gxy1|90.0\ngxy2|80.0\ngxy3|95.0", 'one that is committed is known by its row');
is($node->safe_psql('postgres', q(SET gxy_balancer.join_window = '1min'; SELECT get_or_assign_server('counted', NULL, 1))),
	'gxy2', 'and by the load cache from its next count on');

#
# A lasting difference
#

ask(q(DELETE FROM room_server_assignments; UPDATE balancer_health SET last_heartbeat = now() - interval '1 min'));
ask(q(SELECT server_heartbeat('gxy1', true, 0.5), server_heartbeat('gxy2', true, 0.1), server_heartbeat('gxy3', true, 0.9)));
set_interval($node, '200ms');
my $differ = q(SELECT string_agg(server, ' ' ORDER BY server) FROM balancer_health WHERE differs_since IS NOT NULL);
my $told = q(SELECT coalesce(string_agg(server || ': ' || cause, ' ' ORDER BY server), '') FROM balancer_load WHERE cause ~ 'measures');
ok($node->poll_query_until('postgres', "SELECT ($differ) = 'gxy1 gxy3'"), 'the worker notes which servers measure what is not counted');
is(ask($told), '', 'which is no fault yet');
ask(q(UPDATE balancer_health SET differs_since = differs_since - interval '1 min'));
is(ask($told), 'gxy1: measures 50%, counted 0% gxy3: measures 90%, counted 0%', 'after a minute the console says so');
is(ask(q(SELECT get_or_assign_server('large', NULL, 400))), 'gxy2', 'a large room');
ask(q(SELECT move_room('large', 'gxy1')));
is(ask($told), 'gxy3: measures 90%, counted 0%', 'what is counted now decides');
ok($node->poll_query_until('postgres', "SELECT ($differ) = 'gxy3'"), 'the worker notes that it is over');
set_interval($node, '1h');

#
# Back from an outage
#

ask(q(DELETE FROM room_server_assignments; UPDATE balancer_health SET load = NULL));
ask(q(SELECT server_heartbeat(name, true, 0) FROM balancer_servers));
ask(q(SELECT server_heartbeat('gxy1', false)));
ask(q(SELECT server_heartbeat('gxy1', true)));
my $causes = q(SELECT server FROM balancer_load WHERE state = 'online' AND cause ~ '^recovering until \d\d:\d\d:\d\d$');

# Places 12 rooms; returns how many are on gxy1.
sub placed
{
	$rooms++;
	return ask("SELECT count(*) FILTER (WHERE get_or_assign_server('$rooms ' || i, NULL, 1) = 'gxy1') FROM generate_series(1, 12) i");
}

is(ask($causes), 'gxy1', 'a server that is healthy again is recovering');
is(placed(), 0, 'and gets no new room');
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', $causes), 'gxy1', 'a standby says so');
is($standby->safe_psql('postgres', q(SELECT tier, rank FROM explain_assignment('new') WHERE server = 'gxy1')), '4|3', 'and explains it');
$node->stop('immediate');
$node->start;
is(ask($causes), 'gxy1', 'after kill -9 it still is');
is(placed(), 0, 'and gets no new room');

# Silent; the others are reported.
ask(q(UPDATE balancer_health SET recovered_at = now() - interval '1 day'));
is(ask($causes), '', 'a recovery of long ago is over');
ask(q(SELECT server_heartbeat(name) FROM balancer_servers));
ask(q(ALTER DATABASE postgres SET gxy_balancer.heartbeat_timeout = '1500ms'));
ok($node->poll_query_until('postgres',
		q(SELECT count(server_heartbeat(name)) >= 0 AND server_state('gxy1') = 'offline' FROM balancer_servers WHERE name <> 'gxy1')),
	'a server that falls silent is offline');
ask(q(ALTER DATABASE postgres RESET gxy_balancer.heartbeat_timeout));
is(placed(), 0, 'and gets no new room');
is(ask(q(SELECT server_heartbeat('gxy1'))), 't', 'it is heard of again');
is(ask($causes), 'gxy1', 'and is recovering');
is(placed(), 0, 'and gets no new room still');

# The delay ends by itself, for a session that has its copy of the pool.
is(ask(q(
	SET gxy_balancer.recovery_delay = '1500ms';
	UPDATE balancer_health SET recovered_at = clock_timestamp() WHERE server = 'gxy1';
	SELECT xmin AS before FROM balancer_health WHERE server = 'gxy1' \gset
	DO $$
	DECLARE
		delay interval;
	BEGIN
		LOOP
			EXIT WHEN get_or_assign_server('late ' || gen_random_uuid(), NULL, 1) = 'gxy1';
		END LOOP;
		SELECT clock_timestamp() - recovered_at INTO delay FROM balancer_health WHERE server = 'gxy1';
		ASSERT delay >= '1500ms', delay;
	END
	$$;
	SELECT xmin = :'before' FROM balancer_health WHERE server = 'gxy1')),
	't', 'after the delay, and not before, it gets new rooms, without a write of its row');

$standby->stop;
$node->stop;
done_testing();
