# A synchronous standby is promoted, while clients place rooms and a failover is declared: no answer that was given is lost,
# and the failover is carried out there, once.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;

use GxyFaults;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = new_faults_server('primary0', "gxy_balancer.failover_delay = '3s'\nshared_preload_libraries = 'gxy_balancer'\n", allows_streaming => 1);
my @all_answers;

sql($primary, q(INSERT INTO balancer_servers (name, pool) SELECT 'gxy' || i, 'primary' FROM generate_series(1, 8) i));
sql($primary, q(INSERT INTO balancer_servers (name, pool) SELECT 'spare' || i, 'standby' FROM generate_series(1, 100) i));
for my $cycle (1 .. (cycles() + 9) / 10)
{
	my $standby = PostgreSQL::Test::Cluster->new("primary$cycle");
	my $failing = 'gxy' . (1 + $cycle % 8);

	$primary->backup("copy$cycle");
	$standby->init_from_backup($primary, "copy$cycle", has_streaming => 1);
	$standby->start;
	sql($primary, q(ALTER SYSTEM SET synchronous_standby_names = '*'));
	$primary->reload;
	wait_until($primary, 'postgres', q(SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'));

	my @clients = start_clients($primary, "cycle$cycle", 20000);

	wait_until($primary, 'postgres', "SELECT count(*) > 300 FROM room_server_assignments WHERE room_id LIKE 'cycle$cycle.%'");
	sql($primary, "SELECT set_server_state('$failing', 'offline')");
	$primary->stop('immediate');
	is(interrupt_clients(@clients), 4, "$cycle: clients are interrupted");
	push @all_answers, answers_of(@clients);
	$standby->promote;

	my $of_it = "from_server = '$failing' AND recovered_at IS NULL";
	my ($spare, $due) = split /\|/, sql($standby, "SELECT to_server, due_at > now() FROM balancer_failovers WHERE $of_it");

	like($spare, qr/^spare/, "$cycle: the failover that was declared is known");
	wait_until($standby, 'postgres', "SELECT outcome = 'moved' FROM balancer_failovers WHERE $of_it");
	is(sql($standby, "SELECT count(*) FROM balancer_failovers WHERE $of_it"), 1, "$cycle: it is carried out once");
	is(sql($standby, "SELECT count(*) FROM room_server_assignments WHERE gateway_name = '$failing'"), 0, "$cycle: no room is left behind");
	cmp_ok(sql($standby, "SELECT count(*) FROM room_server_assignments WHERE gateway_name = '$spare'"), '>', 10, "$cycle: the rooms are on $spare");
	$_ =~ s/\|\Q$failing\E$/|$spare/ for @all_answers;
	cmp_ok(scalar @all_answers, '>', 300, "$cycle: after answers");
	is(answers_hold($standby, @all_answers), '', "$cycle: which hold");
	is(cache_is_right($standby, "after $cycle"), '', "$cycle: the load cache is right");
	is(counts_calls($standby, "counted$cycle"), '4 4', "$cycle: calls are counted");
	is(worker_works($standby), '1', "$cycle: the worker works");
	sql($standby, q(ALTER SYSTEM RESET synchronous_standby_names));
	$standby->reload;
	sql($standby, "SELECT set_server_state('$failing', 'online')");
	$primary = $standby;
}

$primary->stop;
done_testing();
