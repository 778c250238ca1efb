# doc/runbook.md: each recipe is carried out on a server where its condition was made, prints what the
# document shows, and ends without an alert.
#
# Each section has a database of its own. The SQL in a comment before a block makes the condition, or
# does what users do meanwhile. A query is repeated until it prints what is shown, because failovers
# and the worker take their time; a statement that changes something runs once. Times are masked.

use strict;
use warnings FATAL => 'all';

use lib 'test/t', 'test/lib';
use Blocks qw(blocks samples squeeze);
use GxyBalancer;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $document = 'doc/runbook.md';
my $node = PostgreSQL::Test::Cluster->new('runbook');

$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
gxy_balancer.cleanup_interval = '1s'
gxy_balancer.failover_delay = '2s'
gxy_balancer.assignment_grace = '1h'
autovacuum = off
CONF
$node->start;

# Three servers with ten rooms of two users each, and a standby.
my $service = <<'SQL';
SET client_min_messages = warning;
CREATE EXTENSION gxy_balancer;
CREATE TABLE sessions (room_id text, user_id int, gateway_name text);
CREATE VIEW live_sessions AS SELECT * FROM sessions;
SELECT attach_sessions('live_sessions');
INSERT INTO balancer_servers (name, pool) VALUES ('gxy1', 'primary'), ('gxy2', 'primary'), ('gxy3', 'primary'), ('spare1', 'standby');
SELECT get_or_assign_server(i, NULL, 2) FROM generate_series(1, 30) i;
INSERT INTO sessions SELECT room_id, 100 * room_id::int + i, gateway_name FROM room_server_assignments, generate_series(1, 2) i;
SQL

# Replaces what differs from run to run, on both sides.
sub masked
{
	my ($text) = @_;

	return squeeze($text) =~ s/\b\d+ ?s\b/N s/gr =~ s/\d\d:\d\d:\d\d/TIME/gr;
}

sub output_of
{
	my ($database, $command) = @_;
	my ($out, $err);

	$node->psql($database, $command, stdout => \$out, stderr => \$err,
		extra_params => [ '--no-psqlrc', '-P', 'format=aligned', '-P', 'tuples_only=off' ]);
	return $err eq '' || $err =~ /^psql:\S+ (?:NOTICE|WARNING)/ ? $out : $err;
}

# Runs a sample. Returns what it printed last.
sub run_sample
{
	my ($database, $sample) = @_;
	my $reads = $sample->{command} =~ /FROM (?:balancer_\w+|explain_assignment|what_if)\b/ && $sample->{command} =~ /^SELECT/;
	my ($out, $tries) = ('', $reads ? 3 * $PostgreSQL::Test::Utils::timeout_default : 1);

	while ($tries-- > 0)
	{
		$out = output_of($database, $sample->{command});
		last if masked($out) eq masked($sample->{output});
		select undef, undef, undef, 0.1 if $tries > 0;
	}
	return $out;
}

# The line and the text of each heading, the last first.
my @headings;
my $line = 0;
for (split /\n/, slurp_file($document))
{
	$line++;
	unshift @headings, [ $line, $1 ] if /^## (.*)/;
}

my ($section, $database, %done) = ('');
for my $block (grep { $_->{is}{runbook} } blocks($document))
{
	my ($heading) = map { $_->[1] } grep { $_->[0] < $block->{line} } @headings;

	$heading //= 'the top';
	if ($heading ne $section)
	{
		$section = $heading;
		$database = 'galaxy' . scalar keys %done;
		$done{$section} = 1;
		$node->safe_psql('postgres', "CREATE DATABASE $database");
		$node->safe_psql($database, $service);
		is($node->safe_psql($database, 'SELECT count(*) FROM balancer_alerts'), '0', "$section: begins without an alert");
	}
	$node->safe_psql($database, "SET client_min_messages = warning;\n$block->{before}") if $block->{before} ne '';
	if ($block->{language} eq 'sql')
	{
		my (undef, $state, $error) = attempt($node, "SET client_min_messages = warning;\n$block->{text}", dbname => $database);
		is($state && $error, '', "$section: the block at line $block->{line} runs");
	}
	for my $sample (samples($block))
	{
		is(masked(run_sample($database, $sample)), masked($sample->{output}), "$section: $sample->{command}");
	}
}

# Every recipe ends with the count of alerts, which is 0; and every alert is in the table at the top.
my $text = slurp_file($document);
for my $recipe (split /^## /m, $text =~ s/.*?^## /## /msr =~ s/^## //r)
{
	my ($title) = $recipe =~ /^(.*)/;

	like($recipe, qr/AS alerts FROM balancer_alerts;\n alerts \n-+\n +0\n/, "$title: ends without an alert");
}
my @keys = (qw(server_unhealthy server_silent), (join '', map { slurp_file($_) } glob 'gxy_balancer--*.sql') =~ /SELECT '(?:critical|warning|info)', '(\w+)'/g);
my @missing = grep { $text !~ /^\| .*`$_`.*\|/m } @keys;
is("@missing", '', 'every alert has a recipe');
cmp_ok(scalar @keys, '>=', 14, 'and there are some') or diag "@keys";

$node->stop;
done_testing();
