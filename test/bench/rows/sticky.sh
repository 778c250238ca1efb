# Sticky calls, which are nearly all calls, at 8 clients; 500 rooms.
clients=8 rooms=500
# With eight clients on two processors, the kernel's scheduling differs more from run to run than
# the sides do.
rounds=$((rounds * 3 / 2))

make_database bench_sticky 5000 200000 $rooms 12

side_select_1() { bench bench_sticky select_1 $clients -T "$seconds" -D rooms=$rooms; }
side_empty() { bench bench_sticky sticky_empty $clients -T "$seconds" -D rooms=$rooms; }
side_plain() { bench bench_sticky sticky_plain $clients -T "$seconds" -D rooms=$rooms; }
side_sticky() { bench bench_sticky sticky $clients -T "$seconds" -D rooms=$rooms; }
side_go() { bench bench_sticky sticky_go $clients -T "$seconds" -D rooms=$rooms; }
side_plpgsql() { bench bench_sticky sticky_plpgsql $clients -T "$seconds" -D rooms=$rooms; }

# Within touch_interval a call does not write. The first calls renew the old leases of the filled
# table.
side_sticky >/dev/null
alternate sticky empty plain sticky go ${full:+select_1 plpgsql}
verdict sticky sticky empty '>=0.85' "sticky call, $clients clients" 'an empty C function'
verdict sticky sticky plain '>=1.05' "sticky call, $clients clients" 'SELECT gateway_name ... WHERE room_id = $1'
verdict sticky sticky go '>=6' "sticky call, $clients clients" "the Go service's SELECT and UPDATE"
if [[ -n $full ]]; then
	verdict sticky sticky select_1 '' "sticky call, $clients clients" 'SELECT 1'
	verdict sticky sticky plpgsql '' "sticky call, $clients clients" 'plpgsql, renewing as seldom'
fi

# Calls with their usual share of renewals, for at least one touch_interval.
window=$((seconds < 12 ? 12 : seconds))
measure_wal() {
	local bytes calls
	bytes=$(wal_of bench bench_sticky "$1" $clients -T "$2" -D rooms=$rooms)
	calls=$(sed -n 's/^number of transactions actually processed: \([0-9]*\).*/\1/p' "$work/log/pgbench.$1.log")
	awk -v bytes="$bytes" -v calls="$calls" 'BEGIN { printf "%.3f\n", bytes / calls }'
}
ours=$(measure_wal sticky $window)
theirs=$(measure_wal sticky_go "$seconds")
fact sticky 'WAL a sticky call, renewals included' "$ours bytes"
fact sticky "WAL a call of the Go service" "$theirs bytes"
ratio=$(awk -v a="$theirs" -v b="$ours" 'BEGIN { print (b > 0 ? a / b : 1e6) }')
note_verdict "WAL of a sticky call, $rooms rooms" "the Go service's SELECT and UPDATE" "$ratio" "$ratio" "$ratio" '>=100'

[[ -n $full ]] || return 0
for script in select_1 sticky_empty sticky_plain sticky sticky_plpgsql sticky_go; do
	fact sticky "processor time of the server a call, $script" \
		"$(server_time bench_sticky $script $clients -T $((seconds * 3)) -D rooms=$rooms) us"
	fact sticky "latency of $script, $clients clients: p50, p99, p99.9" \
		"$(latencies bench_sticky $script $clients -T "$seconds" -D rooms=$rooms) us"
done
buffers() {
	# The same room twice: the first call may have to renew.
	query bench_sticky "PREPARE p(text) AS $1; EXECUTE p('9'); EXECUTE p('9');
		EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF) EXECUTE p('9')" |
		sed -n 's/^ *Buffers: shared hit=\([0-9]*\).*/\1/p' | head -n 1
}
fact sticky 'buffers touched: sticky, SELECT, UPDATE of the Go service' \
	"$(buffers 'SELECT get_or_assign_server($1)'), $(buffers 'SELECT gateway_name FROM go_assignments WHERE room_id = $1'
	), $(buffers 'UPDATE go_assignments SET last_used_at = now() WHERE room_id = $1')"
