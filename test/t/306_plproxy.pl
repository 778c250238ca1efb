# examples/plproxy/proxy.sql is what its generator makes of the catalog, and the generator refuses what it has no rule for.
# What the SQL does is tested by test/cluster/shards_test, which needs PL/Proxy.

use strict;
use warnings FATAL => 'all';

use Test::More;

use lib 'test/t';
use GxyBalancer;

my $node = new_server('main');

$ENV{PGHOST} = $node->host;
$ENV{PGPORT} = $node->port;

my $generated = `examples/plproxy/generate postgres 2>&1`;
open my $in, '<', 'examples/plproxy/proxy.sql' or die "examples/plproxy/proxy.sql: $!";
my $committed = do { local $/; <$in> };
my @generated = split /\n/, $generated;
my @committed = split /\n/, $committed;

ok(@generated > 500, 'the generator writes it');
is_deeply(\@generated, \@committed, 'examples/plproxy/proxy.sql is what the generator writes: make reference');

# For an extension in another schema.
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', 'CREATE SCHEMA "odd one"; CREATE EXTENSION gxy_balancer SCHEMA "odd one"');
$generated = `examples/plproxy/generate other 2>&1`;
unlike($generated, qr/\bpublic\.|\@schema\@/, 'in another schema nothing is in public');
is($generated =~ s/"odd one"\./public./gr, join("\n", @committed) . "\n", 'otherwise it is the same');

# Another one of the extension's: new_one is refused, a function of a room and a view are not.
$node->safe_psql('postgres', q{
	CREATE FUNCTION new_one(server text) RETURNS int LANGUAGE sql RETURN 1;
	ALTER EXTENSION gxy_balancer ADD FUNCTION new_one(text)});
like(`examples/plproxy/generate postgres 2>&1`, qr/no rule for new_one\(text\)/, 'a function without a rule is an error');
isnt($?, 0, 'and fails');
$node->safe_psql('postgres', q{
	ALTER EXTENSION gxy_balancer DROP FUNCTION new_one(text);
	CREATE FUNCTION new_of_room(room text) RETURNS int LANGUAGE sql RETURN 1;
	CREATE VIEW balancer_new AS SELECT 1 AS one;
	ALTER EXTENSION gxy_balancer ADD FUNCTION new_of_room(text);
	ALTER EXTENSION gxy_balancer ADD VIEW balancer_new});
$generated = `examples/plproxy/generate postgres 2>&1`;
like($generated, qr/CREATE FUNCTION public\.new_of_room\(room text\)/, 'a function of a room needs none');
like($generated, qr/CREATE VIEW public\.balancer_new AS/, 'nor does a view');

done_testing();
