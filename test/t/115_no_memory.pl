# 115_no_memory.pl: the system has no shared memory to give, as when /dev/shm is full.
#
# Rooms are placed right all the same, by counting. There is one WARNING, and balancer_stats shows it. When there is memory
# again, it is used, and the load cache is right from then on. A folder that the server cannot write to stands for a full
# /dev/shm, which only root could make.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;

use GxyWorker;
use PostgreSQL::Test::Cluster;
use Test::More;

plan skip_all => 'root can write to every folder' if $> == 0;

my $node = PostgreSQL::Test::Cluster->new('memory');

$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
dynamic_shared_memory_type = mmap
max_prepared_transactions = 10
autovacuum = off
gxy_balancer.cleanup_interval = '1h'
log_line_prefix = '%m [%p] %b '
CONF
$node->start;

my $folder = $node->data_dir . '/pg_dynshmem';
my $warning = qr/WARNING:  gxy_balancer: the system has no more shared memory/;
my $agrees = q(SELECT count(*) FILTER (WHERE usable AND cached_rooms = rooms AND cached_load = load), count(*) FROM _check_load_cache());

my $alerts = q(SELECT alert || ': ' || what FROM balancer_alerts WHERE alert ~ 'memory|cache');

sub let_memory_be_had
{
	my ($had) = @_;

	chmod($had ? 0700 : 0500, $folder) or die "cannot change $folder: $!";
	return;
}

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sub warnings_since
{
	return count_in_log($node, $_[0], $warning);
}

#
# None from the start
#

let_memory_be_had(0);
my $log_before = log_size($node);
create_extension($node, 'postgres');
is(sql('SELECT count(DISTINCT get_or_assign_server(i)) FROM generate_series(1, 24) i'), '12', 'rooms are placed on all servers');
is(sql('SELECT min(rooms), max(rooms) FROM balancer_load'), '2|2', 'evenly');
sql(q(BEGIN; SAVEPOINT a; SELECT get_or_assign_server(100); ROLLBACK TO a; SELECT get_or_assign_server(101), release_room(1);
	PREPARE TRANSACTION 'prepared'));
is(sql('SELECT shared_memory, last_run FROM balancer_stats'), 'the system has no more|', 'balancer_stats says why, and that no worker has run');
is(sql($alerts), 'shared_memory_short: rooms are placed by counting, which is slow: the system has no more', 'so does balancer_alerts');
is(sql('SELECT count(*) FROM _check_load_cache()'), '0', 'there is no load cache');
is(sql(q(SELECT room_server(2), touch_room(2), set_server_state('gxy12', 'draining'))), 'gxy2|t|draining', 'all else works');
is(warnings_since($log_before), 1, 'there was one warning');
let_memory_be_had(1);
wait_until($node, 'postgres', q(SELECT shared_memory IS NULL FROM (SELECT get_or_assign_server(2)) call, balancer_stats));
sql(q(SELECT set_server_state('gxy12', 'online'), get_or_assign_server(102)));
is(sql('SELECT placed_by_cache, placed_by_count, counted_because FROM balancer_stats'), '0|1|no count by these settings was ready',
	'with memory no count is of use while a change that it was not told of is open');
is(sql($alerts), 'load_cache_unused: the last new room was placed by counting: no count by these settings was ready',
	'and balancer_alerts says so');
sql(q(COMMIT PREPARED 'prepared'));
sql('SELECT get_or_assign_server(i) FROM generate_series(103, 104) i');
is(sql('SELECT placed_by_cache, placed_by_count FROM balancer_stats'), '2|1', 'afterwards rooms are placed by the load cache');
is(sql($alerts), '', 'which ends the alert');
is(sql($agrees), '12|12', 'which is right');
ok(wait_for_first_run($node, 'postgres'), 'and the worker runs');

#
# None for a larger pool
#

sql(q(INSERT INTO balancer_servers (name) SELECT 'more' || i FROM generate_series(1, 20000) i));
let_memory_be_had(0);
$log_before = log_size($node);
sql(q(SELECT get_or_assign_server(i) FROM generate_series(1001, 1012) i));
is(sql(q(SELECT count(*), max(rooms) FROM balancer_load WHERE server LIKE 'more%' AND rooms > 0)), '12|1',
	'without memory for its servers rooms go to the emptiest');
is(sql('SELECT counted_because, shared_memory FROM balancer_stats'),
	'there was no shared memory for the load cache|the system has no more', 'and balancer_stats says why');
is(sql('SELECT count(*) FROM _check_load_cache()'), '0', 'the load cache is not used');
is(warnings_since($log_before), 1, 'there was one more warning');
let_memory_be_had(1);
sql('CREATE SEQUENCE rooms START 2000');
wait_until($node, 'postgres', q(SELECT shared_memory IS NULL FROM (SELECT get_or_assign_server(nextval('rooms'))) call, balancer_stats));
sql(q(SELECT get_or_assign_server(nextval('rooms'))));
is(sql($agrees), '20012|20012', 'with memory it is right');

#
# A statement of ALTER SYSTEM, sent as one string as \gexec and other tools do
#

sql(q(LOAD 'gxy_balancer'; ALTER SYSTEM SET gxy_balancer.load_max_age = 0));
sql('SELECT pg_reload_conf()');
wait_until($node, 'postgres', q(SELECT EXISTS (SELECT FROM balancer_alerts WHERE alert = 'load_cache_unused')));
my ($statement, $what) = split /\|/, sql(q(SELECT statement, what ~ '; reload the configuration afterwards$' FROM balancer_alerts
	WHERE alert = 'load_cache_unused'));
is($what, 't', 'an alert that a setting causes says to reload the configuration');
$node->command_ok([ 'psql', '-X', '-d', $node->connstr('postgres'), '-c', q(LOAD 'gxy_balancer'), '-c', $statement ], 'its statement may be sent alone');
sql('SELECT pg_reload_conf()');
wait_until($node, 'postgres', q(SELECT NOT EXISTS (SELECT FROM balancer_alerts WHERE alert = 'load_cache_unused')));

$node->stop;
done_testing();
