# The load cache without attached sessions, where the rows say all: a room counts as long as its lease runs, or with the users
# that touch_room() has reported. What leaves a server takes as much of its load along as was counted, and a count of
# what was rolled back is not used.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use GxyBalancer;
use Test::More;

# load_max_age is longer than the machine has been up, so that nothing is counted again unless it has to be. The launcher has the
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

# Reported users stay where the last count found them, until the next one.
sub not_below
{
	my ($what) = @_;

	is(sql('SELECT * FROM _check_load_cache() WHERE NOT usable OR cached_rooms <> rooms OR cached_load < load'),
		'', "$what: the load cache counts every room, and no user twice as gone");
}

for my $old ('now(), now()', $expired)
{
	start('assigned_at, last_used_at, reported_users', "$old, 7");
	sql(q(SELECT release_room('old1')));
	not_below('release_room() of a room with reported users');
	sql(q(DELETE FROM room_server_assignments WHERE room_id = 'old2'));
	not_below('DELETE');
	sql(q(SELECT touch_room('old3', 1)));
	sql(q(UPDATE room_server_assignments SET reported_users = 70 WHERE room_id = 'old4'; SELECT release_room('old4')));
	not_below('of one that has just been reported');
	sql('SELECT clean_inactive_assignments()');
	not_below('a cleanup');
	is(sql(q(SELECT cached_load >= 7 * 20 FROM _check_load_cache() WHERE server = 'gxy1')), 't', 'the users are where they were');
}

#
# Pins that the counting transaction has written itself
#

my $count = q(SELECT pin_room('old1', 'gxy1', 500); SELECT get_or_assign_server('counting'));

for my $rolled_back ("BEGIN; $count; ROLLBACK", "BEGIN; SELECT init_servers('gxy1,gxy2'); SAVEPOINT s; $count; ROLLBACK TO s; COMMIT",
	"BEGIN; $count; PREPARE TRANSACTION 'p'; ROLLBACK PREPARED 'p'")
{
	start('reported_users', '1');
	sql('TRUNCATE room_server_assignments; INSERT INTO room_server_assignments (gateway_name, room_id) VALUES ($$gxy1$$, $$old1$$)');
	sql($rolled_back);
	sql(q(SELECT get_or_assign_server('after')));
	agrees($rolled_back);
}

$node->stop;
done_testing();
