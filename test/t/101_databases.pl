# 101_databases.pl: the worker needs no set-up besides shared_preload_libraries and CREATE
# EXTENSION.
#
# The launcher finds the databases that have the extension by itself: those that exist when it
# starts, those created later, and those in which the extension is created later, dropped, created
# again or moved. It visits other databases once, and never visits templates and databases that
# refuse connections.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;

use GxyWorker;
use PostgreSQL::Test::Utils;
use Test::More;

# The log names the workers that are started.
my $node = new_node('databases', conf => "max_prepared_transactions = 2\nlog_min_messages = debug1\n");
my $started = qr/DEBUG:  starting background worker process "gxy_balancer worker"/;

# The number of committed transactions by database. No client connects to these databases, so only
# the worker adds to it.
sub transactions_in
{
	my (@databases) = @_;
	my $list = join ',', map { "'$_'" } @databases;

	return $node->safe_psql('postgres',
		"SELECT string_agg(datname || ' ' || xact_commit, ', ' ORDER BY datname) FROM pg_stat_database WHERE datname IN ($list)"
	);
}

sub wait_for_visit
{
	my ($database) = @_;

	return wait_until($node, 'postgres',
		"SELECT xact_commit > 0 FROM pg_stat_database WHERE datname = '$database'");
}

$node->start;

# Within two intervals an idle room is freed and one in use is kept. The leases of both have
# expired.
$node->safe_psql('postgres', 'CREATE DATABASE galaxy');
create_extension($node, 'galaxy');
wait_for_first_run($node, 'galaxy');
attach_watched_sessions($node, 'galaxy');
set_interval($node, '1s');
wait_for_run_after($node, 'galaxy', server_time($node));
$node->safe_psql('galaxy', q(INSERT INTO app.sessions VALUES ('live', 1), ('live', 2)));
my $expired = $node->safe_psql('galaxy', <<'SQL');
INSERT INTO room_server_assignments (room_id, gateway_name, assigned_at, last_used_at)
	SELECT room, 'gxy1', now() - interval '1 day', now() - interval '1 day' FROM unnest('{idle,live}'::text[]) room;
SELECT clock_timestamp();
SQL
ok(rooms_are($node, 'galaxy', 'live'), 'the idle room is freed, the one in use is kept');
cmp_ok(
	$node->safe_psql('galaxy', "SELECT count(DISTINCT pid) FROM app.looks WHERE at > '$expired' AND rooms = 2"),
	'<=', 2, 'by one of the next two runs');
set_interval($node, '1h');

# The first round visits all databases. Without the extension, only a visit begins a transaction in
# a database.
$node->safe_psql('postgres', 'CREATE DATABASE plain');
$node->restart;
ok(wait_for_visit('plain'), 'the first round visits a database without the extension');
ok(wait_for_first_run($node, 'galaxy'), 'and one with it');

# From here on the interval is an hour: the launcher must notice each change without waiting for the
# next run.
overdue($node, 'galaxy', 'idle');
$node->safe_psql('plain', 'SELECT 1');
create_extension($node, 'plain');
ok(wait_for_first_run($node, 'plain'), 'the extension is created in a database that was visited without it');

$node->safe_psql('postgres', 'CREATE DATABASE later');
create_extension($node, 'later');
ok(wait_for_first_run($node, 'later'), 'the extension is created in a database that came later');

ok(rooms_are($node, 'galaxy', 'idle', 'live'), 'meanwhile others wait for their interval');

