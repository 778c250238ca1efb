# The load cache in shared memory: new rooms placed without a count for each room
# (gxy_balancer.load_max_age).
#
# _check_load_cache() compares the cache with a count; each section ends with that comparison. With a
# load_max_age of an hour the baseline stays, so a correct figure shows that the transactions
# themselves updated the cache. With a millisecond the baseline is counted again all the time, which
# tests transactions that are in flight during a count.
use strict;
use warnings FATAL => 'all';

use Cwd;
use FindBin;
use lib $FindBin::Bin;
use GxyBalancer;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# No process for the worker, which would free rooms in between.
# load_max_age is longer than the machine has been up: a count that has expired is due all the same.
my $node = new_server('main', 'max_prepared_transactions = 10',
	'max_connections = 60', 'max_worker_processes = 1', "gxy_balancer.load_max_age = '20d'");

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sub agrees
{
	my ($what) = @_;

	is( sql(q{SELECT server, usable, cached_rooms, rooms, cached_load, load FROM _check_load_cache()
		WHERE NOT usable OR cached_rooms <> rooms OR cached_load <> load}),
		'', "$what: the load cache agrees with the tables");
}

# The loads by the cache.
sub rooms_on
{
	return sql("SELECT cached_rooms FROM _check_load_cache() WHERE server = '$_[0]'");
}

# The interval between two counts depends on how long a count takes. Repeats the step until a count
# has been made.
sub until_counted
{
	my ($step) = @_;
	my $query = 'SELECT max(counted_at) FROM _check_load_cache()';
	my $last = sql($query);
	my $end = time() + $PostgreSQL::Test::Utils::timeout_default;

	do
	{
		die 'no count is made any more' if time() > $end;
		$step->();
	} while (sql($query) eq $last);
	return;
}

# Whether there is a count that is not due to be made again at once.
sub counted
{
	return sql('SELECT bool_and(usable AND counted_at IS NOT NULL) FROM _check_load_cache()');
}

# The locks under which a room is placed, as a transaction has them after its statements; it is committed.
sub locks_after
{
	my @statements = @_;
	my @lines = split /\n/, sql(join('; ', 'BEGIN', @statements, q{SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid()
		AND locktype = 'object' AND 'room_server_assignments'::regclass IN (classid, objid)}, 'COMMIT'));

	return $lines[-1];
}

sub recount
{
	my ($settings) = @_;

	until_counted(sub {
		sql(join('; ', $settings // (), q{SET gxy_balancer.load_max_age = '1ms'}, q{SELECT get_or_assign_server('recount')},
				q{SELECT release_room('recount')}));
	});
	return;
}

# The next new room counts again: a count made inside a transaction that was rolled back is not used
# longer than necessary.
sub outdate
{
	sql(q{SET statement_timeout = '60s'; DO $$BEGIN
		WHILE EXISTS (SELECT FROM _check_load_cache() WHERE NOT usable OR counted_at IS NOT NULL) LOOP
			BEGIN
				SET LOCAL gxy_balancer.load_max_age = '1ms';
				INSERT INTO marks DEFAULT VALUES;
				PERFORM get_or_assign_server('counting');
				RAISE EXCEPTION 'back';
			EXCEPTION WHEN raise_exception THEN
			END;
		END LOOP;
	END$$});
	return;
}

sub prepare
{
	my ($gid, @statements) = @_;

	sql(join(";\n", 'BEGIN', @statements, "PREPARE TRANSACTION '$gid'"));
}

#
# Counting
#

sql(q{
	SELECT init_servers('gxy1,gxy2,gxy3');
	CREATE TABLE sessions (room_id int, user_id int, gateway_name text);
	CREATE TABLE marks ();
	CREATE SEQUENCE rooms START 1000;
	SELECT attach_sessions('sessions');
	INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('before', 'gxy1');
});
is(sql('SELECT bool_or(usable) FROM _check_load_cache()'), 'f', 'no count before the first new room');
is(sql('SELECT get_or_assign_server(1)'), 'gxy2', 'the first new room counts');
agrees('after the first new room');
sql(q{INSERT INTO sessions SELECT 1, i, 'gxy2' FROM generate_series(1, 100) i});
is(sql('SELECT get_or_assign_server(2), get_or_assign_server(3)'), 'gxy3|gxy1', 'a count that is new enough is not made again');
is(sql(q{SET gxy_balancer.load_max_age = 0; SELECT get_or_assign_server(4)}), 'gxy3', 'at 0 every new room is counted for');
is(sql('SELECT get_or_assign_server(5)'), 'gxy2', 'and others go on by the old count, that room included');
sql(q{SELECT release_room(5); TRUNCATE sessions});
recount();
agrees('after a recount');

#
# Transactions
#

my $open = session($node);

