# A night: an event is pinned, a server is drained and stopped for maintenance, another one flaps, a
# third dies and its standby takes over, a new one is added, and the rooms are rebalanced. Users come
# and go meanwhile, call for their rooms, and follow the notifications "rooms_moved".
#
# The time is scaled by 10: a minute of the night takes 6 seconds, and the delays among the settings
# are a tenth of their defaults. The lease is longer than the night, so that no room is freed. Clients
# note each answer, a sampler notes what the servers carry; both are checked afterwards:
#
# - a room is on one server at a time, and no room changes its server without an announcement;
# - no server has more than 110% of its capacity in users for longer than a minute;
# - what was drained is empty, and the counters agree with what was seen.

use strict;
use warnings FATAL => 'all';

use JSON::PP;
use List::Util qw(max);
use lib 'test/t', 'test/lib';
use Blocks qw(blocks);
use GxyBalancer qw(session);
use GxyWorker;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $minute = '6 s';

# The maintenance is a recipe of doc/operations.md. Where there is no package of pg_cron, its commands
# are read from the page.
my $sharedir = `"@{[ $ENV{PG_CONFIG} || 'pg_config' ]}" --sharedir`;
chomp $sharedir;
my $has_cron = -e "$sharedir/extension/pg_cron.control";
my ($recipe) = map { $_->{text} } grep { $_->{is}{pg_cron} && $_->{text} =~ /'gxy3 drain'/ } blocks('doc/operations.md');
my ($grants) = map { $_->{text} } grep { $_->{text} =~ /^-- the operator$/m } blocks('doc/grants.md');
die 'no recipe, or no grants' unless $recipe && $grants;
my %commands = $recipe =~ /cron\.schedule\('([^']+)', '[^']+',\s*\$\$(.*?)\$\$\)/gs;

my $node = new_node('night', conf => <<'CONF');
gxy_balancer.cleanup_interval = '6s'
gxy_balancer.failover_delay = '500ms'
gxy_balancer.recovery_delay = '1s'
gxy_balancer.load_max_age = '100ms'
gxy_balancer.join_window = '60s'
gxy_balancer.assignment_grace = '1h'
gxy_balancer.avg_room_occupancy = 3
CONF
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'gxy_balancer, pg_cron'\ncron.launch_active_jobs = off\n") if $has_cron;
$node->start;
create_extension($node, 'postgres');

sub sql
{
	my ($statements) = @_;

	return $node->safe_psql('postgres', $statements);
}

sql(<<'SQL');
INSERT INTO balancer_servers (name, position, capacity, pool) VALUES ('gxy1', 1, 80, 'primary'), ('gxy2', 2, 80, 'primary'),
	('gxy3', 3, 80, 'primary'), ('gxy4', 4, 80, 'primary'), ('spare1', 9, 80, 'standby');
CREATE UNLOGGED TABLE live (room_id text, user_id int PRIMARY KEY, gateway_name text, last_seen_at timestamptz);
CREATE UNLOGGED TABLE answers (room text, server text, asked timestamptz, answered timestamptz);
CREATE UNLOGGED TABLE samples (at timestamptz, server text, users int, connected int, capacity int);
SELECT attach_sessions('live');
SQL
sql("CREATE ROLE app; CREATE ROLE monitor; CREATE ROLE grafana; CREATE ROLE operator; $grants");
sql("CREATE EXTENSION pg_cron; GRANT USAGE ON SCHEMA cron TO operator; SET SESSION AUTHORIZATION operator; $recipe") if $has_cron;
wait_for_first_run($node, 'postgres');