# A copy of a database has the extension, and no CREATE EXTENSION tells of it.
$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE galaxy');
$node->safe_psql('copy', 'SELECT worker, last_run IS NULL FROM balancer_stats') eq 'idle|t' or die 'the copy is known';
$node->safe_psql('copy', q(SELECT get_or_assign_server('first')));
ok(wait_for_first_run($node, 'copy'), q(a copied database is served after a backend's first call));

# COMMIT PREPARED runs no callback, so it does not call the launcher either.
$node->safe_psql('postgres', 'CREATE DATABASE prepared');
$node->safe_psql('prepared', <<'SQL');
SET client_min_messages = warning;
BEGIN;
CREATE EXTENSION gxy_balancer;
PREPARE TRANSACTION 'create';
COMMIT PREPARED 'create';
SQL
$node->safe_psql('prepared', q(SELECT room_server('idle')));
ok(wait_for_first_run($node, 'prepared'), 'so is one after a prepared CREATE EXTENSION');

# Dropped and created again before the next run: the new one does not wait for it.
my $dropped = server_time($node);
$node->safe_psql('later', 'DROP EXTENSION gxy_balancer');
create_extension($node, 'later');
ok(wait_for_run_after($node, 'later', $dropped), 'the extension is dropped and created between two runs');

# A CREATE EXTENSION that is rolled back starts no worker: the only worker from there on is that of
# the next one, which commits.
$node->safe_psql('postgres', 'CREATE DATABASE undone');
set_interval($node, '30min');
wait_for_visit('undone');
my $log_before = log_size($node);
$node->safe_psql('undone', 'SET client_min_messages = warning; BEGIN; CREATE EXTENSION gxy_balancer; ROLLBACK');
create_database($node, 'done');
wait_until($node, 'postgres', q(SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'gxy_balancer worker'));
is(count_in_log($node, $log_before, $started), 1, 'a CREATE EXTENSION that is rolled back calls no worker');

# CREATE EXTENSION after a visit has found no extension, but before the launcher has recorded that:
# the launcher is stopped between the two.
$node->safe_psql('postgres', 'CREATE DATABASE race');
my $session = hold($node, 'race', 'LOCK pg_extension');
set_interval($node, '30min');
wait_for_blocked_worker($node, 'race');
my $launcher = launcher_pid($node);
stop_while_idle($node, $launcher);
$session->query_safe('COMMIT');
wait_until($node, 'postgres',
	q(SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'gxy_balancer worker' AND datname = 'race'));
$session->query_safe('SET client_min_messages = warning; CREATE EXTENSION gxy_balancer');
kill 'CONT', $launcher;
$session->quit;
ok(wait_for_first_run($node, 'race'), 'the extension is created while a visit finds none');

# Twenty databases without the extension, one that refuses connections and one template, each with a
# room to be freed.
$node->safe_psql('postgres', "CREATE DATABASE without$_") for 1 .. 20;
create_database($node, 'closed');
create_database($node, 'template');
overdue($node, $_, 'idle') for 'closed', 'template';
$node->safe_psql('postgres', 'ALTER DATABASE closed ALLOW_CONNECTIONS false');
$node->safe_psql('postgres', 'ALTER DATABASE template IS_TEMPLATE true');
my @without = map { "without$_" } 1 .. 20;
my @untouched = ('closed', 'template', 'template0', 'template1');
my $untouched_before = transactions_in(@untouched);
$log_before = log_size($node);

set_interval($node, '250ms');
wait_for_visit($_) for @without;
my $visits = transactions_in(@without, 'undone');
for (1 .. 3)
{
	my $now = server_time($node);

	wait_for_run_after($node, $_, $now) for 'galaxy', 'plain', 'later';
}
is(transactions_in(@without, 'undone'), $visits, 'databases without the extension are left alone after one visit');
is(transactions_in(@untouched), $untouched_before, 'closed databases and templates are not visited');
is(count_complaints($node, $log_before), 0, 'nor tried in vain');
$node->safe_psql('postgres', 'ALTER DATABASE closed ALLOW_CONNECTIONS true');
$node->safe_psql('postgres', 'ALTER DATABASE template IS_TEMPLATE false');
ok(rooms_are($node, $_), "$_ is served once it is an ordinary one") for 'closed', 'template';

# The extension is dropped, created again in another schema, and moved.
$log_before = log_size($node);
$session = hold($node, 'later', 'DROP EXTENSION gxy_balancer');
wait_for_blocked_worker($node, 'later');
release($session);
my $now = server_time($node);
wait_for_run_after($node, 'galaxy', $now);
$visits = transactions_in('later');
wait_for_run_after($node, 'galaxy', server_time($node)) for 1 .. 3;
is(transactions_in('later'), $visits, 'a database that has lost the extension is left alone');
is(count_in_log($node, $log_before, qr/\] gxy_balancer worker ERROR:  (?!timed out)/),
	0, 'and a run that meets a DROP EXTENSION is no error');

$node->safe_psql('later',
	'SET client_min_messages = warning; CREATE SCHEMA one; CREATE EXTENSION gxy_balancer SCHEMA one');
$node->safe_psql('postgres', 'ALTER DATABASE later SET search_path = one, two, public');
overdue($node, 'later', 'idle');
ok(rooms_are($node, 'later'), 'created again in another schema');
overdue($node, 'later', 'idle');
$node->safe_psql('later', 'ALTER SCHEMA one RENAME TO two');
ok(rooms_are($node, 'later'), 'moved with its schema');

$node->stop;
done_testing();
