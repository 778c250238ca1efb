# Settings: where they may be set, when a change reaches which sessions, and which roles may not set
# them.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use GxyBalancer;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main');

# Makes the library load, as any first call does.
my $load = "SELECT server_state(split_part(current_setting('gxy_balancer.default_servers', true), ',', 1))";

$node->safe_psql('postgres', q{
	CREATE ROLE plain LOGIN;
	CREATE ROLE owner LOGIN;
	CREATE DATABASE other OWNER owner;
	GRANT EXECUTE ON FUNCTION get_or_assign_server(text, text, int), get_or_assign_server(bigint, text, int) TO plain;
});
$node->safe_psql('other', 'CREATE EXTENSION gxy_balancer');

#
# Per database, role and session
#

$node->safe_psql('postgres', "ALTER DATABASE other SET gxy_balancer.default_servers = 'mars,venus'");
is($node->safe_psql('other', 'SELECT string_agg(server, $$ $$) FROM balancer_load WHERE pool IS NOT NULL'), 'mars venus',
	'ALTER DATABASE ... SET is honoured in that database');
is($node->safe_psql('other', 'SELECT get_or_assign_server(1), get_or_assign_server(2)'), 'mars|venus',
	'from the first call of a session on');
is($node->safe_psql('postgres', 'SELECT count(*) FROM balancer_load WHERE pool IS NOT NULL'), '12', 'and in no other');
$node->safe_psql('postgres', "ALTER ROLE plain IN DATABASE postgres SET gxy_balancer.default_servers = 'moon'");
is($node->safe_psql('postgres', "SELECT get_or_assign_server('of plain')", extra_params => [ '-U', 'plain' ]),
	'moon', 'ALTER ROLE ... SET, by a superuser, is honoured for that role');
is($node->safe_psql('postgres', "SET gxy_balancer.default_servers = 'sun'; SELECT get_or_assign_server('of superuser')"),
	'sun', 'SET before the library is loaded is honoured when it is');
is($node->safe_psql('postgres', "SELECT server_state('gxy1'); SET gxy_balancer.default_servers = 'sun'; SELECT server FROM balancer_load WHERE pool IS NOT NULL"),
	"online\nsun", 'SET after it is honoured at the next call');
is( $node->safe_psql('postgres', q{
		SELECT server_state('gxy1');
		BEGIN; SET LOCAL gxy_balancer.default_servers = 'sun'; SELECT server FROM balancer_load WHERE pool IS NOT NULL; ROLLBACK;
		SELECT count(*) FROM balancer_load WHERE pool IS NOT NULL;
	}),
	"online\nsun\n12", 'SET LOCAL ends with its transaction');
is($node->safe_psql('other', "SELECT setting FROM pg_settings WHERE name = 'gxy_balancer.assign_timeout'"), '',
	'a session that has not called has not loaded the library');

#
# Values: every setting, with its unit, default, bounds or values, and another value for a database
#

my $servers = join ',', map { "gxy$_" } 1 .. 12;
my $no_bound = 2147483647;
my @settings = (
	# name, unit, default, minimum or list of values, maximum, value that a database sets
	[ 'assign_timeout', 'ms', 5000, 1, $no_bound, 1234 ],
	[ 'assignment_grace', 'ms', 90000, 0, $no_bound, 1234 ],
	[ 'avg_room_occupancy', '', 10, 1, 1000000, 1234 ],
	[ 'cleanup_interval', 'ms', 60000, 100, 86400000, undef ],
	[ 'dead_session_timeout', 'ms', 90000, 0, $no_bound, 1234 ],
	[ 'default_capacity', '', 400, 1, 1000000000, 1234 ],
	[ 'default_servers', '', $servers, undef, undef, 'mars,venus' ],
	[ 'failover_delay', 'ms', 5000, 0, $no_bound, 1234 ],
	[ 'failover_on_call', '', 'off', undef, undef, 'on' ],
	[ 'heartbeat_timeout', 'ms', 0, 0, $no_bound, 1234 ],
	[ 'join_window', 'ms', 600000, 0, $no_bound, 1234 ],
	[ 'load_max_age', 'ms', 1000, 0, $no_bound, 1234 ],
	[ 'load_metric', '', 'users', 'rooms,users', undef, 'rooms' ],
	[ 'max_learned_rooms', '', 100000, 0, 1000000, 1234 ],
	[ 'max_shared_memory', 'kB', 65536, 256, $no_bound, undef ],
	[ 'overflow', '', 'overcommit', 'error,overcommit', undef, 'error' ],
	[ 'recovery_delay', 'ms', 10000, 0, $no_bound, 1234 ],
	[ 'strategy', '', 'least_loaded', 'home,least_loaded,sequential', undef, 'sequential' ],
	[ 'touch_interval', 'ms', 10000, 0, $no_bound, 1234 ],
);

