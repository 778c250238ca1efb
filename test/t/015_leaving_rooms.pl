# What a room takes off the load cache when it leaves its server: as much as was counted of it, or added since. Without attached
# sessions the rows say all: a room counts as long as its lease runs, or with the users that touch_room() has reported.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use GxyBalancer;
use Test::More;

# load_max_age is longer than the machine has been up, so that nothing is counted again unless it is asked for. The launcher has the
# only slot, so that no worker frees rooms.
my $node = new_server('main', 'max_prepared_transactions = 5', "gxy_balancer.load_max_age = '20d'",
	'max_worker_processes = 1');

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sub agrees
{
	my ($what) = @_;

	is(sql('SELECT * FROM _check_load_cache() WHERE NOT usable OR cached_rooms <> rooms OR cached_load <> load'),
		'', "$what: the load cache agrees with the tables");
}

sub not_below
{
	my ($what) = @_;

	is(sql('SELECT * FROM _check_load_cache() WHERE NOT usable OR cached_rooms <> rooms OR cached_load < load'),
		'', "$what: the load cache has every room and no load too little");
}

# Has these rooms counted, and no others but one that is new.
sub start
{
	my ($columns, $values) = @_;

	sql("TRUNCATE room_server_assignments; INSERT INTO room_server_assignments (gateway_name, room_id, $columns) "
		  . "SELECT 'gxy1', 'old' || i, $values FROM generate_series(1, 20) i");
	sql("SELECT get_or_assign_server('first')");
	agrees("$columns");
}

sub counted_at
{
	return sql('SELECT max(counted_at) FROM _check_load_cache()');
}

sql("SELECT init_servers('gxy1,gxy2')");

my $expired = q(now() - interval '100 s', now() - interval '100 s');

start('assigned_at, last_used_at', $expired);

my $counted = counted_at();

sql(q(SELECT release_room('old1'), release_room('old2')));
agrees('release_room() of rooms whose leases have expired');
sql(q(DELETE FROM room_server_assignments WHERE room_id IN ('old3', 'old4')));
agrees('DELETE');
sql(q(SELECT move_room('old5', 'gxy2'), move_room('old6', 'gxy2')));
agrees('move_room()');
sql(q(UPDATE room_server_assignments SET gateway_name = 'gxy2' WHERE room_id IN ('old7', 'old8')));
agrees('UPDATE');
is(sql('SELECT clean_inactive_assignments()'), 14, 'a cleanup frees the others');
agrees('the cleanup');
sql(q(SELECT get_or_assign_server('new' || i) FROM generate_series(1, 21) i));
ok(even($node), 'new rooms are spread evenly then') or diag(spread($node));
is(counted_at(), $counted, 'all of which by one count');

# What was counted, or added since, while the leases ran is subtracted when they have expired.
my (undef, $freed, $differs) = split /\n/, sql(q{
	TRUNCATE room_server_assignments;
	SET gxy_balancer.assignment_grace = '1s';
	SELECT count(get_or_assign_server('short' || i)) FROM generate_series(1, 20) i;
	DO $$BEGIN
		WHILE EXISTS (SELECT FROM room_server_assignments WHERE last_used_at >= clock_timestamp() - interval '1 s') LOOP
			PERFORM pg_sleep(0.01);
		END LOOP;
	END$$;
	SELECT clean_inactive_assignments();
	SELECT count(*) FROM _check_load_cache() WHERE NOT usable OR cached_rooms <> rooms OR cached_load <> load});
is($freed, 20, 'rooms whose leases expire after the count are freed');
is($differs, 0, 'with the load that they had');

