# 106_database_statements.pl: runs do not block CREATE, DROP, ALTER ... RENAME and SET TABLESPACE of
# databases.
#
# Each of these statements needs a database without connections: it waits five seconds for them to
# end, then raises an error. So a run that blocks one shows as that error. How long the statements
# took is printed, not tested: machines differ. DROP DATABASE also waits until every process has
# answered a signal, the launcher included, however long the launcher's interval is.

use strict;
use warnings FATAL => 'all';

use FindBin;
use Time::HiRes qw(time);
use lib $FindBin::Bin;

use GxyWorker;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('obstacle', conf => "log_min_messages = debug1\n");
my $started = qr/DEBUG:  starting background worker process "gxy_balancer worker"/;
my $forced = qr/\] gxy_balancer worker FATAL: [^\n]*\n(?:[^\n]*CONTEXT:  |\t)[^\n]*(?:\n\t[^\n]*)*an attached relation caught the cancellation/;
my $slowest = 0;
my ($log_before, @complaints);

# Attaches a view that takes too long to be read to its end.
my $endless = <<'SQL';
CREATE VIEW live AS SELECT NULL::text AS room_id, NULL::text AS user_id WHERE false;
SELECT attach_sessions('live');
CREATE OR REPLACE VIEW live AS SELECT NULL::text AS room_id, NULL::text AS user_id FROM pg_sleep(600);
SQL

# Returns the error of a statement that fails, or seems to wait for ever.
sub complaint_of
{
	my ($database, $statement) = @_;
	my $stderr;

	my $start = time;

	local $ENV{PGOPTIONS} = '-c client_min_messages=warning -c statement_timeout=60s';
	my $status = $node->psql($database, $statement, stderr => \$stderr);
	$slowest = time - $start if $slowest < time - $start;
	return $status ? "$statement: $stderr" : ();
}

$node->start;
create_database($node, $_) for 'galaxy', 'moving', 'slow', 'stuck1', 'stuck2', 'stuck3';

# The launcher sleeps for an hour. That these statements end at all shows that it answers signals.
for my $i (1 .. 5)
{
	push @complaints, complaint_of('postgres', $_) for 'CREATE DATABASE alone TEMPLATE galaxy', 'DROP DATABASE alone';
}
is_deeply(\@complaints, [], 'CREATE DATABASE and DROP DATABASE while the launcher sleeps');
note "the slowest without runs: $slowest s";
$slowest = 0;

set_interval($node, '1s');
$log_before = log_size($node);
for my $i (1 .. 50)
{
	push @complaints, complaint_of('postgres', "CREATE DATABASE loop$i");
	push @complaints, complaint_of("loop$i", 'CREATE EXTENSION gxy_balancer');
	push @complaints, complaint_of('postgres', "DROP DATABASE loop$i");
}
is_deeply(\@complaints, [], 'fifty times CREATE DATABASE, CREATE EXTENSION, DROP DATABASE, beside runs');
count_in_log($node, $log_before, $started) > 25 or die 'hardly any runs';

@complaints = ();
for my $i (1 .. 50)
{
	push @complaints, complaint_of('postgres', 'CREATE DATABASE copy TEMPLATE galaxy');
	push @complaints, complaint_of('postgres', 'DROP DATABASE copy');
}
is_deeply(\@complaints, [], 'fifty times CREATE DATABASE ... TEMPLATE of a database with the extension');

# From here on a run every tenth of a second, so that the statements meet more runs.
set_interval($node, '100ms');
@complaints = ();
$log_before = log_size($node);
for my $i (1 .. 20)
{
	push @complaints, complaint_of('postgres', 'ALTER DATABASE moving RENAME TO moved');
	push @complaints, complaint_of('postgres', 'ALTER DATABASE moved RENAME TO moving');
}
is_deeply(\@complaints, [], 'forty times ALTER DATABASE ... RENAME');

