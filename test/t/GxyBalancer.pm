# What the tests of this folder have in common: servers with the extension, calls that may fail, and waiting for others
# to wait. Nothing here sleeps: a state is polled for, in pg_locks or pg_stat_activity.
package GxyBalancer;

use strict;
use warnings FATAL => 'all';

use Carp;
use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(new_server attempt session wait_until wait_for_waiters spread even);

# A running server whose database postgres has the extension; lines: of postgresql.conf.
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

# Runs statements in a session of their own, which ends with the first error. Gives what was printed, and the error's
# SQLSTATE, or '' if there was none, and its text with detail and hint. What waits for ever is cancelled.
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

# Returns when a query gives what is expected, by default true; dies if that does not come about.
sub wait_until
{
	my ($node, $database, $query, $expected) = @_;

	$node->poll_query_until($database, $query, $expected // 't') or croak "never came about in $database: $query";
	return 1;
}

# Returns when as many sessions wait for a lock.
sub wait_for_waiters
{
	my ($node, $count) = @_;

	return wait_until($node, 'postgres', "SELECT count(*) = $count FROM pg_stat_activity WHERE wait_event_type = 'Lock'");
}

# Rooms by server, most first, as "gxy1:3 gxy2:2".
sub spread
{
	my ($node, $where) = @_;

	$where //= 'true';
	return $node->safe_psql('postgres', qq{
		SELECT string_agg(gateway_name || ':' || rooms, ' ' ORDER BY rooms DESC, gateway_name)
		FROM (SELECT gateway_name, count(*) AS rooms FROM room_server_assignments WHERE $where GROUP BY 1) s});
}

# Whether the servers of the pool differ by at most one room, those without any included.
sub even
{
	my ($node) = @_;

	return $node->safe_psql('postgres', 'SELECT max(rooms) - min(rooms) <= 1 FROM balancer_load') eq 't';
}

1;
