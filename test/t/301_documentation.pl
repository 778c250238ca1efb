# The documentation is correct: every SQL block runs, in order; every sample of a psql session; and
# what it says that make does.
#
# Each file has a database "galaxy" with the tables of a conference service, the roles that the
# blocks name, and the extension unless the file creates it. A sample must have the columns that
# psql prints; one marked "exact" must have the rows too. A word before a block (test/lib/Blocks.pm)
# changes that: "last" runs it after the others of its file, "error" means that it fails.

use strict;
use warnings FATAL => 'all';

use lib 'test/t', 'test/lib';
use Blocks qw(blocks samples squeeze);
use GxyBalancer;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('documentation');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'gxy_balancer'
gxy_balancer.cleanup_interval = '1h'
CONF
$node->start;
$node->safe_psql('postgres', 'CREATE ROLE app; CREATE ROLE monitor; CREATE ROLE grafana LOGIN; CREATE ROLE operator; CREATE ROLE gxydb_api');

my %creates_it = map { $_ => 1 } 'README.md', 'doc/taking-over.md';
my @files = grep { -e } 'README.md', glob('doc/*.md'), 'CONTRIBUTING.md';
# Not `make -n`: it executes lines that contain $(MAKE).
my $makefile = `make -s -p -n help`;

sub new_database
{
	my ($file) = @_;

	$node->safe_psql('postgres', 'DROP DATABASE IF EXISTS galaxy WITH (FORCE)');
	$node->safe_psql('postgres', 'CREATE DATABASE galaxy');
	$node->safe_psql('galaxy', <<'SQL');
CREATE TABLE gateways (id bigint PRIMARY KEY, name varchar(50) NOT NULL);
CREATE TABLE rooms (gateway_uid varchar(255) PRIMARY KEY, disabled boolean NOT NULL DEFAULT false, removed_at timestamptz);
CREATE TABLE sessions (id bigserial, user_id bigint NOT NULL, room_id varchar(255), gateway_id bigint,
	created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz, removed_at timestamptz);
ALTER TABLE gateways OWNER TO app;
ALTER TABLE rooms OWNER TO app;
ALTER TABLE sessions OWNER TO app;
INSERT INTO gateways SELECT i, 'gxy' || i FROM generate_series(1, 12) i;
SQL
	$node->safe_psql('galaxy', 'CREATE EXTENSION gxy_balancer') unless $creates_it{$file};
	return;
}

# Replaces text that differs on other machines.
sub here
{
	my ($sql) = @_;
	my ($host, $port) = ($node->host, $node->port);

	return $sql =~ s/host 'db\d+'/host '$host', port '$port'/gr;
}

sub run_sql
{
	my ($sql) = @_;

	return attempt($node, here("SET client_min_messages = warning;\n$sql"), dbname => 'galaxy');
}

sub run_block
{
	my ($block) = @_;
	my $name = "$block->{file}:$block->{line}";
	my ($out, $state, $err);

	if ($block->{before} ne '')
	{
		($out, $state, $err) = run_sql($block->{before});
		is($state && $err, '', "$name: what comes before");
	}
	if ($block->{language} eq 'sql')
	{
		($out, $state, $err) = run_sql($block->{text});
		$block->{is}{error} ? isnt($state, '', "$name fails") : is($state && $err, '', "$name runs");
	}
	elsif ($block->{language} eq 'json')
	{
		ok(eval { decode_json($block->{text}) }, "$name is JSON");
	}
	for my $sample (samples($block))
	{
		$node->psql('galaxy', $sample->{command}, stdout => \$out, stderr => \$err,
			extra_params => [ '--no-psqlrc', '-P', 'format=aligned', '-P', 'tuples_only=off' ]);
		is($err, '', "$name: $sample->{command}");
		my ($told, $shown) = map { [ split /\n/, squeeze($_) ] } $out, $sample->{output};
		$block->{is}{exact} ? is_deeply($told, $shown, "$name prints this") : is($told->[0], $shown->[0], "$name has these columns");
	}
	return;
}