# The statement takes as long as the copy and two checkpoints do. A statement that waits for other
# connections gives up by itself.
my $location = PostgreSQL::Test::Utils::tempdir;
$node->safe_psql('postgres', "CREATE TABLESPACE elsewhere LOCATION '$location'");
note "the slowest with runs: $slowest s";
for my $i (1 .. 5)
{
	push @complaints, complaint_of('postgres', 'ALTER DATABASE moving SET TABLESPACE elsewhere');
	push @complaints, complaint_of('postgres', 'ALTER DATABASE moving SET TABLESPACE pg_default');
}
is_deeply(\@complaints, [], 'ten times ALTER DATABASE ... SET TABLESPACE, beside runs');
count_in_log($node, $log_before, $started) > 25 or die 'hardly any runs';
overdue($node, 'moving', 'idle');
ok(rooms_are($node, 'moving'), 'and afterwards');

# A run in progress does not block FORCE. While the database is being dropped, the launcher may
# start one more worker, but no second one.
for my $i (1 .. 10)
{
	$node->safe_psql('postgres', 'CREATE DATABASE short TEMPLATE galaxy');
	$node->safe_psql('short', q(SELECT room_server('first')));
	push @complaints, complaint_of('postgres', 'DROP DATABASE short WITH (FORCE)');
}
is_deeply(\@complaints, [], 'ten times DROP DATABASE ... WITH (FORCE)');
create_database($node, 'held');
$node->safe_psql('held', $endless);
wait_until($node, 'postgres', q(SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = 'held' AND wait_event = 'PgSleep'));
is(complaint_of('postgres', 'DROP DATABASE held WITH (FORCE)'), undef, 'a run in the middle of something is thrown out');
my $gone = log_size($node);
wait_for_run_after($node, 'galaxy', server_time($node)) for 1 .. 30;
cmp_ok(count_complaints($node, $gone), '<=', 1, 'and starts no more');

# A slow view: the run gives up before the waiting statement does, and the next run starts late
# enough to let the statement finish.
$log_before = log_size($node);
set_interval($node, '1s');
$node->safe_psql('slow', $endless);
wait_until($node, 'postgres', q(SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = 'slow' AND wait_event = 'PgSleep'));
is(complaint_of('postgres', 'DROP DATABASE slow'), undef, 'a run that reads a view without end does not hold up DROP DATABASE');
complaint_of('postgres', 'DROP DATABASE IF EXISTS slow WITH (FORCE)');

# A run of several steps, each below the limit: a failover without a standby reads the sessions, and
# then the cleanup does.
create_database($node, 'steps');
$node->safe_psql('steps', <<'SQL');
CREATE VIEW live AS SELECT NULL::text AS room_id, NULL::text AS user_id WHERE false;
SELECT attach_sessions('live'), init_servers('a,b');
SET gxy_balancer.failover_delay = 0;
INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('failed', 'a');
CREATE OR REPLACE VIEW live AS SELECT NULL::text AS room_id, NULL::text AS user_id FROM pg_sleep(3.3);
UPDATE balancer_servers SET state = 'offline' WHERE name = 'a';
SQL
wait_until($node, 'postgres',
	q(SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = 'steps' AND query ~ 'moving rooms' AND wait_event = 'PgSleep'));
is(complaint_of('postgres', 'DROP DATABASE steps'), undef, 'the steps of a run together do not hold up DROP DATABASE');
complaint_of('postgres', 'DROP DATABASE IF EXISTS steps WITH (FORCE)');
is(count_in_log($node, $log_before, $forced), 0, 'nor has any run to be ended by force');

# A view that ignores cancellation: the worker process exits instead.
create_database($node, 'stubborn');
$node->safe_psql('stubborn', <<'SQL');
CREATE VIEW live AS SELECT NULL::text AS room_id, NULL::text AS user_id WHERE false;
SELECT attach_sessions('live');
CREATE FUNCTION go_on() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	LOOP
		BEGIN
			PERFORM pg_sleep(600);
		EXCEPTION WHEN query_canceled THEN
		END;
	END LOOP;
END
$$;
CREATE OR REPLACE VIEW live AS SELECT NULL::text AS room_id, NULL::text AS user_id WHERE go_on();
SQL
$log_before = log_size($node);
wait_until($node, 'postgres', q(SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = 'stubborn' AND wait_event = 'PgSleep'));
is(complaint_of('postgres', 'DROP DATABASE stubborn'), undef, 'nor does one whose view catches its cancellation');
ok(count_in_log($node, $log_before, $forced) > 0, 'and the log tells how the run ended');
complaint_of('postgres', 'DROP DATABASE IF EXISTS stubborn WITH (FORCE)');
set_interval($node, '100ms');

