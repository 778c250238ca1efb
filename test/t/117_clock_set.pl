# The clock is set forward, and back, while rooms are in use.
#
# Forward: everything looks older than it is. No room is freed before what is in use had a whole grace period to renew its
# lease, or dead_session_timeout for its sessions to be seen; balancer_alerts says so. Servers do not look silent.
#
# Back: leases that were written before are in the future. A run gives them the time of the new clock, so that rooms that
# nothing uses any more are freed as ever.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;

use GxyClock;
use GxyWorker;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('clock', conf => "gxy_balancer.assignment_grace = '1h'\ngxy_balancer.dead_session_timeout = '1h'\n"
	  . "gxy_balancer.heartbeat_timeout = '10min'\ngxy_balancer.failover_delay = 0\n");

sub sql
{
	my ($query) = @_;

	return $node->safe_psql('postgres', $query);
}

# Waits for a run that looks for inactive rooms by the clock of now.
sub wait_for_run
{
	return wait_for_requested_run($node, 'postgres', 'gxy3');
}

sub rooms
{
	return sql(q(SELECT string_agg(room_id, ' ' ORDER BY room_id) FROM room_server_assignments));
}

start_with_clock($node);
create_extension($node, 'postgres');
sql(<<'SQL');
INSERT INTO balancer_servers (name) VALUES ('gxy1'), ('gxy2'), ('gxy3');
CREATE TABLE sessions (room_id text, user_id int, last_seen_at timestamptz);
SELECT attach_sessions('sessions');
SELECT server_heartbeat(name) FROM balancer_servers;
SELECT get_or_assign_server(room) FROM unnest(ARRAY['called', 'idle', 'seen', 'idle too']) room;
INSERT INTO sessions VALUES ('seen', 1, now());
SQL
wait_for_run();

my $answer = sql(q(SELECT get_or_assign_server('called')));
my $offset = log_size($node);
my $alerts = q(SELECT severity, alert, what ~ '^the system clock was set forward by 02:00:\d\d: no .* another 3[56]\d\d s,',
	clock_timestamp() - since BETWEEN '0 s' AND '10 min', statement IS NULL FROM balancer_alerts WHERE alert = 'clock_set');

#
# Forward
#

is(sql('SELECT clock_set_at, clock_set_by, frees_from FROM balancer_stats'), '||', 'the clock has not been set');
is(sql($alerts), '', 'there is no alert');
set_clock($node, 7200);
sql(q(SELECT now() - pg_postmaster_start_time() > interval '1 h')) eq 't' or die 'the clock has not been set';
wait_for_run() for 1 .. 2;
is(rooms(), 'called idle idle too seen', 'set forward by two hours: no room is freed');
is(count_in_log($node, $offset, qr/gxy_balancer: the system clock was set forward by 7200 s\n/), 1, 'one message says so');
is(sql($alerts), 'warning|clock_set|t|t|t', 'and balancer_alerts');
is(sql(q(SELECT clock_set_by BETWEEN '7199 s' AND '7201 s', frees_from - clock_set_at BETWEEN '59 min' AND '61 min' FROM balancer_stats)),
	't|t', 'and balancer_stats');
is(sql(q(SELECT string_agg(DISTINCT server_state(name), ' ') FROM balancer_servers)), 'online', 'no server is silent');

my ($out, $err);
$node->psql('postgres', 'SELECT clean_inactive_assignments()', stdout => \$out, stderr => \$err);
is($out, 0, 'a cleanup by hand frees none');
like($err, qr/WARNING:  4 inactive rooms were not freed\n.*clock was set forward/s, 'and says why');
is(sql(q(SET client_min_messages = error; SELECT clean_inactive_assignments('2 h'))), 0, 'nor with a longer grace period');

