# Which statements make other sessions read the pool again, and which must not, because they are
# frequent. The write-ahead log shows it: a commit that invalidates the caches of other sessions
# says so in its record.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use GxyBalancer;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Without the worker, whose runs commit, too.
my $node = new_server('main', "autovacuum = off\nmax_worker_processes = 1");

# Returns 'invalidates' or 'leaves' by the statement's commit record, '' if there is none.
sub commit_of
{
	my ($sql) = @_;
	my $from = $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');

	$node->safe_psql('postgres', $sql);

	my $to = $node->safe_psql('postgres', 'CHECKPOINT; SELECT pg_switch_wal()');
	my ($out, $err) = run_command([ 'pg_waldump', '--path', $node->data_dir . '/pg_wal', '--start', $from, '--end', $to,
		'--rmgr', 'Transaction' ]);
	my @commits = grep { /desc: COMMIT / } split /\n/, $out;

	return join ' ', map { /inval msgs:.* relcache / ? 'invalidates' : 'leaves' } @commits;
}

$node->safe_psql('postgres', q{
	SELECT init_servers('gxy1,gxy2,gxy3'), get_or_assign_server(1), server_heartbeat('gxy1');
	UPDATE room_server_assignments SET assigned_at = now() - interval '1 min', last_used_at = now() - interval '1 min';
});

is(commit_of("UPDATE balancer_servers SET capacity = 300 WHERE name = 'gxy1'"), 'invalidates', 'an edit of the pool invalidates');
is(commit_of(q{SELECT pin_room(2, 'gxy2')}), 'invalidates', 'so does a pin');
is(commit_of(q{SELECT set_server_state('gxy3', 'draining')}), 'invalidates', 'and a state');
is(commit_of(q{SELECT server_heartbeat('gxy1', false)}), 'invalidates', 'and a heartbeat that changes the state in force');
is(commit_of(q{SELECT server_heartbeat('gxy1', true)}), 'invalidates', 'and one that changes it back');
is(commit_of(q{SELECT server_heartbeat('gxy2', true)}), 'leaves', 'the first heartbeat of a healthy server does not');
$node->safe_psql('postgres', q{UPDATE balancer_health SET last_heartbeat = now() - interval '1 h'});
is(commit_of(q{SELECT server_heartbeat('gxy1', true)}), 'leaves', 'a heartbeat that changes nothing does not');
is(commit_of(q{SELECT get_or_assign_server(3)}), 'leaves', 'nor does a new room');
is(commit_of(q{SELECT get_or_assign_server(1)}), 'leaves', 'nor a renewal');
is(commit_of(q{SELECT touch_room(1, 5)}), 'leaves', 'nor a touch');
is(commit_of(q{SELECT move_room(1, 'gxy2')}), 'leaves', 'nor a move');
is(commit_of(q{SELECT release_room(1)}), 'leaves', 'nor a release');
is(commit_of(q{SELECT clean_inactive_assignments('0')}), 'leaves', 'nor a cleanup');

done_testing();