# A database is dropped before a failover in it is due: no worker is started, which could only fail.
# A second failover, which is due later, shows when that moment has passed.
set_interval($node, '1h');
create_database($node, $_) for 'dropped', 'witness';
my $called = server_time($node);
$node->safe_psql($_, <<'SQL') for 'dropped', 'witness';
SELECT init_servers('a,b');
SET gxy_balancer.failover_delay = '2s';
SELECT set_server_state('a', 'offline');
SQL
wait_for_run_after($node, 'dropped', $called);
$gone = log_size($node);
$node->safe_psql('postgres', 'DROP DATABASE dropped');
wait_until($node, 'witness', q(SELECT outcome <> 'pending' FROM balancer_failovers));
is(count_in_log($node, $gone, qr/FATAL:  database \d+ does not exist/), 0, 'no worker is started for a dropped database');
set_interval($node, '100ms');

# A database is dropped while its worker is starting: that worker exits without a message. DROP
# DATABASE keeps the database locked while it waits, up to five seconds, for a session in it; that
# session calls for the run.
set_interval($node, '1h');
$gone = log_size($node);
for my $attempt (1 .. 5)
{
	my $name = "vanishing$attempt";

	create_database($node, $name);
	my $inside = $node->background_psql($name);
	my $dropper = $node->background_psql('postgres', on_error_stop => 0);
	$inside->query_safe("SELECT init_servers('a,b')");
	$dropper->query_until(qr/dropping/, "\\echo dropping\nDROP DATABASE $name;\n");
	wait_until($node, 'postgres', "SELECT count(*) = 1 FROM pg_locks WHERE granted AND mode = 'AccessExclusiveLock'
		AND locktype = 'object' AND classid = 'pg_database'::regclass AND objid = (SELECT oid FROM pg_database WHERE datname = '$name')");
	$inside->query_safe(q(SELECT set_server_state('a', 'offline')));
	wait_until($node, 'postgres', q(SELECT count(*) = 1 FROM pg_locks
		WHERE NOT granted AND locktype = 'object' AND classid = 'pg_database'::regclass));
	$inside->quit;
	$dropper->query('SELECT 1');
	$dropper->quit;
	last if $node->safe_psql('postgres', "SELECT count(*) FROM pg_database WHERE datname = '$name'") eq '0';
	die 'DROP DATABASE waits for too short a time' if $attempt == 5;
}
wait_until($node, 'postgres', q(SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'gxy_balancer worker'));
is(count_in_log($node, $gone, qr/\] gxy_balancer worker FATAL|exited with exit code [1-9]/), 0,
	'a worker whose database is dropped while it starts says nothing');
set_interval($node, '100ms');

# Workers that cannot start, because another session has locked their databases, do not delay other
# databases.
my @sessions = map { hold($node, 'postgres', "ALTER DATABASE stuck$_ RENAME TO stuck${_}_renamed") } 1 .. 3;
wait_until($node, 'postgres', <<'SQL');
SELECT count(*) = 3 FROM pg_locks WHERE NOT granted AND locktype = 'object' AND classid = 'pg_database'::regclass
SQL
overdue($node, 'galaxy', 'idle');
ok(rooms_are($node, 'galaxy'), 'the others are served');
release($_) for @sessions;
overdue($node, 'stuck1_renamed', 'idle');
ok(rooms_are($node, 'stuck1_renamed'), 'and they are served when their databases are free');

# More databases than workers: runs that take longer than the interval, in more databases than can
# have a worker at a time.
my @busy = map { "busy$_" } 1 .. 6;
for my $database (@busy)
{
	create_database($node, $database);
	$node->safe_psql($database, watched_sessions(0.3));
}
overdue($node, $_, 'idle') for @busy;
is(join(' ', grep { !rooms_are($node, $_) } @busy), '', 'each of more databases than workers has its turn');

$node->stop;
done_testing();
