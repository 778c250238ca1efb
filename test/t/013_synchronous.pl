# G6 with a synchronous standby: the primary crashes under traffic and the standby is promoted.
# Every answer that a client was given is still the answer there. Run with a count for each new
# room, and with the load cache.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use GxyBalancer;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $folder = PostgreSQL::Test::Utils::tempdir;
my $rooms = 20000;

# The clients call for the same rooms, from both ends of the range. A client calls twice for every
# third room, in one transaction, so that the second call finds its own uncommitted lease.
sub start_clients
{
	my ($node, $what) = @_;
	my @clients;

	for my $n (1 .. 4)
	{
		my @calls = map {
			$_ % 3 == 0
			  ? "BEGIN; SELECT $_, get_or_assign_server($_), get_or_assign_server($_); COMMIT; \\echo $_ committed\n"
			  : "SELECT $_, get_or_assign_server($_);\n"
		} 1 .. $rooms;

		append_to_file("$folder/$what.$n.sql", join '', $n % 2 ? @calls : reverse @calls);
		push @clients,
		  IPC::Run::start [ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-f', "$folder/$what.$n.sql" ],
		  '<', \undef, '>', "$folder/$what.$n.out", '2>', "$folder/$what.$n.err";
	}
	return @clients;
}

# The assignments that the clients know to be committed, as "room|server".
sub known_answers
{
	my ($what) = @_;
	my @answers;

	for my $n (1 .. 4)
	{
		my $out = slurp_file("$folder/$what.$n.out");

		push @answers, $out =~ /^(\d+\|gxy\d+)$/mg;
		while ($out =~ /^(\d+)\|(gxy\d+)\|(gxy\d+)\n\1 committed$/mg)
		{
			push @answers, "$1|" . ($2 eq $3 ? $2 : "$2 and $3");
		}
	}
	return @answers;
}

for my $age ('0', '100ms')
{
	my $what = "load_max_age = $age";
	my $name = $age eq '0' ? 'counting' : 'caching';
	my $primary = new_server("primary_$name", "shared_preload_libraries = 'gxy_balancer'", "gxy_balancer.load_max_age = '$age'",
		"gxy_balancer.cleanup_interval = '1h'");

	$primary->backup('base');

	my $standby = PostgreSQL::Test::Cluster->new("standby_$name");

	$standby->init_from_backup($primary, 'base', has_streaming => 1);
	$standby->start;
	$primary->safe_psql('postgres', qq(ALTER SYSTEM SET synchronous_standby_names = '*'));
	$primary->reload;
	wait_until($primary, 'postgres', q(SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'));

	my @clients = start_clients($primary, $name);

	wait_until($primary, 'postgres', 'SELECT count(*) > 600 FROM room_server_assignments');
	$primary->stop('immediate');
	$_->finish for @clients;
	$standby->promote;

	my %server = map { split /\|/ }
	  split /\n/, $standby->safe_psql('postgres', 'SELECT room_id, gateway_name FROM room_server_assignments');
	my @answers = known_answers($name);
	my @lost = grep { my ($room, $answer) = split /\|/; ($server{$room} // 'none') ne $answer } @answers;

	cmp_ok(scalar @answers, '>', 600, "$what: clients had been answered when the primary died");
	cmp_ok(scalar keys %server, '<', $rooms, "$what: and it died in the middle");
	is("@lost[0 .. ($#lost > 4 ? 4 : $#lost)]", '', "$what: no answer that a client was given is lost or changed");
	cmp_ok(gaps($standby), '<=', scalar @clients, "$what: the servers differ by at most one room, but for those that were in flight")
	  or diag(spread($standby));
	$standby->safe_psql('postgres', "SELECT get_or_assign_server(n) FROM generate_series($rooms + 1, $rooms + 100) n");
	ok(even($standby), "$what: and differ by at most one again after new rooms") or diag(spread($standby));
	is( $standby->safe_psql('postgres', q(SELECT count(*) FROM room_server_assignments
			WHERE get_or_assign_server(room_id) IS DISTINCT FROM gateway_name)),
		0, "$what: rooms keep their servers");
	$standby->stop;
}

done_testing();
