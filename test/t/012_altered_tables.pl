# NULL in every column of every table of the extension, and tables that a DBA has altered.
#
# The triggers on the tables run before NOT NULL is checked, and the C++ code reads rows without the
# executor. So each column is set to NULL by INSERT and by UPDATE: as the operator of doc/grants.md, as
# a superuser, and once more with NOT NULL dropped. Then each column is dropped, renamed, replaced,
# and given another type. A statement may succeed, or fail with an error of the extension; no
# session may crash. The test runs on a server that has the library preloaded, with a load cache,
# and on one that has not. Each case is a transaction that is rolled back, with a savepoint before
# each statement.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use GxyBalancer;
use PostgreSQL::Test::Utils;
use Test::More;

# A valid row of each table, which refers to what create_extension() has made.
my %row = (
	room_server_assignments => {
		room_id => q{'new'}, gateway_name => q{'gxy1'}, region => q{'IL'}, assigned_at => 'now()',
		last_used_at => 'now()', reason => q{'pinned'}, expected_users => 5, reported_users => 5 },
	balancer_servers => {
		name => q{'new'}, position => 9, priority => 0, capacity => 100, regions => q{'{IL,NULL}'},
		pool => q{'primary'}, state => q{'online'} },
	_pool_written => { since => 'now()' },
	balancer_pins => {
		room_id => q{'new'}, server => q{'gxy1'}, expected_users => 5, pinned_at => 'now()' },
	balancer_sources => {
		source => q{'rooms'}, schema_name => q{'public'}, relation_name => q{'rooms'} },
	balancer_room_sizes => {
		room_id => q{'new'}, size => 5, occasions => 1, peak => 3, assigned_at => 'now()', opened_at => 'now()',
		updated_at => 'now()' },
	balancer_health => {
		server => q{'gxy2'}, healthy => 'true', since => 'now()', last_heartbeat => 'now()', counts_from => 'now()',
		load => 0.5, load_at => 'now()', recovered_at => 'now()', differs_since => 'now()' },
	balancer_failovers => {
		from_server => q{'gxy3'}, to_server => q{'gxy4'}, declared_at => q{'2001-01-01'}, due_at => q{'2001-01-01'},
		cause => q{'silent'}, rooms => 1, outcome => q{'moved'}, finished_at => 'now()', recovered_at => 'now()',
		on_call => 'false' },
	_moved_on_call => { room_id => q{'new'}, from_server => q{'gxy1'}, to_server => q{'gxy2'}, moved_at => 'now()' },
	_drained_servers => { server => q{'gxy9'}, since => 'now()' });

# A value of a type other than the column's.
my %other = (text => 'bigint', integer => 'text', bigint => 'text', real => 'text', boolean => 'text',
	'timestamp with time zone' => 'text', 'text[]' => 'int');

# The calls of every function and view, and the application's own statements.
my @calls = (
	q{SELECT room_server('old')}, q{SELECT get_or_assign_server('old')}, q{SELECT touch_room('old', 3)},
	q{SELECT count(*) FROM explain_assignment('other')}, q{SELECT count(*) FROM balancer_load},
	q{SELECT count(*) FROM balancer_rooms}, q{SELECT count(*) FROM balancer_stats},
	q{SELECT count(*) FROM _check_load_cache()}, q{SELECT server_state('gxy2')}, q{SELECT get_or_assign_server('other')},
	q{SELECT get_or_assign_server('new')}, q{SELECT touch_room('new')}, q{SELECT move_room('old', 'gxy2')},
	q{SELECT pin_room('new', 'gxy2', 7)}, q{SELECT unpin_room('new')}, q{SELECT server_heartbeat('gxy2', false)},
	q{SELECT server_heartbeat('gxy2', true, 0.5)}, q{SELECT set_server_state('gxy3', 'offline')},
	q{SELECT set_server_state('gxy3', 'online')}, q{SELECT evacuate_server('gxy1')}, q{SELECT release_room('new')},
	q{SELECT clean_inactive_assignments('0')}, q{SELECT init_servers('gxy1,gxy9')}, q{SELECT attach_sessions(NULL)},
	q{SELECT get_or_assign_server('another')}, q{SELECT clean_inactive_assignments('0')},
	q{INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('app', 'gxy1')},
	q{UPDATE room_server_assignments SET expected_users = 7}, q{DELETE FROM room_server_assignments},
	q{UPDATE balancer_servers SET state = 'draining'}, q{UPDATE balancer_servers SET name = 'gxy8' WHERE name = 'gxy2'},
	q{UPDATE balancer_pins SET server = 'gxy1'}, q{DELETE FROM balancer_servers WHERE name = 'gxy8'},
	q{TRUNCATE room_server_assignments});

