# 218_rooms_unreadable.pl: failovers while the attached rooms cannot be read.
#
# In each database the rooms are locked, or reading them raises an error. Calls for a room that the
# standby has claimed, and the worker, go on at once, as if every room existed everywhere. Another
# transaction has locked one room's row, so that its callers still ask for the claim. What an
# operator does, and an error that says that the call was cancelled or is to be tried again, is not
# passed over.
#
# A call that waited would be cancelled long before assign_timeout.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;

use GxyBalancer qw(attempt session);
use GxyWorker;
use Test::More;

my $node = new_node('unreadable', conf => "gxy_balancer.failover_delay = 0\ngxy_balancer.assign_timeout = '10min'\n");

$node->start;

# Name of the database => [ the rooms to attach, what makes them unreadable ].
my $with_servers = q(CREATE TABLE app_rooms AS SELECT 'room ' || n AS room_id, '{gxy1,gxy2}'::text[] AS servers
	FROM generate_series(0, 20) n);
my $view = q(ALTER TABLE app_rooms RENAME TO all_rooms;
	CREATE TABLE app_error (code text);
	CREATE FUNCTION app_fail() RETURNS boolean LANGUAGE plpgsql AS $$
	DECLARE
		code text := (SELECT min(e.code) FROM public.app_error e);
	BEGIN
		IF code <> '' THEN
			RAISE 'failed' USING ERRCODE = code;
		END IF;
		RETURN true;
	END $$;
	CREATE VIEW app_rooms AS SELECT * FROM all_rooms WHERE (SELECT app_fail()));
my %cases = (
	no_servers => [ q(CREATE TABLE app_rooms AS SELECT 'room ' || n AS room_id FROM generate_series(0, 20) n), 'LOCK TABLE app_rooms' ],
	locked => [ $with_servers, 'LOCK TABLE app_rooms' ],
	table_of_view => [ "$with_servers; $view", 'LOCK TABLE all_rooms' ],
	error => [ "$with_servers; $view", q(INSERT INTO app_error VALUES ('53400'); COMMIT; BEGIN) ]);

# Returns what a query returns, or the SQLSTATE of its error.
sub answer
{
	my ($database, $query) = @_;

	return scalar attempt($node, $query, dbname => $database);
}

for my $database (sort keys %cases)
{
	my ($rooms, $obstacle) = @{ $cases{$database} };

	create_database($node, $database);
	$node->safe_psql($database, qq{
		INSERT INTO balancer_servers (name, pool) VALUES ('gxy1', 'primary'), ('gxy2', 'primary'), ('spare', 'standby');
		$rooms;
		SELECT attach_rooms('app_rooms');
		INSERT INTO room_server_assignments (room_id, gateway_name) SELECT room_id, 'gxy1' FROM app_rooms});

	my $row = session($node, $database);
	my $application = session($node, $database);

	$row->query_safe(q(BEGIN; SELECT FROM room_server_assignments WHERE room_id = 'room 0' FOR UPDATE));
	$application->query_safe("BEGIN; $obstacle");
	$node->safe_psql($database, q(UPDATE balancer_servers SET state = 'offline' WHERE name = 'gxy1'));
	is(answer($database, q(SELECT get_or_assign_server('room 0'))), 'spare', "$database: a call answers the standby");
	is(answer($database, q(SELECT room_server('room 0'))), 'spare', "$database: so does a call that only reads");
	ok($node->poll_query_until($database, q(SELECT count(*) = 20 FROM room_server_assignments WHERE gateway_name = 'spare')),
		"$database: the worker moves the rooms to it");
	if ($database eq 'locked')
	{
		is(answer($database, "SET gxy_balancer.assign_timeout = '200ms'; SELECT $_"), '55P03', "$_ waits")
			for q(get_or_assign_server('new')), q(move_room('room 1', 'gxy2')), q(pin_room('room 1', 'gxy2')),
			q(evacuate_server('spare')), q(rebalance(NULL, NULL));
	}
	if ($database eq 'error')
	{
		for my $code (qw(08006 53100 55P03 58030 XX000))
		{
			$node->safe_psql($database, "UPDATE app_error SET code = '$code'");
			is(answer($database, q(SELECT room_server('room 0'))), 'spare', "$code is passed over");
		}
		for my $code (qw(40001 40P01 57014 57P01))
		{
			$node->safe_psql($database, "UPDATE app_error SET code = '$code'");
			is(answer($database, q(SELECT room_server('room 0'))), $code, "$code is raised");
		}
		$node->safe_psql($database, q(UPDATE app_error SET code = ''));
	}
	$application->query_safe('ROLLBACK');
	is($node->safe_psql($database, q(BEGIN; SELECT room_server('room 0');
		SELECT count(*) FROM pg_locks WHERE relation = 'app_rooms'::regclass AND pid = pg_backend_pid())),
		$database eq 'no_servers' ? "spare\n0" : "gxy1\n1", "$database: the rooms count again");
	$row->query_safe('ROLLBACK');
	$_->quit for $row, $application;
}

$node->stop;
done_testing();
