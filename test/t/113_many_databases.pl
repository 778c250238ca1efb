# 113_many_databases.pl: more databases than the launcher has entries for.
#
# A database takes an entry when it is visited. 511 of them are only rows of pg_database, whose
# visit fails like that of any database that refuses connections: creating that many would take
# minutes and gigabytes. The warning is logged once, and a database that was left out is served when
# an entry is free again.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;

use GxyBalancer qw(wait_until);
use GxyWorker;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('many');
my $warning = qr/\] gxy_balancer launcher WARNING:  gxy_balancer: more than 512 databases have the extension/;

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

# A database created now gets no entry: its functions work, but it has no runs.
$node->safe_psql('postgres', 'CREATE DATABASE late');
create_extension($node, 'late');
overdue($node, 'late', 'idle');
is($node->safe_psql('late', 'SELECT get_or_assign_server(1), last_run IS NULL FROM balancer_stats'), 'gxy2|t', 'a database without a place works');
wait_for_run_after($node, 'first', server_time($node)) for 1 .. 5;
is(count_in_log($node, $log_before, $warning), 1, 'nor is the warning repeated');
is($node->safe_psql('late', 'SELECT string_agg(room_id, $$ $$ ORDER BY room_id) FROM room_server_assignments'), '1 idle', 'but gets no runs');

$node->safe_psql('postgres', q(SET allow_system_table_mods = on; DELETE FROM pg_database WHERE datname LIKE 'phantom%'));
ok(rooms_are($node, 'late', '1'), 'until there is a place');

$node->stop;
done_testing();
