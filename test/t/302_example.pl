# examples/gxydb: the files can run repeatedly, in psql and as a migration tool sends them, with
# other names, over an index whose build was interrupted, up and down. The index leaves the renewals
# of a session heap-only.

use strict;
use warnings FATAL => 'all';

use lib 'test/t';
use GxyBalancer;
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
$node->safe_psql('other', q(UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'sessions_live_idx'::regclass));
is(migrate('1_live_sessions_index.up.sql', 'other'), '42P07', 'an interrupted index is not taken for a whole one');
is(migrate('1_live_sessions_index.down.sql', 'other'), '', 'down');
is(migrate('1_live_sessions_index.up.sql', 'other'), '', 'and up');
is(index_definition('other'), $narrow, 'it is valid');
is(migrate('3_balancer_views.down.sql', 'other', %names), '', 'the views, down');
is($node->safe_psql('other', q(SELECT count(*), to_regclass('live_sessions'), to_regclass('assignable_rooms') FROM balancer_sources)),
	'0||', 'nothing of them is left');
is($node->safe_psql('other', q(SELECT has_function_privilege('api', 'get_or_assign_server(text, text, int)', 'EXECUTE'))), 'f',
	'nor of the grants');
is(migrate('3_balancer_views.up.sql', 'other', %names), '', 'and up');
is(migrate('1_live_sessions_index.down.sql', 'other'), '', 'the index, down');
is(index_definition('other'), '', 'it is gone');

$node->stop;
done_testing();