# Carries out a job of the recipe: the very command that pg_cron has stored, in the role that it would
# use. pg_cron cannot do it itself, because its time is not scaled.
sub carry_out
{
	my ($name) = @_;
	my ($role, $command) = ('operator', $commands{$name} =~ s/;\s*SELECT cron.*//sr);

	($role, $command) = split /\|/, sql("SELECT username, command FROM cron.job WHERE jobname = '$name'"), 2 if $has_cron;
	sql("SET SESSION AUTHORIZATION $role; $command");
	return;
}

# A client: it asks for its room's server, connects, and says that it is there; one time in 20 it
# leaves. Users 1 to 70 are at the event, three of the others share a room.
my $client = $node->basedir . '/client.sql';
append_to_file($client, <<'PGBENCH');
\set user random(:first, :last)
\set leaves random(1, 20)
SELECT CASE WHEN :user <= 70 THEN 'event' ELSE (:user / 3)::text END AS room \gset
SELECT clock_timestamp() AS asked, get_or_assign_server(':room') AS server, clock_timestamp() AS answered \gset
INSERT INTO answers VALUES (':room', ':server', ':asked', ':answered');
\if :leaves = 1
DELETE FROM live WHERE user_id = :user;
\else
INSERT INTO live VALUES (':room', :user, ':server', now()) ON CONFLICT (user_id)
	DO UPDATE SET gateway_name = excluded.gateway_name, last_seen_at = now();
SELECT touch_room(':room');
\endif
PGBENCH
my $sampler = $node->basedir . '/sampler.sql';
append_to_file($sampler, <<'PGBENCH');
INSERT INTO samples SELECT clock_timestamp(), server, users, connected, capacity FROM balancer_load;
PGBENCH

my @running;

# Starts clients who are the users of a range; rate: calls a second.
sub run_clients
{
	my ($script, $rate, $clients, @more) = @_;
	my $run = { err => '', out => '' };

	$run->{handle} = IPC::Run::start([ 'pgbench', '-n', '-M', 'simple', '-c', $clients, '-T', 300, '-R', $rate, '-f', $script, @more,
		'-h', $node->host, '-p', $node->port, 'postgres' ], '>', \$run->{out}, '2>', \$run->{err});
	push @running, $run;
	return;
}

# The clients of the service hear which rooms have moved, and reconnect.
my $listener = session($node);
my %events;
my $announcements = 0;
my %path;    # of each room that was announced: its first server, and where it was moved, in order
my @gaps;
$listener->query_safe('LISTEN gxy_balancer');

sub follow
{
	my @rooms;

	for my $payload ($listener->query_safe('SELECT 1') =~ /^Asynchronous notification "gxy_balancer" with payload "(.*)" received from/mg)
	{
		my $event = decode_json($payload);
		push @{ $events{"$event->{event} " . ($event->{server} // '')} }, $event;
		next if $event->{event} ne 'rooms_moved';
		my $list = join ',', map { "'$_'" } @{ $event->{rooms} };
		for my $room (@{ $event->{rooms} })
		{
			my $path = $path{$room} //= [ $event->{server} ];
			push @gaps, "$room: $path->[-1], then from $event->{server}" if $path->[-1] ne $event->{server};
			push @$path, $event->{target};
		}
		push @rooms, "UPDATE live SET gateway_name = '$event->{target}' WHERE room_id IN ($list) AND gateway_name = '$event->{server}';";
		$announcements += @{ $event->{rooms} };
	}
	sql("BEGIN; @rooms COMMIT") if @rooms;
	return;
}

# Waits until a query is true, while the clients follow.
sub until_true
{
	my ($query, $what) = @_;

	for (1 .. 20 * $PostgreSQL::Test::Utils::timeout_default)
	{
		follow();
		return pass($what) if sql($query) eq 't';
		usleep(50_000);
	}
	return fail("$what: " . sql('SELECT json_agg(l) FROM balancer_load l'));
}

sub rooms_on
{
	my ($server) = @_;

	return sql("SELECT count(*) FROM room_server_assignments WHERE gateway_name = '$server'");
}

# The rooms whose answers do not go along their path. A question that was asked after an answer was
# given is answered with a server at that place of the path or at a later one.
sub unannounced
{
	my (%answers, @wrong);

	push @{ $answers{ $_->[0] } }, $_
	  for map { [ split /\|/ ] } split /\n/, sql(q(SELECT room, server, extract(epoch FROM asked), extract(epoch FROM answered)
		FROM answers ORDER BY answered));
	for my $room (sort keys %answers)
	{
		my @path = @{ $path{$room} // [ $answers{$room}[0][1] ] };
		my @given = sort { $a->[2] <=> $b->[2] } @{ $answers{$room} };    # by the time of the question
		my ($place, @earlier) = (0);

		for my $answer (@given)
		{
			$place = max($place, map { $_->[1] } grep { $_->[0] < $answer->[2] } @earlier);
			@earlier = grep { $_->[0] >= $answer->[2] } @earlier;
			my ($at) = grep { $path[$_] eq $answer->[1] } $place .. $#path;
			if (!defined $at)
			{
				push @wrong, "$room: $answer->[1] is not on @path[$place .. $#path]";
				last;
			}
			push @earlier, [ $answer->[3], $at ];
		}
	}
	return @wrong;
}

# The evening: the event is pinned with its size. Its host opens it before the others come: from then
# on other rooms leave its server alone.
is(sql(q(SELECT pin_room('event', 'gxy1', 70); SELECT get_or_assign_server('event'))), "\ngxy1", 'the event is pinned and open');
run_clients($sampler, 20, 1);
run_clients($client, 150, 4, '-D', 'first=71', '-D', 'last=190');
until_true('SELECT count(*) > 100 FROM live', 'users come');
run_clients($client, 100, 4, '-D', 'first=1', '-D', 'last=70');
until_true(q(SELECT count(*) > 60 FROM live WHERE room_id = 'event'), 'and the event begins');
is(sql(q(SELECT DISTINCT server FROM answers WHERE room = 'event')), 'gxy1', 'on its server');

# Maintenance of gxy3. It is taken offline only when it is drained.
cmp_ok(rooms_on('gxy3'), '>', 5, 'gxy3 has rooms');
carry_out('gxy3 drain');
carry_out('gxy3 offline');
is(sql(q(SELECT server_state('gxy3'))), 'draining', 'it is not stopped while it has rooms');
carry_out('gxy3 evacuate');
until_true(q(SELECT state = 'drained' FROM balancer_load WHERE server = 'gxy3'), 'gxy3 is drained: its users have followed');
is(sql(q(SELECT rooms || ' ' || connected || ' ' || cause FROM balancer_load WHERE server = 'gxy3')), '0 0 set draining; safe to stop', 'it is safe to stop');
until_true(q(SELECT count(*) = 1 FROM _drained_servers), 'which listeners are told');
carry_out('gxy3 offline');
is(sql(q(SELECT server_state('gxy3'), count(*) FROM balancer_failovers WHERE rooms > 0)), 'offline|0', 'it is stopped, and no room has to move');
carry_out('gxy3 online');

# It takes new rooms, and then it flaps: each time it is up again before a failover is due. It is the
# emptiest server, but gets no new room until it has been up for the delay.
is(sql(q(SELECT DISTINCT get_or_assign_server('lobby' || i) FROM generate_series(1, 4) i)), 'gxy3', 'back again, it takes rooms');
my $kept = sql(q(SELECT string_agg(room_id, ' ' ORDER BY room_id) FROM room_server_assignments WHERE gateway_name = 'gxy3'));
for my $time (1 .. 5)
{
	is(sql(qq(SELECT server_heartbeat('gxy3', false); SELECT server_heartbeat('gxy3');
		SELECT bool_and(get_or_assign_server('hall' || 4 * $time + i) <> 'gxy3') FROM generate_series(1, 4) i)), "t\nt\nt",
		'a server that is back a moment ago gets no room');
	follow();
}
is(sql(q(SELECT string_agg(room_id, ' ' ORDER BY room_id) FROM room_server_assignments WHERE gateway_name = 'gxy3')), $kept,
	'it keeps its own');
is(sql(q(SELECT count(*) FROM balancer_failovers WHERE from_server = 'gxy3' AND rooms > 0)), 0, 'none has moved');

# gxy4 dies, and the standby takes over.
my $lost = rooms_on('gxy4');
cmp_ok($lost, '>', 5, 'gxy4 has rooms');
sql(q(SELECT server_heartbeat('gxy4', false)));
until_true(q(SELECT count(*) = 1 FROM balancer_failovers WHERE from_server = 'gxy4' AND to_server = 'spare1' AND outcome = 'moved'),
	'gxy4 dies, and the standby takes over');
until_true(q(SELECT connected = 0 FROM balancer_load WHERE server = 'gxy4'), 'its users have followed');

# A new server, and more users.
sql(q(INSERT INTO balancer_servers (name, position, capacity) VALUES ('gxy5', 5, 80)));
run_clients($client, 50, 2, '-D', 'first=191', '-D', 'last=235');
until_true(q(SELECT count(*) > 35 FROM live WHERE user_id > 190), 'the morning: more users come');
cmp_ok(rooms_on('gxy5'), '>', 2, 'the new server gets rooms');

until_true("SELECT max(at) - min(at) > 3 * interval '$minute' FROM samples", 'it has been three minutes');

# Rebalance. The event stays.
my $fullest = q(SELECT max(percent) FROM balancer_load WHERE server <> 'gxy1');
my $highest = sql($fullest);
my $moved = sql(q(SELECT count(*) FROM rebalance(100, 100, false)));
cmp_ok(sql($fullest), '<', $highest - 5, "the fullest server beside the event's, at $highest%, has less after $moved rooms have moved");
until_true(q(SELECT count(*) = 0 FROM live l JOIN room_server_assignments a USING (room_id) WHERE l.gateway_name <> a.gateway_name),
	'their users have followed');

# The morning: gxy2 is drained, and everything is counted.
sql(q(SELECT set_server_state('gxy2', 'draining'); SELECT evacuate_server('gxy2')));
until_true(q(SELECT state = 'drained' FROM balancer_load WHERE server = 'gxy2'), 'gxy2 is drained');
until_true(q(SELECT count(*) = 1 FROM _drained_servers WHERE server = 'gxy2'), 'which listeners are told');
# Not INT, which a shell's background jobs ignore.
$_->{handle}->signal('TERM') for @running;
$_->{handle}->finish for @running;
unlike(join('', map { $_->{err} } @running), qr/ERROR|FATAL|abort/, 'no caller got an error');
until_true(q(SELECT count(*) = 0 FROM _moved_on_call), 'all moves are announced');

is(join(' ', map { "$_ " . @{ $events{"server_drained $_"} // [] } } qw(gxy2 gxy3)), 'gxy2 1 gxy3 1', 'each drain has ended once');

# What the clients saw.
is(sql('SELECT count(*) > 1000 FROM answers'), 't', 'many calls were answered');
is("@gaps", '', 'the announcements of a room follow on from each other');
is(join(', ', unannounced()), '', 'a room is on one server at a time, and never moves without an announcement');
is(sql(<<'SQL'), '', 'nor is any user elsewhere than the room');
SELECT string_agg(room_id, ', ') FROM live l JOIN room_server_assignments a USING (room_id) WHERE l.gateway_name <> a.gateway_name
SQL
is(sql('SELECT count(DISTINCT room) + 24 = (SELECT count(*) FROM room_server_assignments) FROM answers'), 't', 'every room has one server');

# What the servers carried: runs of samples above 110% of capacity, users by room and by connection.
is(sql('SELECT count(DISTINCT at) > 100 FROM samples'), 't', 'the servers were looked at often');
is(sql(<<"SQL"), '', 'no server has above 110% of its capacity for longer than a minute');
SELECT string_agg(server || ' for ' || lasted, ', ') FROM (
	SELECT server, max(at) - min(at) AS lasted FROM (
		SELECT *, count(*) FILTER (WHERE NOT crowded) OVER (PARTITION BY server ORDER BY at) AS run FROM (
			SELECT server, at, 10 * greatest(users, connected) > 11 * capacity AS crowded FROM samples) s) r
	WHERE crowded GROUP BY server, run) t
WHERE lasted > interval '$minute'
SQL

# What was drained is empty, and the counters agree.
is(sql(q(SELECT string_agg(server || ' ' || rooms || ' ' || connected, ', ' ORDER BY server) FROM balancer_load WHERE state IN ('drained', 'offline'))),
	'gxy2 0 0, gxy4 0 0', 'what is drained or dead is empty');
is(sql(q(SELECT assigned_tier_0 + assigned_tier_1 + assigned_tier_2 + assigned_tier_3 + assigned_tier_4 + assigned_tier_5 + assigned_tier_6
	FROM balancer_stats)), sql('SELECT count(*) FROM room_server_assignments'), 'each room was assigned once');
is(sql('SELECT moved FROM balancer_stats'), $announcements, 'each move was announced once');
is(sql('SELECT count(*) FROM balancer_failovers WHERE recovered_at IS NULL'), 1, 'one failover is active, that of gxy4');

$listener->quit;
$node->stop;
done_testing();