sub operator_grants
{
	my ($block) = slurp_file('doc/grants.md') =~ /^-- the operator\n(.*?)^```/ms
	  or die 'the grants have no block for the operator';

	return $block;
}

# A row or two in each table.
sub fill_tables
{
	my ($node) = @_;

	$node->safe_psql('postgres', q{
		CREATE ROLE operator; CREATE ROLE app; CREATE ROLE monitor; CREATE ROLE grafana;
		CREATE TABLE sessions (room_id text, user_id text);
		CREATE TABLE rooms AS SELECT unnest('{old,older,pinned,new,other,another}'::text[]) AS room_id;
		SELECT init_servers('gxy1,gxy2,gxy3,gxy4'), set_server_state('gxy4', 'offline'), attach_sessions('sessions');
		SELECT pin_room('pinned', 'gxy2', 5), server_heartbeat('gxy1'), server_heartbeat('gxy3');
		SELECT get_or_assign_server('old'), get_or_assign_server('older');
		INSERT INTO balancer_room_sizes (room_id, size, occasions) VALUES ('old', 5, 1);} . operator_grants());
	return;
}

# [ table, column, whether it is NOT NULL, type ] of every column.
sub columns
{
	my ($node) = @_;
	my @columns = map { [ split /\|/ ] } split /\n/, $node->safe_psql('postgres', q{
		SELECT c.relname, a.attname, a.attnotnull, format_type(a.atttypid, NULL)
		FROM pg_depend d JOIN pg_class c ON c.oid = d.objid JOIN pg_attribute a ON a.attrelid = c.oid
		WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
			AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'gxy_balancer')
			AND c.relkind = 'r' AND a.attnum > 0
		ORDER BY c.relname, a.attnum});

	die 'the extension has no columns' if @columns < 30;
	return @columns;
}

# An INSERT and an UPDATE that set a column to NULL.
sub statements_for
{
	my ($table, $column) = @_;
	my %values = %{ $row{$table} // die "no row of $table is known here" };
	# A server that has neither rooms nor pins, so that it may be deleted.
	my $where = $table eq 'balancer_servers' ? " WHERE name = 'gxy3'" : '';

	die "no value of $table.$column is known here" unless exists $values{$column};
	$values{$column} = 'NULL';
	return ("INSERT INTO $table (" . join(', ', sort keys %values) . ') VALUES ('
		  . join(', ', map { $values{$_} } sort keys %values) . ')', "UPDATE $table SET $column = NULL$where");
}

# Every column as it was made: NULL is refused, or stored.
sub null_cases
{
	my ($node, $table, $column, $not_null) = @_;
	my %values = %{ $row{$table} };
	# They have no rows, or the worker deletes them.
	my @row = $table =~ /^_(?:moved|drained)/
	  ? "INSERT INTO $table (" . join(', ', sort keys %values) . ') VALUES (' . join(', ', map { $values{$_} } sort keys %values) . ')' : ();
	my @cases;

	for my $role ('operator', 'postgres')
	{
		for my $statement (statements_for($table, $column))
		{
			my ($command) = $statement =~ /^(\w+)/;
			my $may = $node->safe_psql('postgres', "SELECT has_table_privilege('$role', '$table', '$command')") eq 't';
			my $expected = !$may ? '42501' : $not_null eq 't' ? '23502' : '00000';

			push @cases, { name => "$role: $command of NULL in $table.$column", ddl => [ @row, "SET LOCAL ROLE $role" ],
				statements => [$statement], allowed => [$expected] };
		}
	}
	return @cases;
}

# Tables as a DBA may have altered them: without NOT NULL, or without the primary key that implies
# it.
sub altered_cases
{
	my ($node, $table, $column, $not_null, $type) = @_;
	my @statements = statements_for($table, $column);
	my @constraints = split /\n/, $node->safe_psql('postgres', qq{
		SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname)
		FROM pg_constraint WHERE conrelid = '$table'::regclass AND contype IN ('c', 'p')});
	# Errors that the altered table causes in other statements are PostgreSQL's.
	my @others = qw(42703 42804 42883 23502 22P02 42P10 23514 23505 22008 42704 53000);
	my @cases = (
		{ name => 'dropped', ddl => ["ALTER TABLE $table DROP COLUMN $column CASCADE"] },
		{ name => 'renamed', ddl => ["ALTER TABLE $table RENAME COLUMN $column TO other"] },
		{ name => 'replaced', ddl => [ "ALTER TABLE $table DROP COLUMN $column CASCADE",
			"ALTER TABLE $table ADD COLUMN $column $type" ] },
		{ name => 'given another type', ddl => [ @constraints, "TRUNCATE $table",
			"ALTER TABLE $table ALTER $column DROP DEFAULT",
			"ALTER TABLE $table ALTER $column TYPE $other{$type} USING NULL" ] });

	for my $case (@cases)
	{
		$case->{statements} = [ @calls, @statements ];
		$case->{allowed} = [ '00000', '55000', @others ];
	}
	push @cases, { name => 'allowed to be NULL', ddl => [ "ALTER TABLE $table DROP CONSTRAINT IF EXISTS ${table}_pkey",
			"ALTER TABLE $table ALTER $column DROP NOT NULL" ],
		statements => [ @statements, @calls ], allowed => [ '00000', '55000', '42P10' ] }
	  if $not_null eq 't';
	$_->{name} = "$table.$column was $_->{name}" for @cases;
	return @cases;
}

# Runs all cases in one session. Returns the result of each case's statements, and whether
# PostgreSQL itself refused its DDL.
sub run_cases
{
	my ($node, @cases) = @_;
	my @script = ('\set ON_ERROR_ROLLBACK on', 'SET client_min_messages = error;', "SET statement_timeout = '60s';");

	for my $number (0 .. $#cases)
	{
		my $case = $cases[$number];

		push @script, 'BEGIN;', map { ("$_;", "\\echo $number ddl :SQLSTATE") } @{ $case->{ddl} };
		push @script, map { ("$_;", "\\echo $number statement :SQLSTATE") } @{ $case->{statements} };
		push @script, 'ROLLBACK;';
	}

	my (undef, $out) = $node->psql('postgres', join("\n", @script), on_error_stop => 0);

	while ($out =~ /^(\d+) (ddl|statement) (\w{5})$/mg)
	{
		push @{ $cases[$1]{"${2}_outcomes"} }, $3;
	}
	for my $case (@cases)
	{
		my %allowed = map { $_ => 1 } @{ $case->{allowed} };
		my @statements = @{ $case->{statements} };
		my @outcomes = @{ $case->{statement_outcomes} // [] };
		my @wrong = map { "$outcomes[$_]: $statements[$_]" } grep { !$allowed{ $outcomes[$_] } } 0 .. $#outcomes;

		push @wrong, "the session has ended: $statements[@outcomes]" if @outcomes < @statements;
		# PostgreSQL refuses some: to change the type of a column that a trigger's condition names,
		# and to drop a column that a function of the extension reads.
		push @wrong, "not altered: @{ $case->{ddl_outcomes} }"
		  if $case->{name} =~ /NULL|renamed/ && ($case->{ddl_outcomes}[-1] // '') ne '00000';
		ok(!@wrong, $case->{name}) or diag(join "\n", @wrong);
	}
	return;
}

sub test_server
{
	my ($node) = @_;

	fill_tables($node);

	my @columns = columns($node);

	run_cases($node, map { null_cases($node, @$_) } @columns);
	run_cases($node, map { altered_cases($node, @$_) } @columns);
	unlike(slurp_file($node->logfile), qr/was terminated by signal/, 'no session of ' . $node->name . ' was killed');
	$node->stop;
	return;
}

test_server(new_server('plain'));
# No worker: it would wait for the tables.
test_server(new_server('preloaded', "shared_preload_libraries = 'gxy_balancer'", 'max_worker_processes = 1',
	"gxy_balancer.load_max_age = '1h'", "gxy_balancer.heartbeat_timeout = '1min'"));

done_testing();