$open->query_safe('BEGIN; SELECT get_or_assign_server(10), get_or_assign_server(11)');
is(rooms_on('gxy2'), 2, 'an open assignment counts');
$open->query_safe('SAVEPOINT a; SELECT get_or_assign_server(12), get_or_assign_server(13), get_or_assign_server(14)');
recount();
agrees('open assignments while a count is made');
$open->query_safe('ROLLBACK TO a');
agrees('a savepoint rolled back');
$open->query_safe('SAVEPOINT b; SELECT get_or_assign_server(12); RELEASE b; SELECT release_room(10), release_room(1)');
is(rooms_on('gxy2'), 2, 'an open release does not count for others');
is($open->query_safe('SELECT get_or_assign_server(15)'), 'gxy2', 'but for the transaction itself');
$open->query_safe('COMMIT');
agrees('after COMMIT');
$open->query_safe('BEGIN; SELECT get_or_assign_server(20), get_or_assign_server(21), release_room(2); ROLLBACK');
agrees('after ROLLBACK');
$open->query_safe('BEGIN; SELECT get_or_assign_server(22), get_or_assign_server(23)');
recount();
$open->query_safe('COMMIT');
agrees('a commit after the count that saw it open');
recount();
agrees('and a count of what was committed');

# The transaction counts in the middle of its own changes.
$open->query_safe("BEGIN; SET LOCAL gxy_balancer.load_max_age = '1ms'; SELECT release_room(11)");
until_counted(sub { $open->query_safe(q{SELECT get_or_assign_server(nextval('rooms'))}) });
agrees('a count by a transaction that has changed something');
$open->query_safe('COMMIT');
agrees('the same committed');

is( sql(q{DO $$BEGIN
		PERFORM get_or_assign_server(24); PERFORM get_or_assign_server(25); RAISE EXCEPTION 'taken back';
	EXCEPTION WHEN raise_exception THEN NULL; END$$}),
	'', 'an exception block takes assignments back');
agrees('an exception caught');

# A count sees sessions that its own transaction has written. What is rolled back with them makes another one due; what is
# rolled back without them does not.
my $count = sub { until_counted(sub { $open->query_safe(q{SELECT get_or_assign_server(nextval('rooms'))}) }) };
my $write = 'INSERT INTO sessions VALUES (2, 1)';

$open->query_safe("BEGIN; SET LOCAL gxy_balancer.load_max_age = '1ms'; $write");
$count->();
$open->query_safe(q{SAVEPOINT c; INSERT INTO marks DEFAULT VALUES; ROLLBACK TO c});
is(counted(), 't', 'a count outlives a savepoint that began after it');
$open->query_safe('SAVEPOINT c');
$count->();
$open->query_safe('ROLLBACK TO c');
is(counted(), 't', 'and one that had written nothing before');
$open->query_safe("SAVEPOINT c; $write");
$count->();
$open->query_safe('ROLLBACK TO c');
is(counted(), 'f', 'but not one that had');
$open->query_safe("SAVEPOINT c; $write");
$count->();
$open->query_safe('RELEASE c');
is(counted(), 't', 'a savepoint released takes nothing back');
$open->query_safe('ROLLBACK');
is(counted(), 'f', 'until its transaction is rolled back');
recount();
agrees('sessions of a count that was rolled back');
$open->query_safe("BEGIN; SET LOCAL gxy_balancer.load_max_age = '1ms'; $write");
$count->();
recount();
$open->query_safe('ROLLBACK');
is(counted(), 't', 'nor does a rollback take back the count that another transaction has made since');
$open->query_safe("BEGIN; SET LOCAL gxy_balancer.load_max_age = '1ms'; $write");
$count->();
$open->query_safe("PREPARE TRANSACTION 'counted'");
is(counted(), 'f', 'what is prepared may be rolled back');
sql("ROLLBACK PREPARED 'counted'");
recount();

my $pid = $open->query_safe('SELECT pg_backend_pid()');

$open->query_safe('BEGIN; SELECT get_or_assign_server(26), get_or_assign_server(27)');
sql("SELECT pg_terminate_backend($pid)");
wait_until($node, 'postgres', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)");
agrees('a session terminated');
eval { $open->quit };

#
# Prepared transactions
#

