# Helpers of the tests in this folder: servers with the extension, calls that may fail, and waiting
# for a state. They do not sleep: they poll pg_locks or pg_stat_activity.
package GxyBalancer;

use strict;
use warnings FATAL => 'all';

use Carp;
use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(new_server attempt session wait_until wait_for_waiters stop_while_idle spread even gaps);

# Returns a running server whose database postgres has the extension. lines: lines of
# postgresql.conf.
sub new_server
{
	my ($name, @lines) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init(allows_streaming => scalar(grep { /^wal_level/ } @lines) ? 'logical' : 1);
	$node->append_conf('postgresql.conf', join("\n", 'log_min_messages = warning', @lines) . "\n");
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION gxy_balancer');
	return $node;
}

# Runs statements in a new session, which ends with the first error. Returns the output, the error's
# SQLSTATE ('' if there was none), and its text with detail and hint. A statement that waits too
# long is cancelled.
sub attempt
{
	my ($node, $sql, %more) = @_;
	local $ENV{PGOPTIONS} = '-c statement_timeout=60s';
	my ($status, $out, $err) = $node->psql($more{dbname} // 'postgres', $sql,
		extra_params => [ '--set=VERBOSITY=verbose', @{ $more{extra_params} // [] } ]);
	my ($state) = $err =~ /(?:ERROR|FATAL):  ([0-9A-Z]{5}):/;

	$state = $status == 0 ? '' : 'no SQLSTATE' unless defined $state;
	return wantarray ? ($out, $state, $err) : $state eq '' ? $out : $state;
}

# A session that stays open.
sub session
{
	my ($node, $dbname) = @_;

	return $node->background_psql($dbname // 'postgres', on_error_stop => 0);
}

# Waits until a query returns the expected value, by default true. Dies if it does not in time.
sub wait_until
{
	my ($node, $database, $query, $expected) = @_;

	$node->poll_query_until($database, $query, $expected // 't') or croak "never came about in $database: $query";
	return 1;
}

# Waits until that many sessions wait for a lock.
sub wait_for_waiters
{
	my ($node, $count) = @_;

	return wait_until($node, 'postgres', "SELECT count(*) = $count FROM pg_stat_activity WHERE wait_event_type = 'Lock'");
}

# Stops a process of the server by a signal while it sleeps: then it holds no lock that others could wait for.
sub stop_while_idle
{
	my ($node, $pid) = @_;

	for (1 .. 1000)
	{
		kill STOP => $pid or croak "cannot stop process $pid";
		1 until slurp_file("/proc/$pid/stat") =~ /\) [Tt] /;
		return if $node->safe_psql('postgres', "SELECT wait_event_type IN ('Activity', 'Extension', 'IPC') FROM pg_stat_activity WHERE pid = $pid") eq 't';
		kill CONT => $pid;
	}
	croak "process $pid does not sleep";
}

# Rooms by server, largest number first, as "gxy1:3 gxy2:2".
sub spread
{
	my ($node, $where) = @_;

	$where //= 'true';
	return $node->safe_psql('postgres', qq{
		SELECT string_agg(gateway_name || ':' || rooms, ' ' ORDER BY rooms DESC, gateway_name)
		FROM (SELECT gateway_name, count(*) AS rooms FROM room_server_assignments WHERE $where GROUP BY 1) s});
}

# Whether the servers of the pool, those without rooms included, differ by at most one room.
sub even
{
	my ($node) = @_;

	return $node->safe_psql('postgres', 'SELECT max(rooms) - min(rooms) <= 1 FROM balancer_load') eq 't';
}

# How many more rooms the servers would need to differ by at most one. Rooms that a crash or a
# rollback took back leave such gaps, one each at most, until new rooms fill them.
sub gaps
{
	my ($node) = @_;

	return $node->safe_psql('postgres', q{
		SELECT sum(greatest(most - 1 - rooms, 0)) FROM (SELECT rooms, max(rooms) OVER () AS most FROM balancer_load) s});
}

1;
