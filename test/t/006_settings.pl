# Settings: where they may come from, when they reach whom, and who may not set them.
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
is($node->safe_psql('other', 'SELECT string_agg(server, $$ $$) FROM balancer_load'), 'mars venus',
	'ALTER DATABASE ... SET is honoured in that database');
is($node->safe_psql('other', 'SELECT get_or_assign_server(1), get_or_assign_server(2)'), 'mars|venus',
	'from the first call of a session on');
is($node->safe_psql('postgres', 'SELECT count(*) FROM balancer_load'), '12', 'and in no other');
$node->safe_psql('postgres', "ALTER ROLE plain IN DATABASE postgres SET gxy_balancer.default_servers = 'moon'");
is($node->safe_psql('postgres', "SELECT get_or_assign_server('of plain')", extra_params => [ '-U', 'plain' ]),
	'moon', 'ALTER ROLE ... SET, by a superuser, is honoured for that role');
is($node->safe_psql('postgres', "SET gxy_balancer.default_servers = 'sun'; SELECT get_or_assign_server('of superuser')"),
	'sun', 'SET before the library is loaded is honoured when it is');
is($node->safe_psql('postgres', "SELECT server_state('gxy1'); SET gxy_balancer.default_servers = 'sun'; SELECT server FROM balancer_load"),
	"online\nsun", 'SET after it is honoured at the next call');
is( $node->safe_psql('postgres', q{
		SELECT server_state('gxy1');
		BEGIN; SET LOCAL gxy_balancer.default_servers = 'sun'; SELECT server FROM balancer_load; ROLLBACK;
		SELECT count(*) FROM balancer_load;
	}),
	"online\nsun\n12", 'SET LOCAL ends with its transaction');
is($node->safe_psql('other', "SELECT setting FROM pg_settings WHERE name = 'gxy_balancer.assign_timeout'"), '',
	'a session that has not called has not loaded the library');

#
# Values
#

for my $bad ("assign_timeout = 'soon'", "assign_timeout = '0'", "strategy = 'random'", "default_servers = 'a,,b'",
	"default_servers = 'a,a'", "default_capacity = '0'", "avg_room_occupancy = '-1'")
{
	my ($name) = $bad =~ /^(\w+)/;
	my $default = $node->safe_psql('postgres', "SELECT server_state('gxy1'); SHOW gxy_balancer.$name") =~ s/^online\n//r;

	is((attempt($node, "SELECT server_state('gxy1'); SET gxy_balancer.$bad"))[1], '22023', "SET $bad is 22023");

	my ($out, $state, $error) = attempt($node, "SET gxy_balancer.$bad; SELECT get_or_assign_server('any'); SHOW gxy_balancer.$name");

	is("$state$out" =~ s/^.*\n//r, $default, "SET $bad before the library is loaded: the default stays");
	like($error, qr/WARNING:  22023:/, "SET $bad before the library is loaded: a warning says so");
}
is((attempt($node, "SELECT server_state('gxy1'); SET gxy_balancer.nonsense = 1"))[1], '42602',
	'a setting that does not exist is refused');
is( $node->safe_psql('postgres', q{
		SELECT server_state('gxy1');
		SET gxy_balancer.assign_timeout = '2min';
		SHOW gxy_balancer.assign_timeout;
		SET gxy_balancer.assignment_grace = 1500;
		SHOW gxy_balancer.assignment_grace;
	}),
	"online\n2min\n1500ms", 'times have units');

#
# Those who may not
#

for my $name ($node->safe_psql('postgres', q{
		SELECT server_state('gxy1');
		SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM pg_settings WHERE name LIKE 'gxy_balancer.%'
	}) =~ /gxy_balancer\.(\w+)=/g)
{
	my ($out, $state) = attempt($node, "SELECT get_or_assign_server('any'); SET gxy_balancer.$name TO DEFAULT",
		extra_params => [ '-U', 'plain' ]);

	like($state, qr/^(?:42501|55P02)$/, "an ordinary role may not set $name");
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

is($session->query('SELECT count(*) FROM balancer_load'), '12', 'a session knows the pool');
$node->append_conf('postgresql.conf', "gxy_balancer.default_servers = 'reloaded'");
$node->reload;
$node->poll_query_until('postgres', q{SELECT current_setting('gxy_balancer.default_servers', true) = 'reloaded'}) or die;
is($session->query('SELECT server FROM balancer_load'), 'reloaded', 'a reload reaches sessions that have loaded the library');
$node->append_conf('postgresql.conf', "gxy_balancer.default_servers = 'bad,,'");
$node->reload;
$node->poll_query_until('postgres', q{SELECT current_setting('gxy_balancer.default_servers', true) = 'bad,,'}) or die;
is($session->query('SELECT server FROM balancer_load'), 'reloaded', 'a bad value in the file keeps the old one');
$session->quit;

done_testing();
