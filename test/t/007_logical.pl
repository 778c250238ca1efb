# Logical replication of the pool: the apply worker writes rows without firing ordinary triggers.
# The subscriber's sessions, which cache the pool, still notice them.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use GxyBalancer;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $publisher = new_server('publisher', 'wal_level = logical');
my $subscriber = new_server('subscriber');
my $session = session($subscriber);

is($session->query("SELECT server_state('gxy1')"), 'online', 'a session of the subscriber has read its own default pool');

$publisher->safe_psql('postgres', q{
	SELECT init_servers('north, south');
	INSERT INTO balancer_pins (room_id, server) VALUES ('first', 'south');
	CREATE PUBLICATION pool FOR TABLE balancer_servers, balancer_pins;
});

my $connection = $publisher->connstr('postgres') =~ s/'/''/gr;

$subscriber->safe_psql('postgres', "CREATE SUBSCRIPTION pool CONNECTION '$connection' PUBLICATION pool");
$subscriber->wait_for_subscription_sync($publisher, 'pool');
is($session->query('SELECT string_agg(server, $$ $$) FROM balancer_load WHERE pool IS NOT NULL'), 'north south',
	'rows that the initial copy has written are noticed');
is($session->query("SELECT get_or_assign_server('first')"), 'south', 'pins too');

sub applied
{
	$publisher->safe_psql('postgres', $_[0]);
	$publisher->wait_for_catchup('pool');
}

applied("INSERT INTO balancer_servers (name, priority) VALUES ('west', 1)");
is($session->query('SELECT get_or_assign_server(1)'), 'west', 'an INSERT that was applied is noticed');
applied("UPDATE balancer_servers SET state = 'draining' WHERE name = 'west'");
is($session->query("SELECT server_state('west')"), 'draining', 'an UPDATE that was applied is noticed');
is($session->query('SELECT get_or_assign_server(2)'), 'north', 'new rooms go by it');
applied("DELETE FROM balancer_servers WHERE name = 'west'");
is($session->query('SELECT string_agg(server, $$ $$) FROM balancer_load WHERE pool IS NOT NULL'), 'north south',
	'a DELETE that was applied is noticed');
applied("INSERT INTO balancer_pins (room_id, server) VALUES ('second', 'south')");
is($session->query("SELECT get_or_assign_server('second')"), 'south', 'a pin that was applied is noticed');

# Inside one transaction as well: the next call uses the pool as it is at that moment.
$session->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT get_or_assign_server(3)');
applied("UPDATE balancer_servers SET state = 'offline' WHERE name = 'north'");
is($session->query("SELECT server_state('north')"), 'offline', 'an open transaction notices, whatever its snapshot');
$session->query_safe('COMMIT');

# The last server is deleted: the subscriber's pool is empty too. It does not fall back to the
# default pool of its settings.
applied("UPDATE balancer_servers SET state = 'online'; DELETE FROM balancer_pins; DELETE FROM balancer_servers");
is($session->query('SELECT count(*) FROM balancer_load WHERE pool IS NOT NULL'), '0', 'a pool that was emptied by what was applied is empty');
is(scalar attempt($subscriber, "SELECT get_or_assign_server('none')"), '53000', 'new rooms are refused');
applied("INSERT INTO balancer_servers (name) VALUES ('east')");
applied('TRUNCATE balancer_servers');
is($session->query('SELECT count(*) FROM balancer_load WHERE pool IS NOT NULL'), '0', 'so is one that was truncated by what was applied');
$session->quit;

$subscriber->safe_psql('postgres', 'DROP SUBSCRIPTION pool');

done_testing();