prepare('kept', 'SELECT get_or_assign_server(30)', 'SAVEPOINT a', 'SELECT get_or_assign_server(31), release_room(3)');
agrees('a prepared transaction');
recount();
agrees('a count beside a prepared transaction');
sql("COMMIT PREPARED 'kept'");
agrees('COMMIT PREPARED');
prepare('undone', 'SELECT get_or_assign_server(32), get_or_assign_server(33), release_room(4)');
sql("ROLLBACK PREPARED 'undone'");
agrees('ROLLBACK PREPARED');
prepare('survivor', 'SELECT get_or_assign_server(34)', 'SAVEPOINT a', 'SELECT get_or_assign_server(35), get_or_assign_server(36)');
prepare('loser', 'SELECT get_or_assign_server(37), get_or_assign_server(38)');
sql(q{SELECT get_or_assign_server('removed'), get_or_assign_server('moved'), get_or_assign_server('kept')});
prepare('removal', q{DELETE FROM room_server_assignments WHERE room_id = 'removed'});
prepare('move', q{UPDATE room_server_assignments SET gateway_name = 'gxy3' WHERE room_id = 'moved'});
prepare('undone removal', q{DELETE FROM room_server_assignments WHERE room_id = 'kept'});
$node->restart;
is(sql('SELECT bool_or(usable) FROM _check_load_cache()'), 'f', 'a restart forgets the load cache');
prepare('told', "INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('told', 'gxy1')");
sql('SELECT get_or_assign_server(39)');
agrees('prepared transactions after a restart');
sql("COMMIT PREPARED 'survivor'");
agrees('COMMIT PREPARED after a restart');
sql("ROLLBACK PREPARED 'loser'");
agrees('ROLLBACK PREPARED after a restart');
sql("COMMIT PREPARED 'told'");
agrees('COMMIT PREPARED of what the load cache was told after the restart');
for my $gid ('removal', 'move')
{
	sql("COMMIT PREPARED '$gid'");
	# The first caller meets the end of that transaction, the second counts again.
	sql(q{SELECT get_or_assign_server(nextval('rooms'))}) for 1 .. 2;
	agrees("COMMIT PREPARED of a $gid from before the restart");
}
sql("ROLLBACK PREPARED 'undone removal'");
agrees('ROLLBACK PREPARED of a removal from before the restart');
prepare('nothing', 'INSERT INTO marks DEFAULT VALUES', 'SAVEPOINT a', q{SELECT get_or_assign_server(nextval('rooms'))}, 'ROLLBACK TO a');
agrees('a prepared transaction whose rooms were rolled back before');
sql("COMMIT PREPARED 'nothing'");

#
# The application's own statements
#

sql(q{
	INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('a', 'gxy3'), ('b', 'gxy3'), ('c', 'gxy3');
	INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('a', 'gxy1'), ('d', 'gxy1')
		ON CONFLICT (room_id) DO UPDATE SET gateway_name = excluded.gateway_name;
	INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('a', 'gxy2') ON CONFLICT DO NOTHING;
	UPDATE room_server_assignments SET gateway_name = 'gxy2', last_used_at = now() WHERE room_id IN ('b', 'c');
	UPDATE room_server_assignments SET last_used_at = now();
	DELETE FROM room_server_assignments WHERE room_id = 'd';
});
agrees('INSERT, upsert, UPDATE, DELETE');
sql(q{BEGIN; DELETE FROM room_server_assignments; INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('e', 'gxy1'); ROLLBACK});
agrees('the same rolled back');
sql(q{SET session_replication_role = replica; DELETE FROM room_server_assignments WHERE room_id = 'a'});
agrees('as a replication worker');
is(sql(q{BEGIN; TRUNCATE room_server_assignments; SELECT get_or_assign_server('f'); ROLLBACK}), 'gxy1',
	'a TRUNCATE counts for its own transaction');
agrees('a TRUNCATE rolled back');
sql('TRUNCATE room_server_assignments');
is(sql('SELECT get_or_assign_server(40)'), 'gxy1', 'a TRUNCATE has the next room counted for');
agrees('after a TRUNCATE');
prepare('emptied', 'TRUNCATE room_server_assignments');
sql("COMMIT PREPARED 'emptied'");
is(sql('SELECT get_or_assign_server(41)'), 'gxy1', 'so does one that was prepared');
sql('SELECT get_or_assign_server(42)');
agrees('after a prepared TRUNCATE');
sql(q{SELECT count(get_or_assign_server(i)) FROM generate_series(50, 70) i; SELECT clean_inactive_assignments('0')});
agrees('after a cleanup');
is(rooms_on('gxy1'), 0, 'a cleanup leaves nothing');

#
# Rooms in progress
#

