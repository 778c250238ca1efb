# A renewal does not wait for the disk, where it is all that its transaction has written.
#
# The WAL writer is stopped by a signal and nothing else on the server flushes WAL: so the flush position moves if, and
# only if, a transaction of the test has waited for the disk. Each case makes a lease due first.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use GxyBalancer;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('renewals', 'max_prepared_transactions = 10', 'autovacuum = off', 'bgwriter_lru_maxpages = 0',
	'checkpoint_timeout = 1h', 'max_wal_size = 4GB', 'wal_writer_delay = 10ms', "gxy_balancer.max_learned_rooms = 0");

$node->safe_psql('postgres', q{
	SELECT init_servers('a,b');
	CREATE TABLE app (id int PRIMARY KEY, room text, CONSTRAINT later UNIQUE (room) DEFERRABLE INITIALLY DEFERRED);
	INSERT INTO app VALUES (0, 'none');
	CREATE UNLOGGED TABLE scratch (id int);
	CREATE SEQUENCE numbers;
	CREATE FUNCTION call_in_a_block() RETURNS text LANGUAGE plpgsql AS $$
	BEGIN
		BEGIN
			RETURN get_or_assign_server('r');
		EXCEPTION WHEN division_by_zero THEN
			RETURN NULL;
		END;
	END$$;
	CREATE FUNCTION join_room() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM get_or_assign_server('r');
		RETURN NEW;
	END$$;
	CREATE TABLE joins (id int);
	CREATE TRIGGER join_room BEFORE INSERT ON joins FOR EACH ROW EXECUTE FUNCTION join_room();
	SELECT get_or_assign_server('r'), get_or_assign_server('s'), get_or_assign_server('t'), touch_room('s', 3);
	CHECKPOINT;});

my $walwriter = $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'");

stop_while_idle($node, $walwriter);
END { kill CONT => $walwriter if $walwriter; }

# Makes the leases due, runs statements in a session, and tells whether one of its commits has waited for the disk, and
# whether the lease of r was renewed.
sub commits
{
	my (@statements) = @_;
	my $out = $node->safe_psql('postgres', join "\n",
		"SET application_name = 'commits';",
		"UPDATE room_server_assignments SET assigned_at = now() - interval '1 minute', last_used_at = now() - interval '1 minute';",
		'SELECT pg_current_wal_flush_lsn() AS before \gset',
		'\o /dev/null', (map { "$_;" } @statements), '\o',
		q{SELECT CASE WHEN pg_current_wal_flush_lsn() > :'before' THEN 'durable' ELSE 'asynchronous' END,
			CASE WHEN last_used_at > now() - interval '30 seconds' THEN 'renewed' ELSE 'not renewed' END
			FROM room_server_assignments WHERE room_id = 'r';});

	return $out;
}

# The test itself: what PostgreSQL flushes by itself is seen, what it does not is not.
is(commits('INSERT INTO app VALUES (1)'), 'durable|not renewed', 'an INSERT');
is(commits('SET synchronous_commit = off', 'INSERT INTO app VALUES (2)'), 'asynchronous|not renewed',
	'an INSERT that is asked not to wait');

my $renewal = q{SELECT get_or_assign_server('r')};
my @alone = (
	[ 'a call', $renewal ],
	[ 'a touch', q{SELECT touch_room('r')} ],
	[ 'a touch that says nothing new', q{SELECT touch_room('r'), touch_room('s', 3)} ],
	[ 'a transaction block', 'BEGIN', $renewal, 'COMMIT' ],
	[ 'three rooms', q{SELECT get_or_assign_server(room) FROM unnest('{r,s,t}'::text[]) room} ],
	[ 'three calls', 'BEGIN', $renewal, q{SELECT touch_room('s')}, q{SELECT get_or_assign_server('t')}, 'COMMIT' ],
	[ 'a savepoint', 'BEGIN', 'SAVEPOINT a', $renewal, 'RELEASE a', 'COMMIT' ],
	[ 'an exception block', 'SELECT call_in_a_block()' ],
	[ 'a call beside reads', 'BEGIN', 'SELECT count(*) FROM app', $renewal, 'SELECT count(*) FROM balancer_load', 'COMMIT' ],
	[ 'REPEATABLE READ', 'BEGIN ISOLATION LEVEL REPEATABLE READ', $renewal, 'COMMIT' ],
	[ 'SERIALIZABLE', 'BEGIN ISOLATION LEVEL SERIALIZABLE', $renewal, 'COMMIT' ],
	[ 'synchronous_commit as high as it goes', 'SET synchronous_commit = remote_apply', $renewal ],
	[ 'a transaction that sets synchronous_commit', 'BEGIN', 'SET LOCAL synchronous_commit = on', $renewal, 'COMMIT' ],
	[ 'an unlogged table', 'BEGIN', 'INSERT INTO scratch VALUES (1)', $renewal, 'COMMIT' ]);

