# 112_cleanup_races.pl: what a cleanup has read of a room may be outdated when it frees the room.
#
# A run remembers the positions of the rows of idle rooms, and of those whose leases are due. Before its first batch another
# transaction truncates the table and inserts another room, or the same room anew, at the same position: that one must stay
# as it is. Then the view takes longer than a run may: the run gives up, logs that, and frees nothing.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;

use GxyBalancer qw(wait_until);
use GxyWorker;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('races');

$node->start;
create_database($node, 'places');
attach_watched_sessions($node, 'places');
$node->safe_psql('places', q(INSERT INTO app.sessions VALUES ('inuse', 1)));

# Calls a run that finds the idle rooms of $before, and has another transaction put $after in their place before the run
# deletes anything. Checks the result of $query.
sub replace_during_run
{
	my ($before, $after, $query, $expected, $name) = @_;

	for my $attempt (1 .. 10)
	{
		set_interval($node, '1h');
		wait_until($node, 'places', q(SELECT worker NOT LIKE 'running%' FROM balancer_stats));
		$node->safe_psql('places', "TRUNCATE room_server_assignments; $before");
		# The position of the first row of any new table.
		$node->safe_psql('places', 'SELECT min(ctid) FROM room_server_assignments') eq '(0,1)' or die 'an unexpected place';
		my $called = server_time($node);

		# The run has read the rooms, and waits for the sessions for a second at most.
		my $gate = hold($node, 'places', 'LOCK app.sessions');
		set_interval($node, '200ms');
		wait_for_blocked_worker($node, 'places');
		my $other = $node->background_psql('places', on_error_stop => 0);
		$other->query_until(qr/truncating/, "\\echo truncating\nBEGIN;\nTRUNCATE room_server_assignments;\n$after;\nCOMMIT;\n");
		# Or the run has given up already, on a slow machine.
		wait_until($node, 'places', qq(SELECT worker NOT LIKE 'running%' AND last_run > '$called' OR EXISTS (SELECT FROM pg_stat_activity
			WHERE wait_event_type = 'Lock' AND query ~ '^TRUNCATE') FROM balancer_stats));
		release($gate);
		$other->query_safe('SELECT 1');
		$other->quit;
		set_interval($node, '1h');
		wait_until($node, 'places', "SELECT worker NOT LIKE 'running%' AND last_run > '$called' FROM balancer_stats");
		is($node->safe_psql('places', $query), $expected, $name);

		# Unless the run has given up at the sessions.
		return pass("$name: seen by a run that had met the other rows")
		  if $node->safe_psql('places', 'SELECT last_error IS NULL FROM balancer_stats') eq 't';
	}
	fail("$name: no run has met the other rows");
}

# The idle rooms fill several pages, and the new table has one.
replace_during_run(
	overdue_rooms('idle') . q(INSERT INTO room_server_assignments (room_id, gateway_name, assigned_at, last_used_at)
		SELECT 'idle' || i, 'gxy1', now() - interval '1 day', now() - interval '1 day' FROM generate_series(1, 500) i),
	overdue_rooms('inuse'),
	'SELECT room_id FROM room_server_assignments', 'inuse',
	'a room in the place of one that was idle is left alone');
replace_during_run(
	overdue_rooms('idle'),
	q(INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('idle', 'gxy2')),
	'SELECT gateway_name FROM room_server_assignments', 'gxy2',
	'a room that was idle and has been assigned anew is left alone');
# Whose lease has not expired, so that no run frees it.
$node->safe_psql('places', q(ALTER DATABASE places SET gxy_balancer.assignment_grace = '1h'));
replace_during_run(
	overdue_rooms('inuse'),
	q(INSERT INTO room_server_assignments (room_id, gateway_name, assigned_at, last_used_at)
		VALUES ('idle', 'gxy1', now() - interval '10 min', now() - interval '10 min')),
	q(SELECT room_id, last_used_at < now() - interval '9 min' FROM room_server_assignments), 'idle|t',
	'the lease of a room in the place of one in use is not renewed');

# A view that never ends.
create_database($node, 'endless');
$node->safe_psql('endless', <<'SQL');
CREATE VIEW live AS SELECT NULL::text AS room_id, NULL::text AS user_id WHERE false;
SELECT attach_sessions('live');
CREATE OR REPLACE VIEW live AS SELECT NULL::text AS room_id, NULL::text AS user_id FROM pg_sleep(600);
SQL
overdue($node, 'endless', 'idle');
set_interval($node, '500ms');
ok($node->poll_query_until('endless', q(SELECT worker = 'backing off: canceling statement due to statement timeout' FROM balancer_stats)),
	'a run whose view takes too long backs off, and says why');
ok(rooms_are($node, 'endless', 'idle'), 'and frees nothing');
$node->safe_psql('endless', 'CREATE OR REPLACE VIEW live AS SELECT NULL::text AS room_id, NULL::text AS user_id WHERE false');
ok(rooms_are($node, 'endless'), 'until the view is mended');

$node->stop;
done_testing();
