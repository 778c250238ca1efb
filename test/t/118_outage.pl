# Time in which the database takes no writes does not count against leases and sessions: while it is down, or before a standby is
# promoted, nothing can renew them. After it they have their full time again.
#
# Such a time is made by leases and sessions with old times that are written right before the end of the server.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;

use GxyClock;
use GxyWorker;
use PostgreSQL::Test::Cluster;
use Test::More;

my $primary = new_node('primary', init => { allows_streaming => 1 },
	conf => "gxy_balancer.assignment_grace = '1h'\ngxy_balancer.dead_session_timeout = '1h'\n");

sub sql
{
	my ($node, $statements) = @_;

	return $node->safe_psql('postgres', $statements);
}

sub rooms
{
	my ($node) = @_;

	return sql($node, q(SELECT string_agg(room_id, ' ' ORDER BY room_id) FROM room_server_assignments));
}

# Waits for a run that begins from now on.
sub wait_for_run
{
	return wait_for_requested_run($_[0], 'postgres', 'gxy2');
}

# Rooms that were last called a day ago. In "seen" there are users, who were last seen then.
sub write_old_rooms
{
	my ($node) = @_;

	sql($node, 'DELETE FROM room_server_assignments; DELETE FROM sessions');
	overdue($node, 'postgres', 'idle', 'seen', 'used');
	sql($node, q(INSERT INTO sessions VALUES ('seen', 1, now() - interval '1 day')));
	return;
}

# What holds on a server that has just been started or promoted.
sub test_old_rooms
{
	my ($node, $title) = @_;

	wait_for_run($node) for 1 .. 2;
	is(rooms($node), 'idle seen used', "$title: no room is freed");
	is(sql($node, 'SELECT clean_inactive_assignments()'), 0, "$title: nor by hand");
	is(sql($node, q(UPDATE room_server_assignments SET region = 'north' WHERE room_id = 'idle'; SELECT clean_inactive_assignments('1 day'))),
		0, "$title: nor if the application has written the row since, nor with a longer grace period");
	is(sql($node, q(SELECT get_or_assign_server('used'))), 'gxy1', "$title: a room that is called has its server");

	# Leases are short, but people stay for an hour.
	sql($node, q(ALTER DATABASE postgres SET gxy_balancer.assignment_grace = '1s'));
	ok(rooms_are($node, 'postgres', 'seen'), "$title: leases end one grace period later, sessions do not");
	sql($node, q(ALTER DATABASE postgres SET gxy_balancer.dead_session_timeout = '1s'));
	ok(rooms_are($node, 'postgres'), "$title: but after dead_session_timeout, if nothing has seen them");
	sql($node, q(ALTER DATABASE postgres RESET gxy_balancer.assignment_grace; ALTER DATABASE postgres RESET gxy_balancer.dead_session_timeout));
	return;
}

$primary->start;
create_extension($primary, 'postgres');
sql($primary, <<'SQL');
INSERT INTO balancer_servers (name) VALUES ('gxy1'), ('gxy2');
CREATE TABLE sessions (room_id text, user_id int, last_seen_at timestamptz);
SELECT attach_sessions('sessions');
SQL
set_interval($primary, '500ms');
wait_for_first_run($primary, 'postgres');

# In a database that is younger than the server's start there are no leases from before: such a row is a day old.
overdue($primary, 'postgres', 'idle');
ok(rooms_are($primary, 'postgres'), 'a lease that was written with an old time is old');
$primary->backup('copy');

set_interval($primary, '1h');
wait_for_run($primary);
write_old_rooms($primary);
$primary->stop('immediate');
$primary->append_conf('postgresql.conf', "gxy_balancer.cleanup_interval = '500ms'");
$primary->start;
test_old_rooms($primary, 'a crash');

# A grace period below the setting overrides leases. The worker has renewed that of the room with users.
set_interval($primary, '1h');
wait_for_run($primary);
write_old_rooms($primary);
$primary->restart;
ok(wait_for_run($primary), 'after a restart a run has passed');
is(sql($primary, q(SELECT clean_inactive_assignments('30 min'))), 2, 'a grace period below the setting is obeyed at once');

# Nor does it count that the extension has been dropped and created, if that is rolled back.
write_old_rooms($primary);
$primary->restart;
for my $anew ('BEGIN; %s; ROLLBACK', 'BEGIN; SAVEPOINT before; %s; ROLLBACK TO before; COMMIT')
{
	sql($primary, 'SET client_min_messages = error; ' . sprintf($anew, 'DROP EXTENSION gxy_balancer CASCADE; CREATE EXTENSION gxy_balancer'));
	sql($primary, 'SELECT clean_inactive_assignments()');
	is(rooms($primary), 'idle seen used', "$anew: no room is freed");
}

# A machine that starts with a clock two hours ahead, and then sets it right.
$primary->stop;
start_with_clock($primary, 7200);
wait_for_first_run($primary, 'postgres');
set_clock($primary, 0);
is(sql($primary, q(SELECT pg_postmaster_start_time() > now() + '1 h')), 't', 'the clock is set back after the start');
is(sql($primary, 'SELECT clean_inactive_assignments()'), 0, 'no room is freed then');

# They load their server meanwhile, as those do that are called.
sql($primary, q(SELECT attach_sessions(NULL); DELETE FROM room_server_assignments));
overdue($primary, 'postgres', 'a', 'b');
$primary->restart;
is(sql($primary, q(SELECT rooms, load FROM balancer_load WHERE server = 'gxy1')), '2|20', 'rooms from before load their server');
sql($primary, q(SELECT clean_inactive_assignments('30 min'), attach_sessions('sessions')));

# The standby has answered before the leases are written, so it has shared memory from before.
my $standby = PostgreSQL::Test::Cluster->new('standby');

$standby->init_from_backup($primary, 'copy', has_streaming => 1);
$standby->start;
$primary->wait_for_catchup($standby);
is(sql($standby, q(SELECT room_server('used'))), '', 'the standby answers');
write_old_rooms($primary);
$primary->wait_for_catchup($standby);
$primary->stop;
$standby->promote;
test_old_rooms($standby, 'a promotion');

$standby->stop;
done_testing();