for my $case (@alone)
{
	my ($name, @statements) = @$case;

	# Twice: a query that reads a page for the first time may clear it of dead rows, which is written as well.
	commits(@statements);
	is(commits(@statements), 'asynchronous|renewed', "$name does not wait");
}

# So many that the row moves from page to page, into the index, and pages are cleared of its old versions.
is(commits('SET gxy_balancer.touch_interval = 0',
		qq{SELECT \$x\$$renewal\$x\$ FROM generate_series(1, 400) \\gexec\nSELECT 1}), 'asynchronous|renewed',
	'four hundred calls do not wait');

my $write = q{UPDATE app SET room = room || 'x' WHERE id = 0};
my @together = (
	[ 'a write before it', 'BEGIN', $write, $renewal, 'COMMIT' ],
	[ 'a write after it', 'BEGIN', $renewal, $write, 'COMMIT' ],
	[ 'a write between two', 'BEGIN', $renewal, $write, q{SELECT touch_room('s')}, 'COMMIT' ],
	[ 'a write in the same statement', qq{WITH w AS ($write RETURNING id) SELECT get_or_assign_server('r') FROM w} ],
	[ 'a write in a savepoint', 'BEGIN', $renewal, 'SAVEPOINT a', $write, 'RELEASE a', 'COMMIT' ],
	[ 'a write before it in a savepoint', 'BEGIN', 'SAVEPOINT a', $write, 'RELEASE a', $renewal, 'COMMIT' ],
	[ 'a row lock', 'BEGIN', 'SELECT FROM app WHERE id = 0 FOR UPDATE', $renewal, 'COMMIT' ],
	[ 'a trigger that calls', 'INSERT INTO joins VALUES (1)' ],
	[ 'a new room before it', 'BEGIN', q{SELECT get_or_assign_server('n1')}, $renewal, 'COMMIT' ],
	[ 'a new room after it', 'BEGIN', $renewal, q{SELECT get_or_assign_server('n2')}, 'COMMIT' ],
	[ 'a new room in one statement', q{SELECT get_or_assign_server('r'), get_or_assign_server('n3')} ],
	[ 'a released room', q{SELECT get_or_assign_server('r'), release_room('n1')} ],
	[ 'a moved room', q{SELECT get_or_assign_server('r'), move_room('s', CASE room_server('s') WHEN 'a' THEN 'b' ELSE 'a' END)} ],
	[ 'a pin', q{SELECT get_or_assign_server('r'), pin_room('n2', 'a')} ],
	[ 'another number of users', q{SELECT touch_room('r', 17)} ],
	[ 'an UPDATE of the row by the application', 'BEGIN', $renewal,
		q{UPDATE room_server_assignments SET reason = 'x' WHERE room_id = 'r'}, 'COMMIT' ],
	[ 'an INSERT by the application', 'BEGIN', q{INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('n4', 'a')},
		$renewal, 'COMMIT' ],
	[ 'a sequence', 'BEGIN', $renewal, q{SELECT setval('numbers', 100)}, 'COMMIT' ],
	[ 'a message', 'BEGIN', $renewal, q{SELECT pg_logical_emit_message(true, 'a', 'b')}, 'COMMIT' ],
	[ 'DDL', 'BEGIN', $renewal, 'CREATE TABLE made (id int)', 'DROP TABLE made', 'COMMIT' ],
	[ 'a prepared transaction', 'BEGIN', $renewal, q{PREPARE TRANSACTION 'p'}, q{COMMIT PREPARED 'p'} ]);