sql(q{INSERT INTO sessions VALUES (80, 1, 'gxy3'), (80, 2, 'gxy3'), (81, 3, 'gxy3'), (82, 4, 'gxy3')});
recount();
is(locks_after('SELECT get_or_assign_server(79)'), 0, 'a room placed by the load cache leaves no lock');
is(locks_after('SELECT get_or_assign_server(80)'), 0, 'nor does one in progress');
is(sql('SELECT get_or_assign_server(80)'), 'gxy3', 'a room that the count has seen in progress goes where its sessions are');
sql('SELECT release_room(80)');
is(sql('SELECT get_or_assign_server(80)'), 'gxy3', 'so does one that was released');
sql(q{DELETE FROM room_server_assignments WHERE room_id = '80'});
is(sql('SELECT get_or_assign_server(80)'), 'gxy3', 'one that was deleted');
sql(q{UPDATE room_server_assignments SET room_id = '83' WHERE room_id = '80'});
is(sql('SELECT get_or_assign_server(80)'), 'gxy3', 'and one whose row was made another room\'s');
$open = session($node);
$open->query_safe('BEGIN; SELECT release_room(80)');
recount();
$open->query_safe('COMMIT');
is(sql('SELECT get_or_assign_server(80)'), 'gxy3', 'a release that a count saw open');
$open->quit;
sql(q{INSERT INTO sessions SELECT 84, i, 'gxy2' FROM generate_series(1, 20) i});
recount();
sql(q{SELECT pin_room(84, 'gxy2', 50), get_or_assign_server(84)});
agrees('a room in progress whose pin names its size');
sql(q{SELECT unpin_room(84)});
sql('TRUNCATE sessions, room_server_assignments');

#
# Other settings, another pool, and counts that fail
#

recount();
is(sql(q{INSERT INTO balancer_servers (name) VALUES ('gxy4');
	INSERT INTO room_server_assignments (room_id, gateway_name) SELECT i, 'gxy' || i FROM generate_series(1, 3) i;
	SELECT get_or_assign_server(90)}), 'gxy4', 'a new server is used at once');
is(sql(q{SET gxy_balancer.avg_room_occupancy = 20; SELECT get_or_assign_server(91)}), 'gxy1', 'other settings are followed');
recount();
agrees('after other settings');

# A count is valid for the settings and the pool it was made with. Changes each setting that affects
# a load, which makes a new count necessary, and resets it.
sql('CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.sessions (LIKE sessions); CREATE VIEW users_in_rooms AS SELECT * FROM sessions');

sub usable_after
{
	my ($statement) = @_;
	my @lines = split /\n/, sql("BEGIN; $statement; SELECT bool_and(usable) FROM _check_load_cache(); ROLLBACK");

	return $lines[-1];
}

sql('SELECT get_or_assign_server(92)');
is(usable_after('SELECT 1'), 't', 'a count made for the settings in force is of use');
is(usable_after($_), 'f', "but not after $_")
  for 'SET LOCAL gxy_balancer.avg_room_occupancy = 20', q{SET LOCAL gxy_balancer.join_window = '1min'},
  'SET LOCAL gxy_balancer.strategy = sequential', q{SET LOCAL gxy_balancer.assignment_grace = '1min'},
  q{SET LOCAL gxy_balancer.dead_session_timeout = '1min'}, q{SELECT attach_sessions('users_in_rooms')},
  q{SELECT attach_sessions('elsewhere.sessions')}, q{INSERT INTO balancer_servers (name) VALUES ('gxy5')};
sql('DROP VIEW users_in_rooms; DROP SCHEMA elsewhere CASCADE');

# The cache keeps both rooms and users, so it serves either load_metric.
sql(q{
	TRUNCATE room_server_assignments;
	INSERT INTO room_server_assignments (room_id, gateway_name, expected_users)
		VALUES ('large', 'gxy1', 1000), ('a', 'gxy2', 1), ('b', 'gxy2', 1), ('c', 'gxy3', 1), ('d', 'gxy3', 1), ('e', 'gxy4', 1), ('f', 'gxy4', 2);
});
recount();
my $last = sql('SELECT max(counted_at) FROM _check_load_cache()');
is(sql(q{SET gxy_balancer.load_metric = rooms; SELECT get_or_assign_server('by rooms')}), 'gxy1', 'a load in rooms is that of the fewest rooms');
is(sql(q{SELECT get_or_assign_server('by users')}), 'gxy2', 'and one in users that of the fewest users');
is(sql('SELECT max(counted_at) FROM _check_load_cache()'), $last, 'by one and the same count');

# Rooms of a server that is not in the pool are not counted.
sql(q{
	INSERT INTO room_server_assignments (room_id, gateway_name) SELECT 'early' || i, 'gxy5' FROM generate_series(1, 3) i;
	SELECT get_or_assign_server('early');
});
recount();
sql(q{INSERT INTO balancer_servers (name) VALUES ('gxy5'); SELECT get_or_assign_server('new server')});
is(rooms_on('gxy5'), 3, 'a server that had rooms before it was in the pool has them in the load cache');
agrees('with a server that had rooms before');
sql(q{TRUNCATE room_server_assignments; DELETE FROM balancer_servers WHERE name = 'gxy5'});
recount();
sql('ALTER TABLE sessions RENAME TO gone');

my $end = time() + $PostgreSQL::Test::Utils::timeout_default;
my $state;