# Reported users leave with their room, with as many as were reported last, and a lease that had expired counts when it is renewed.
for my $old ('now(), now()', $expired)
{
	start('assigned_at, last_used_at, expected_users, reported_users', "$old, 20, 7");
	sql(q(SELECT release_room('old1')));
	agrees('release_room() of a room with reported users');
	sql(q(DELETE FROM room_server_assignments WHERE room_id = 'old2'));
	agrees('DELETE');
	sql(q(SELECT touch_room('old3', 1), touch_room('old4', 70), touch_room('old5', 0)));
	agrees('touch_room() with other users');
	sql(q(SELECT release_room('old3'), release_room('old4'), release_room('old5'), move_room('old6', 'gxy2')));
	agrees('rooms whose users were reported after the count leave');
	sql(q(UPDATE room_server_assignments SET reported_users = 3, gateway_name = 'gxy2' WHERE room_id = 'old7'));
	agrees('UPDATE');
	sql(q(BEGIN; SELECT touch_room('old8', 0); ROLLBACK; BEGIN; SELECT touch_room('old8', 90); SAVEPOINT s;
		SELECT touch_room('old8', 2); ROLLBACK TO s; COMMIT));
	agrees('touch_room() that is rolled back');
	sql('SELECT clean_inactive_assignments()');
	agrees('a cleanup');
}
start('assigned_at, last_used_at', $expired);
sql(q(SELECT get_or_assign_server('old1'), touch_room('old2'), touch_room('old3', 4)));
agrees('leases that had expired and are renewed');
sql(q(SELECT get_or_assign_server('own'); BEGIN; SELECT get_or_assign_server('new'), touch_room('own', 3); SELECT touch_room('new', 1);
	SELECT touch_room('new', 50), touch_room('own', 1); COMMIT));
agrees('users are reported in the transaction that has assigned the room');
sql(q(SELECT release_room('old1'), release_room('old2'), release_room('old3'), release_room('new'), release_room('own')));
agrees('the rooms are released');

# Beside a measured load of 200 users those count who are expected beyond the reported ones: 160, then 80, then none.
start('assigned_at, last_used_at, expected_users, reported_users', 'now(), now(), 20, 7');
sql(q(INSERT INTO room_server_assignments (room_id, gateway_name, expected_users) VALUES ('other', 'gxy2', 235)));
sql(q(SELECT server_heartbeat('gxy1', load => 0.5)));
is(sql(q(SELECT get_or_assign_server('m1'))), 'gxy2', '245 users are less than 360');
sql(q(SELECT release_room('old' || i) FROM generate_series(1, 10) i));
is(sql(q(SELECT get_or_assign_server('m2'))), 'gxy2', '255 users are less than 280');
sql(q(SELECT touch_room('old' || i, 20) FROM generate_series(11, 20) i));
is(sql(q(SELECT get_or_assign_server('m3'))), 'gxy1', '265 users are more than 200');
agrees('with a measured load');

#
# Counts between a change and its commit
#

# Has a count made now, which no open transaction of another session is part of.
sub count_again
{
	sql(q(SET gxy_balancer.load_max_age = '1ms';
		DO $$DECLARE
			before CONSTANT timestamptz := coalesce((SELECT max(counted_at) FROM _check_load_cache()), '-infinity');
		BEGIN
			FOR n IN 1 .. 100000 LOOP
				PERFORM get_or_assign_server(md5(before::text) || n);
				EXIT WHEN (SELECT max(counted_at) FROM _check_load_cache()) > before;
			END LOOP;
		END$$));
}

my $release = q(SELECT release_room('old1'), release_room('old2'), touch_room('old4', 2);
	UPDATE room_server_assignments SET gateway_name = 'gxy2' WHERE room_id = 'old3');
my $other = session($node);

for my $end ('COMMIT', "PREPARE TRANSACTION 'p'", 'ROLLBACK')
{
	start('assigned_at, last_used_at', 'now(), now()');
	$other->query_safe("BEGIN; $release");
	count_again();
	$other->query_safe($end);
	sql(q(COMMIT PREPARED 'p')) if $end =~ /PREPARE/;
	agrees("rooms leave, a count, $end");
}

# What was counted when the change was made has expired when it is committed.
sql(q(ALTER DATABASE postgres SET gxy_balancer.assignment_grace = '1s'));
$other->quit;
for my $end ('COMMIT', "PREPARE TRANSACTION 'p'")
{
	$other = session($node);
	start('assigned_at, last_used_at', 'clock_timestamp(), clock_timestamp()');
	wait_until($node, 'postgres', q(SELECT bool_and(last_used_at < clock_timestamp() - interval '1 s') FROM room_server_assignments));
	$other->query_safe('BEGIN; SELECT clean_inactive_assignments()');
	count_again();
	$other->query_safe($end);
	sql(q(COMMIT PREPARED 'p')) if $end =~ /PREPARE/;
	is(sql('SELECT * FROM _check_load_cache() WHERE NOT usable OR cached_rooms <> rooms OR cached_load < 0'),
		'', "a cleanup, a count, $end: nothing is subtracted twice");
	is(sql(q(SELECT cached_load FROM _check_load_cache() WHERE server = 'gxy1')),
		10 * sql(q(SELECT count(*) FROM room_server_assignments WHERE gateway_name = 'gxy1')), 'only new rooms count');
	$other->quit;
}
sql(q(ALTER DATABASE postgres RESET gxy_balancer.assignment_grace));

