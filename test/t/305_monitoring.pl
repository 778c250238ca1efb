# doc/monitoring.md and examples/monitoring with real exporters and a real Prometheus: the commands of
# the page start them, both exporters give the metrics that the page lists, each alert fires when its
# condition comes about and ends with it, and every query of the dashboard has an answer.
#
# The rules run with short intervals and without their durations; promtool tests the durations.

use strict;
use warnings FATAL => 'all';

use lib 'test/t', 'test/lib';
use Blocks qw(blocks);
use GxyBalancer;
use HTTP::Tiny;
use IO::Socket::INET;
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $page = 'doc/monitoring.md';
my $folder = 'examples/monitoring';
my $limit = 300;    # seconds until a state must have come about
my $http = HTTP::Tiny->new(timeout => 30);
my @running;

# The committed rules, as they are.
for my $check ("config $folder/prometheus.yml", "config $folder/prometheus-sql.yml", "rules $folder/alerts.yml")
{
	my $said = `promtool check $check 2>&1`;
	is($?, 0, "promtool check $check") or diag($said);
}
my $said = `cd $folder && promtool test rules alerts_test.yml 2>&1`;
is($?, 0, 'promtool test rules') or diag($said);

my $node = new_server('monitored', "shared_preload_libraries = 'gxy_balancer'", "gxy_balancer.cleanup_interval = '1s'",
	"gxy_balancer.assignment_grace = '1h'", "gxy_balancer.failover_delay = '1h'", 'gxy_balancer.recovery_delay = 0');
my %blocks = map { my $block = $_; map { $_ => $block->{text} } $block->{language} eq 'sql' ? 'sql' : keys %{ $block->{is} } } blocks($page);
$node->safe_psql('postgres', $blocks{sql});
$node->safe_psql('postgres', <<'SQL');
INSERT INTO balancer_servers (name, position, pool, capacity) VALUES ('gxy1', 1, 'primary', 100), ('gxy2', 2, 'primary', 100),
	('gxy3', 3, 'primary', 100), ('spare1', 4, 'standby', 100);
SET gxy_balancer.failover_delay = 0;
SELECT server_heartbeat('gxy3', false);
SQL
# One failover that is over, so that there are events. The others are not due in this test.
wait_until($node, 'postgres', q(SELECT outcome = 'moved' FROM balancer_failovers));
$node->safe_psql('postgres', <<'SQL');
SELECT server_heartbeat('gxy3');
CREATE TABLE live (room_id text, user_id int, gateway_name text);
SELECT attach_sessions('live');
SELECT get_or_assign_server(i, NULL, 10) FROM generate_series(1, 12) i;
INSERT INTO live SELECT room_id, room_id::int, gateway_name FROM room_server_assignments;
SQL

#
# The processes
#

sub free_port
{
	my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1) or die "no port: $!";

	return $socket->sockport;
}

# Copies the files of the example, with short intervals and the ports of this test.
sub copy_of_example
{
	my ($name, %replace) = @_;
	my $copy = $node->basedir . "/$name";

	mkdir $copy or die "$copy: $!";
	for my $file (map { s{.*/}{}r } glob("$folder/*.y*ml"))
	{
		my $text = slurp_file("$folder/$file");
		$text =~ s/interval: '?15s'?/interval: 500ms/g;
		$text =~ s/\[5m\]/[5s]/g;
		$text =~ s/^( +for:) \S+$/$1 0s/mg;
		$text =~ s{\Q$_\E}{$replace{$_}}g for sort keys %replace;
		append_to_file("$copy/$file", $text);
	}
	return $copy;
}