is(sql(q(SELECT get_or_assign_server('called'))), $answer, 'a room that is called has its server');
is(sql(q(SELECT last_used_at > now() - interval '1 min' FROM room_server_assignments WHERE room_id = 'called')), 't', 'and a renewed lease');
is(sql(q(SELECT clean_inactive_assignments('30 min'))), 3, 'a grace period below the setting overrides leases');
is(rooms(), 'called', 'of those that are not renewed');

# Rooms as of an hour and a half ago. Leases count again after their own grace period, if the sessions have had their time, too.
sql(<<'SQL');
INSERT INTO room_server_assignments (room_id, gateway_name, assigned_at, last_used_at)
	SELECT room, 'gxy1', now() - interval '90 min', now() - interval '90 min' FROM unnest(ARRAY['seen', 'idle']) room;
ALTER DATABASE postgres SET gxy_balancer.assignment_grace = '1s';
SQL
wait_for_run() for 1 .. 2;
is(rooms(), 'called idle seen', 'sessions have dead_session_timeout to be seen');
sql(q(UPDATE sessions SET last_seen_at = NULL));
sql(q(INSERT INTO sessions VALUES ('called', 1, NULL)));
sql(q(ALTER DATABASE postgres SET gxy_balancer.dead_session_timeout = '1s'));
ok(rooms_are($node, 'postgres', 'called', 'seen'), 'then inactive rooms are freed, and those in use stay') if wait_until($node, 'postgres',
	q(SELECT frees_from IS NULL FROM balancer_stats)) && wait_for_run();
is(sql(q(SELECT count(*) FROM balancer_alerts WHERE alert = 'clock_set')), 0, 'and the alert is over');

#
# Back
#

sql(<<'SQL');
DELETE FROM sessions;
ALTER DATABASE postgres SET gxy_balancer.assignment_grace = '1h';
UPDATE room_server_assignments SET assigned_at = now(), last_used_at = now();
INSERT INTO room_server_assignments (room_id, gateway_name, assigned_at, last_used_at)
	VALUES ('kept', 'gxy1', now(), 'infinity'), ('kept too', 'gxy1', now() + interval '1 h', now());
SQL
$offset = log_size($node);
set_clock($node, 0);
wait_for_run();
is(sql(q(SELECT room_id, assigned_at <= now() AND last_used_at BETWEEN now() - interval '5 min' AND now() FROM room_server_assignments ORDER BY room_id)),
	"called|t\nkept|f\nkept too|f\nseen|t", 'set back by two hours: leases get the time of the new clock, others stay as they are');
is(count_in_log($node, $offset, qr/gxy_balancer: the system clock was set back by 7200 s\n/), 1, 'one message says so');
is(sql(q(SELECT clock_set_by BETWEEN '-7201 s' AND '-7199 s' FROM balancer_stats)), 't', 'and balancer_stats');
is(sql(q(SELECT get_or_assign_server('called'))), $answer, 'a room that is called has its server');
sql(q(ALTER DATABASE postgres SET gxy_balancer.assignment_grace = '1s'));
wait_until($node, 'postgres', q(SELECT max(last_used_at) < now() - interval '1 s' FROM room_server_assignments WHERE room_id !~ '^kept'))
	or die 'the leases do not end';
ok(wait_for_run() && rooms_are($node, 'postgres', 'kept', 'kept too'), 'rooms that nothing uses are freed one grace period later');

#
# By years, as from a clock that has lost its battery
#

# A restart, because for the longer grace period the first step is not over.
sql(q(ALTER DATABASE postgres SET gxy_balancer.assignment_grace = '1h'));
$node->stop;
start_with_clock($node);
sql(q(SELECT get_or_assign_server('of old')));
wait_for_run();
set_clock($node, 3 * 365 * 86400);
sql(q(SELECT now() - pg_postmaster_start_time() > interval '2 years')) eq 't' or die 'the clock has not been set';
wait_for_run() for 1 .. 2;
is(rooms(), 'kept kept too of old', 'set forward by three years: no room is freed');

$node->stop;
done_testing();