do
{
	(undef, $state) = attempt($node, q{SET gxy_balancer.load_max_age = '1ms'; SELECT get_or_assign_server(nextval('rooms'))});
} while ($state eq '' && time() < $end);
is($state, '55000', 'the session that counts without sessions gets the error');
isnt(sql('SELECT get_or_assign_server(93)'), '', 'others go on by the last count');
sql('ALTER TABLE gone RENAME TO sessions');
agrees('after a count that failed');
recount();
agrees('and one that did not');

#
# A server that has failed
#

sql(q{
	SET gxy_balancer.failover_delay = 0;
	TRUNCATE room_server_assignments;
	DELETE FROM balancer_servers;
	INSERT INTO balancer_servers (name, pool) VALUES ('gxy1', 'primary'), ('spare1', 'standby'), ('spare2', 'standby');
	SELECT get_or_assign_server(i) FROM generate_series(1, 3) i;
	INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('of fewer users', 'spare2');
});
recount();
is(sql(q{SET gxy_balancer.failover_delay = 0; SELECT set_server_state('gxy1', 'offline'); SELECT get_or_assign_server(94)}),
	"offline\nspare2", 'a claim counts for the load cache before the rooms have been moved');
is(rooms_on('spare1'), 3, 'they are where the claim says');
agrees('with a claim');
sql(q{TRUNCATE room_server_assignments; DELETE FROM balancer_servers; SELECT init_servers('gxy1,gxy2,gxy3')});
recount();

#
# Backends stopped at points where no lock can stop them
#

my $flags = PostgreSQL::Test::Utils::tempdir;
my $library = Cwd::getcwd() . '/test/load_cache/late';

sub flag
{
	my ($name) = @_;

	open my $file, '>', "$flags/$name" or die $!;
	close $file;
	return "$flags/$name";
}

# A session that counts, because a count is due, and stops in the middle.
sub start_counting
{
	my $flag = flag('count');
	my $session = session($node);
	my $pid = $session->query_safe('SELECT pg_backend_pid()');

	$session->query_until(qr/counting/,
		"SET cache.hold_up = '$flag';\n\\echo counting\nSELECT get_or_assign_server(nextval('rooms'));\n\\echo done\n");
	wait_until($node, 'postgres', "SELECT (pg_stat_file('$flag.reached', true)).size IS NOT NULL");
	unlink "$flag.reached";
	return ($session, $pid, $flag);
}

# A session whose transaction is committed and visible to others, but has not yet updated the cache.
# A count is due.
sub start_committing
{
	my ($room) = @_;
	my $flag = flag('commit');
	my $session = session($node);

	$session->query_safe("SELECT get_or_assign_server('before $room')");
	$session->query_safe("BEGIN; SELECT get_or_assign_server('$room'), commit_late('$flag')");
	outdate();
	$session->query_until(qr/committing/, "\\echo committing\nCOMMIT;\n\\echo done\n");
	wait_until($node, 'postgres', "SELECT count(*) = 1 FROM room_server_assignments WHERE room_id = '$room'");
	return ($session, $flag);
}

# Resumes a session and waits until it has ended.
sub let_go
{
	my ($session, $flag) = @_;

	unlink $flag;
	$session->query_until(qr/done/, "\n");
	$session->quit;
	return;
}

