# pg_repack copies a table while it is in use, and learns from a trigger what is written meanwhile.
# The extension writes beneath triggers, so pg_repack's is fired for it: no assignment, move, renewal
# or deletion of the time of the copy is lost, in any table, and no call fails.
#
# A transaction that began before pg_repack keeps it from ending, so the writes of this test fall
# between the copy and the exchange of the tables.

use strict;
use warnings FATAL => 'all';

use lib 'test/t';
use GxyBalancer;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $sharedir = `"@{[ $ENV{PG_CONFIG} || 'pg_config' ]}" --sharedir`;
chomp $sharedir;
plan skip_all => 'test/prepare has found no package of pg_repack for this PostgreSQL' unless -e "$sharedir/extension/pg_repack.control";

my $node = new_server('repacked', 'max_prepared_transactions = 10', "gxy_balancer.cleanup_interval = '1d'",
	"gxy_balancer.touch_interval = '1s'");
my $program = $node->config_data('--bindir') . '/pg_repack';

sub ask
{
	my ($sql) = @_;

	return $node->safe_psql('postgres', $sql);
}

sub rows_of
{
	my ($table) = @_;

	return ask("SELECT t::text FROM $table t ORDER BY t::text COLLATE \"C\"");
}

# Starts pg_repack for a table and waits until it has copied it. The transaction must end for it to end.
sub start_repack
{
	my ($table) = @_;
	my $holder = session($node);
	my %repack = (table => $table, holder => $holder, output => '');

	$holder->query_safe('BEGIN; SELECT pg_current_xact_id()');
	$repack{storage} = ask("SELECT pg_relation_filenode('$table')");
	$repack{process} = IPC::Run::start(
		[ $program, '--no-kill-backend', '--wait-timeout=600', '-h', $node->host, '-p', $node->port, '-d', 'postgres', '-t', $table ],
		'<', \undef, '>&', \$repack{output});
	wait_until($node, 'postgres', "SELECT to_regclass('repack.table_' || '$table'::regclass::oid) IS NOT NULL");
	return \%repack;
}

# Lets pg_repack end. The table must have a new file and the same rows.
sub finish_repack
{
	my ($repack, $what) = @_;
	my $before = rows_of($repack->{table});

	$repack->{holder}->query_safe('COMMIT');
	$repack->{holder}->quit;
	ok($repack->{process}->finish, "$what: pg_repack ends") or diag $repack->{output};
	isnt(ask("SELECT pg_relation_filenode('$repack->{table}')"), $repack->{storage}, "$what: the table has been repacked");
	is(rows_of($repack->{table}), $before, "$what: what was written meanwhile is kept");
	return;
}

# The rooms only: what the cache has of the sessions may be as old as gxy_balancer.load_max_age.
sub consistent
{
	my ($what) = @_;

	is(ask('SELECT count(*) FROM _check_load_cache() WHERE usable AND cached_rooms <> rooms'), '0', "$what: the load cache is right");
	return;
}

ask('CREATE EXTENSION pg_repack');
ask(q(SELECT init_servers('gxy1,gxy2,gxy3,spare'); UPDATE balancer_servers SET pool = 'standby' WHERE name = 'spare'));
ask(q(SELECT get_or_assign_server('old' || n) FROM generate_series(1, 50) n));
ask(q(UPDATE room_server_assignments SET last_used_at = now() - interval '30 s', assigned_at = now() - interval '1 min'));

#
# The calls of an application and of an operator
#

my $repack = start_repack('room_server_assignments');
# This session knows where the rows are before they are moved to another file.
my $caller = session($node);
my $known = $caller->query("SELECT get_or_assign_server('old7')");

ask(q(SELECT get_or_assign_server('new' || n) FROM generate_series(1, 20) n));
ask(q(SELECT get_or_assign_server('old1'), touch_room('old2'), touch_room('old3', 9)));
my $renewed = ask(q(SELECT last_used_at > now() - interval '20 s' FROM room_server_assignments WHERE room_id = 'old1'));
is($renewed, 't', 'a lease is renewed meanwhile');
is(ask(q(SELECT release_room('old4'))), 't', 'a room is freed');
ask(q(SELECT move_room('old5', 'gxy1'), move_room('old5', 'gxy2'), pin_room('old6', 'gxy3'), move_room('old6', 'gxy3')));
ask(q(SELECT get_or_assign_server('gone'), release_room('gone')));
ask(q(BEGIN; SELECT get_or_assign_server('rolled back'), release_room('old8'); ROLLBACK));
ask(q(BEGIN; SAVEPOINT s; SELECT get_or_assign_server('not kept'); ROLLBACK TO s; SELECT get_or_assign_server('kept'); COMMIT));
ask(q(UPDATE room_server_assignments SET last_used_at = now() - interval '1 day', assigned_at = now() - interval '1 day' WHERE room_id IN ('old9', 'old10')));
is(ask('SELECT clean_inactive_assignments()'), '2', 'a cleanup frees two');
ask(q(SELECT server_heartbeat('gxy1', true, 0.1), evacuate_server('gxy2')));
ask(q(SELECT * FROM rebalance(5, 50, dry_run => false)));
ask(q(BEGIN; SELECT get_or_assign_server('prepared'), release_room('old11'); PREPARE TRANSACTION 'during'));
ask(q(COMMIT PREPARED 'during'));
finish_repack($repack, 'calls');
is(ask(q(SELECT count(*) FROM room_server_assignments WHERE room_id IN ('old4', 'old9', 'old10', 'old11', 'gone', 'not kept'))), '0',
	'what was freed stays free');
