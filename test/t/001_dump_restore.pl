# Dump and restore: servers, pins, sources, assignments and learned room sizes are restored once
# each, and the restored database answers as the dumped one did.
#
# Two databases are dumped: one with the default pool, which has no rows, and one with a written
# pool in a schema of its own, whose sources are attached views. Each goes through plain and custom
# dumps, pg_dumpall and pg_upgrade.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use GxyBalancer;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# No process for the worker, which would renew leases in between.
my $source = new_server('source', 'max_worker_processes = 1');
my $dumps = PostgreSQL::Test::Utils::tempdir;

#
# What is dumped
#

$source->safe_psql('postgres', 'CREATE ROLE app; CREATE DATABASE unwritten; CREATE DATABASE written; CREATE DATABASE emptied');
$source->safe_psql('unwritten', q{
	CREATE EXTENSION gxy_balancer;
	SELECT get_or_assign_server(n) FROM generate_series(1, 5) n;
	UPDATE room_server_assignments SET assigned_at = now() - interval '1 day', last_used_at = now() - interval '1 day';
	SELECT touch_room(5, 8);
	SELECT clean_inactive_assignments('1 year');
	INSERT INTO balancer_room_sizes (room_id, size, occasions) VALUES ('77', 64, 3);
});
$source->safe_psql('emptied', q{
	CREATE EXTENSION gxy_balancer;
	SELECT init_servers('a, b');
	TRUNCATE balancer_servers;
});
$source->safe_psql('written', q{
	CREATE SCHEMA "the balancer";
	CREATE EXTENSION gxy_balancer SCHEMA "the balancer";
	SET search_path = "the balancer";
	SELECT init_servers('a, b, c');
	INSERT INTO balancer_servers (name, priority, capacity, regions, pool, state)
		VALUES ('d', 7, 50, ARRAY['IL', 'US'], 'standby', 'draining');
	DELETE FROM balancer_servers WHERE name = 'b';
	INSERT INTO balancer_pins (room_id, server, expected_users) VALUES ('pinned', 'c', 20), ('later', 'a', NULL);

	CREATE SCHEMA app AUTHORIZATION app;
	SET ROLE app;
	CREATE TABLE app.sessions (room text, person int);
	CREATE TABLE app.rooms (name text, size int);
	CREATE VIEW app.live AS SELECT room AS room_id, person AS user_id FROM app.sessions;
	CREATE VIEW app.open AS SELECT name AS room_id, size AS expected_users FROM app.rooms;
	INSERT INTO app.sessions SELECT 'r1', n FROM generate_series(1, 30) n;
	INSERT INTO app.rooms SELECT 'r' || n, n FROM generate_series(1, 9) n UNION ALL SELECT 'pinned', NULL;
	RESET ROLE;
	SELECT attach_sessions('app.live'), attach_rooms('app.open');
	GRANT USAGE ON SCHEMA "the balancer" TO app;
	GRANT EXECUTE ON FUNCTION get_or_assign_server(text, text, int) TO app;

	SELECT get_or_assign_server('pinned'), get_or_assign_server('r1', 'IL'), get_or_assign_server('r2', NULL, 3);
	SELECT get_or_assign_server('r' || n) FROM generate_series(3, 6) n;
	INSERT INTO _moved_on_call (room_id, from_server, to_server) VALUES ('r3', 'a', 'c');
	INSERT INTO _drained_servers (server) VALUES ('d');
});

my %path = (unwritten => 'public', written => '"the balancer"', emptied => 'public');
my %new_room = (unwritten => '77', written => 'r9');

# Whether the database was restored with the default pool or with a written one.
sub kind_of
{
	my ($dbname) = @_;

	return $dbname =~ /(unwritten|emptied)/ ? $1 : 'written';
}

# Every row of the tables, in full.
sub tables
{
	my ($node, $dbname) = @_;

	return join "\n", map {
		$node->safe_psql($dbname, "SET search_path = $path{kind_of($dbname)}; "
			. "SELECT '$_', t::text FROM $_ t ORDER BY t::text COLLATE \"C\"")
	} qw(room_server_assignments balancer_servers balancer_pins balancer_sources balancer_room_sizes _moved_on_call _drained_servers);
}

# The answers to callers. The room that has no assignment yet comes last.
sub answers
{
	my ($node, $dbname) = @_;
	my $kind = kind_of($dbname);

	return scalar attempt($node, 'SELECT get_or_assign_server(n) FROM generate_series(1, 2) n', dbname => $dbname)
	  if $kind eq 'emptied';
	return $node->safe_psql($dbname, qq{
		SET search_path = $path{$kind};
		BEGIN;
		SELECT r.room_id, get_or_assign_server(r.room_id) FROM room_server_assignments r ORDER BY 1;
		SELECT get_or_assign_server('$new_room{$kind}');
		ROLLBACK;
	});
}

my %tables = map { $_ => tables($source, $_) } keys %path;
my %answers = map { $_ => answers($source, $_) } keys %path;

is($source->safe_psql('unwritten', 'SELECT count(*) FROM balancer_servers'), '0',
	'assigning rooms does not write the default pool');
is($source->safe_psql('unwritten', 'SELECT count(*) FROM _pool_written'), '0', 'nor does it note that it was written');
unlike($answers{written}, qr/\|b$/m, 'a server that was deleted is not answered before the dump');
is($answers{emptied}, '53000', 'an emptied pool answers no new room before the dump');