system_or_bail('make', '-s', '-C', $library, 'PG_CONFIG=' . ($ENV{PG_CONFIG} // 'pg_config'));
sql(qq{
	CREATE FUNCTION commit_late(text) RETURNS void LANGUAGE c AS '$library/late';
	CREATE FUNCTION wait_while_exists(text) RETURNS void LANGUAGE c AS '$library/late';
	CREATE FUNCTION held_up() RETURNS boolean LANGUAGE plpgsql STABLE AS \$\$
	BEGIN
		IF current_setting('cache.hold_up', true) <> '' THEN
			PERFORM public.wait_while_exists(current_setting('cache.hold_up'));
		END IF;
		RETURN true;
	END\$\$;
	CREATE VIEW slow_sessions AS SELECT * FROM sessions WHERE held_up();
	SELECT attach_sessions('slow_sessions');
});

my ($committing, $commit_flag) = start_committing('committed');
sql(q{SELECT get_or_assign_server('beside')});
is(sql('SELECT max(counted_at) FROM _check_load_cache()'), '', 'a count that has seen what is yet to be told is not installed');
agrees('beside a commit that is yet to be told');
let_go($committing, $commit_flag);
agrees('when it is told');
recount();
agrees('a count thereafter');

($committing, $commit_flag) = start_committing('told');
my ($counting, $count_pid, $count_flag) = start_counting();
let_go($committing, $commit_flag);
let_go($counting, $count_flag);
agrees('a commit told in the middle of the count that has seen it');

outdate();
sql(q{INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('settled before', 'gxy1')});
($counting, $count_pid, $count_flag) = start_counting();
sql(q{SELECT get_or_assign_server('meanwhile')});
sql("SELECT pg_terminate_backend($count_pid)");
wait_until($node, 'postgres', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $count_pid)");
unlink $count_flag;
eval { $counting->quit };
agrees('the session that counts is terminated');
recount();
agrees('and another session counts');

# There is a minimum interval between two counts, so that a large table is not read all the time.
# The test only has a lower limit for a count's duration: the count had begun before the first look
# at the clock and ended after the second.
sub hold_up_count
{
	my ($rooms) = @_;

	outdate();

	my ($counting, $pid, $flag) = start_counting();
	my $from = sql('SELECT clock_timestamp()');

	sql(q{SELECT get_or_assign_server(nextval('rooms'))}) for 1 .. $rooms;

	my $took = sql("SELECT clock_timestamp() - '$from'");

	let_go($counting, $flag);
	return ($took, sql('SELECT max(counted_at) FROM _check_load_cache()'));
}

# A count by other settings is of no use, though there can be no other for now: the first two servers change places.
sql(q{TRUNCATE room_server_assignments; INSERT INTO room_server_assignments (room_id, gateway_name, expected_users)
	VALUES ('average', 'gxy1', NULL), ('of 15', 'gxy2', 15), ('large', 'gxy3', 100)});
recount();
outdate();
($counting, $count_pid, $count_flag) = start_counting();
is(sql(q{SET gxy_balancer.avg_room_occupancy = 20; SELECT get_or_assign_server('by other settings')}), 'gxy2',
	'while another one counts, rooms by other settings are counted for');
let_go($counting, $count_flag);

(my $took, $last) = hold_up_count(1);
recount();
is(sql("SELECT max(counted_at) - '$last' >= 20 * interval '$took' FROM _check_load_cache()"), 't', 'counts take a twentieth of the time');
($took, $last) = hold_up_count(10);
recount('SET gxy_balancer.avg_room_occupancy = 20');
is(sql("SELECT max(counted_at) - '$last' >= 2 * interval '$took' FROM _check_load_cache()"), 't', 'and a third, where settings differ');
recount();

# The first new room that finds the count older than load_max_age makes another. Only if the last one took 50 ms, which
# it does on a busy machine, the next is due later.
sub counted_when_due
{
	my $before = sql('SELECT max(counted_at) FROM _check_load_cache()');

	sql(qq{SET gxy_balancer.load_max_age = '1s'; DO \$\$BEGIN
		WHILE clock_timestamp() < timestamptz '$before' + interval '1 s' LOOP PERFORM pg_sleep(0.01); END LOOP;
	END\$\$; SELECT get_or_assign_server(nextval('rooms'))});
	return sql("SELECT max(counted_at) > '$before' FROM _check_load_cache()") eq 't';
}

my $tries = 0;
recount() until counted_when_due() || ++$tries == 5;
cmp_ok($tries, '<', 5, 'and one is made as soon as it is due');
sql(q{SELECT attach_sessions('sessions')});

# A transaction is prepared, and visible as such, before the cache has its changes in the list of
# prepared transactions. The first count after a restart collects the rows of prepared transactions,
# and may run in between.
$node->restart;

my $preparing = session($node);
my $prepare_flag = flag('prepare');

$preparing->query_safe(qq{BEGIN; INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('late', 'gxy1');
	SELECT commit_late('$prepare_flag')});
$preparing->query_until(qr/preparing/, "\\echo preparing\nPREPARE TRANSACTION 'late';\n\\echo done\n");
wait_until($node, 'postgres', "SELECT count(*) = 1 FROM pg_prepared_xacts WHERE gid = 'late'");
sql(q{SELECT get_or_assign_server('beside a late one')});
isnt(sql('SELECT max(counted_at) FROM _check_load_cache()'), '', 'a count is made beside a transaction that is being prepared');
agrees('which is told once, in flight');
let_go($preparing, $prepare_flag);
agrees('and when it is in the list');
sql("COMMIT PREPARED 'late'");
agrees('and when it has been committed');

#
# What takes more memory than there was
#

prepare('deep', q{DO $$BEGIN
	FOR i IN 1 .. 1100 LOOP
		BEGIN
			PERFORM get_or_assign_server(nextval('rooms'));
		EXCEPTION WHEN raise_exception THEN
		END;
	END LOOP;
END$$});
agrees('a prepared transaction with many savepoints');
sql("ROLLBACK PREPARED 'deep'");
agrees('the same rolled back');

sql(q{TRUNCATE room_server_assignments; INSERT INTO balancer_servers (name) SELECT 'many' || i FROM generate_series(1, 117) i});
recount();
outdate();
sql(q{SELECT attach_sessions('slow_sessions')});
outdate();
($counting, $count_pid, $count_flag) = start_counting();
prepare("part $_", q{SELECT count(get_or_assign_server(nextval('rooms'))) FROM generate_series(1, 120)}) for 1 .. 9;
agrees('prepared transactions that change each of many servers');
let_go($counting, $count_flag);
agrees('also to a count that was under way');
sql(q{SELECT count(get_or_assign_server(nextval('rooms'))) FROM generate_series(1, 120)});
ok(even($node), 'beside which rooms are spread evenly') or diag(spread($node));
sql("COMMIT PREPARED 'part $_'") for 1 .. 3;
sql(q{SELECT get_or_assign_server(nextval('rooms'))});
agrees('when some have ended');
sql("ROLLBACK PREPARED 'part $_'") for 4 .. 6;
sql("COMMIT PREPARED 'part $_'") for 7 .. 9;
agrees('when all have ended');
sql(q{TRUNCATE room_server_assignments; DELETE FROM balancer_servers WHERE name LIKE 'many%'});

sql(q{TRUNCATE sessions; INSERT INTO sessions SELECT i, i, 'gxy' || i % 3 + 1 FROM generate_series(200001, 217000) i});
recount();
is( sql(q{SELECT count(*) FILTER (WHERE get_or_assign_server(i) <> 'gxy' || i % 3 + 1) FROM generate_series(200001, 217000, 850) i}),
	'0', 'many rooms in progress go where their sessions are');
sql('TRUNCATE sessions, room_server_assignments');
recount();

#
# Many clients
#

sub run_clients
{
	my ($what, $max_age, $transactions, $script) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir . '/script.sql';
	my ($report, $errors) = ('', '');
	local $ENV{PGOPTIONS} = "-c gxy_balancer.load_max_age=$max_age";

	open my $out, '>', $file or die $!;
	print $out $script;
	close $out;
	IPC::Run::run [ 'pgbench', '-n', '-c', 32, '-j', 2, '-t', $transactions, '-f', $file, $node->connstr('postgres') ],
	  '>', \$report, '2>', \$errors;

	my $all = 32 * $transactions;

	like($report, qr{transactions actually processed: $all/$all\b}, "$what: every transaction succeeds") or diag($errors);
}

for my $max_age ('1h', '1ms')
{
	sql('DELETE FROM room_server_assignments');
	recount();
	run_clients("new rooms at $max_age", $max_age, 100, "SELECT get_or_assign_server(nextval('rooms'));\n");
	ok(even($node), "new rooms at $max_age: the servers differ by at most one room") or diag(spread($node));
	agrees("new rooms at $max_age");

	sql('DELETE FROM room_server_assignments');
	run_clients("new rooms held open at $max_age", $max_age, 30,
		"BEGIN;\nSELECT get_or_assign_server(nextval('rooms'));\n\\sleep 2 ms\nCOMMIT;\n");
	ok(even($node), "new rooms held open at $max_age: the servers differ by at most one room") or diag(spread($node));
	agrees("new rooms held open at $max_age");

	run_clients("rooms that come and go at $max_age", $max_age, 100, <<'SCRIPT');
\set room random(1, 200)
\set what random(1, 6)
BEGIN;
SELECT get_or_assign_server(:room);
\if :what = 1
ROLLBACK;
\elif :what = 2
SELECT release_room(:room);
COMMIT;
\elif :what = 3
SAVEPOINT a;
SELECT get_or_assign_server(nextval('rooms'));
ROLLBACK TO a;
COMMIT;
\elif :what = 4
DELETE FROM room_server_assignments WHERE room_id = (:room)::text;
COMMIT;
\else
COMMIT;
\endif
SCRIPT
	agrees("rooms that come and go at $max_age");
}

#
# Many databases, servers, and rooms in progress
#

sql('DELETE FROM room_server_assignments');
for my $number (1 .. 12)
{
	sql("CREATE DATABASE other$number STRATEGY file_copy");
	is($node->safe_psql("other$number", 'CREATE EXTENSION gxy_balancer; SELECT get_or_assign_server(1)'), 'gxy1',
		"database $number has its first room");
	is($node->safe_psql("other$number", 'SELECT bool_and(usable) FROM _check_load_cache()'), 't', 'and its own load cache');
}
agrees('and this one has kept its own');

my $memory = q{SELECT bytes FROM balancer_memory WHERE database = 'postgres'};
my $before = sql($memory);

sql(q{
	INSERT INTO balancer_servers (name) SELECT 'many' || i FROM generate_series(1, 4997) i;
	TRUNCATE sessions;
	INSERT INTO sessions SELECT i, i, 'many' || i % 4997 + 1 FROM generate_series(300001, 400000) i;
});
recount();
is(sql(q{SELECT count(*), bool_and(usable) FROM _check_load_cache()}), '5000|t', 'five thousand servers are in the load cache');
is( sql(q{SELECT count(*) FILTER (WHERE get_or_assign_server(i) <> 'many' || i % 4997 + 1) FROM generate_series(300001, 400000, 5000) i}),
	'0', 'with a hundred thousand rooms in progress, which go where their sessions are');
cmp_ok(sql($memory), '>', $before + 100000 * 16, 'it has the memory for that');
sql('TRUNCATE sessions, room_server_assignments');
recount();
agrees('when they have gone');

#
# Less memory than that
#

# After a restart there is none but what the limit allows.
$node->append_conf('postgresql.conf', "gxy_balancer.max_shared_memory = '512kB'");
$node->restart;
$before = -s $node->logfile;
sql(q{SELECT get_or_assign_server(1)});

my $open_change = session($node);
my (undef, undef, $warning) = attempt($node, q{SELECT count(get_or_assign_server(i)) FROM generate_series(2, 40) i});

is(sql('SELECT shared_memory FROM balancer_stats'), 'gxy_balancer.max_shared_memory is used up', 'balancer_stats says that memory is short');
is(sql('SELECT placed_by_cache, placed_by_count > 0, counted_because FROM balancer_stats'),
	'0|t|there was no shared memory for the load cache', 'and that rooms are placed by counting for that reason');
my @warnings = slurp_file($node->logfile, $before) =~ /WARNING:  gxy_balancer: gxy_balancer.max_shared_memory is used up/g;
is(scalar @warnings, 1, 'and one WARNING has said it');
is(sql('SELECT max(rooms), min(rooms) FROM balancer_load WHERE rooms > 0'), '1|1', 'rooms are placed as evenly as ever');
$open_change->query_safe(q{BEGIN; INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('untold', 'many4997')});
$node->append_conf('postgresql.conf', "gxy_balancer.max_shared_memory = '64MB'");
$node->reload;
$node->poll_query_until('postgres', q{SELECT get_or_assign_server(nextval('rooms')) <> '' AND bytes > 1000000
	FROM balancer_memory WHERE what = 'limit'}) or die 'the limit is not raised';
sql(q{SELECT count(get_or_assign_server(nextval('rooms'))) FROM generate_series(1, 10)});
is(sql('SELECT shared_memory IS NULL FROM balancer_stats'), 't', 'with a higher limit there is memory');
is(sql('SELECT bool_or(usable) FROM _check_load_cache()'), 'f', 'but no count is of use while a change that was not told is open');
is(sql('SELECT counted_because FROM balancer_stats'), 'no count by these settings was ready', 'and balancer_stats says so');
is($node->safe_psql('other2', q{SELECT get_or_assign_server('beside') <> ''; SELECT bool_and(usable) FROM _check_load_cache()}), "t\nt",
	'which does not concern the other databases');
$open_change->query_safe('COMMIT');
sql(q{SELECT get_or_assign_server(nextval('rooms'))});
agrees('when it has ended');
$open_change->quit;
sql(q{TRUNCATE room_server_assignments; DELETE FROM balancer_servers WHERE name LIKE 'many%'});

# No memory for what a transaction changes that is prepared during a count: its rooms are in no count and in no list.
$node->append_conf('postgresql.conf', "gxy_balancer.max_shared_memory = '1MB'");
$node->restart;
sql(q{INSERT INTO balancer_servers (name) SELECT 'many' || i FROM generate_series(1, 1997) i; SELECT attach_sessions('slow_sessions')});
recount();
agrees('two thousand servers in one megabyte');
outdate();
($counting, $count_pid, $count_flag) = start_counting();
my @prepared;
while (@prepared < 9 && sql('SELECT shared_memory IS NULL FROM balancer_stats') eq 't')
{
	push @prepared, 'large ' . @prepared;
	prepare($prepared[-1], q{SELECT count(get_or_assign_server(nextval('rooms'))) FROM generate_series(1, 2000)});
}
is(@prepared && sql('SELECT shared_memory FROM balancer_stats'), 'gxy_balancer.max_shared_memory is used up',
	'there is no memory for the changes of ' . @prepared . ' prepared transactions');
let_go($counting, $count_flag);
is(sql('SELECT bool_or(usable) FROM _check_load_cache()'), 'f', 'a count beside them is not used');
sql("ROLLBACK PREPARED '$_'") for @prepared;
sql(q{SELECT get_or_assign_server('after large ones')});
agrees('but the first one after their end');
sql(q{DELETE FROM balancer_servers WHERE name LIKE 'many%'});
$node->append_conf('postgresql.conf', "gxy_balancer.max_shared_memory = '64MB'");

#
# A crash
#

$node->stop('immediate');
$node->start;
sql(q{SELECT get_or_assign_server('after a crash')});
agrees('after a crash');

done_testing();
