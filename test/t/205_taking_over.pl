# Taking over from the application's own table, and going back. CREATE EXTENSION says what to do;
# the statements of doc/taking-over.md do it while the application's own statements run; every
# statement of the application's older versions goes on working, and the load counts its rows.

use strict;
use warnings FATAL => 'all';

use lib 'test/t';
use GxyBalancer;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('taking_over');
$node->init;
# No process for the worker, which would free the rooms that have no sessions.
$node->append_conf('postgresql.conf', 'max_worker_processes = 1');
$node->append_conf('postgresql.conf', "timezone = 'Asia/Jerusalem'\ngxy_balancer.failover_delay = '1h'\n");
$node->start;
$node->safe_psql('postgres', <<'SQL');
-- The service sends times with their zone. pgbench cannot, so its sessions are at UTC.
CREATE ROLE gxydb_api LOGIN;
ALTER ROLE gxydb_api SET timezone = 'UTC';
GRANT CREATE ON SCHEMA public TO gxydb_api;
SET ROLE gxydb_api;
CREATE TABLE room_server_assignments (
	room_id varchar(255) PRIMARY KEY,
	gateway_name varchar(50) NOT NULL,
	region varchar(50),
	assigned_at timestamp NOT NULL DEFAULT now(),
	last_used_at timestamp NOT NULL DEFAULT now()
);
CREATE INDEX room_server_assignments_last_used_at_idx ON room_server_assignments (last_used_at);
INSERT INTO room_server_assignments VALUES ('2171', 'gxy5', '', '2026-01-02 03:04:05', '2026-01-02 03:04:06'),
	('2172', 'gxy6', 'IL', '2026-01-02 03:04:05', '2026-01-02 03:04:06'),
	('2173', 'gxy7', 'pinned', '2026-01-02 03:04:05', '2026-01-02 03:04:06');
INSERT INTO room_server_assignments
	SELECT i, 'gxy' || 1 + i % 12, NULL, now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC' FROM generate_series(1, 500) i;
SQL
my $table = q(SELECT attname, format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid)
	FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
	WHERE a.attrelid = 'room_server_assignments'::regclass AND attnum > 0 ORDER BY attnum;
	SELECT pg_get_indexdef(indexrelid), indisprimary FROM pg_index
	WHERE indrelid = 'room_server_assignments'::regclass ORDER BY 1;
	SELECT pg_get_userbyid(relowner), relacl FROM pg_class WHERE oid = 'room_server_assignments'::regclass);
my $as_made = $node->safe_psql('postgres', $table);

my ($out, $state, $err) = attempt($node, 'CREATE EXTENSION gxy_balancer');
like($err, qr/ERROR:  42P07: table public.room_server_assignments exists already/, 'CREATE EXTENSION says that the table is there');
like($err, qr/HINT: .*RENAME TO old_assignments; CREATE EXTENSION gxy_balancer; INSERT INTO .*AT TIME ZONE 'UTC'.*GRANT.*DROP TABLE old_assignments/,
	'its hint has the steps');

# The statements of the guide, unchanged. The migrations contain the same ones without BEGIN and
# COMMIT.
my $guide = slurp_file('doc/taking-over.md');
my ($there) = $guide =~ /## Taking over\n.*?```sql\n(.*?)```/s or die 'the guide has no steps';
my ($back) = $guide =~ /## The way back\n.*```sql\n(BEGIN;.*?)```/s or die 'the guide has no way back';

sub migration
{
	my ($name) = @_;
	my $sql = slurp_file("examples/gxydb/migrations/$name.sql");
	$sql =~ s{^/\*.*?\*/\n}{}s;
	return "BEGIN;\n${sql}COMMIT;\n";
}
is(migration('2_take_over.up'), $there, 'the migration has the statements of the guide');
is(migration('2_take_over.down'), $back, 'so has the one back');

