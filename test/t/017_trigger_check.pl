# Before a statement of the extension runs as the owner of a table, the table's triggers are checked.
# Meanwhile another session changes the table: the server frees what it knew about the triggers and
# may use the memory for something else.
#
# The check must read the functions of new triggers from pg_proc, which is locked, so it waits there.
# Their sources have several lengths, so that a row needs as much memory as was freed.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use GxyBalancer;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# No process for the worker.
my $node = new_server('main', 'max_worker_processes = 1', 'autovacuum = off');

$node->safe_psql('postgres', q{
	SELECT init_servers('gxy1');
	CREATE FUNCTION wait_for_reader() RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		WHILE NOT EXISTS (SELECT FROM pg_locks WHERE relation = 'pg_proc'::regclass AND NOT granted) LOOP
			PERFORM pg_sleep(0.01);
		END LOOP;
	END$$});

for my $length (100, 200, 400, 800, 1200, 1600)
{
	my $caller = session($node);
	my $locker = session($node);
	my $changer = session($node);
	my $comment = '-' x $length;

	# All that the sessions need of pg_proc, except the function.
	$caller->query_safe(q{PREPARE pin(text) AS SELECT pin_room($1, 'gxy1'); EXECUTE pin('known')});
	$changer->query_safe('GRANT SELECT ON balancer_pins TO pg_monitor');
	$node->safe_psql('postgres', join '', map { qq{
		CREATE FUNCTION fresh_${length}_$_() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END $comment';
		CREATE TRIGGER "_fresh_$_" BEFORE INSERT ON balancer_pins FOR EACH ROW EXECUTE FUNCTION fresh_${length}_$_();
	} } 1 .. 8);

	$locker->query_safe('BEGIN; LOCK TABLE pg_proc');
	$caller->query_until(qr/begun/, "\\echo begun\nEXECUTE pin('room $length');\n");
	$locker->query_safe('SELECT wait_for_reader()');
	$changer->query_safe('REVOKE SELECT ON balancer_pins FROM pg_monitor');
	$locker->query_safe('ROLLBACK');
	$caller->query('SELECT 1');
	is($node->safe_psql('postgres', "SELECT count(*) FROM balancer_pins WHERE room_id = 'room $length'"), 1,
		"the check survives a change of the table, length $length");
	$_->quit for $caller, $locker, $changer;
	$node->safe_psql('postgres', join '', 'GRANT SELECT ON balancer_pins TO pg_monitor;',
		map { qq{DROP TRIGGER "_fresh_$_" ON balancer_pins;} } 1 .. 8);
}

done_testing();
