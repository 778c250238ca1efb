# The Grafana dashboard on PostgreSQL: each of its queries runs as a role that has pg_monitor only, in any schema
# of the extension, and shows the state of the sample.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use GxyBalancer;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $dashboard = decode_json(slurp_file("$FindBin::Bin/../../examples/monitoring/dashboard-postgresql.json"));
my $node = PostgreSQL::Test::Cluster->new('main');

$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'gxy_balancer'\ngxy_balancer.cleanup_interval = '1d'\n");
$node->start;
$node->safe_psql('postgres', q{
	CREATE SCHEMA "Media";
	CREATE EXTENSION gxy_balancer SCHEMA "Media";
	SET search_path = "Media";
	SELECT init_servers('gxy1,gxy2,gxy3');
	SELECT get_or_assign_server(i, NULL, 25) FROM generate_series(1, 8) i;
	SELECT server_heartbeat('gxy1', load => 0.42);
	SELECT set_server_state('gxy3', 'draining');
	SELECT set_server_state('gxy2', 'offline');
	CREATE ROLE grafana LOGIN;
	GRANT pg_monitor TO grafana;
	GRANT USAGE ON SCHEMA "Media" TO grafana;
});

my %shown;

for my $panel (@{ $dashboard->{panels} })
{
	for my $target (@{ $panel->{targets} })
	{
		my $sql = $target->{rawSql} =~ s/\$\{schema\}/"Media"/gr;

		$shown{ $panel->{title} } = attempt($node, $sql, extra_params => [ '-U', 'grafana' ]);
		unlike($shown{ $panel->{title} }, qr/^(?:[0-9A-Z]{5}|no SQLSTATE)$/, "$panel->{title}: $sql");
	}
	is($panel->{datasource}{uid}, '${datasource}', "$panel->{title} asks the database that is picked");
}
is($shown{Rooms}, '8', 'rooms are counted');
is($shown{'Servers not online'}, '2', 'and servers that are not online');
like($shown{'Load by server'}, qr/^gxy1\|\d+\.\d$/m, 'the bars are in percent');
like($shown{Servers}, qr/^gxy3\|draining\|/m, 'the table has the states in force');
like($shown{Servers}, qr/^gxy1\|online\|.*\|42(?:\.0)?\|/m, 'and what servers measure');
my ($tiers) = grep { $_->{title} eq 'Assignments by tier' } @{ $dashboard->{panels} };
like($tiers->{targets}[0]{rawSql}, qr/ AS "0 [^"]*\bpin or home".* AS "4 [^"]*\brecovering"/, 'the tiers are named in full');
like($shown{Failovers}, qr/\|gxy2\|/, 'failovers are listed');
like($shown{Worker}, qr/^(?:idle|running)$/, 'the worker says how it is');
is(scalar(split /\n/, $shown{'Largest rooms'}), 8, 'and every room is there');

# The console in psql: the rows of servers with names of this length fit on a terminal.
$node->psql('postgres', q(SET search_path = "Media"; SELECT * FROM balancer_load WHERE server <> 'gxy2'), stdout => \my $console,
	extra_params => [ '-P', 'format=aligned', '-P', 'tuples_only=off' ]);
my ($header, $line, @rows) = split /\n/, $console;
like($header, qr/^ server \|.* percent .*\| *bar *\|/, 'psql shows the console');
my ($longest) = sort { $b <=> $a } map { length } @rows;
cmp_ok($longest, '>', 80, 'a row has all its columns');
cmp_ok($longest, '<=', 132, 'and fits into 132');

$node->stop;
done_testing();
