# 018_versions.pl: the versions of the SQL objects.
#
# A database that was made by a released version and brought to the newest has the same objects, with
# the same definitions, rights and comments, as one that was made by the newest. A library that does
# not know the version of a database's SQL objects says so, and what to do.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;

use GxyBalancer;
use Test::More;

my $node = new_server('versions');
my $newest = $node->safe_psql('postgres', q(SELECT default_version FROM pg_available_extensions WHERE name = 'gxy_balancer'));

# Every object of the extension, one line each: what it is, its definition, rights and comment.
my $objects = q(
	WITH member AS (
		SELECT classid, objid FROM pg_depend
		WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
			AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'gxy_balancer'))
	SELECT string_agg(line, E'\n' ORDER BY line COLLATE "C") FROM (
		SELECT pg_describe_object(classid, objid, 0) || ' | ' || coalesce(obj_description(objid, classid::regclass::name), '')
			|| ' | ' || CASE classid::regclass::text
				WHEN 'pg_proc' THEN (SELECT CASE prokind WHEN 'a' THEN '' ELSE pg_get_functiondef(oid) END || proacl::text FROM pg_proc WHERE oid = objid)
				WHEN 'pg_class' THEN (SELECT format('%s %s %s %s %s', relkind, relacl, reloptions,
					CASE relkind WHEN 'v' THEN pg_get_viewdef(oid) END,
					oid = ANY ((SELECT extconfig FROM pg_extension WHERE extname = 'gxy_balancer')::oid[])) FROM pg_class WHERE oid = objid)
				ELSE '' END AS line FROM member
		UNION ALL
		SELECT format('%s.%s %s %s %s %s %s', objid::regclass, attname, attnum, format_type(atttypid, atttypmod), attnotnull,
			pg_get_expr(adbin, adrelid), col_description(objid, attnum))
		FROM member JOIN pg_attribute ON attrelid = objid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
		WHERE classid = 'pg_class'::regclass AND attnum > 0 AND NOT attisdropped
		UNION ALL SELECT pg_get_constraintdef(c.oid) || ' ' || conname FROM member JOIN pg_constraint c ON conrelid = objid
		UNION ALL SELECT pg_get_indexdef(indexrelid) FROM member JOIN pg_index ON indrelid = objid
		UNION ALL SELECT pg_get_triggerdef(t.oid) || ' ' || tgenabled::text FROM member JOIN pg_trigger t ON tgrelid = objid WHERE NOT tgisinternal
		UNION ALL SELECT pg_get_ruledef(r.oid) FROM member JOIN pg_rewrite r ON ev_class = objid) AS lines);

my $expected = $node->safe_psql('postgres', $objects);
my @lines = split /\n/, $expected;

cmp_ok(scalar(grep { /^function get_or_assign_server\(/ } @lines), '==', 2, 'the comparison sees the functions');
cmp_ok(scalar(grep { /^room_server_assignments\.room_id 1 text t/ } @lines), '==', 1, 'and the columns of the tables');

$node->safe_psql('postgres', 'REVOKE SELECT ON balancer_load FROM pg_monitor');
isnt($node->safe_psql('postgres', $objects), $expected, 'and a right that is missing');
$node->safe_psql('postgres', 'GRANT SELECT ON balancer_load TO pg_monitor');
is($node->safe_psql('postgres', $objects), $expected, 'and that it is there again');

# From each version that can be installed, by the update scripts, with a pool, rooms and a pin.
my @versions = split /\n/, $node->safe_psql('postgres', q(SELECT version FROM pg_available_extension_versions WHERE name = 'gxy_balancer' ORDER BY version));

ok(scalar(grep { $_ eq '1.0' } @versions), 'version 1.0 can be installed');
ok(scalar(grep { $_ eq $newest } @versions), "and the newest, $newest");
for my $version (@versions)
{
	my $database = "from_$version";

	$node->safe_psql('postgres', qq(CREATE DATABASE "$database"));
	$node->safe_psql($database, qq(CREATE EXTENSION gxy_balancer VERSION '$version'));
	$node->safe_psql($database, q(INSERT INTO room_server_assignments (room_id, gateway_name, assigned_at, last_used_at)
		SELECT g, 'gxy' || g, now(), now() FROM generate_series(1, 9) g));

	# A session that is connected before the update and after it.
	my $session = session($node, $database);
	my $first = $session->query('SELECT get_or_assign_server(1)');

	if ($version eq $newest || $first ne '')
	{
		is($first, 'gxy1', "$version: the newest library works with it");
		$node->safe_psql($database, q(SELECT init_servers(); SELECT pin_room(2, 'gxy2'); SELECT pin_room(3, 'gxy5'); SELECT set_server_state('gxy4', 'offline')));
	}
	else
	{
		like($session->{stderr}, qr/ALTER EXTENSION gxy_balancer UPDATE/, "$version: the newest library says what to do");
	}
	my @contents = map {
		my $columns = $node->safe_psql($database, qq(SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
			WHERE attrelid = '$_'::regclass AND attnum > 0 AND NOT attisdropped));
		"SELECT $columns FROM $_ ORDER BY 1";
	} qw(room_server_assignments balancer_servers balancer_pins balancer_failovers);
	my @before = map { $node->safe_psql($database, $_) } @contents;

	$node->safe_psql($database, 'ALTER EXTENSION gxy_balancer UPDATE');
	is($node->safe_psql($database, q(SELECT extversion FROM pg_extension WHERE extname = 'gxy_balancer')), $newest, "$version: updated to $newest");
	is($node->safe_psql($database, $objects), $expected, "$version: the objects are those of a new database");
	is_deeply([ map { $node->safe_psql($database, $_) } @contents ], \@before, "$version: the rows are as they were");
	like($session->query('SELECT get_or_assign_server(1)'), qr/^gxy1$/, "$version: and a session that was connected finds its room");
	$session->quit;
}

# The library and the SQL objects do not know each other.
my $server = $node->safe_psql('postgres', 'SELECT get_or_assign_server(1)');

for my $case ([ '1000.0', qr/HINT:  Install the package of version 1000\.0/ ], [ '0.9', qr/HINT:  Run ALTER EXTENSION gxy_balancer UPDATE/ ],
	[ "$newest.1", qr/HINT:  Install the package/ ], [ 'none', qr/HINT:  / ])
{
	my ($version, $hint) = @$case;

	$node->safe_psql('postgres', "UPDATE pg_extension SET extversion = '$version' WHERE extname = 'gxy_balancer'");
	for my $call ('SELECT get_or_assign_server(1)', 'SELECT touch_room(1)', 'SELECT clean_inactive_assignments()', q(SELECT set_server_state('gxy1', 'draining')),
		'SELECT * FROM balancer_load')
	{
		my ($out, $state, $error) = attempt($node, $call);

		is($state, '55000', "$version: $call is refused");
		like($error, qr/extension gxy_balancer is of version \Q$version\E in this database, its library of \Q$newest\E/, 'with both versions');
		like($error, $hint, 'and what to do');
	}
}
$node->safe_psql('postgres', "UPDATE pg_extension SET extversion = '$newest' WHERE extname = 'gxy_balancer'");
is($node->safe_psql('postgres', 'SELECT get_or_assign_server(1)'), $server, 'once they do, the room is where it was');
is($node->safe_psql('postgres', q(SELECT server_state('gxy1'))), 'online', 'and nothing was changed');
$node->stop;
done_testing();