# Returns the output of a session that has loaded the library.
sub after_load
{
	my ($sql, %more) = @_;

	return $node->safe_psql($more{dbname} // 'postgres', "SET client_min_messages = error; $load; $sql") =~ s/^online\n//r;
}

$node->safe_psql('postgres', 'CREATE DATABASE set_apart');
$node->safe_psql('set_apart', 'CREATE EXTENSION gxy_balancer');
is( after_load(q{
		SELECT split_part(name, '.', 2), unit, boot_val,
			coalesce((SELECT string_agg(v, ',' ORDER BY v) FROM unnest(enumvals) v), min_val),
			max_val, context
		FROM pg_settings WHERE name LIKE 'gxy\_balancer.%' AND name <> 'gxy_balancer.debug_delay' ORDER BY name COLLATE "C"
	}),
	join("\n", map { my @row = @$_; join '|', map { $_ // '' } @row[0 .. 4], defined $row[5] ? 'superuser' : 'sighup' } @settings),
	'names, units, defaults, bounds, and who sets them');

my $runner = slurp_file('test/run');

for (@settings)
{
	my ($name, $unit, $default, $least, $greatest, $other) = @$_;

	like($runner, qr/gxy_balancer\.$name = /, "the tests of sql/ are run on a server with another $name") if defined $other;
	if (!defined $other)
	{
		is((attempt($node, "$load; SET gxy_balancer.$name TO DEFAULT"))[1], '55P02', "$name is for the configuration file");
		next;
	}
	$node->safe_psql('postgres', "ALTER DATABASE set_apart SET gxy_balancer.$name = '$other'");
	is(after_load("SELECT setting FROM pg_settings WHERE name = 'gxy_balancer.$name'", dbname => 'set_apart'), $other,
		"$name is set for a database");
	is(after_load("SELECT setting FROM pg_settings WHERE name = 'gxy_balancer.$name'"), $default, "$name is unchanged in another");
	next if !defined $greatest;
	for my $bound ($least, $greatest)
	{
		is(after_load("SET gxy_balancer.$name = $bound; SELECT setting FROM pg_settings WHERE name = 'gxy_balancer.$name'"),
			$bound, "$name may be $bound");
	}
	for my $beyond ($least - 1, $greatest + 1)
	{
		is((attempt($node, "$load; SET gxy_balancer.$name = $beyond"))[1], '22023', "$name may not be $beyond");
	}
	next if $unit eq '';
	is(after_load("SET gxy_balancer.$name = '2min'; SELECT setting FROM pg_settings WHERE name = 'gxy_balancer.$name'"),
		120000, "$name takes other units");
}

# A bad value, before the library is loaded and after.
for my $bad ("assign_timeout = 'soon'", "strategy = 'random'", "load_metric = 'people'", "overflow = 'maybe'", "default_servers = 'a,,b'",
	"default_servers = 'a,a'", "default_capacity = '0'", "avg_room_occupancy = '-1'")
{
	my ($name) = $bad =~ /^(\w+)/;
	my $default = after_load("SHOW gxy_balancer.$name");

	is((attempt($node, "$load; SET gxy_balancer.$bad"))[1], '22023', "SET $bad is 22023");

	my ($out, $state, $error) = attempt($node, "SET gxy_balancer.$bad; SELECT get_or_assign_server('any'); SHOW gxy_balancer.$name");

	is("$state$out" =~ s/^.*\n//r, $default, "SET $bad before the library is loaded: the default stays");
	like($error, qr/WARNING:  22023:/, "SET $bad before the library is loaded: a warning says so");
}
is((attempt($node, "$load; SET gxy_balancer.nonsense = 1"))[1], '42602', 'a setting that does not exist is refused');

#
# Those who may not
#

for (@settings)
{
	my ($name, $for_file) = ($_->[0], !defined $_->[5]);
	my (undef, $state) = attempt($node, "SELECT get_or_assign_server('any'); SET gxy_balancer.$name TO DEFAULT",
		extra_params => [ '-U', 'plain' ]);

	is($state, $for_file ? '55P02' : '42501', "an ordinary role may not set $name");
}
my ($out, $state, $error) = attempt($node, "SET gxy_balancer.default_servers = 'mine'; SELECT get_or_assign_server('mine')",
	extra_params => [ '-U', 'plain' ]);
is($out, 'moon', 'an ordinary role that sets it before the library is loaded gets what it would get anyway');
like($error, qr/WARNING:.*permission denied to set parameter "gxy_balancer.default_servers"/m, 'and a warning');
is((attempt($node, "ALTER DATABASE other SET gxy_balancer.strategy = 'sequential'", dbname => 'other',
			extra_params => [ '-U', 'owner' ]))[1],
	'42501', 'nor may the owner of a database set it for the database');
is((attempt($node, "ALTER ROLE plain SET gxy_balancer.strategy = 'sequential'", extra_params => [ '-U', 'plain' ]))[1],
	'42501', 'nor a role for itself');
$node->safe_psql('postgres', 'GRANT SET ON PARAMETER gxy_balancer.default_servers TO plain');
is(scalar attempt($node, "SET gxy_balancer.default_servers = 'granted'; SELECT get_or_assign_server('granted')",
		extra_params => [ '-U', 'plain' ]),
	'granted', 'who was granted SET ON PARAMETER may');

#
# Reload
#

my $session = session($node);

is($session->query('SELECT count(*) FROM balancer_load WHERE pool IS NOT NULL'), '12', 'a session knows the pool');
$node->append_conf('postgresql.conf', "gxy_balancer.default_servers = 'reloaded'");
$node->reload;
wait_until($node, 'postgres', q{SELECT current_setting('gxy_balancer.default_servers', true) = 'reloaded'});
is($session->query('SELECT server FROM balancer_load WHERE pool IS NOT NULL'), 'reloaded', 'a reload reaches sessions that have loaded the library');
$node->append_conf('postgresql.conf', "gxy_balancer.default_servers = 'bad,,'");
$node->reload;
wait_until($node, 'postgres', q{SELECT current_setting('gxy_balancer.default_servers', true) = 'bad,,'});
is($session->query('SELECT server FROM balancer_load WHERE pool IS NOT NULL'), 'reloaded', 'a bad value in the file keeps the old one');
$session->quit;

done_testing();
