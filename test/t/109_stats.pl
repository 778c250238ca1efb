# 109_stats.pl: balancer_stats.
#
# Counts are kept by each backend and summed by the reader: those of backends that are there and that have ended, of this
# database and no other, since the server's start or the last reset.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;

use GxyWorker;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('stats');
my $counts = join ', ',
  (map { "assigned_tier_$_" } 0 .. 6), 'sticky', 'renewed', 'moved', 'freed', 'refused';

# The counts of a database without those that are zero.
sub counts_in
{
	my ($database) = @_;
	my $row = $node->safe_psql($database, "SELECT $counts FROM balancer_stats");
	my @names = map { s/assigned_//r } split /, /, $counts;
	my @values = split /\|/, $row;

	return join ' ', map { $values[$_] ? "$names[$_]=$values[$_]" : () } 0 .. $#names;
}

$node->start;
create_database($node, 'galaxy');
create_database($node, 'other');
counts_in('galaxy') eq '' or die 'there are counts';
is($node->safe_psql('galaxy', q(SELECT since < now() AND since > now() - interval '10 min' FROM balancer_stats)),
	't', 'since the start of the server');

# One server for each reason. Each call is made by a backend that has ended before the next call.
$node->safe_psql('galaxy', <<'SQL');
CREATE TABLE sessions (room_id text, user_id int, gateway_name text);
CREATE ROLE app;
ALTER TABLE sessions OWNER TO app;
SELECT attach_sessions('sessions');
INSERT INTO sessions VALUES ('started', 1, 'general');
INSERT INTO balancer_servers (name, capacity, regions, pool) VALUES
	('local', 10, '{IL}', 'primary'), ('general', 20, NULL, 'primary'), ('spare', 100, NULL, 'standby');
SQL
my @calls = (
	[ q(get_or_assign_server('started')), 'tier_0=1' ],
	[ q(get_or_assign_server('here', 'IL')), 'tier_0=1 tier_1=1' ],
	[ q(get_or_assign_server('anywhere')), 'tier_0=1 tier_1=1 tier_2=1' ],
	[ q(get_or_assign_server('full')), 'tier_0=1 tier_1=1 tier_2=1 tier_3=1' ],
	[ q(get_or_assign_server('full')), 'tier_0=1 tier_1=1 tier_2=1 tier_3=1 sticky=1' ],
	[ q(room_server('full')), 'tier_0=1 tier_1=1 tier_2=1 tier_3=1 sticky=1' ],
	[ q(touch_room('full')), 'tier_0=1 tier_1=1 tier_2=1 tier_3=1 sticky=1' ],
);
for my $call (@calls)
{
	$node->safe_psql('galaxy', "SELECT $call->[0]");
	is(counts_in('galaxy'), $call->[1], $call->[0]);
}

my $stderr;
$node->psql('galaxy', q(SET gxy_balancer.overflow = error; SELECT get_or_assign_server('refused'))) != 0 or die 'no server is full';
like(counts_in('galaxy'), qr/sticky=1 refused=1$/, 'a refused call');
$node->safe_psql('galaxy', <<'SQL');
UPDATE balancer_servers SET state = 'draining' WHERE name = 'general';
SELECT get_or_assign_server('elsewhere');
UPDATE balancer_servers SET state = 'draining';
SELECT get_or_assign_server('drained');
UPDATE balancer_servers SET state = 'offline';
SELECT get_or_assign_server('dark');
SQL
is(counts_in('galaxy'), 'tier_0=1 tier_1=1 tier_2=1 tier_3=1 tier_4=1 tier_5=1 tier_6=1 sticky=1 refused=1',
	'tiers 4 to 6');

# A lease that is old enough is renewed, by a call and by a touch.
for my $call (q(get_or_assign_server('full')), q(touch_room('full')))
{
	$node->safe_psql('galaxy',
		"UPDATE room_server_assignments SET last_used_at = now() - interval '1 min', assigned_at = now() - interval '1 min'");
	$node->safe_psql('galaxy', "SELECT $call");
}
like(counts_in('galaxy'), qr/sticky=2 renewed=2 refused=1$/, 'renewals');

# Rooms freed by a function, and by the worker.
overdue($node, 'galaxy', 'idle1', 'idle2');
$node->safe_psql('galaxy', q(SELECT clean_inactive_assignments('1h')));
like(counts_in('galaxy'), qr/renewed=2 freed=2 refused=1$/, 'two rooms are freed by a call');
overdue($node, 'galaxy', 'idle1', 'idle2', 'idle3');
is($node->safe_psql('galaxy', q(SELECT next_due - last_run FROM balancer_stats)), '01:00:00', 'the next run is an hour after the last');
my $called = server_time($node);
$node->safe_psql('galaxy', q(SELECT set_server_state('spare', 'draining')));    # calls for a run
wait_for_run_after($node, 'galaxy', $called);
like(counts_in('galaxy'), qr/renewed=2 freed=5 refused=1$/, 'and three by the worker');
is($node->safe_psql('galaxy', <<'SQL'), 'idle||3|t|t', 'the worker in words and numbers');
SELECT worker, last_error, last_run_freed, last_run_duration > '0' AND last_run_duration < '10 min', last_run BETWEEN since AND now()
FROM balancer_stats
SQL
$node->safe_psql('galaxy', q(SELECT set_server_state('spare', 'offline')));

# A call that is rolled back counts too.
$node->safe_psql('galaxy', q(BEGIN; SELECT get_or_assign_server('undone'); ROLLBACK));
like(counts_in('galaxy'), qr/tier_6=2/, 'counts are of calls, also of those rolled back');

# Running backends count as well, and a second backend is not taken for the first.
my $first = $node->background_psql('galaxy');
my $second = $node->background_psql('galaxy');
my $sticky = $node->safe_psql('galaxy', 'SELECT sticky FROM balancer_stats');
$first->query_safe(q(SELECT get_or_assign_server('full') FROM generate_series(1, 10)));
$second->query_safe(q(SELECT get_or_assign_server('full') FROM generate_series(1, 20)));
is($node->safe_psql('galaxy', 'SELECT sticky FROM balancer_stats'), $sticky + 30, 'backends that are there');
$first->quit;
is($node->safe_psql('galaxy', 'SELECT sticky FROM balancer_stats'), $sticky + 30, 'one of them ends');
is(counts_in('other'), '', 'other databases have counts of their own');
$node->safe_psql('other', q(SELECT get_or_assign_server('other')));
is(counts_in('other'), 'tier_2=1', 'which they keep to themselves');

# A reset while a running backend has counts and goes on counting.
my $since = $node->safe_psql('galaxy', 'SELECT clock_timestamp()');
$node->safe_psql('galaxy', 'SELECT reset_balancer_stats()');
is(counts_in('galaxy'), '', 'after a reset all is zero');
is($node->safe_psql('galaxy', "SELECT since BETWEEN '$since' AND clock_timestamp() FROM balancer_stats"), 't', 'since now');
is(counts_in('other'), 'tier_2=1', 'in this database alone');
$second->query_safe(q(SELECT get_or_assign_server('full')));
is(counts_in('galaxy'), 'sticky=1', 'and the counting goes on');
$second->quit;
is(counts_in('galaxy'), 'sticky=1', 'also when that backend has ended');

# How rooms were placed, and why not by the load cache. (009_load_cache.pl and 115_no_memory.pl have the other reasons.)
my $placed = q(SELECT placed_by_cache, placed_by_count, counted_because FROM balancer_stats);

$node->safe_psql('galaxy', q(UPDATE balancer_servers SET state = 'online'; SELECT reset_balancer_stats()));
is($node->safe_psql('galaxy', $placed), '0|0|', 'after a reset no room has been placed');
$node->safe_psql('galaxy', q(SELECT get_or_assign_server('cached 1'); SELECT get_or_assign_server('cached 2')));
is($node->safe_psql('galaxy', $placed), '2|0|', 'rooms placed by the load cache');
$node->safe_psql('galaxy', q(SET gxy_balancer.load_max_age = 0; SELECT get_or_assign_server('counted')));
is($node->safe_psql('galaxy', $placed), '2|1|gxy_balancer.load_max_age is 0', 'one placed by a count, as the session wants it');
$node->safe_psql('galaxy', q(BEGIN; TRUNCATE room_server_assignments; SELECT get_or_assign_server('full'); COMMIT));
is($node->safe_psql('galaxy', $placed), '2|2|the transaction had emptied the table', 'one after a TRUNCATE');
$node->safe_psql('galaxy', q(SELECT get_or_assign_server('full')));
is($node->safe_psql('galaxy', $placed), '2|2|the transaction had emptied the table', 'a sticky call places nothing');
is($node->safe_psql('other', q(SELECT counted_because FROM balancer_stats)), '', 'other databases have reasons of their own');

# The extension is dropped, the worker notices, and it is created again. No old counts come back,
# although a backend that had counted before the last reset is still running.
my $third = $node->background_psql('galaxy');
$third->query_safe(q(SELECT get_or_assign_server('full') FROM generate_series(1, 5)));
$node->safe_psql('galaxy', 'SELECT reset_balancer_stats()');
$node->safe_psql('galaxy', 'DROP EXTENSION gxy_balancer');
set_interval($node, '200ms');
wait_for_run_after($node, 'other', server_time($node)) for 1 .. 3;
set_interval($node, '1h');
create_extension($node, 'galaxy');
wait_for_first_run($node, 'galaxy');
is(counts_in('galaxy'), '', 'an extension created anew begins at zero');
$third->quit;
is(counts_in('galaxy'), '', 'and stays there');

# Many backends, ten at a time: a slot that is used again is counted once.
my $script = PostgreSQL::Test::Utils::tempdir . '/script.sql';
append_to_file($script, q(SELECT get_or_assign_server('full');));
$node->safe_psql('galaxy', q(SELECT get_or_assign_server('full'), reset_balancer_stats()));
system_or_bail('pgbench', '-n', '-C', '-c', 10, '-t', 20, '-f', $script, $node->connstr('galaxy'));
is(counts_in('galaxy'), 'sticky=200', 'two hundred backends are all counted');

# CREATE EXTENSION says which servers rooms go to, and no more.
my $default_pool = qr/^(?:psql:\S+ )?NOTICE:  no servers have been named yet.*\nDETAIL:  It is "gxy1,gxy2,.*gxy12".\nHINT:  .*init_servers/m;

# A failover that is due: its rooms are moved by the worker, or by the next call if the database has
# no worker. A template gets no runs.
my $cause = q(SELECT server, cause FROM balancer_load WHERE server = 'general');
$node->safe_psql('postgres', 'ALTER DATABASE galaxy IS_TEMPLATE true');
$node->safe_psql('galaxy', <<'SQL');
SELECT init_servers('general,local');
SET gxy_balancer.failover_delay = 0;
UPDATE balancer_servers SET state = 'offline' WHERE name = 'general';
SQL
is($node->safe_psql('galaxy', $cause), 'general|set offline; rooms are moving', 'the worker moves the rooms');

# Without a slot for the launcher.
$node->append_conf('postgresql.conf', 'max_worker_processes = 0');
$node->restart;
is($node->safe_psql('galaxy', $cause), 'general|set offline; rooms move when called for (no worker)',
	'without a launcher no worker moves the rooms');
$node->append_conf('postgresql.conf', 'max_worker_processes = 8');
$node->restart;
for my $level ('notice', 'warning', 'error', 'log', 'debug1', 'info')
{
	my $told = $level !~ /warning|error/;

	$node->safe_psql('postgres', "CREATE DATABASE $level");
	$node->psql($level, "SET client_min_messages = $level; CREATE EXTENSION gxy_balancer; SHOW client_min_messages",
		stdout => \my $stdout, stderr => \$stderr);
	if ($told)
	{
		like($stderr, $default_pool, "CREATE EXTENSION at $level names the default pool");
		is(() = $stderr =~ /^(?:psql:\S+ )?(?:NOTICE|WARNING|DETAIL|HINT):/mg, 3, 'and says nothing else');
	}
	else
	{
		is($stderr, '', "CREATE EXTENSION at $level is silent");
	}
	is($stdout, $level, "and leaves $level in force") unless $level =~ /notice|warning|error/;
}

$node->stop;
done_testing();
