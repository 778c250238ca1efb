# 113_many_databases.pl: more databases than there is shared memory for.
#
# A database takes some when it is visited. Most of them are rows of pg_database and no more, whose visit fails like that of any
# database that cannot be connected to: making that many for true would take minutes and gigabytes. The warning comes once, and
# a database that is left out is served when there is memory again.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;

use GxyBalancer qw(wait_until);
use GxyWorker;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('many', conf => "gxy_balancer.max_shared_memory = '256kB'\n");
my $warning = qr/\] gxy_balancer launcher WARNING:  gxy_balancer: not all databases get a background worker/;

$node->start;
create_database($node, 'first');
$node->safe_psql('postgres', 'CREATE DATABASE plain');
my $log_before = log_size($node);

$node->safe_psql('postgres', <<'SQL');
SET allow_system_table_mods = on;
INSERT INTO pg_database SELECT (jsonb_populate_record(d, jsonb_build_object('oid', 4000000 + i, 'datname', 'phantom' || i))).*
	FROM pg_database d, generate_series(1, 520) i WHERE d.datname = 'plain';
SQL
set_interval($node, '500ms');
ok($node->wait_for_log($warning, $log_before), 'the launcher says that there are too many');

# One that comes now has none: it works, but for the runs.
$node->safe_psql('postgres', 'CREATE DATABASE late');
create_extension($node, 'late');
overdue($node, 'late', 'idle');
is($node->safe_psql('late', 'SELECT get_or_assign_server(1), last_run IS NULL FROM balancer_stats'), 'gxy2|t', 'a database without memory works');
wait_for_run_after($node, 'first', server_time($node)) for 1 .. 5;
is(count_in_log($node, $log_before, $warning), 1, 'nor is the warning repeated');
is($node->safe_psql('late', 'SELECT string_agg(room_id, $$ $$ ORDER BY room_id) FROM room_server_assignments'), '1 idle', 'but gets no runs');

$node->safe_psql('postgres', q(SET allow_system_table_mods = on; DELETE FROM pg_database WHERE datname LIKE 'phantom%'));
ok(rooms_are($node, 'late', '1'), 'until there is memory');

$node->stop;
done_testing();
