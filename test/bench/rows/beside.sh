# Sticky calls at a fixed rate beside a cleanup, a failover of 10 000 rooms and a VACUUM, against the
# same calls in the seconds before each. The percentiles are of the calls of all rounds together,
# because those of one round are too few for p99.9. A minute and a half.
rooms=200000 servers=20 rate=2000
idle=$((rooms / 10)) moving=$((rooms / servers))
rounds=$((full ? 8 : 2))

make_database bench_beside $rooms 0 $rooms $servers
query bench_beside "ALTER DATABASE bench_beside SET gxy_balancer.touch_interval = '1h';
	ALTER DATABASE bench_beside SET gxy_balancer.assignment_grace = '3h';
	ALTER DATABASE bench_beside SET gxy_balancer.failover_delay = 0;
	INSERT INTO balancer_servers (name, pool) VALUES ('spare1', 'standby')"

add_idle() {
	query bench_beside "INSERT INTO room_server_assignments (room_id, gateway_name, assigned_at, last_used_at, reason)
		SELECT i || 'x', 'gxy1', now() - interval '4h', now() - interval '4h', 'least loaded' FROM generate_series(1, $idle) i"
}
vacuum() { query bench_beside "VACUUM ${1:-} room_server_assignments"; }

prepare_cleanup() { add_idle && vacuum '(ANALYZE)'; }
do_cleanup() {
	local freed
	freed=$(query bench_beside 'SELECT clean_inactive_assignments()')
	((freed == idle)) || die "freed $freed rooms, not $idle"
}

prepare_vacuum() {
	add_idle
	query bench_beside "DELETE FROM room_server_assignments WHERE room_id LIKE '%x'"
}
do_vacuum() { vacuum; }

# The rooms of gxy2 go to the standby: those that are called by their calls, the others by the
# worker.
prepare_failover() {
	query bench_beside "SELECT set_server_state('gxy2', 'online');
		UPDATE room_server_assignments SET gateway_name = 'gxy2' WHERE gateway_name = 'spare1'" >/dev/null
	vacuum '(ANALYZE)'
}
do_failover() {
	local moved
	query bench_beside "SELECT set_server_state('gxy2', 'offline')" >/dev/null
	# One session waits: a client that starts again and again would be a load of its own.
	query bench_beside "DO \$\$ BEGIN
		WHILE NOT EXISTS (SELECT FROM balancer_failovers WHERE from_server = 'gxy2' AND recovered_at IS NULL AND outcome = 'moved') LOOP
			COMMIT;
			PERFORM pg_sleep(0.02);
		END LOOP;
	END \$\$"
	moved=$(query bench_beside "SELECT rooms FROM balancer_failovers WHERE from_server = 'gxy2' AND recovered_at IS NULL")
	((moved == moving)) || die "$moved rooms have moved, not $moving"
}

for what in ${BESIDE:-cleanup vacuum failover}; do
	folder=$(mktemp -d "$work/beside.XXXXXX")
	for ((round = 1; round <= rounds; round++)); do
		prepare_$what
		query bench_beside 'CHECKPOINT'
		beside bench_beside $rooms $rate "$folder" do_$what
	done
	busy=$(percentiles <"$folder/busy")
	alone=$(percentiles <"$folder/idle")
	fact beside "sticky at $rate/s, p50, p99, p99.9 us, calls: idle; during the $what" \
		"$alone us, $(wc -l <"$folder/idle"); $busy us, $(wc -l <"$folder/busy")"
	fact beside "seconds of a $what, each round" "$(paste -sd' ' "$folder/seconds")"
	ratio=$(awk -v a="${busy##* }" -v b="${alone##* }" 'BEGIN { print a / b }')
	note_verdict "sticky p99.9 beside a $what" 'idle' "$ratio" "$ratio" "$ratio" '<=2'
	rm -r "$folder"
done