for my $case (@together)
{
	my ($name, @statements) = @$case;

	is(commits(@statements), 'durable|renewed', "$name: durable");
}

# What one transaction is spared says nothing about the next one, nor about the setting.
is(commits($renewal, 'INSERT INTO app VALUES (3)'), 'durable|renewed', 'the next transaction of the session is durable');
is(commits($renewal, 'BEGIN', 'INSERT INTO app VALUES (4)', $renewal, 'COMMIT'), 'durable|renewed',
	'and so is one that has nothing to renew');
is( $node->safe_psql('postgres', join "\n",
		q{UPDATE room_server_assignments SET assigned_at = '2001-01-01', last_used_at = '2001-01-01';},
		'SET synchronous_commit = local;', "BEGIN; $renewal; COMMIT; SHOW synchronous_commit;",
		q{UPDATE room_server_assignments SET assigned_at = '2001-01-01', last_used_at = '2001-01-01';},
		"BEGIN; $renewal; ROLLBACK; SHOW synchronous_commit;"),
	"a\nlocal\na\nlocal", 'the setting is what it was, after a commit and a rollback');
is(commits('BEGIN', $renewal, 'ROLLBACK', 'INSERT INTO app VALUES (5)'), 'durable|not renewed', 'after a rollback, too');

# A commit that fails after the decision not to wait: two serializable transactions, each of which reads what the other writes.
my $pivot = $node->background_psql('postgres', on_error_stop => 0);

$node->safe_psql('postgres', q{UPDATE room_server_assignments SET assigned_at = now() - interval '1 minute',
	last_used_at = now() - interval '1 minute'});
$pivot->query_safe($_)
  for 'SET synchronous_commit = local', 'BEGIN ISOLATION LEVEL SERIALIZABLE', 'SELECT count(*) FROM app', $renewal;
$node->safe_psql('postgres', qq{BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT * FROM room_server_assignments; $write; COMMIT});
$pivot->query('COMMIT');
like($pivot->{stderr}, qr/could not serialize access/, 'a commit fails');
$pivot->{stderr} = '';
is($pivot->query_safe('SHOW synchronous_commit'), 'local', 'and the setting is what it was');
$pivot->quit;

# A constraint may write.
$node->safe_psql('postgres', q{
	CREATE FUNCTION note(used timestamptz) RETURNS boolean LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO public.joins_log VALUES (used);
		RETURN true;
	END$$;
	CREATE TABLE joins_log (used timestamptz);
	ALTER TABLE room_server_assignments ADD CONSTRAINT noted CHECK (note(last_used_at)) NOT VALID});
is(commits($renewal), 'durable|renewed', 'a constraint that writes: durable');
$node->safe_psql('postgres', 'ALTER TABLE room_server_assignments DROP CONSTRAINT noted');

# Nor does it wait for a standby.
kill CONT => $walwriter;
$node->safe_psql('postgres', q{UPDATE room_server_assignments SET assigned_at = '2001-01-01', last_used_at = '2001-01-01'});
$node->safe_psql('postgres', "ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
$node->reload;
$node->poll_query_until('postgres', q{SELECT setting = 'nobody' FROM pg_settings WHERE name = 'synchronous_standby_names'})
  or die 'the server did not reload';

my $writer = $node->background_psql('postgres', on_error_stop => 0);

# Until the server has begun to wait for standbys at all.
$writer->{stdin} .= "INSERT INTO app VALUES (6);\n";
$writer->{run}->pump_nb;
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'})
  or die 'no transaction waits for a standby';

my $timed_out;
my (undef, $answer) = $node->psql('postgres', $renewal, timeout => $PostgreSQL::Test::Utils::timeout_default,
	timed_out => \$timed_out);

ok(!$timed_out && $answer eq 'a', 'a renewal does not wait for a synchronous standby');
$node->safe_psql('postgres', q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'});
$writer->quit;
$node->safe_psql('postgres', 'ALTER SYSTEM RESET synchronous_standby_names');
$node->reload;
$node->stop;

done_testing();
