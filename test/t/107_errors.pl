# 107_errors.pl: errors in one database do not affect the others.
#
# In four databases every run fails, each for another reason; a fifth database works. The runs there
# go on. Each error is logged once, with the name of its database, although it repeats;
# balancer_stats shows it; the failing runs become rarer; and the recovery is logged.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;

use GxyWorker;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('errors');
$node->start;

# For each database: how it is broken and repaired, and the message that is logged.
my %broken = (
	dropped => {
		breaks => 'ALTER VIEW app.live RENAME TO dead',
		mends => 'ALTER VIEW app.dead RENAME TO live',
		error => 'the attached relation of sessions, app.live, cannot be read', detail => 'It does not exist.'
	},
	revoked => {
		breaks => 'ALTER TABLE app.sessions OWNER TO postgres',
		mends => 'ALTER TABLE app.sessions OWNER TO app',
		error => 'the attached relation of sessions, app.live, cannot be read',
		detail => 'Reading it raised 42501: permission denied for table sessions.'
	},
	raising => {
		breaks => q(ALTER FUNCTION app.look() RENAME TO looked;
			CREATE FUNCTION app.look() RETURNS boolean LANGUAGE plpgsql AS
				'BEGIN PERFORM app.looked(); RETURN 1 / count(*) FROM public.room_server_assignments; END';
			GRANT EXECUTE ON FUNCTION app.look() TO app;
			CREATE OR REPLACE VIEW app.live AS SELECT room_id, user_id FROM app.sessions WHERE (SELECT app.look())),
		mends => q(CREATE OR REPLACE VIEW app.live AS SELECT room_id, user_id FROM app.sessions),
		error => 'the attached relation of sessions, app.live, cannot be read',
		detail => 'Reading it raised 22012: division by zero.'
	},
	unowned => {
		breaks => 'DROP OWNED BY one_more; DROP ROLE one_more',
		mends => 'SELECT attach_sessions(NULL)',
		error => 'the attached relation of sessions, public.live, cannot be read', detail => 'It does not exist.'
	},
);
my @broken = sort keys %broken;

create_database($node, 'well');
for my $database (@broken)
{
	create_database($node, $database);
	attach_watched_sessions($node, $database);
}
$node->safe_psql('unowned', <<'SQL');
CREATE ROLE one_more;
GRANT CREATE ON SCHEMA public TO one_more;
SET ROLE one_more;
CREATE VIEW live AS SELECT NULL::text AS room_id, NULL::text AS user_id WHERE false;
RESET ROLE;
SELECT attach_sessions('live');
SQL

my $log_before = log_size($node);
for my $database (@broken)
{
	$node->safe_psql($database, $broken{$database}{breaks});
	overdue($node, $database, 'idle');
}
overdue($node, 'well', 'idle');
set_interval($node, '100ms');
ok(rooms_are($node, 'well'), 'the database that is well is served');

# After two failures the next run is two intervals later, after three failures four.
for my $database (@broken)
{
	my $error = $broken{$database}{error};

	ok($node->poll_query_until($database, <<'SQL'), "$database: the runs fail and become rarer");
SELECT worker LIKE 'backing off: %' AND next_due - last_run - last_run_duration >= '400 ms' FROM balancer_stats
SQL
	ok($node->poll_query_until($database, "SELECT last_error = \$\$$error: $broken{$database}{detail}\$\$ AND worker = 'backing off: ' || last_error FROM balancer_stats"),
		"$database: balancer_stats tells why");
	is(count_logged($node, $log_before, $database, "ERROR:  \Q$error\E"), 1, "$database: the log tells it once");
	ok(rooms_are($node, $database, 'idle'), "$database: no room is freed");
}
overdue($node, 'well', 'idle');
ok(rooms_are($node, 'well'), 'the database that is well is served as before');
is(count_complaints($node, $log_before), scalar @broken, 'and there is nothing else to complain of');

# A different error is logged again.
$node->safe_psql('dropped', <<'SQL');
CREATE VIEW app.live AS SELECT NULL::text AS room_id, 1 / (count(*) - count(*)) AS user_id FROM app.sessions;
SQL
ok($node->poll_query_until('dropped', q(SELECT last_error LIKE '%: Reading it raised 22012: division by zero.' FROM balancer_stats)),
	'dropped: another error takes the place of the first');
is(count_logged($node, $log_before, 'dropped', "ERROR:  \Q$broken{dropped}{error}\E"), 2, 'dropped: the log tells it, too');
$node->safe_psql('dropped', 'DROP VIEW app.live');

# All databases at once, because their delays then pass in parallel.
my $mended = log_size($node);
$node->safe_psql($_, $broken{$_}{mends}) for @broken;
for my $database (@broken)
{
	ok(rooms_are($node, $database), "$database: served again once it is mended");
	ok( $node->poll_query_until($database,
			q(SELECT worker = 'idle' AND last_error IS NULL FROM balancer_stats)),
		"$database: balancer_stats forgets the error");
}
for my $database (@broken)
{
	wait_for_run_after($node, $database, server_time($node)) for 1 .. 2;
	is(count_logged($node, $mended, $database, 'LOG:  gxy_balancer: the cleanup works again'), 1,
		"$database: the log tells it once");
}

$node->stop;
done_testing();
