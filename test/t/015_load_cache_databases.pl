# The load cache has a place for eight databases of a server: who takes one, who is told that none is left, and what becomes
# of it when its database is dropped.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use GxyBalancer;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# No process for the worker, which would free rooms in between.
my $node = new_server('main', "shared_preload_libraries = 'gxy_balancer'", 'max_worker_processes = 1',
	"gxy_balancer.load_max_age = '1h'", 'client_min_messages = warning');
my $state = 'SELECT load_cache FROM balancer_stats';

sub create
{
	my ($database, $max_age) = @_;

	$node->safe_psql('postgres', "CREATE DATABASE $database STRATEGY file_copy");
	$node->safe_psql('postgres', "ALTER DATABASE $database SET gxy_balancer.load_max_age = '$max_age'") if defined $max_age;
	$node->safe_psql($database, "CREATE EXTENSION gxy_balancer; SELECT init_servers('gxy1,gxy2,gxy3')");
}

#
# Who takes a place
#

create('without', 0);
is($node->safe_psql('without', $state), 'off', 'a database that counts for each room');
$node->safe_psql('without', q{
	SELECT get_or_assign_server(1), get_or_assign_server(2), release_room(1);
	INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('a', 'gxy1');
	UPDATE room_server_assignments SET gateway_name = 'gxy2';
	DELETE FROM room_server_assignments WHERE room_id = 'a';
	TRUNCATE room_server_assignments});
is($node->safe_psql('without', $state), 'off', 'takes no place, whatever it does');
create('rooms0');
is($node->safe_psql('rooms0', "INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('a', 'gxy1'); $state"),
	'unused so far', 'nor does one without a call for a new room');
is($node->safe_psql('rooms0', "SELECT get_or_assign_server(1); $state"), "gxy2\nin use", 'the first new room takes it');
is($node->safe_psql('rooms0', "SET gxy_balancer.load_max_age = 0; $state"), 'in use', 'for all sessions of the database');
for my $number (1 .. 7)
{
	create("rooms$number");
	is($node->safe_psql("rooms$number", "SELECT get_or_assign_server(1); $state"), "gxy1\nin use", "database $number has a place");
}

#
# None is left
#

create('late');

my (undef, undef, $warnings) = attempt($node, 'SELECT get_or_assign_server(1)', dbname => 'late');

like($warnings, qr/WARNING:  01000: no load cache is left for database "late"/, 'the first new room without a place warns');
(undef, undef, $warnings) = attempt($node, 'SELECT get_or_assign_server(2)', dbname => 'late');
is($warnings, '', 'and no other one');
is($node->safe_psql('late', "SELECT get_or_assign_server(3); $state"), "gxy3\nno place left", 'rooms are counted for, and balancer_stats says why');
$node->safe_psql('postgres', 'DROP DATABASE rooms1');
is($node->safe_psql('late', "SELECT get_or_assign_server(4); $state"), "gxy1\nin use", 'a database that is dropped makes room');
is($node->safe_psql('late', 'SELECT bool_and(usable AND board_rooms = rooms) FROM _check_board()'), 't', 'and leaves nothing');

#
# Two databases at the same moment
#

# Both sessions look whether the database that had the first place still exists, and are held up there. The lock that does it
# keeps new sessions out, so that all are connected before.
create('one');
create('two');

my $one = session($node, 'one');
my $two = session($node, 'two');
my $gate = session($node);

# Everything else about a call has been read before.
$_->query_safe('SET client_min_messages = error; SET gxy_balancer.load_max_age = 0; SELECT get_or_assign_server(1), release_room(1); RESET gxy_balancer.load_max_age')
  for $one, $two;
$node->safe_psql('postgres', 'DROP DATABASE rooms0');
$gate->query_safe('BEGIN; LOCK pg_database IN ACCESS EXCLUSIVE MODE');
$_->query_until(qr/calling/, "\\echo calling\nSELECT get_or_assign_server(1);\n\\echo done\n") for $one, $two;

my $end = time() + $PostgreSQL::Test::Utils::timeout_default;

until ($gate->query_safe(q{SELECT count(*) FROM pg_locks WHERE relation = 'pg_database'::regclass AND NOT granted}) == 2)
{
	die 'the two do not look for the dropped database' if time() > $end;
}
$gate->query_safe('COMMIT');
$_->query_until(qr/done/, "\n") for $one, $two;
is( join(' ', sort map { $_->query_safe($state) } $one, $two), 'in use no place left', 'one of two databases gets the place that became free');
for my $session ($one, $two)
{
	is($session->query_safe('SELECT coalesce(bool_and(usable AND board_rooms = rooms), true) FROM _check_board()'), 't', 'which is its alone');
	$session->quit;
}
$gate->quit;

done_testing();
