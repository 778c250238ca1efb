# Taking over from the application's own table: CREATE EXTENSION says what to do, the README's statements do it, and
# every statement of the application's older versions goes on working and is seen by the load.

use strict;
use warnings FATAL => 'all';

use lib 'test/t';
use GxyBalancer;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('taking_over');
$node->init;
$node->append_conf('postgresql.conf', "timezone = 'Asia/Jerusalem'\ngxy_balancer.failover_delay = '1h'\n");
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE app LOGIN;
CREATE TABLE room_server_assignments (
	room_id varchar(64) PRIMARY KEY,
	gateway_name varchar(64) NOT NULL,
	region varchar(32),
	assigned_at timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'UTC'),
	last_used_at timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')
);
CREATE INDEX ON room_server_assignments (last_used_at);
INSERT INTO room_server_assignments VALUES ('2171', 'gxy5', '', '2026-01-02 03:04:05', '2026-01-02 03:04:06'),
	('2172', 'gxy6', 'IL', '2026-01-02 03:04:05', '2026-01-02 03:04:06');
SQL

my ($out, $state, $err) = attempt($node, 'CREATE EXTENSION gxy_balancer');
like($err, qr/ERROR:  42P07: table public.room_server_assignments exists already/, 'CREATE EXTENSION says that the table is there');
like($err, qr/HINT: .*RENAME TO old_assignments; CREATE EXTENSION gxy_balancer; INSERT INTO .*AT TIME ZONE 'UTC'.*DROP TABLE old_assignments/,
	'its hint has the steps');

# The README's statements, to the letter.
my $readme = slurp_file('README.md');
my ($steps) = $readme =~ /### Taking over\n.*?```sql\n(.*?)```/s;
defined $steps or die 'the README has no steps';
$node->safe_psql('postgres', "SET client_min_messages = warning;\n$steps");
is($node->safe_psql('postgres', q(SELECT room_id, gateway_name, region, assigned_at AT TIME ZONE 'UTC', last_used_at AT TIME ZONE 'UTC'
	FROM room_server_assignments ORDER BY 1)),
	"2171|gxy5||2026-01-02 03:04:05|2026-01-02 03:04:06\n2172|gxy6|IL|2026-01-02 03:04:05|2026-01-02 03:04:06",
	'the rooms are there, old times read as UTC');
is($node->safe_psql('postgres', q(SELECT to_regclass('old_assignments') IS NULL)), 't', 'the old table is gone');
is($node->safe_psql('postgres', q(SELECT get_or_assign_server(2171))), 'gxy5', 'rooms stay where they are');

# The older version's statements, as its role, beside the functions.
$node->safe_psql('postgres', 'GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON room_server_assignments TO app');
sub app
{
	my ($sql) = @_;
	return $node->safe_psql('postgres', "SET ROLE app;\n$sql");
}

sub load
{
	return $node->safe_psql('postgres', q(SELECT string_agg(server || ':' || rooms, ' ' ORDER BY server) FROM balancer_load WHERE rooms > 0));
}

my $upsert = q(INSERT INTO room_server_assignments (room_id, gateway_name, region, assigned_at, last_used_at)
	VALUES ('%s', '%s', 'US', now(), now())
	ON CONFLICT (room_id) DO UPDATE SET gateway_name = EXCLUDED.gateway_name, last_used_at = EXCLUDED.last_used_at);
app(sprintf $upsert, '2173', 'gxy7');
is($node->safe_psql('postgres', q(SELECT get_or_assign_server(2173))), 'gxy7', 'an INSERT is an assignment');
app(sprintf $upsert, '2173', 'gxy8');
is($node->safe_psql('postgres', q(SELECT get_or_assign_server(2173))), 'gxy8', 'so is an upsert');
is(load(), 'gxy5:1 gxy6:1 gxy8:1', 'the load sees both');
app(q(UPDATE room_server_assignments SET last_used_at = now() WHERE room_id = '2173'));
app(q(UPDATE room_server_assignments SET gateway_name = 'gxy9', assigned_at = now() WHERE gateway_name = 'gxy8'));
is(load(), 'gxy5:1 gxy6:1 gxy9:1', 'and an UPDATE');
app(q(DELETE FROM room_server_assignments WHERE last_used_at < now() - interval '30 days'));
is(load(), 'gxy5:1 gxy9:1', 'and a DELETE: 2171 was renewed by the call, 2172 was not');
app(sprintf $upsert, '2174', 'gxy99');
is($node->safe_psql('postgres', q(SELECT get_or_assign_server(2174))), 'gxy99', 'a server outside the pool keeps its room for the delay');
is($node->safe_psql('postgres', q(SET gxy_balancer.failover_delay = 0; SELECT get_or_assign_server(2174))), 'gxy1', 'and no longer');
app('TRUNCATE room_server_assignments');
app(sprintf $upsert, '2175', 'gxy2');
is(load(), 'gxy2:1', 'and a TRUNCATE');

$node->stop;
done_testing();
