# The recipes of doc/operations.md with pg_cron: scheduled by an operator who is no superuser, and
# the commands that pg_cron has stored do what the recipes say, in that role. pg_cron itself runs
# one of them; its shortest schedule is a minute.

use strict;
use warnings FATAL => 'all';

use lib 'test/t', 'test/lib';
use Blocks qw(blocks);
use GxyBalancer;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $sharedir = `"@{[ $ENV{PG_CONFIG} || 'pg_config' ]}" --sharedir`;
chomp $sharedir;
plan skip_all => 'test/prepare has found no package of pg_cron for this PostgreSQL' unless -e "$sharedir/extension/pg_cron.control";

my $node = PostgreSQL::Test::Cluster->new('cron');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'pg_cron,gxy_balancer'
cron.database_name = 'galaxy'
cron.use_background_workers = on
gxy_balancer.load_max_age = 0
CONF
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE galaxy; CREATE ROLE app; CREATE ROLE monitor; CREATE ROLE grafana; CREATE ROLE operator LOGIN');
$node->safe_psql('galaxy', q(CREATE EXTENSION gxy_balancer; SELECT init_servers('gxy1,gxy3,gxy7'); UPDATE balancer_servers SET capacity = 600 WHERE name = 'gxy7';
	CREATE TABLE live (room_id text, user_id int, gateway_name text); SELECT attach_sessions('live')));

sub ask
{
	my ($sql, @more) = @_;

	return $node->safe_psql('galaxy', $sql, @more);
}

# As pg_cron runs a job: in a session of the role that has scheduled it.
sub run_job
{
	my ($name) = @_;
	my ($role, $command) = split /\|/, ask("SELECT username, command FROM cron.job WHERE jobname = '$name'"), 2;

	is($role, 'operator', "$name is scheduled");
	ask($command, extra_params => [ '-U', $role ]);
	return;
}

sub state_of
{
	return ask("SELECT server_state('$_[0]')");
}

my ($grants) = map { $_->{text} } grep { $_->{text} =~ /^-- the operator$/m } blocks('doc/grants.md');
ask($grants);

my @recipes = grep { $_->{is}{pg_cron} } blocks('doc/operations.md');
is(scalar @recipes, 3, 'the recipes');
ask($recipes[0]{text});
ask($_->{text}, extra_params => [ '-U', 'operator' ]) for @recipes[ 1, 2 ];

# Maintenance tonight.
ask(q(INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('1', 'gxy3'); INSERT INTO live VALUES ('1', 1, 'gxy3')));
run_job('gxy3 drain');
is(state_of('gxy3'), 'draining', 'it drains');
run_job('gxy3 offline');
is(state_of('gxy3'), 'draining', 'a server with rooms is not taken offline');
run_job('gxy3 evacuate');
isnt(ask(q(SELECT room_server(1))), 'gxy3', 'the rooms that are left are moved');
run_job('gxy3 offline');
is(state_of('gxy3'), 'draining', 'a server with users is not taken offline');
ask('DELETE FROM live');
run_job('gxy3 offline');
is(state_of('gxy3'), 'offline', 'a drained one is');
ask(q(SELECT set_server_state('gxy3', 'online')));
run_job('gxy3 evacuate');
is(state_of('gxy3'), 'online', 'one that is back earlier is left alone');
ask(q(SELECT set_server_state('gxy3', 'offline')));
run_job('gxy3 online');
is(state_of('gxy3'), 'online', 'after the window it is back');
is(ask(q(SELECT count(*) FROM cron.job WHERE jobname LIKE 'gxy3 %')), '0', 'and no job is left');

# Capacity for an event.
run_job('event begins');
is(ask(q(SELECT capacity FROM balancer_servers WHERE name = 'gxy7')), '800', 'the server has more capacity');
is(ask(q(SELECT expected_users FROM balancer_pins WHERE room_id = '2171')), '500', 'the size is reckoned with');
is(ask(q(SELECT get_or_assign_server(2171))), 'gxy7', 'the room goes there');
run_job('event ends');
is(ask(q(SELECT capacity FROM balancer_servers WHERE name = 'gxy7')), '600', 'the server has its capacity back');
is(ask(q(SELECT count(*) FROM balancer_pins)), '0', 'the pin is gone');
is(ask(q(SELECT count(*) FROM cron.job)), '0', 'and no job is left');

# pg_cron runs a command in the role that has scheduled it.
# One job frees the inactive rooms, which no worker does meanwhile.
$node->append_conf('postgresql.conf', "gxy_balancer.cleanup_interval = '1d'");
$node->reload;
ask(q(INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('in use', 'gxy1'); INSERT INTO live VALUES ('in use', 1, 'gxy1')));
ask(q(INSERT INTO room_server_assignments (room_id, gateway_name, assigned_at, last_used_at)
	SELECT room, 'gxy1', now() - interval '1 day', now() - interval '1 day' FROM (VALUES ('idle')) rooms (room)));
ask(q(SELECT cron.schedule('clean', '* * * * *', 'SELECT clean_inactive_assignments()')), extra_params => [ '-U', 'operator' ]);
ask(q(SELECT cron.schedule('now', '* * * * *', $$SELECT set_server_state('gxy1', 'draining')$$)), extra_params => [ '-U', 'operator' ]);
ok($node->poll_query_until('galaxy', q(SELECT count(*) > 0 FROM cron.job_run_details WHERE status = 'succeeded' AND username = 'operator')),
	'pg_cron runs it');
is(state_of('gxy1'), 'draining', 'and it does what it says');
ok($node->poll_query_until('galaxy', q(SELECT count(*) > 0 FROM cron.job_run_details WHERE status = 'succeeded' AND command LIKE '%clean%')),
	'pg_cron runs a cleanup');
is(ask(q(SELECT string_agg(room_id, ',') FROM room_server_assignments WHERE room_id IN ('idle', 'in use'))), 'in use',
	'which frees the inactive rooms and no other');

$node->stop;
done_testing();