is(ask(q(SELECT count(*) FROM room_server_assignments WHERE room_id LIKE 'new%')), '20', 'new rooms have their server');
is($caller->query("SELECT get_or_assign_server('old7')"), ask("SELECT room_server('old7')"), 'a session that knew the old place answers by the new one');
is($caller->query_safe("SELECT release_room('old7')"), 't', 'and writes there');
is(ask("SELECT room_server('old7')"), '', 'where others see it');
$caller->quit;
consistent('calls');

#
# A transaction that has written before pg_repack begins, and is prepared: pg_repack waits for it.
#

ask(q(BEGIN; SELECT get_or_assign_server('earlier'), release_room('old12'); PREPARE TRANSACTION 'earlier'));
my $output = '';
my $process = IPC::Run::start(
	[ $program, '--no-kill-backend', '--wait-timeout=600', '-h', $node->host, '-p', $node->port, '-d', 'postgres', '-t', 'room_server_assignments' ],
	'<', \undef, '>&', \$output);
wait_for_waiters($node, 1);
ask(q(COMMIT PREPARED 'earlier'));
ok($process->finish, 'pg_repack waits for a prepared transaction') or diag $output;
is(ask(q(SELECT room_server('earlier') IS NOT NULL, room_server('old12') IS NULL)), 't|t', 'and keeps what it has written');
consistent('a prepared transaction');

#
# The worker: a failover, leases of rooms in use, and what it learns of their sizes
#

ask(q(CREATE TABLE live (room_id text, user_id int); SELECT attach_sessions('live');
	INSERT INTO live SELECT 'old' || n, u FROM generate_series(20, 30) n, generate_series(1, 7) u));
for my $table ('room_server_assignments', 'balancer_room_sizes')
{
	ask(q(UPDATE room_server_assignments SET last_used_at = now() - interval '1 day', assigned_at = now() - interval '1 day'));
	$repack = start_repack($table);
	my $start = ask('SELECT clock_timestamp()');
	ask(q(SET gxy_balancer.failover_delay = 0; SELECT server_heartbeat('gxy3', false)));
	$node->append_conf('postgresql.conf', "gxy_balancer.cleanup_interval = '100ms'");
	$node->reload;
	wait_until($node, 'postgres', q(SELECT count(*) >= 11 AND bool_and(gateway_name <> 'gxy3' AND last_used_at > now() - interval '1 h')
		FROM room_server_assignments));
	wait_until($node, 'postgres', "SELECT count(*) = 11 FROM balancer_room_sizes WHERE peak = 7 AND updated_at > '$start'");
	$node->append_conf('postgresql.conf', "gxy_balancer.cleanup_interval = '1d'");
	$node->reload;
	wait_until($node, 'postgres', q(SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'gxy_balancer worker'));
	finish_repack($repack, "the worker, $table");
	consistent("the worker, $table");
	ask(q(SELECT server_heartbeat('gxy3', true), get_or_assign_server('again' || n) FROM generate_series(1, 30) n));
}

#
# The other tables: their writes are statements, which fire pg_repack's trigger by themselves.
#

my %write = (
	balancer_servers => q(SELECT set_server_state('gxy1', 'draining'), set_server_state('gxy1', 'online')),
	balancer_pins => q(SELECT pin_room('repacked', 'gxy1'), unpin_room('old6')),
	balancer_sources => q(SELECT attach_rooms('live'), attach_rooms(NULL)),
	balancer_health => q(SELECT server_heartbeat('gxy2', false), server_heartbeat('gxy2', true)),
	balancer_failovers => q(SELECT server_heartbeat('gxy2', false), server_heartbeat('gxy2', true)),
	_moved_on_call => q(SELECT server_heartbeat('gxy1', false), server_heartbeat('gxy1', true)),
	_drained_servers => q(SELECT set_server_state('gxy1', 'draining'), set_server_state('gxy1', 'online')));

for my $table (sort keys %write)
{
	$repack = start_repack($table);
	is(scalar attempt($node, "SET client_min_messages = error; $write{$table}") =~ /^\d\w{4}$/ ? 'an error' : '', '', "$table can be written meanwhile");
	finish_repack($repack, $table);
}

#
# No trigger but pg_repack's fires, whatever its name.
#

ask(q{CREATE TABLE fired (n int);
	CREATE FUNCTION repack_trigger() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO fired VALUES (1); RETURN NULL; END$$;
	CREATE TRIGGER repack_trigger AFTER INSERT OR UPDATE OR DELETE ON room_server_assignments FOR EACH ROW EXECUTE FUNCTION repack_trigger();
	SELECT get_or_assign_server('decoy'), touch_room('decoy', 3), release_room('decoy')});
is(ask('SELECT count(*) FROM fired'), '0', "another function's trigger of that name does not fire");

$node->stop;
done_testing();
