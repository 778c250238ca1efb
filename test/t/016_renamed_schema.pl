# The extension's schema is renamed while the extension runs SQL on its tables, and another schema
# gets the name. Its tables have triggers, which would run with the rights of the owner of the
# extension's tables.
#
# One session pins and unpins a room all the time, the other exchanges the names all the time. The
# test ends when a pin has met the other schema.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;

use GxyBalancer;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('renamed');

$node->init;
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE SCHEMA balancer;
CREATE EXTENSION gxy_balancer SCHEMA balancer;
INSERT INTO balancer.balancer_servers (name) VALUES ('gxy1');

CREATE SCHEMA decoy;
CREATE TABLE decoy.balancer_pins (LIKE balancer.balancer_pins INCLUDING ALL);
CREATE TABLE decoy.balancer_servers (LIKE balancer.balancer_servers INCLUDING ALL);
CREATE FUNCTION decoy.trap() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''trapped as %'', current_user; END';
CREATE TRIGGER trap BEFORE INSERT OR UPDATE OR DELETE ON decoy.balancer_pins
	FOR EACH STATEMENT EXECUTE FUNCTION decoy.trap();
GRANT ALL ON ALL TABLES IN SCHEMA decoy TO PUBLIC;

-- Bound to the extension's functions, whatever their schema is called.
CREATE FUNCTION pin_and_unpin() RETURNS boolean LANGUAGE sql BEGIN ATOMIC
	SELECT balancer.pin_room('r', 'gxy1') IS NULL AND balancer.unpin_room('r');
END;
CREATE TABLE told (message text, hint text, times int);
CREATE PROCEDURE pin_until_renamed() LANGUAGE plpgsql AS $$
DECLARE
	met int := 0;
	message text;
	hint text;
	until timestamptz := clock_timestamp() + interval '3 min';
BEGIN
	WHILE met < 3 AND clock_timestamp() < until LOOP
		BEGIN
			PERFORM pin_and_unpin();
			message := NULL;
		EXCEPTION WHEN OTHERS THEN
			GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
		END;
		IF message ~ 'renamed|trapped' THEN
			met := met + 1;
			INSERT INTO told VALUES (message, hint, met);
		END IF;
		COMMIT;
	END LOOP;
END
$$;
SQL

my $renamer = session($node);
$renamer->query_until(qr/renaming/, <<'SQL');
\echo renaming
DO $$
BEGIN
	LOOP
		ALTER SCHEMA balancer RENAME TO aside;
		ALTER SCHEMA decoy RENAME TO balancer;
		COMMIT;
		ALTER SCHEMA balancer RENAME TO decoy;
		ALTER SCHEMA aside RENAME TO balancer;
		COMMIT;
	END LOOP;
END
$$;
SQL
$node->safe_psql('postgres', 'CALL pin_until_renamed()');
$node->safe_psql('postgres', q(SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query ~ 'RENAME TO aside' AND pid <> pg_backend_pid()));
$renamer->query('SELECT 1');
$renamer->quit;
is($node->safe_psql('postgres', 'SELECT DISTINCT message, hint FROM told'), q(the extension's tables were renamed meanwhile|Retry.),
	'a statement that meets the other schema is refused');

$node->stop;
done_testing();
