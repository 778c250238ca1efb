# GxyWorker.pm: helpers of the tests of the background worker.
#
# A run of the worker cannot be called, only waited for, and its ended transactions cannot be seen
# from outside. So a database can be given a view that logs each read of the sessions: the role, the
# transaction, and the number of rooms. Leases expire by writing old times, so that no test waits
# for a grace period. Every wait is for a state; after the timeout of PostgreSQL::Test, wait_* die
# and rooms_are returns false.

package GxyWorker;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use GxyBalancer qw(stop_while_idle wait_until);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(new_node set_interval create_extension create_database watched_sessions attach_watched_sessions
  overdue_rooms overdue rooms_are stop_while_idle wait_until wait_for_first_run wait_for_run_after wait_for_requested_run server_time
  launcher_pid hold release occupy_worker_slot
  wait_for_blocked_worker log_size count_complaints count_logged count_in_log);

# The library is preloaded. The interval is an hour, so that an earlier run has another cause.
# Autovacuum is off because its workers connect to databases, too.
sub new_node
{
	my ($name, %params) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init(%{ $params{init} // {} });
	$node->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'gxy_balancer'
gxy_balancer.cleanup_interval = '1h'
autovacuum = off
restart_after_crash = on
log_line_prefix = '%m [%p] %b '
CONF
	$node->append_conf('postgresql.conf', $params{conf}) if defined $params{conf};
	return $node;
}

# Edits a setting and reloads, as a DBA does.
sub set_interval
{
	my ($node, $interval) = @_;

	$node->append_conf('postgresql.conf', "gxy_balancer.cleanup_interval = '$interval'");
	$node->reload;
	return;
}

sub create_extension
{
	my ($node, $database) = @_;

	$node->safe_psql($database, 'SET client_min_messages = warning; CREATE EXTENSION gxy_balancer');
	return;
}

# Creates a database with the extension and waits for its first run: from then on only the interval
# starts another.
sub create_database
{
	my ($node, $database) = @_;

	$node->safe_psql('postgres', "CREATE DATABASE $database");
	create_extension($node, $database);
	wait_for_first_run($node, $database);
	return;
}

# SQL that attaches app.sessions, a table for the test to fill, through a view of the role app. Each
# read of the view adds a row to app.looks and takes the given time, in seconds.
sub watched_sessions
{
	my ($pause) = @_;

	$pause //= 0;
	return <<"SQL";
SELECT NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'app') AS missing \\gset
\\if :missing
CREATE ROLE app;
\\endif
GRANT SELECT ON room_server_assignments TO app;
CREATE SCHEMA app AUTHORIZATION app;
SET ROLE app;
CREATE TABLE app.sessions (room_id text, user_id int);
CREATE TABLE app.looks (pid int, xid xid8, rooms bigint, at timestamptz);
CREATE FUNCTION app.look() RETURNS boolean LANGUAGE plpgsql VOLATILE AS \$\$
BEGIN
	INSERT INTO app.looks
		SELECT pg_backend_pid(), pg_current_xact_id(), count(*), clock_timestamp() FROM public.room_server_assignments;
	PERFORM pg_sleep($pause);
	RETURN true;
END
\$\$;
CREATE VIEW app.live AS SELECT room_id, user_id FROM app.sessions WHERE (SELECT app.look());
RESET ROLE;
SELECT attach_sessions('app.live');
TRUNCATE app.looks;
SQL
}

sub attach_watched_sessions
{
	my ($node, $database) = @_;

	$node->safe_psql($database, watched_sessions());
	return;
}

# SQL that adds rooms whose leases expired long ago.
sub overdue_rooms
{
	my $rooms = join ',', @_;

	return <<"SQL";
INSERT INTO room_server_assignments (room_id, gateway_name, assigned_at, last_used_at)
	SELECT room, 'gxy1', now() - interval '1 day', now() - interval '1 day' FROM unnest('{$rooms}'::text[]) room;
SQL
}

sub overdue
{
	my ($node, $database, @rooms) = @_;

	$node->safe_psql($database, overdue_rooms(@rooms));
	return;
}

# Waits until the database has exactly these rooms. Returns false if it does not in time.
sub rooms_are
{
	my ($node, $database, @rooms) = @_;

	return $node->poll_query_until($database,
		q(SELECT coalesce(string_agg(room_id, ',' ORDER BY room_id), '') FROM room_server_assignments),
		join(',', sort @rooms));
}

# Waits until the run has ended and the next one is planned.
sub wait_for_first_run
{
	my ($node, $database) = @_;

	return wait_until($node, $database, q(SELECT worker = 'idle' AND next_due > last_run FROM balancer_stats));
}

# Waits for a run that began after a given server time and succeeded.
sub wait_for_run_after
{
	my ($node, $database, $time) = @_;

	return wait_until($node, $database, "SELECT worker = 'idle' AND last_run > '$time' FROM balancer_stats");
}

# Requests a run, by a change of a server that leaves it as it was, and waits until one that began since has succeeded.
sub wait_for_requested_run
{
	my ($node, $database, $server) = @_;
	my $now = server_time($node);

	$node->safe_psql($database, "SELECT set_server_state('$server', 'draining'), set_server_state('$server', 'online')");
	return wait_for_run_after($node, $database, $now);
}

sub server_time
{
	my ($node) = @_;

	return $node->safe_psql('postgres', 'SELECT clock_timestamp()');
}

# Waits for a launcher other than the given process and returns its process id.
sub launcher_pid
{
	my ($node, $other) = @_;
	my $is_launcher = q(backend_type = 'gxy_balancer launcher' AND pid <> ) . ($other // 0);

	wait_until($node, 'postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE $is_launcher");
	return $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE $is_launcher");
}

# Returns a session with a transaction that stays open after the statement.
sub hold
{
	my ($node, $database, $statement) = @_;
	my $session = $node->background_psql($database);

	$session->query_safe("BEGIN; $statement");
	return $session;
}

sub release
{
	my ($session) = @_;

	$session->query_safe('COMMIT');
	$session->quit;
	return;
}

# Has a parallel worker wait in the only free slot. Returns two sessions:
# the worker ends when the first is released and the second quits.
sub occupy_worker_slot
{
	my ($node) = @_;

	# A plan for one worker alone would not be parallel.
	$node->safe_psql('postgres', <<'SQL');
CREATE TABLE numbers WITH (parallel_workers = 2) AS SELECT generate_series(1, 1000);
CREATE FUNCTION wait() RETURNS boolean LANGUAGE plpgsql PARALLEL SAFE AS
	'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN true; END';
SQL

	my $holder = hold($node, 'postgres', 'SELECT pg_advisory_xact_lock(1)');
	my $query = $node->background_psql('postgres');

	$query->query_until(qr/started/, <<'SQL');
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET parallel_leader_participation = off;
\echo started
SELECT count(*) FROM numbers WHERE wait();
SQL
	wait_until($node, 'postgres',
		q(SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'parallel worker' AND wait_event = 'advisory'));
	return ($holder, $query);
}

sub wait_for_blocked_worker
{
	my ($node, $database) = @_;

	return wait_until($node, 'postgres', <<"SQL");
SELECT count(*) = 1 FROM pg_stat_activity
WHERE backend_type = 'gxy_balancer worker' AND datname = '$database' AND wait_event_type = 'Lock'
SQL
}

sub log_size
{
	my ($node) = @_;

	return -s $node->logfile;
}

# How many errors or warnings the extension's processes have logged since a position in the log.
sub count_complaints
{
	my ($node, $offset) = @_;

	return count_in_log($node, $offset, qr/\] gxy_balancer \w+ (?:WARNING|ERROR|FATAL|PANIC): /);
}

# How often a worker has logged a message (a pattern, with its level) with the name of its database
# as the context.
sub count_logged
{
	my ($node, $offset, $database, $message) = @_;
	my $more = qr/(?:[^\n]* (?:DETAIL|HINT|QUERY|CONTEXT):  [^\n]*\n|\t[^\n]*\n)*?/;

	return count_in_log($node, $offset,
		qr/\] gxy_balancer worker $message[^\n]*\n$more[^\n]*gxy_balancer worker in database "$database"\n/);
}

# How often a pattern occurs in the log since a position. Statements are logged as well, so the
# pattern must not match them.
sub count_in_log
{
	my ($node, $offset, $pattern) = @_;
	my @found = slurp_file($node->logfile, $offset) =~ /$pattern/g;

	return scalar @found;
}

1;
