# 112_owners.pl: a run of the worker in a database whose tables belong to other roles, and with
# hostile objects in its search_path.
#
# The worker is connected as a superuser. It changes each table as the table's owner, so triggers,
# constraints and indexes of that owner run with that owner's rights. It uses nothing from a
# search_path that ALTER DATABASE or ALTER ROLE sets. sql/owners.sql and sql/search_path.sql test
# the same for callers; this test uses their helpers.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;

use GxyWorker;
use PostgreSQL::Test::Utils;
use Test::More;

my $include = "$FindBin::Bin/../../sql/include";
my $node = new_node('owners');

$node->append_conf('postgresql.conf', "gxy_balancer.failover_delay = 0\n");
$node->start;
create_database($node, 'owned');

# The sessions of this test use the usual search_path.
$ENV{PGOPTIONS} = '-c search_path=public';

sub ask
{
	my ($sql) = @_;
	return $node->safe_psql('owned', $sql);
}

# Rows that the test writes itself, while the owners' code is disabled.
sub write_to_table
{
	my ($sql) = @_;
	return ask("UPDATE spied.armed SET armed = false; $sql; UPDATE spied.armed SET armed = true");
}

ask(<<"SQL");
CREATE ROLE app;
\\i $include/owners.sql
\\i $include/traps.sql
CALL pg_temp.set_traps('evil');
GRANT CREATE ON SCHEMA public TO app;
SET ROLE app;
CREATE TABLE members (room_id varchar(20), user_id uuid, gateway_name name, last_seen_at timestamptz);
RESET ROLE;
SELECT init_servers('gxy1,gxy2,gxy3,gxy4');
INSERT INTO balancer_servers (name, pool) VALUES ('spare', 'standby');
SELECT attach_sessions('members');
SELECT set_server_state('gxy2', 'draining'), set_server_state('gxy3', 'draining'), set_server_state('gxy4', 'draining');
SELECT count(get_or_assign_server(i)) FROM generate_series(1, 20) i;
SELECT set_server_state('gxy2', 'online'), set_server_state('gxy1', 'draining');
SELECT count(get_or_assign_server(i)) FROM generate_series(21, 40) i;
SELECT set_server_state('gxy1', 'online'), set_server_state('gxy3', 'online'), set_server_state('gxy4', 'online');
CALL pg_temp.give_away();
ALTER DATABASE owned SET search_path = evil, public, pg_catalog;
ALTER ROLE CURRENT_USER SET search_path = evil, public, pg_catalog;
SQL
{
	local $ENV{PGOPTIONS} = '';
	like(ask('SHOW search_path'), qr/^evil/, 'the traps come first in the database');
}
ask('TRUNCATE spied.seen; SELECT pg_catalog.setval(\'traps.sprung\', 1, false)');

# A standby takes the rooms of one server; the rooms of the next are spread. The calls only declare
# the failover.
ask(q(SELECT set_server_state('gxy1', 'offline')));
$node->poll_query_until('owned', q(SELECT outcome = 'moved' AND rooms = 20 FROM balancer_failovers)) or die 'not moved';
ask(q(SELECT set_server_state('gxy2', 'offline')));
$node->poll_query_until('owned',
	q(SELECT outcome = 'spread' AND rooms = 20 FROM balancer_failovers WHERE from_server = 'gxy2')) or die 'not spread';
pass('failovers are carried out');

# Rooms without users are freed; for the other room the size is learned and the lease renewed.
write_to_table(q(UPDATE room_server_assignments SET last_used_at = now() - interval '1 day', assigned_at = now() - interval '1 day'));
ask(q(INSERT INTO members SELECT 1, gen_random_uuid(), 'gxy1', now() FROM generate_series(1, 30)));
set_interval($node, '250ms');
ok(rooms_are($node, 'owned', '1'), 'rooms without users are freed');
$node->poll_query_until('owned', q(SELECT peak = 30 FROM balancer_room_sizes WHERE room_id = '1')) or die 'no size';

# A server sends no more heartbeats while the others do. Its silence counts from the server's start,
# which is longer ago.
write_to_table(q(INSERT INTO balancer_health (server, healthy, since, last_heartbeat, counts_from)
	SELECT name, true, now(), now() + interval '1 hour', now() + interval '1 hour' FROM unnest('{gxy3,gxy4,spare}'::text[]) name));
write_to_table(q(UPDATE balancer_health SET counts_from = now() - interval '1 hour' WHERE server = 'gxy3'));
$node->append_conf('postgresql.conf', "gxy_balancer.heartbeat_timeout = '1s'\n");
$node->reload;
$node->poll_query_until('owned', q(SELECT cause = 'silent' FROM balancer_failovers WHERE from_server = 'gxy3'))
	or die 'not declared';
pass('a silent server is declared');

is(ask('SELECT DISTINCT tab, role FROM spied.seen WHERE role NOT IN (SELECT tableowner FROM pg_tables WHERE tablename = tab)'),
	'', 'each statement runs as the owner of its table');
is(ask('SELECT DISTINCT tab, outcomes FROM spied.seen WHERE outcomes <> \'\''), '', 'who gets no further');
is(ask(q(SELECT string_agg(DISTINCT tab, ' ' ORDER BY tab) FROM spied.seen)),
	'_drained_servers balancer_failovers balancer_health balancer_room_sizes balancer_servers room_server_assignments', 'whose code has run');
is(ask('SELECT sprung FROM traps.report'), 0, 'nothing in the search_path was used');
is(count_complaints($node, 0), 0, 'and no run has complained');

$node->stop;
done_testing();
