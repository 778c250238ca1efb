# 110_room_sizes.pl: the worker learns how large rooms get, from one run to the next.
#
# The test follows a room over several assignments, with runs, a release and a crash in between. A
# growing peak costs heap-only updates only, and an unchanged one costs none. The number of rows
# written in one run and the number of rows kept are limited.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;

use GxyWorker;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('room_sizes');
$node->start;
set_interval($node, '200ms');
create_database($node, 'school');
attach_watched_sessions($node, 'school');

# Puts the given number of users into a room, and none into any other.
sub only
{
	my ($room, $people) = @_;

	$node->safe_psql('school',
		"BEGIN; DELETE FROM app.sessions; INSERT INTO app.sessions SELECT '$room', i FROM generate_series(1, $people) i; COMMIT");
	return;
}

# Waits until a room's row has these values: mean of the earlier peaks, their number, peak of the
# latest assignment.
sub remembered
{
	my ($room, $expected) = @_;

	return $node->poll_query_until('school', <<"SQL", $expected);
SELECT size, occasions, peak FROM balancer_room_sizes JOIN room_server_assignments USING (room_id, assigned_at)
WHERE room_id = '$room'
SQL
}

sub expectation
{
	my ($room) = @_;

	return $node->safe_psql('school', "SELECT DISTINCT expected_from FROM explain_assignment('$room')");
}

sub assign
{
	my ($room) = @_;

	$node->safe_psql('school', "SELECT get_or_assign_server('$room')");
	return;
}

# Frees the room the usual way: its users leave, the lease expires, a run follows.
sub wait_until_freed
{
	my ($room) = @_;

	only($room, 0);
	$node->safe_psql('school', "UPDATE room_server_assignments SET last_used_at = now() - interval '1 day'");
	# An old assignment time that the application writes would count as another assignment.
	$node->safe_psql('school', "UPDATE room_server_assignments SET assigned_at = now() - interval '1 day'");
	return rooms_are($node, 'school');
}

# Three weeks.
assign('weekly');
only('weekly', 12);
ok(remembered('weekly', '0|0|12'), 'a run sees how many users there are');
only('weekly', 20);
ok(remembered('weekly', '0|0|20'), 'a later one, that there are more');
only('weekly', 16);
wait_for_run_after($node, 'school', server_time($node)) for 1 .. 2;
ok(remembered('weekly', '0|0|20'), 'the peak stays when some have left');
wait_until_freed('weekly') or die 'the first occasion does not end';
is(expectation('weekly'), 'learned from 1 occasion', 'an occasion that has ended counts');
assign('weekly');
only('weekly', 20);
ok(remembered('weekly', '20|1|20'), 'the second');
wait_until_freed('weekly') or die 'the second occasion does not end';
assign('weekly');
is($node->safe_psql('school', q(SELECT expected_users BETWEEN 11 AND 20 FROM room_server_assignments)),
	't', 'the third is assigned with what was learned');
only('weekly', 20);
ok(remembered('weekly', '20|2|20'), 'the third');

# A room is released and assigned again with users in it. The result is the same whether or not a
# run happens in between.
$node->safe_psql('school', q(SELECT release_room('weekly'); SELECT get_or_assign_server('weekly')));
ok(remembered('weekly', '20|3|20'), 'an occasion ends with a release, too');

# A crash during an assignment: the peak is not lost, and the assignment is not counted twice.
my $before = $node->safe_psql('school', 'SELECT s FROM balancer_room_sizes s');
$node->stop('immediate');
$node->start;
wait_for_run_after($node, 'school', server_time($node)) for 1 .. 2;
is($node->safe_psql('school', 'SELECT s FROM balancer_room_sizes s'), $before, 'a crash leaves what was learned');

# A room grows by one user at a time: each run writes the row, and no write adds an index entry.
# Then the room stops growing.
my ($seen, $last) = (21, 40);
my $statistics = q(FROM pg_stat_user_tables WHERE relname = 'balancer_room_sizes');
for my $people ($seen .. $last)
{
	only('weekly', $people);
	remembered('weekly', "20|3|$people") or die "never $people";
}
wait_for_run_after($node, 'school', server_time($node)) for 1 .. 2;
ok($node->poll_query_until('school', "SELECT n_tup_upd >= $last - $seen + 1 $statistics"), 'growth is written');
is($node->safe_psql('school', "SELECT n_tup_upd - n_tup_hot_upd $statistics"), '0', 'by heap-only updates');
is($node->safe_psql('school', "SELECT n_tup_upd <= $last - $seen + 1 $statistics"), 't', 'and nothing else is');
set_interval($node, '1h');