# Runs the application's own statements, as its role, by 8 clients, until a stop file exists. A
# client ends when a call fails.
my $script = PostgreSQL::Test::Utils::tempdir() . '/service.sql';
append_to_file($script, <<'SQL');
\set room random(1, 500)
SELECT gateway_name FROM room_server_assignments WHERE room_id = :room;
UPDATE room_server_assignments SET last_used_at = now() AT TIME ZONE 'UTC' WHERE room_id = :room;
\set room 1000 + random(1, 100000)
INSERT INTO room_server_assignments (room_id, gateway_name, region, assigned_at, last_used_at)
	VALUES (:room, 'gxy7', '', now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC')
	ON CONFLICT (room_id) DO UPDATE SET last_used_at = EXCLUDED.last_used_at
	RETURNING gateway_name;
SQL

sub rooms
{
	return $node->safe_psql('postgres', 'SELECT count(*) FROM room_server_assignments');
}

# Runs a block while the application works, and returns the errors of its clients.
sub play_beside_the_service
{
	my ($block) = @_;
	my ($told, $complaints) = ('', '');
	my $pgbench = IPC::Run::start([ 'pgbench', '-n', '-M', 'extended', '-c', 8, '-j', 2, '-T', 600, '-f', $script,
		'-h', $node->host, '-p', $node->port, '-U', 'gxydb_api', 'postgres' ], '<', \undef, '>', \$told, '2>', \$complaints);
	my $before = rooms();
	$node->poll_query_until('postgres', "SELECT count(*) > $before FROM room_server_assignments") or die 'no calls';
	$node->safe_psql('postgres', "SET client_min_messages = warning;\n$block");
	$before = rooms();
	$node->poll_query_until('postgres', "SELECT count(*) > $before + 200 FROM room_server_assignments") or die 'no calls';
	is($node->safe_psql('postgres', q(SELECT count(*) FROM pg_stat_activity WHERE usename = 'gxydb_api')), 8,
		'every client is still at work');
	# Not INT, which a shell's background jobs ignore.
	$pgbench->signal('TERM');
	$pgbench->finish;
	return $complaints;
}

# A room on a server that the statements do not put into the pool would be moved.
$node->safe_psql('postgres', q(INSERT INTO room_server_assignments VALUES ('999', 'gxy20')));
($out, $state, $err) = attempt($node, $there);
is($state, '55000', 'a room on a server outside of the pool ends it');
like($err, qr/rooms are on servers that are not in the pool\nDETAIL:  gxy20/, 'and names the server');
is($node->safe_psql('postgres', $table), $as_made, 'nothing has changed');
$node->safe_psql('postgres', q(DELETE FROM room_server_assignments WHERE room_id = '999'));

is(play_beside_the_service($there), '', 'no call fails meanwhile');
is($node->safe_psql('postgres', q(SELECT room_id, gateway_name, region, assigned_at AT TIME ZONE 'UTC'
	FROM room_server_assignments WHERE room_id IN ('2171', '2172', '2173') ORDER BY 1)),
	"2171|gxy5||2026-01-02 03:04:05\n2172|gxy6|IL|2026-01-02 03:04:05\n2173|gxy7||2026-01-02 03:04:05",
	'the rooms are there, old times read as UTC, regions only where they are some');
is($node->safe_psql('postgres', q(SELECT clean_inactive_assignments())), 0, 'and none is freed before the sessions are attached');
is($node->safe_psql('postgres', q(SELECT to_regclass('old_assignments') IS NULL)), 't', 'the old table is gone');
is($node->safe_psql('postgres', q(SELECT conname FROM pg_constraint WHERE conrelid = 'room_server_assignments'::regclass AND contype = 'p')),
	'room_server_assignments_pkey', 'ON CONFLICT ON CONSTRAINT finds the key by the name it had');
is($node->safe_psql('postgres', q(SELECT get_or_assign_server(2171))), 'gxy5', 'rooms stay where they are');
is($node->safe_psql('postgres', q(SELECT count(*) FROM room_server_assignments WHERE room_id::int <= 500
	AND gateway_name <> 'gxy' || 1 + room_id::int % 12)), 0, 'so do all others');
is($node->safe_psql('postgres', q(SELECT string_agg(pool || ' ' || n, ', ' ORDER BY pool) FROM
	(SELECT pool, count(*) AS n FROM balancer_servers GROUP BY 1) pools)), 'primary 12, standby 2', 'the pool is written');
($out, $state) = attempt($node, 'SET ROLE gxydb_api; DELETE FROM room_server_assignments');
is($state, '42501', 'the old cleanup frees no room');
for my $failover ("gateway_name = 'gxy13', last_used_at = now() WHERE gateway_name = 'gxy5'",
	"gateway_name = 'gxy1', last_used_at = now() WHERE room_id = '2171' AND gateway_name = 'gxy5'")
{
	($out, $state) = attempt($node, "SET ROLE gxydb_api; UPDATE room_server_assignments SET $failover");
	is($state, '42501', "the old failover moves no room: $failover");
}

# The older version's statements, as its role, beside the functions.
$node->safe_psql('postgres', 'TRUNCATE room_server_assignments');
$node->safe_psql('postgres', 'GRANT UPDATE, DELETE, TRUNCATE ON room_server_assignments TO gxydb_api');
sub app
{
	my ($sql) = @_;
	return $node->safe_psql('postgres', "SET ROLE gxydb_api;\n$sql");
}

sub load
{
	return $node->safe_psql('postgres', q(SELECT string_agg(server || ':' || rooms, ' ' ORDER BY server) FROM balancer_load WHERE rooms > 0));
}

my $upsert = q(INSERT INTO room_server_assignments (room_id, gateway_name, region, assigned_at, last_used_at)
	VALUES ('%s', '%s', 'US', now(), now())
	ON CONFLICT (room_id) DO UPDATE SET gateway_name = EXCLUDED.gateway_name, last_used_at = EXCLUDED.last_used_at);
app(sprintf $upsert, '2171', 'gxy5');
app(q(INSERT INTO room_server_assignments VALUES ('2172', 'gxy6', 'IL', '2026-01-02', '2026-01-02')));
app(sprintf $upsert, '2173', 'gxy7');
is($node->safe_psql('postgres', q(SELECT get_or_assign_server(2173))), 'gxy7', 'an INSERT is an assignment');
app(sprintf $upsert, '2173', 'gxy8');
is($node->safe_psql('postgres', q(SELECT get_or_assign_server(2173))), 'gxy8', 'so is an upsert');
is(load(), 'gxy5:1 gxy6:1 gxy8:1', 'the load sees both');
app(q(UPDATE room_server_assignments SET last_used_at = now() WHERE room_id = '2173'));
app(q(UPDATE room_server_assignments SET gateway_name = 'gxy9', assigned_at = now() WHERE gateway_name = 'gxy8'));
is(load(), 'gxy5:1 gxy6:1 gxy9:1', 'and an UPDATE');
app(q(DELETE FROM room_server_assignments WHERE last_used_at < now() - interval '30 days'));
is(load(), 'gxy5:1 gxy9:1', 'and a DELETE: 2171 is in use, 2172 is not');
app(sprintf $upsert, '2174', 'gxy99');
is($node->safe_psql('postgres', q(SELECT get_or_assign_server(2174))), 'gxy99', 'a server outside the pool keeps its room for the delay');
is($node->safe_psql('postgres', q(SET gxy_balancer.failover_delay = 0; SELECT get_or_assign_server(2174))), 'gxy1', 'and no longer');
app('TRUNCATE room_server_assignments');
app(sprintf $upsert, '2175', 'gxy2');
is(load(), 'gxy2:1', 'and a TRUNCATE');

# Going back, which restores the state before the take-over.
app(q(INSERT INTO room_server_assignments
	SELECT i, 'gxy' || 1 + i % 12, NULL, now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC' FROM generate_series(1, 500) i));
app(q(INSERT INTO room_server_assignments VALUES ('2172', 'gxy6', 'IL', '2026-01-02 05:04:05', '2026-01-02 05:04:06')));
is(play_beside_the_service($back), '', 'no call fails on the way back');
is($node->safe_psql('postgres', $table), $as_made, 'the table is as the service made it');
is($node->safe_psql('postgres', q(SELECT * FROM room_server_assignments WHERE room_id = '2172')),
	'2172|gxy6|IL|2026-01-02 03:04:05|2026-01-02 03:04:06', 'with its rooms, times in UTC');
is($node->safe_psql('postgres', q(SELECT count(*) FROM room_server_assignments WHERE room_id::int <= 500
	AND gateway_name = 'gxy' || 1 + room_id::int % 12)), 500, 'each where it was');
is($node->safe_psql('postgres', q(SELECT count(*) FROM pg_extension WHERE extname = 'gxy_balancer')), 0, 'the extension is gone');
$node->safe_psql('postgres', "SET client_min_messages = warning;\n$there");
is($node->safe_psql('postgres', q(SELECT count(*) FROM room_server_assignments WHERE room_id::int <= 500)), 500, 'and there again');

$node->stop;
done_testing();
