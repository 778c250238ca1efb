# New rooms with an exact count (load_max_age = 0), 5 000 live sessions among 205 000, at 8 clients,
# against the service's own statements: as deployed, without an index of live sessions; with the
# index that the extension recommends; and in its latest version, which counts assignments and no
# users.
rooms=500 servers=12 clients=8 calls=$((full ? 200 : 100))

make_database bench_exact 5000 200000 $rooms $servers
make_database bench_deployed 5000 200000 $rooms $servers
query bench_deployed 'DROP INDEX sessions_live_idx'
for database in bench_exact bench_deployed; do
	query $database "ALTER DATABASE $database SET gxy_balancer.load_max_age = 0"
done

# exact DATABASE SCRIPT [CALLS]: a fixed number of rooms, not a fixed time: in a fixed time a faster
# side would add more rooms and count them.
exact() {
	refill "$1" $rooms $servers
	bench "$1" "$2" $clients -t "${3:-$calls}" -D base="$round"0000000
}
side_exact() { exact bench_exact new; }
# Every call reads all 205 000 sessions here, so fewer calls are enough.
side_exact_no_index() { exact bench_deployed new $((calls / 4)); }
side_go_deployed() { exact bench_deployed new_go $((calls / 4)); }
side_go_index() { exact bench_exact new_go; }
side_go_latest() { exact bench_exact new_go_rooms; }
side_plpgsql() { exact bench_exact new_plpgsql; }

alternate exact exact go_deployed go_index go_latest ${full:+exact_no_index plpgsql}
verdict exact exact go_deployed '>=3' 'new room, exact' "the Go service's three statements, as deployed"
verdict exact exact go_index '>=1.2' 'new room, exact' 'the same statements, our index on both sides'
verdict exact exact go_latest '>=1' 'new room, exact' "the service's latest version: counts rooms, not users"
[[ -n $full ]] || return 0
verdict exact exact_no_index go_deployed '' 'new room, exact, without our index' 'the same statements, as deployed'
verdict exact exact plpgsql '' 'new room, exact' 'plpgsql with an advisory lock, our index'

refill bench_exact $rooms $servers
fact exact "latency of an exact new room, $clients clients: p50, p99, p99.9" \
	"$(latencies bench_exact new $clients -t $calls -D base=70000000) us"
fact exact "latency of the service's statements, our index: p50, p99, p99.9" \
	"$(latencies bench_exact new_go $clients -t $calls -D base=80000000) us"
# In a backend that has placed a room before.
fact exact 'buffers touched by an exact new room' "$(query bench_exact "SELECT get_or_assign_server('one');
	EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF) SELECT get_or_assign_server('another')" |
	sed -n 's/^ *Buffers: shared hit=\([0-9]*\).*/\1/p' | head -n 1)"