# More rooms than a run writes at once: the rest does not wait for an hour.
$node->safe_psql('postgres', 'CREATE DATABASE many');
$node->safe_psql('many', <<'SQL');
SET client_min_messages = warning;
BEGIN;
CREATE EXTENSION gxy_balancer;
INSERT INTO room_server_assignments (room_id, gateway_name, reported_users) SELECT i, 'gxy1', 1 + i % 50 FROM generate_series(1, 12000) i;
COMMIT;
SQL
ok($node->poll_query_until('many', 'SELECT count(*) = 12000 FROM balancer_room_sizes'), 'all rooms are learned');
is($node->safe_psql('many', 'SELECT max(rooms), count(*) FROM (SELECT count(*) AS rooms FROM balancer_room_sizes GROUP BY xmin) batches'),
	'5000|3', 'in batches, each a transaction');

# The rooms grow a quarter at a time, twice: the space of dead row versions on full pages is used
# again, though no session reads the table.
set_interval($node, '200ms');
for my $round (1 .. 8)
{
	$node->safe_psql('many', "UPDATE room_server_assignments SET reported_users = reported_users + 50 WHERE room_id::int % 4 = $round % 4");
	wait_until($node, 'many', "SELECT n_tup_upd = 3000 * $round $statistics");
}
is($node->safe_psql('many', "SELECT n_tup_hot_upd > 0.9 * n_tup_upd $statistics"), 't',
	'the next ones are heap-only updates still');
set_interval($node, '1h');

# max_learned_rooms is lowered below the number of rows: the oldest are deleted, also in batches.
# The view's log shows how many are left.
create_database($node, 'few');
attach_watched_sessions($node, 'few');
$node->safe_psql('few', <<'SQL');
GRANT SELECT ON balancer_room_sizes TO app;
CREATE OR REPLACE FUNCTION app.look() RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
	INSERT INTO app.looks
		SELECT pg_backend_pid(), pg_current_xact_id(), count(*), clock_timestamp() FROM public.balancer_room_sizes;
	RETURN true;
END
$$;
INSERT INTO balancer_room_sizes (room_id, size, occasions, updated_at)
	SELECT i, 9, 1, now() - (i * 7919 % 12000) * interval '1 hour' FROM generate_series(1, 12000) i;
TRUNCATE app.looks;
ALTER DATABASE few SET gxy_balancer.max_learned_rooms = 100;
SQL
set_interval($node, '500ms');
ok($node->poll_query_until('few', 'SELECT count(*) = 100 FROM balancer_room_sizes'), 'no more are remembered than wanted');
is($node->safe_psql('few', q(SELECT string_agg(DISTINCT rooms::text, ',') FROM app.looks WHERE rooms > 100)),
	'12000,2000,7000', 'the others go in batches');
is($node->safe_psql('few', q(SELECT bool_and(updated_at > now() - interval '101 hours') FROM balancer_room_sizes)),
	't', 'those not seen for longest');

# Sizes that cannot be written, as on a full disk, do not keep rooms from being freed: the run logs
# it once and goes on.
set_interval($node, '1h');
create_database($node, 'crammed');
$node->safe_psql('crammed', <<'SQL');
CREATE INDEX no_sizes ON balancer_room_sizes ((1 / (peak - peak)));
SELECT get_or_assign_server('busy'), touch_room('busy', 5);
SQL
my $log_before = log_size($node);
overdue($node, 'crammed', 'idle');
set_interval($node, '200ms');
ok(rooms_are($node, 'crammed', 'busy'), 'a room is freed though no size can be remembered');
wait_for_run_after($node, 'crammed', server_time($node)) for 1 .. 2;
my $complaint = 'the sizes of rooms could not be written: division by zero';
is($node->safe_psql('crammed', q(SELECT worker IN ('idle', 'running'), last_error FROM balancer_stats)), "t|$complaint",
	'balancer_stats tells what is missing');
is(count_logged($node, $log_before, 'crammed', "WARNING:  gxy_balancer: $complaint"), 1, 'so does the log, once');
$node->safe_psql('crammed', 'DROP INDEX no_sizes');
ok($node->poll_query_until('crammed', q(SELECT last_error IS NULL FROM balancer_stats)), 'until it can be written again');
is($node->safe_psql('crammed', q(SELECT peak FROM balancer_room_sizes WHERE room_id = 'busy')), '5', 'and it is');

$node->stop;
done_testing();
