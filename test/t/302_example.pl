# examples/gxydb: the files can run repeatedly, in psql and as a migration tool sends them, with
# other names, over an index whose build was interrupted, up and down. The index leaves the renewals
# of a session heap-only. The answers about rooms and composites name the server where a room is,
# after a failover too. Sessions count by user or by connection.

use strict;
use warnings FATAL => 'all';

use lib 'test/t', 'test/lib';
use Blocks qw(blocks);
use GxyBalancer;
use JSON::PP;
use List::Util qw(min);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('example');
my $example = 'examples/gxydb';

sub psql_file
{
	my ($file, $dbname) = @_;

	command_ok([ 'psql', '-X', '-q', '-d', $node->connstr($dbname // 'postgres'), '-o', '/dev/null', '-f', $file ], "psql -f $file");
	return;
}

# Sends a whole file in one message and one implicit transaction, as golang-migrate does.
sub migrate
{
	my ($file, $dbname, %names) = @_;
	my $sql = slurp_file("$example/migrations/$file");
	my ($out, $err) = ('', '');

	$sql =~ s/\b$_\b/$names{$_}/g for sort keys %names;
	my $done = IPC::Run::run([ 'psql', '-X', '-q', '-d', $node->connstr($dbname), '-v', 'VERBOSITY=verbose', '-c', $sql ],
		'>', \$out, '2>', \$err);
	my ($state) = $err =~ /ERROR:  ([0-9A-Z]{5}):/;
	return $done ? '' : $state // $err;
}

sub index_definition
{
	my ($dbname) = @_;

	return $node->safe_psql($dbname // 'postgres', q(SELECT indisvalid, pg_get_indexdef(indexrelid) FROM pg_index
		WHERE indexrelid = to_regclass('public.sessions_live_idx')));
}

my $narrow = 't|CREATE INDEX sessions_live_idx ON public.sessions USING btree (room_id) INCLUDE (user_id, gateway_id) WHERE (removed_at IS NULL)';

# In psql: twice, and over an invalid index.
psql_file("$example/schema.sql");
psql_file("$example/schema.sql");
$node->safe_psql('postgres', q(INSERT INTO gateways (name, url) VALUES ('gxy1', 'https://gxy1');
	INSERT INTO users (accounts_id) VALUES ('user');
	INSERT INTO rooms (name, default_gateway_id, gateway_uid) VALUES ('room', 1, '2171');
	INSERT INTO sessions (user_id, room_id, gateway_id, removed_at)
		SELECT 1, '2171', 1, CASE WHEN i % 10 > 0 THEN now() END FROM generate_series(1, 1000) i));
psql_file("$example/views.sql");
is(index_definition(), $narrow, 'the index is the recommended one');
my $oid = $node->safe_psql('postgres', q(SELECT 'sessions_live_idx'::regclass::oid));
psql_file("$example/views.sql");
is($node->safe_psql('postgres', q(SELECT 'sessions_live_idx'::regclass::oid)), $oid, 'a valid index is left alone');
$node->safe_psql('postgres', q(UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'sessions_live_idx'::regclass));
psql_file("$example/views.sql");
is(index_definition(), $narrow, 'one that is not valid is built anew');
is($node->safe_psql('postgres', 'SELECT source, relation_name FROM balancer_sources ORDER BY 1'),
	"rooms|assignable_rooms\nsessions|live_sessions", 'both views are attached');
is($node->safe_psql('postgres', q(SELECT relname, pg_get_userbyid(relowner) FROM pg_class
	WHERE relname IN ('live_sessions', 'assignable_rooms') ORDER BY 1)),
	"assignable_rooms|gxydb_owner\nlive_sessions|gxydb_owner", 'they are not the superuser\'s');

# A renewal of a session adds no index entry.
$node->safe_psql('postgres', 'ALTER TABLE sessions SET (fillfactor = 50); VACUUM FULL sessions');
my $updates = q(SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'sessions');
my ($before) = split /\|/, $node->safe_psql('postgres', $updates);
$node->safe_psql('postgres', 'UPDATE sessions SET updated_at = now(), room_id = room_id WHERE removed_at IS NULL AND room_id IS NOT NULL');
$node->poll_query_until('postgres', "SELECT n_tup_upd > $before FROM pg_stat_user_tables WHERE relname = 'sessions'") or die 'no statistics';
my ($all, $heap_only) = split /\|/, $node->safe_psql('postgres', $updates);
is($heap_only, $all, 'renewals of sessions are heap-only updates');

# As migrations, in another database: other names, an interrupted build, down and up.
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('postgres', 'CREATE ROLE owner; CREATE ROLE api');
psql_file("$example/schema.sql", 'other');
$node->safe_psql('other', 'CREATE EXTENSION gxy_balancer');
my %names = (gxydb_owner => 'owner', gxydb_api => 'api');
is(migrate('1_live_sessions_index.up.sql', 'other'), '', 'the index, as a migration');
$node->safe_psql('other', 'GRANT SELECT ON sessions, gateways, rooms TO owner');
is(migrate('3_balancer_views.up.sql', 'other', %names), '', 'the views, with other names');
is(migrate('3_balancer_views.up.sql', 'other', %names), '', 'and again');
$node->safe_psql('other', q(INSERT INTO gateways (name, url) VALUES ('gxy1', 'https://gxy1');
	INSERT INTO rooms (name, default_gateway_id, gateway_uid) VALUES ('room', 1, '2171')));
is($node->safe_psql('other', 'SET ROLE api; SELECT get_or_assign_server(2171)'), 'gxy1', 'the API may call');
is($node->safe_psql('other', q(BEGIN; INSERT INTO gateways (name, url) VALUES ('gxy7', 'https://gxy7');
	INSERT INTO rooms (name, default_gateway_id, gateway_uid) SELECT 'home', id, '2172' FROM gateways WHERE name = 'gxy7';
	SET gxy_balancer.strategy = home; SELECT get_or_assign_server(2172); ROLLBACK)), 'gxy7',
	'with strategy = home a room goes to its default gateway');
$node->safe_psql('other', q(UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'sessions_live_idx'::regclass));
is(migrate('1_live_sessions_index.up.sql', 'other'), '42P07', 'an interrupted index is not taken for a whole one');
is(migrate('1_live_sessions_index.down.sql', 'other'), '', 'down');
is(migrate('1_live_sessions_index.up.sql', 'other'), '', 'and up');
is(index_definition('other'), $narrow, 'it is valid');
is($node->safe_psql('other', q(SET ROLE api; SELECT server_heartbeat('gxy1'))), 'f', 'and report servers');
$node->safe_psql('other', q(UPDATE room_server_assignments SET last_used_at = now() - interval '80 seconds'));
is(migrate('3_balancer_views.down.sql', 'other', %names), '', 'the views, down');
is($node->safe_psql('other', q(SELECT count(*) FROM room_server_assignments WHERE last_used_at > now() - interval '60 seconds')), 1,
	'every room has a whole lease');
is($node->safe_psql('other', q(SELECT count(*), to_regclass('live_sessions'), to_regclass('assignable_rooms') FROM balancer_sources)),
	'0||', 'nothing of them is left');
is($node->safe_psql('other', q(SELECT has_function_privilege('api', 'get_or_assign_server(text, text, int)', 'EXECUTE'))), 'f',
	'nor of the grants');
is(migrate('3_balancer_views.up.sql', 'other', %names), '', 'and up');
is(migrate('1_live_sessions_index.down.sql', 'other'), '', 'the index, down');
is(index_definition('other'), '', 'it is gone');

is(migrate('4_answers.up.sql', 'other', %names), '', 'the answers, as a migration');
is(migrate('4_answers.up.sql', 'other', %names), '', 'and again');
is(migrate('4_answers.down.sql', 'other', %names), '', 'down');
is($node->safe_psql('other', q(SELECT to_regclass('room_answers'), to_regclass('composite_answers'), to_regclass('room_users'))),
	'||', 'nothing of them is left');

# The sample service. No cleanup: nothing but the calls below changes an assignment.
$node->safe_psql('postgres', q(CREATE DATABASE service; ALTER DATABASE service SET gxy_balancer.load_max_age = 0;
	ALTER DATABASE service SET gxy_balancer.failover_delay = 0;
	ALTER DATABASE service SET gxy_balancer.dead_session_timeout = '1h'));
psql_file("$example/schema.sql", 'service');
psql_file("$example/sample.sql", 'service');
$node->safe_psql('service', 'CREATE EXTENSION gxy_balancer; SELECT init_servers()');
psql_file("$example/views.sql", 'service');

sub service
{
	my ($sql) = @_;

	return $node->safe_psql('service', $sql);
}

sub answer
{
	my ($query) = @_;

	return decode_json(service("SET ROLE gxydb_api; $query"));
}

# The queries that the head of the file gives, by path.
my ($head) = slurp_file("$example/migrations/4_answers.up.sql") =~ m{^(/\*.*?\*/)}s;
my %query = $head =~ m{^ \*     (/\S+) +(SELECT .*?(?:\n \*      +.*?)?)(?: +-- .*)?$}mg;
s/\n \* +/ / for values %query;
is(join(' ', sort keys %query), '/qids /qids/{id} /room/{id} /rooms', 'there is a query for each answer');
my ($rooms, $qids) = @query{ '/rooms', '/qids' };

sub one
{
	my ($path, $id) = @_;

	return answer($query{$path} =~ s/\{id\}/$id/r);
}

is(service('SELECT count(*) FROM (SELECT get_or_assign_server(room_id) FROM (SELECT DISTINCT room_id FROM live_sessions) r) s'),
	360, 'every room in use has a server');

# The shape of the answers.
my $in_use = answer($rooms);
is(scalar @$in_use, 320, '/rooms has the rooms in use, not those whose clients have vanished');
is(join(' ', sort keys %{ $in_use->[0] }), 'description extra janus num_users questions region room users', 'with their keys');
is(join(' ', sort keys %{ $in_use->[0]{users}[0] }),
	'camera display email extra group handle id ip janus name question rfid role room self_test session sound_test system'
	  . ' textroom_handle timestamp username', 'and those of a user');
my @first = map { min(map { $_->{timestamp} } @{ $_->{users} }) } @$in_use;
is_deeply(\@first, [ sort { $a <=> $b } @first ], 'in the order of their first sessions');
cmp_ok($first[0], '<', $first[-1], 'which differ');
my %users = map { split /\|/ } split /\n/, service('SELECT room_id, count(*) FROM live_sessions
	WHERE last_seen_at > now() - interval \'1 h\' GROUP BY 1');
is_deeply({ map { $_->{room} => $_->{num_users} } @$in_use }, \%users, 'num_users counts sessions');
is_deeply({ map { $_->{room} => scalar @{ $_->{users} } } @$in_use }, \%users, 'and they are listed');
my ($listed) = grep { $_->{room} eq '2038' } @$in_use;
is($listed->{num_users}, 228, 'those of two devices of a user, not those that have died');
is_deeply(one('/room/{id}', 2038), $listed, '/room/{id} is one of them');
is(service(q(SELECT count(*) FROM room_answers WHERE room_id IN ('4999', '4905', '1'))), 0, 'no disabled, removed or unknown room');
my $empty = one('/room/{id}', 2002);
is("$empty->{num_users} $empty->{janus}", '0 gxy3', 'a room without users and assignment has its default server');

# A user with two devices is listed twice.
my $pair = service(q(SELECT room_id || ' ' || user_id FROM live_sessions GROUP BY room_id, user_id HAVING count(*) = 2 ORDER BY 1 LIMIT 1));
my ($room, $user) = split / /, $pair;
is(service("SELECT count(*), count(DISTINCT u->>'rfid') FROM room_answers, jsonb_array_elements(answer->'users') u
	WHERE room_id = '$room' AND u->>'id' = (SELECT accounts_id FROM users WHERE id = $user)"), '2|2', 'a user with two devices is listed twice');

# Composites: the server that is stored, until it fails.
my $composites = answer($qids);
is(join(' ', sort keys %$composites), 'q1 q2', '/qids has both composites');
is(join(' ', map { "$_->{queue}:$_->{room}:$_->{janus}" } @{ $composites->{q1}{vquad} }), '1:2038:gxy2 2:2075:gxy3 3:2112:gxy4 4:2149:gxy5',
	'with their rooms in order');
is_deeply(one('/qids/{id}', 'q1'), $composites->{q1}, '/qids/{id} is one of them');
is_deeply($composites->{q1}{vquad}[0], { %$listed, queue => 1, users => answer(q(SELECT answer->'users' FROM room_answers WHERE room_id = '2038')) },
	'each as /rooms has it');
service(q(INSERT INTO balancer_servers (name, position, pool) VALUES ('gxy13', 13, 'standby')));
service(q(SELECT set_server_state('gxy3', 'offline')));
is(service(q(SELECT g.name FROM composites_rooms m JOIN gateways g ON g.id = m.gateway_id WHERE m.room_id = '2075')), 'gxy3',
	'the service stores the dead server');
is(answer($qids)->{q1}{vquad}[1]{janus}, 'gxy13', '/qids names the standby');
is(one('/room/{id}', 2075)->{janus}, 'gxy13', 'so does /room/{id}');
is(scalar(grep { $_->{janus} eq 'gxy3' } @{ answer($rooms) }), 0, 'and no room in /rooms is on the dead server');
is(service(q(SELECT get_or_assign_server('2075'))), 'gxy13', 'which is where a caller is sent');
service(q(DELETE FROM room_server_assignments WHERE room_id = '2297'));
is(answer($qids)->{q2}{vquad}[3]{janus}, 'gxy9', 'a room without an assignment has the stored server');
service(q(UPDATE rooms SET disabled = true WHERE gateway_uid = '2297'));
is(scalar @{ answer($qids)->{q2}{vquad} }, 3, 'a disabled room is left out');

# As doc/sources.md sets it up.
my ($commands) = map { $_->{text} } grep { $_->{language} eq 'sh' } blocks('doc/sources.md');
{
	local @ENV{qw(PGHOST PGPORT PGDATABASE)} = ($node->host, $node->port, 'postgres');
	my ($out, $err) = run_command([ 'bash', '-ec', $commands ]);
	like($out, qr/^ total +\| .* 12\/12 online/m, 'the commands of the documentation show 12 servers');
}

# By user and by connection: what the servers then carry, and what a count reads.
sub counted
{
	my $pages = service(q(EXPLAIN (ANALYZE, BUFFERS) SELECT get_or_assign_server('4001'); DELETE FROM room_server_assignments
		WHERE room_id = '4001'; EXPLAIN (ANALYZE, BUFFERS) SELECT get_or_assign_server('4001')));
	my (@read) = $pages =~ /shared hit=(\d+)/g;

	service(q(DELETE FROM room_server_assignments WHERE room_id = '4001'));
	return (service('SELECT sum(users) FROM balancer_load'), $read[-1]);
}

service('VACUUM ANALYZE sessions');
my ($people, $pages) = counted();
service(q(SELECT attach_sessions('live_connections')));
my ($connections, $more_pages) = counted();
is($people, service('SELECT count(DISTINCT (room_id, user_id)) FROM live_sessions WHERE last_seen_at > now() - interval \'1 h\''),
	'live_sessions counts users');
is($connections, service('SELECT count(*) FROM live_sessions WHERE last_seen_at > now() - interval \'1 h\''),
	'live_connections counts connections');
cmp_ok($connections / $people, '>', 1.03, "which are more: $people users, $connections connections");
cmp_ok($more_pages, '<=', 1.1 * $pages, "a count reads $pages pages for users, $more_pages for connections");

$node->stop;
done_testing();