# The assertions that hold for every way to restore.
sub is_restored
{
	my ($node, $dbname, $how) = @_;
	my $kind = kind_of($dbname);

	is(tables($node, $dbname), $tables{$kind}, "$how: every row comes back, once ($kind pool)");
	is(answers($node, $dbname), $answers{$kind}, "$how: the answers are the same ($kind pool)");
	return if $kind eq 'emptied';
	if ($kind eq 'unwritten')
	{
		is($node->safe_psql($dbname, 'SELECT DISTINCT n, expected_from FROM unnest(ARRAY[5, 77]) n, explain_assignment(n) ORDER BY 1'),
			"5|learned from 1 occasion\n77|learned from 3 occasions", "$how: what was learned is known");
		is($node->safe_psql($dbname, 'BEGIN; SELECT init_servers(); SELECT count(*) FROM balancer_servers; ROLLBACK'),
			"12\n12", "$how: the default pool can still be written, once");
		return;
	}
	is(scalar attempt($node, "SELECT $path{written}.get_or_assign_server('r10')", dbname => $dbname), 'P0002',
		"$how: the attached rooms are attached");
	is($node->safe_psql($dbname, "SELECT users FROM $path{written}.balancer_rooms WHERE room_id = 'r1'"), '30',
		"$how: the attached sessions are attached");
	like($node->safe_psql($dbname, qq{SET ROLE app; SELECT "the balancer".get_or_assign_server('r1')}), qr/./,
		"$how: the application may call what it was granted");
	is(scalar attempt($node, qq{SET ROLE app; SELECT "the balancer".release_room('r1')}, dbname => $dbname), '42501',
		"$how: and no more");
	is( $node->safe_psql($dbname, q{
			SET search_path = "the balancer";
			SELECT server_state('a');
			UPDATE balancer_servers SET state = 'offline' WHERE name = 'a';
			SELECT server_state('a');
			UPDATE balancer_servers SET state = 'online' WHERE name = 'a';
		}),
		"online\noffline", "$how: edits of the pool are noticed");
}

#
# pg_dump
#

for my $kind (sort keys %path)
{
	$source->command_ok([ 'pg_dump', '-d', $source->connstr($kind), '-f', "$dumps/$kind.sql" ], "plain dump ($kind pool)");
	$source->command_ok([ 'pg_dump', '-Fc', '-d', $source->connstr($kind), '-f', "$dumps/$kind.dump" ],
		"custom dump ($kind pool)");
	$source->safe_psql('postgres', "CREATE DATABASE plain_$kind TEMPLATE template0");
	$source->command_ok(
		[ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $source->connstr("plain_$kind"), '-f', "$dumps/$kind.sql" ],
		"plain restore has no errors ($kind pool)");
	is_restored($source, "plain_$kind", 'plain');
	$source->safe_psql('postgres', "CREATE DATABASE custom_$kind TEMPLATE template0");
	$source->command_ok(
		[ 'pg_restore', '--exit-on-error', '-j2', '-d', $source->connstr("custom_$kind"), "$dumps/$kind.dump" ],
		"parallel restore has no errors ($kind pool)");
	is_restored($source, "custom_$kind", 'custom');
	$source->safe_psql('postgres', "DROP DATABASE $_") for "plain_$kind", "custom_$kind";
}

# Into a database that has the extension already.
$source->command_ok(
	[ 'pg_dump', '--data-only', '-d', $source->connstr('unwritten'), '-f', "$dumps/data.sql" ], 'dump of the data only');
$source->safe_psql('postgres', 'CREATE DATABASE data_unwritten TEMPLATE template0');
$source->safe_psql('data_unwritten', 'CREATE EXTENSION gxy_balancer');
$source->command_ok(
	[ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $source->connstr('data_unwritten'), '-f', "$dumps/data.sql" ],
	'restore of the data only has no errors');
is_restored($source, 'data_unwritten', 'data only');
$source->safe_psql('postgres', 'DROP DATABASE data_unwritten');

#
# pg_dumpall
#

$source->command_ok([ 'pg_dumpall', '-d', $source->connstr('postgres'), '-f', "$dumps/all.sql" ], 'dump of the cluster');

my $copy = PostgreSQL::Test::Cluster->new('copy');
my $complaints;

$copy->init;
$copy->append_conf('postgresql.conf', 'max_worker_processes = 1');
$copy->start;
IPC::Run::run [ 'psql', '-Xq', '-d', $copy->connstr('postgres'), '-f', "$dumps/all.sql" ],
  '>', \my $ignored, '2>', \$complaints;
$complaints = join "\n", grep { /ERROR/ && !/role ".*" already exists/ } split /\n/, $complaints;
is($complaints, '', 'restore of the cluster has no errors');
is_restored($copy, $_, 'pg_dumpall') for sort keys %path;
$copy->stop;

#
# pg_upgrade
#

my $upgraded = PostgreSQL::Test::Cluster->new('upgraded');
my $bindir = $source->config_data('--bindir');

$upgraded->init;
$upgraded->append_conf('postgresql.conf', 'max_worker_processes = 1');
$source->stop;
chdir $dumps or die $!;
command_ok(
	[
		'pg_upgrade', '--no-sync', '--link', '-d', $source->data_dir, '-D', $upgraded->data_dir,
		'-b', $bindir, '-B', $bindir, '-s', $upgraded->host, '-p', $source->port, '-P', $upgraded->port
	],
	'pg_upgrade');
$upgraded->start;
is_restored($upgraded, $_, 'pg_upgrade') for sort keys %path;
$upgraded->stop;

done_testing();
