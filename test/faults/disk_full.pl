# A full disk: that of the tables, and that of the WAL, while clients place rooms.
#
# A call that cannot write fails with 53100 and leaves nothing; known rooms are answered. When there is space again, all
# goes on, and every answer that was given holds. Each disk is a tmpfs that test/run has mounted.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;

use GxyFaults;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $disks = $ENV{SMALL_DISKS};

plan skip_all => 'only root can mount small disks' unless defined $disks;

# Takes all space of a disk, to the last page.
sub fill
{
	my ($disk) = @_;

	open my $file, '>>', "$disks-$disk/filler" or die $!;
	binmode $file;
	for my $size (1 << 20, 4096)
	{
		1 while (syswrite($file, "\0" x $size) // 0) == $size;
	}
	close $file;
	return;
}

sub make_space
{
	my ($disk) = @_;

	unlink "$disks-$disk/filler" or die $!;
	return;
}

my $node = new_faults_server('full', "wal_keep_size = 0\nmax_wal_size = 4MB\nmin_wal_size = 2MB\ncheckpoint_timeout = 1h\nlog_min_messages = warning\n",
	extra => [ '--waldir', "$disks-wal/pg_wal", '--wal-segsize', '1' ]);

#
# The tables
#

# The pool is written, and 300 rooms fill pages of both table and index.
sql($node, "CREATE TABLESPACE small LOCATION '$disks-data'");
sql($node, 'CREATE DATABASE small TABLESPACE small');
$node->safe_psql('small', 'CREATE EXTENSION gxy_balancer');
$node->safe_psql('small', 'SELECT init_servers()');
$node->safe_psql('small', "SELECT get_or_assign_server('before.' || i) FROM generate_series(1, 300) i");

sub in_small
{
	return $node->safe_psql('small', $_[0]);
}

my $rooms = 'SELECT string_agg(r::text, chr(10) ORDER BY room_id) FROM room_server_assignments r';
my $differs = 'SELECT count(*) FROM _check_load_cache() WHERE NOT usable OR cached_rooms <> rooms OR cached_load <> load';

for my $way ("by the load cache|1h", "by a count|0")
{
	my ($how, $age) = split /\|/, $way;

	in_small("ALTER DATABASE small SET gxy_balancer.load_max_age = '$age'");
	fill('data');

	# Until the last page is full.
	my ($out, $err) = run_script($node, join('', map { "SELECT 'answer', get_or_assign_server('$age.$_');\n" } 1 .. 2000), dbname => 'small');

	like($err, qr/ERROR:  53100: .*No space left on device/, "$how: a call that cannot write says so");

	my ($given) = scalar(() = $out =~ /^answer/mg);
	my $before = in_small($rooms);
	my $again = $given + 1;

	cmp_ok($given, '<', 1000, "$how: soon");
	is(in_small("SELECT count(*) FROM room_server_assignments WHERE room_id LIKE '$age.%'"), $given, "$how: and leaves no room");
	is(in_small("SELECT count(DISTINCT get_or_assign_server('before.' || i)) FROM generate_series(1, 300) i"), 12,
		"$how: known rooms are answered");
	for my $call ("SELECT get_or_assign_server('$age.$again')", "BEGIN; SELECT release_room('before.1'); SELECT get_or_assign_server('$age.more.' || i) FROM generate_series(1, 500) i; COMMIT")
	{
		like((run_script($node, $call, dbname => 'small'))[1], qr/ERROR:  53100: /, "$how: $call");
	}
	is(in_small($rooms), $before, "$how: all rooms are as before");
	is(in_small($differs), 0, "$how: the load cache is right") if $age ne '0';

	make_space('data');
	is(in_small("SELECT count(get_or_assign_server('$age.' || i)) FROM generate_series(1, 2000) i"), 2000, "$how: with space all goes on");
	is(in_small("SELECT max(rooms) - min(rooms) <= 1 FROM balancer_load"), 't', "$how: evenly");
	is(in_small($differs), 0, "$how: and the load cache is right") if $age ne '0';
}

# A cleanup that cannot write the sizes of rooms frees them all the same.
in_small("UPDATE room_server_assignments SET last_used_at = now() - interval '1 day', assigned_at = now() - interval '1 day', reported_users = 5");
fill('data');
in_small('SELECT clean_inactive_assignments()');
is(in_small('SELECT count(*) FROM room_server_assignments'), 0, 'a cleanup frees rooms on a full disk');
make_space('data');

#
# The WAL
#

my @all_answers;

for my $cycle (1 .. (cycles() + 9) / 10)
{
	my @clients = start_clients($node, "wal$cycle", 20000);

	wait_until($node, 'postgres', "SELECT count(*) > 100 FROM room_server_assignments WHERE room_id LIKE 'wal$cycle.%'");
	fill('wal');
	# Segments that were made before have space for many answers.
	1 until (run_script($node, 'SELECT pg_switch_wal()'))[1] ne '';
	is(interrupt_clients(@clients), 4, "$cycle: clients are interrupted by a full disk of the WAL");
	push @all_answers, answers_of(@clients);
	# The server may have tried to start again, in vain.
	wait_for('the log', sub { count_in_log($node, 0, qr/No space left on device/) > 0 });
	make_space('wal');
	$node->stop('immediate', fail_ok => 1);
	$node->start(fail_ok => 1);
	wait_until_started($node);
	cmp_ok(scalar @all_answers, '>', 100, "$cycle: after answers");
	is(answers_hold($node, @all_answers), '', "$cycle: which hold");
	is(cache_is_right($node, "after $cycle"), '', "$cycle: the load cache is right");
	is(counts_calls($node, "wal$cycle"), '4 4', "$cycle: calls are counted");
	is(worker_works($node), '1', "$cycle: the worker works");
}

$node->stop;
done_testing();