my %of_language;
for my $file (@files)
{
	my @blocks = blocks($file);

	# test/t/217_pg_cron.pl and test/t/219_runbook.pl run these.
	@blocks = grep { !$_->{is}{pg_cron} && !$_->{is}{runbook} } @blocks;
	new_database($file);
	run_block($_) for (grep { !$_->{is}{last} } @blocks), grep { $_->{is}{last} } @blocks;
	$of_language{ $_->{language} || 'sample' }++ for @blocks;
	check_grants($file) if $file eq 'doc/grants.md';

	# The make commands in blocks and in the text.
	my $text = slurp_file($file);
	my %targets = map { $_ => 1 } $text =~ /(?:^|`|sudo )make(?: -\S+| [A-Z_]+=\S+)* ([a-z][a-z-]*)/mg;
	for my $target (sort keys %targets)
	{
		like($makefile, qr/^$target:/m, "$file: make $target");
	}

	# Links and paths exist.
	my %paths = map { $_ => 1 } $text =~ m{\]\(((?!https?:)[^)#]+)}g, $text =~ m{`((?:examples|test|doc|src)/[\w./-]+)`}g;
	for my $path (sort keys %paths)
	{
		my $from = $file =~ m{^doc/} && !-e $path ? "doc/$path" : $path;
		ok(-e $from, "$file: $path is there");
	}
}
cmp_ok($of_language{sql}, '>=', 15, 'there are SQL blocks');
cmp_ok($of_language{sample}, '>=', 5, 'there are samples');

# The roles of the GRANT blocks: each may make exactly its calls.
sub check_grants
{
	my ($file) = @_;
	my %expected = (
		app => [ qw(get_or_assign_server touch_room room_server) ],
		monitor => [ qw(server_heartbeat server_state) ],
		grafana => [ qw(what_if what_if_added) ],
		operator => [
			qw(release_room clean_inactive_assignments explain_assignment init_servers server_state set_server_state
			  server_heartbeat evacuate_server move_room pin_room unpin_room
			  reset_balancer_stats what_if what_if_added rebalance)
		]);
	my $may_call = q(SELECT DISTINCT p.proname FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass
		WHERE d.deptype = 'e' AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'gxy_balancer')
			AND p.proname !~ '^_' AND has_function_privilege('%s', p.oid, 'EXECUTE') ORDER BY 1);
	my %granted;

	for my $role (sort keys %expected)
	{
		my @may = split /\n/, $node->safe_psql('galaxy', sprintf $may_call, $role);
		is("@may", join(' ', sort @{ $expected{$role} }), "what $role may call");
		$granted{$_} = 1 for @may;
	}
	my @all = split /\n/, $node->safe_psql('galaxy', sprintf $may_call, $node->safe_psql('galaxy', 'SELECT current_user'));
	my @monitored = split /\n/, $node->safe_psql('galaxy', sprintf $may_call, 'pg_monitor');
	my @left_out = grep { my $function = $_; !$granted{$function} && !grep { $_ eq $function } @monitored } @all;
	is("@left_out", 'attach_rooms attach_sessions', 'every function is in a block, but those that take the relation\'s owner');

	# Connected as each role.
	my @may = (
		[ 'app', 'SELECT get_or_assign_server(2171), touch_room(2171), room_server(2171)' ],
		[ 'app', 'SELECT * FROM room_server_assignments' ],
		[ 'monitor', q(SELECT server_heartbeat('gxy2'), server_state('gxy2')) ],
		[ 'grafana', 'SELECT * FROM balancer_load, balancer_rooms, balancer_stats, balancer_failovers, balancer_health' ],
		[ 'grafana', 'SELECT * FROM balancer_servers, balancer_pins, balancer_room_sizes' ],
		[ 'grafana', q(SELECT * FROM what_if('gxy2', 'offline')) ],
		[ 'operator', q(SELECT set_server_state('gxy2', 'draining'), set_server_state('gxy2', 'online')) ],
		# A false alarm of a monitor: setting the server online does not clear it.
		[ 'operator', q(SELECT server_heartbeat('gxy2', false), set_server_state('gxy2', 'online'), server_heartbeat('gxy2')) ],
		[ 'operator', q(INSERT INTO balancer_servers (name) VALUES ('gxy14'); UPDATE balancer_servers SET capacity = 5 WHERE name = 'gxy14';
			DELETE FROM balancer_servers WHERE name = 'gxy14') ],
		[ 'operator', q(SELECT pin_room(5, 'gxy2'), unpin_room(5), move_room(2171, 'gxy2'), evacuate_server('gxy2', 'gxy1', 1)) ],
		[ 'operator', q(INSERT INTO balancer_room_sizes (room_id, size, occasions) VALUES ('7', 12, 3);
			DELETE FROM balancer_room_sizes WHERE room_id = '7') ],
		[ 'operator', 'SELECT * FROM explain_assignment(2171); SELECT * FROM balancer_load; SELECT clean_inactive_assignments()' ]);
	my @may_not = (
		[ 'app', 'DELETE FROM room_server_assignments' ],
		[ 'app', q(UPDATE room_server_assignments SET gateway_name = 'gxy1') ],
		[ 'app', 'SELECT release_room(2171)' ],
		[ 'app', 'SELECT * FROM balancer_servers' ],
		[ 'monitor', 'SELECT get_or_assign_server(1)' ],
		[ 'monitor', 'SELECT * FROM room_server_assignments' ],
		[ 'monitor', q(SELECT set_server_state('gxy2', 'offline')) ],
		[ 'grafana', 'SELECT get_or_assign_server(1)' ],
		[ 'grafana', 'UPDATE balancer_servers SET capacity = 1' ],
		[ 'operator', 'SELECT get_or_assign_server(1)' ],
		[ 'operator', 'SELECT attach_sessions(NULL)' ],
		[ 'operator', 'SELECT attach_rooms(NULL)' ],
		[ 'operator', 'DELETE FROM room_server_assignments' ],
		[ 'operator', q(INSERT INTO balancer_health VALUES ('gxy1')) ],
		[ 'operator', q(SET gxy_balancer.strategy = 'sequential') ]);
	my $may = sub {
		my ($where, $path) = @_;
		for my $case (@may)
		{
			my ($out, $state, $err) = run_sql("SET search_path = $path; SET ROLE $case->[0]; $case->[1]");
			is($state && $err, '', "$case->[0] may, $where: $case->[1]");
		}
	};
	$may->('in public', 'public');
	for my $case (@may_not)
	{
		my ($out, $state) = run_sql("SET ROLE $case->[0]; $case->[1]");
		is($state, '42501', "$case->[0] may not: $case->[1]");
	}

	# The same blocks for an extension in a schema of its own.
	$node->safe_psql('postgres', 'DROP DATABASE galaxy WITH (FORCE)');
	$node->safe_psql('postgres', 'CREATE DATABASE galaxy');
	$node->safe_psql('galaxy', q(CREATE SCHEMA lb; CREATE EXTENSION gxy_balancer SCHEMA lb; SELECT lb.init_servers('gxy1,gxy2')));
	run_sql('SET search_path = lb; ' . $_->{text} =~ s/SCHEMA public/SCHEMA lb/r) for grep { $_->{text} =~ /^GRANT/m } blocks($file);
	$may->('in a schema of its own', 'lb');
	return;
}

$node->stop;
done_testing();