# Users who were expected beyond the reported ones are so until join_window is over.
sql(q(ALTER DATABASE postgres SET gxy_balancer.join_window = '1s'));
for my $change (q(SELECT release_room('old1'), release_room('old2'), touch_room('old4', 2)), q(SELECT touch_room('old1', 15), touch_room('old2', 0); SELECT clean_inactive_assignments('0')))
{
	$other = session($node);
	start('assigned_at, last_used_at, expected_users, reported_users', 'clock_timestamp(), clock_timestamp(), 20, 7');
	$other->query_safe("BEGIN; $change");
	wait_until($node, 'postgres', q(SELECT bool_and(assigned_at < clock_timestamp() - interval '1 s') FROM room_server_assignments));
	count_again();
	$other->query_safe('COMMIT');
	agrees("reported users, join_window ends, a count, COMMIT of $change");
	$other->quit;
}
sql(q(ALTER DATABASE postgres RESET gxy_balancer.join_window));

# Nothing is known of the first count while it is made: what changes meanwhile is rather too much than too little.
start('assigned_at, last_used_at, reported_users', "now(), now(), 1");
$node->restart;
sql(q(SET client_min_messages = error; BEGIN; SELECT touch_room('old' || i, 50) FROM generate_series(1, 10) i;
	SELECT touch_room('old11', 0); SELECT get_or_assign_server('new'); COMMIT));
not_below('users are reported in the transaction that makes the first count');

#
# Attached sessions: an empty room counts until join_window is over
#

sql(q(
	CREATE TABLE sessions (room_id text, user_id int, gateway_name text);
	CREATE FUNCTION is_held() RETURNS bool LANGUAGE plpgsql AS $$BEGIN
		IF current_setting('test.hold', true) = 'on' THEN
			PERFORM pg_advisory_xact_lock_shared(1);
		END IF;
		RETURN true;
	END$$;
	CREATE VIEW held_sessions AS SELECT * FROM sessions WHERE is_held();
	INSERT INTO sessions VALUES ('elsewhere', 1, 'gxy2');
	SELECT attach_sessions('held_sessions');
	ALTER DATABASE postgres SET gxy_balancer.join_window = '1s'));
start('assigned_at, last_used_at', 'clock_timestamp(), clock_timestamp()');
is(sql(q(SELECT cached_load FROM _check_load_cache() WHERE server = 'gxy1')), 200, 'rooms are counted as new');
wait_until($node, 'postgres', q(SELECT bool_and(assigned_at < clock_timestamp() - interval '1 s') FROM room_server_assignments));

# One session frees the rooms, another one counts, and is stopped after its snapshot was taken until the first has committed.
my ($freeing, $counting, $holding) = map { session($node) } 1 .. 3;

$holding->query_safe('SELECT pg_advisory_lock(1)');
$freeing->query_safe(q(BEGIN; DELETE FROM room_server_assignments WHERE room_id LIKE 'old%'));
$counting->query_until(qr/sent/, qq(SET test.hold = on; SET gxy_balancer.load_max_age = '1ms';\n\\echo sent\nSELECT get_or_assign_server('counting');\n));
wait_for_waiters($node, 1);
$freeing->query_safe('COMMIT');
$holding->query_safe('SELECT pg_advisory_unlock(1)');
$counting->query_safe('SELECT 1');
agrees('rooms that were counted as new leave while a count runs that does not count them so');
$_->quit for $freeing, $counting, $holding;

# Before the first count it is not known what that will have: here nothing, because the rooms are old.
sql(q(INSERT INTO room_server_assignments (gateway_name, room_id, assigned_at) SELECT 'gxy1', 'old' || i, now() - interval '1 h' FROM generate_series(1, 20) i));
$node->restart;
$freeing = session($node);
$freeing->query_safe(q(SET client_min_messages = error; BEGIN; DELETE FROM room_server_assignments WHERE gateway_name = 'gxy1'));
count_again();
$freeing->query_safe('COMMIT');
not_below('rooms leave, the first count after a start, COMMIT');
$freeing->quit;

$node->stop;
done_testing();