# Starts the command of a block of the page, in the example's copy.
sub start
{
	my ($word, $copy, $more) = @_;
	my $command = $blocks{$word} // die "$page has no block $word";
	my $log = $node->basedir . "/$word.log";
	my $place = join ' ', 'host=' . $node->host, 'port=' . $node->port;

	chomp $command;
	$command =~ s{host=/run/postgresql dbname=galaxy}{$place dbname=postgres};
	$command =~ s{\Q$folder\E}{$copy}g;
	$command =~ s{/var/tmp/prometheus}{$copy/data};
	$command =~ s{^(\w+='[^']*' \\\n *)?}{exec env } unless $command =~ /^\w+=/;
	$command =~ s{^(\w+='[^']*')}{exec env $1};
	my $run = IPC::Run::start([ 'sh', '-c', "$command $more" ], '<', \undef, '>', $log, '2>&1');
	push @running, $run;
	return $run;
}

sub stop
{
	my ($run) = @_;

	@running = grep { $_ != $run } @running;
	$run->signal('TERM');
	$run->finish;
	return;
}

# A test that dies leaves no process behind.
END
{
	my $status = $?;
	$_->kill_kill(grace => 20) for @running;
	$? = $status;
}

# Waits until something returns a true value, and returns that.
sub until_true
{
	my ($what, $check) = @_;
	my $end = time + $limit;

	while (time < $end)
	{
		my $found = $check->();
		return $found if $found;
		usleep(100_000);
	}
	diag(map { "$_:\n" . join '', (split /^/, slurp_file($_))[ -20 .. -1 ] } grep { -s } glob($node->basedir . '/*.log'));
	die "never came about: $what";
}

sub get
{
	my ($url) = @_;
	my $answer = $http->get($url);

	return $answer->{success} ? $answer->{content} : '';
}

my ($exporter_port, $sql_exporter_port, $prometheus_port, $prometheus_sql_port) = map { free_port() } 1 .. 4;
my $database = sprintf 'postgres://prometheus@/postgres?host=%s&port=%d&sslmode=disable', $node->host, $node->port;
my $copy = copy_of_example('monitoring', 'localhost:9187' => "127.0.0.1:$exporter_port");
my $copy_sql = copy_of_example('monitoring-sql', 'localhost:9237' => "127.0.0.1:$sql_exporter_port",
	'postgres://prometheus@/galaxy?host=/run/postgresql&sslmode=disable' => $database);
my $listen = "--web.listen-address=127.0.0.1";
my $exporter = start('postgres_exporter', $copy, "$listen:$exporter_port");
start('sql_exporter', $copy_sql, "-web.listen-address=127.0.0.1:$sql_exporter_port");
start('prometheus', $copy, "$listen:$prometheus_port --log.level=warn");
start('prometheus_sql', $copy_sql, "$listen:$prometheus_sql_port --log.level=warn");

# Returns the result of a query to Prometheus: a list of series.
sub query
{
	my ($expression, $port) = @_;
	my $url = sprintf 'http://127.0.0.1:%d/api/v1/query?query=%s', $port // $prometheus_port,
	  $expression =~ s/([^A-Za-z0-9_])/sprintf '%%%02X', ord $1/ger;
	my $answer = get($url);

	return $answer && decode_json($answer)->{data}{result};
}

#
# The metrics
#

my $text = slurp_file($page);
my %listed = $text =~ /^\| `((?:gxy_balancer|galaxy)_\w+)(?:\{[^}]*\})?` \| (?!not here)(.*) \|$/mg;
my @listed = sort keys %listed;
cmp_ok(scalar @listed, '>', 40, 'the page lists the metrics');
$node->safe_psql('postgres', q(SELECT server_heartbeat('gxy1', false)));    # so that there is an alert, too

for my $source ([ 'prometheus-postgres-exporter', $prometheus_port ], [ 'prometheus-sql-exporter', $prometheus_sql_port ])
{
	my ($name, $port) = @$source;
	my $names = sub {
		my $series = query('count by (__name__) ({__name__=~"(gxy_balancer|galaxy)_.*"})', $port) || [];
		return join ' ', sort map { $_->{metric}{__name__} } @$series;
	};
	until_true("the metrics of $name", sub { my $found = $names->(); scalar(split ' ', $found) >= @listed });
	is($names->(), "@listed", "$name gives the metrics that the page lists");
	until_true("rooms in $name", sub { (query('gxy_balancer_rooms', $port) || [])->[0]{value}[1] // '' eq '12' });
	is(query('gxy_balancer_server_rooms{gateway="gxy2"}', $port)->[0]{value}[1],
		$node->safe_psql('postgres', q(SELECT rooms FROM balancer_load WHERE server = 'gxy2')), "$name tells how many rooms a server has");
}

# What a metric is said to be: the comment of its column, in the exporter and on the page.
my %help = get("http://127.0.0.1:$exporter_port/metrics") =~ /^# HELP ((?:gxy_balancer|galaxy)_\w+) (.*)$/mg;
my %comments = map { split /\|/, $_, 2 } split /\n/, $node->safe_psql('postgres', <<'SQL');
SELECT CASE c.relname WHEN 'balancer_metrics' THEN 'gxy_balancer_' ELSE 'gxy_balancer_server_' END || a.attname,
	col_description(c.oid, a.attnum)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relname IN ('balancer_metrics', 'balancer_server_metrics') AND a.atttypid = 'float8'::regtype
SQL
for my $metric (sort keys %comments)
{
	is($help{$metric}, $comments{$metric}, "$metric in queries.yaml");
	is($listed{$metric}, $comments{$metric}, "$metric on the page");
}

#
# The alerts
#

# Whether an alert fires.
sub fires
{
	my ($alert, $port) = @_;
	my $found = query(qq(ALERTS{alertname="$alert",alertstate="firing"}), $port);

	return $found && @$found > 0;
}

my %tested;

# Makes a condition, waits for the alert, undoes it, and waits until the alert is over. while: runs
# between two looks.
sub alert_comes_and_goes
{
	my ($alert, $make, $undo, %more) = @_;
	my $quiet = sub { my $found = query(qq(ALERTS{alertname="$alert"})); $found && @$found == 0 };

	until_true("no $alert at first", $quiet);
	$node->safe_psql('postgres', $make);
	until_true("$alert fires", sub { $more{while}->() if $more{while}; fires($alert) });
	pass("$alert fires");
	$more{then}->() if $more{then};
	$node->safe_psql('postgres', $undo);
	until_true("$alert is over", $quiet);
	pass("$alert is over");
	$tested{$alert} = 1;
	return;
}

# Both sources have an alert while gxy1 is down.
until_true('GxyBalancerServerDown by prometheus-sql-exporter', sub { fires('GxyBalancerServerDown', $prometheus_sql_port) });
$node->safe_psql('postgres', q(SELECT server_heartbeat('gxy1')));
until_true('it is over', sub { my $found = query('gxy_balancer_alert', $prometheus_sql_port); $found && !@$found });

alert_comes_and_goes('GxyBalancerServerDown', q(SELECT server_heartbeat('gxy1', false)), q(SELECT server_heartbeat('gxy1')),
	then => \&check_dashboard);
alert_comes_and_goes('GxyBalancerNoStandbyLeft', q(SELECT set_server_state('spare1', 'draining')),
	q(SELECT set_server_state('spare1', 'online')));
alert_comes_and_goes('GxyBalancerImbalance', <<'SQL', q(DELETE FROM room_server_assignments WHERE room_id ~ 'big'));
INSERT INTO room_server_assignments (room_id, gateway_name, expected_users) SELECT 'big' || i, 'gxy2', 10 FROM generate_series(1, 6) i
SQL
alert_comes_and_goes('GxyBalancerSplitRooms', q(UPDATE live SET gateway_name = 'spare1' WHERE room_id = '1'),
	q(UPDATE live l SET gateway_name = a.gateway_name FROM room_server_assignments a WHERE a.room_id = l.room_id));
alert_comes_and_goes('GxyBalancerWarning', q(UPDATE balancer_servers SET capacity = 1 WHERE name = 'gxy3'),
	q(UPDATE balancer_servers SET capacity = 100 WHERE name = 'gxy3'));
# With no server left, rooms cannot move.
alert_comes_and_goes('GxyBalancerNoServer', <<'SQL', q(UPDATE balancer_servers SET state = 'online'),
UPDATE balancer_servers SET state = 'offline';
UPDATE balancer_failovers SET due_at = declared_at, declared_at = declared_at - interval '1 hour' WHERE recovered_at IS NULL;
SQL
	then => sub { until_true('GxyBalancerRoomsStuck fires', sub { fires('GxyBalancerRoomsStuck') }) });
until_true('GxyBalancerRoomsStuck is over', sub { my $found = query('ALERTS{alertname="GxyBalancerRoomsStuck"}'); $found && !@$found });
$tested{GxyBalancerRoomsStuck} = 1;
# Runs of the worker fail.
alert_comes_and_goes('GxyBalancerWorkerBehind', q(ALTER TABLE live RENAME TO gone), q(ALTER TABLE gone RENAME TO live),
	then => sub {
		until_true('GxyBalancerCritical fires', sub { fires('GxyBalancerCritical') });
		is(query('gxy_balancer_sessions_readable')->[0]{value}[1], '0', 'a flag says that sessions cannot be read');
		is(query('gxy_balancer_users')->[0]{value}[1], 'NaN', 'and what depends on them is not a number');
	});
until_true('GxyBalancerCritical is over', sub { my $found = query('ALERTS{alertname="GxyBalancerCritical"}'); $found && !@$found });
$tested{GxyBalancerCritical} = 1;
my $room = 0;
alert_comes_and_goes('GxyBalancerPlacedByCount', 'ALTER SYSTEM SET gxy_balancer.load_max_age = 0; SELECT pg_reload_conf()',
	'ALTER SYSTEM RESET gxy_balancer.load_max_age; SELECT pg_reload_conf()',
	while => sub { $room++; $node->safe_psql('postgres', "SELECT get_or_assign_server('new$room')") });
alert_comes_and_goes('GxyBalancerCallsRefused', 'SELECT 1', 'SELECT 1',
	while => sub { attempt($node, q(SET gxy_balancer.overflow = error; SELECT get_or_assign_server('huge', NULL, 100000))) });
alert_comes_and_goes('GxyBalancerNotWatched', 'SELECT 1', 'SELECT 1',
	while => sub { stop($exporter) if $exporter; undef $exporter },
	then => sub { $exporter = start('postgres_exporter', $copy, "$listen:$exporter_port") });

my @untested = grep { !$tested{$_} } slurp_file("$folder/alerts.yml") =~ /- alert: (\w+)/g;
is("@untested", '', 'every alert was tested');

# The page's table: each alert with its severity and duration, and what to type.
my %rules;
for my $rule (split /^      - (?=alert)/m, slurp_file("$folder/alerts.yml"))
{
	my ($alert, $severity) = $rule =~ /^alert: (\w+)\n.*?severity: (\w+)/s or next;
	my ($for) = $rule =~ /^ +for: (\w+)$/m;

	$rules{$alert} = "$severity | " . (defined $for ? $for =~ s/s$/ s/r =~ s/m$/ min/r : 'at once');
}
my %told = $text =~ /^\| `(GxyBalancer\w+)` \| (\w+ \| [\w ]+) \|/mg;
is_deeply(\%told, \%rules, 'the page has every alert, its severity and its duration');
for my $statement (map { /`((?:SELECT|UPDATE)\b[^`]*)`/g } $text =~ /^\| `GxyBalancer.*$/mg)
{
	my (undef, $state, $error) = attempt($node, $statement);
	is($state && $error, '', "what to type: $statement");
}

# Each query of the dashboard, while there is an alert.
sub check_dashboard
{
	my $dashboard = decode_json(slurp_file("$folder/dashboard-prometheus.json"));

	for my $panel (@{ $dashboard->{panels} })
	{
		for my $target (@{ $panel->{targets} })
		{
			my $expression = $target->{expr} =~ s/\$job/gxy_balancer/gr =~ s/\$__rate_interval/5s/gr;
			my $found = until_true("an answer to $expression", sub { my $series = query($expression); $series && @$series && $series });
			ok(scalar @$found, "$panel->{title}: $expression");
		}
	}
	return;
}

$node->stop;
done_testing();
