# Lookups spread over streaming standbys, and rooms over databases, with two servers on this
# machine: each has one processor, shared with its clients, so that the two stand for two machines.
# The calls are for rooms that have a server: room_server() and get_or_assign_server(), which on a
# standby answers without renewing.
rooms=500 servers=12 clients=4

(($(nproc) >= 2)) || { skip 'lookups, primary and a standby' 'the primary alone' '' 'it needs two processors'; return 0; }
make_database bench_standby 5000 0 $rooms $servers
as_server pg_basebackup -D standby -R -c fast -X stream -d "host=$PGHOST user=postgres" 2>"$work/log/basebackup.log" ||
	{ cat "$work/log/basebackup.log" >&2; die 'no base backup'; }
as_server sed -i "s/^unix_socket_directories.*/unix_socket_directories = '${PGHOST//\//\\/}'\nport = 5433/" \
	standby/postgresql.conf
as_server pg_ctl -D standby -l standby.log -s -w start >"$work/log/standby.log" 2>&1 ||
	{ as_server tail standby.log >&2; die 'no standby'; }

# Pins the postmaster's new processes to its processor.
pin() {
	taskset -a -cp "$1" "$(as_server head -n 1 "$2/postmaster.pid")" >/dev/null
}
pin 0 data
pin 1 standby
caught_up() {
	local until
	until=$(query postgres 'SELECT pg_current_wal_flush_lsn()')
	while [[ $(PGPORT=5433 query postgres "SELECT pg_last_wal_replay_lsn() >= '$until'") != t ]]; do
		sleep 0.05
	done
}
caught_up

on() {
	local port=5432
	[[ $1 == 0 ]] || port=5433
	(taskset -cp "$1" $BASHPID >/dev/null && PGPORT=$port bench bench_standby "$2" $clients -T "$seconds" \
		-D rooms=$rooms)
}
both() {
	on 0 "$1" >"$work/log/rate.primary" &
	on 1 "$1" >"$work/log/rate.standby"
	wait $!
	cat "$work"/log/rate.{primary,standby} | awk '{ sum += $1 } END { print sum }'
}
side_lookup_primary() { on 0 lookup; }
side_lookup_standby() { on 1 lookup; }
side_lookup_both() { both lookup; }
side_sticky_primary() { on 0 sticky; }
side_sticky_standby() { on 1 sticky; }
side_sticky_both() { both sticky; }

alternate standby lookup_primary lookup_standby lookup_both sticky_primary sticky_standby sticky_both
verdict standby lookup_both lookup_primary '' 'room_server(), primary and a standby' 'the primary alone'
verdict standby sticky_both sticky_primary '' 'sticky call, primary and a standby' 'the primary alone'
verdict standby sticky_standby sticky_primary '' 'sticky call, the standby alone' 'the primary alone'

# The standby answers while the primary assigns new rooms as fast as one processor can.
! have_setting bench_standby load_max_age || export PGOPTIONS='-c gxy_balancer.load_max_age=1s'
(taskset -cp 0 $BASHPID >/dev/null && bench bench_standby new $clients -T $((seconds * 2)) -D base=10000000) >"$work/log/rate.new" &
writer=$!
sleep 0.5
busy=$(on 1 lookup)
lag=$(query postgres "SELECT round(extract(epoch FROM replay_lag) * 1000, 1) FROM pg_stat_replication")
wait $writer
fact standby 'lookups a second of the standby meanwhile, new rooms a second of the primary, replay lag' \
	"$busy, $(cat "$work/log/rate.new"), ${lag:-unknown} ms"

# After its promotion the standby is a database with other rooms, like one more shard: new rooms on
# one and on both.
caught_up
as_server pg_ctl -D standby -s -w promote >/dev/null
pin 1 standby
new_on() {
	local port=$((5432 + $1))
	(taskset -cp "$1" $BASHPID >/dev/null && PGPORT=$port bench bench_standby new $clients -T "$seconds" \
		-D base="$2$1"000000 -D size=900000)
}
side_new_one() { new_on 0 "$((10 + $1))"; }
side_new_two() {
	new_on 0 "$((40 + $1))" >"$work/log/rate.primary" &
	new_on 1 "$((40 + $1))" >"$work/log/rate.standby"
	wait $!
	cat "$work"/log/rate.{primary,standby} | awk '{ sum += $1 } END { print sum }'
}
alternate shards new_one new_two
verdict shards new_two new_one '' 'new rooms, two databases on two servers' 'one of them'
unset PGOPTIONS
pin 0-$(($(nproc) - 1)) data
as_server pg_ctl -D standby -s -w stop >/dev/null
