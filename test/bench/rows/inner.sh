# Sticky calls without client and protocol: many rows of one statement in one backend, minus the
# time of the scan that drives it.
calls=100000 rooms=10000

make_database bench_inner 5000 0 $rooms 12
query bench_inner "ALTER DATABASE bench_inner SET enable_hashjoin = off; ALTER DATABASE bench_inner SET enable_mergejoin = off;
	ALTER DATABASE bench_inner SET enable_memoize = off; ALTER DATABASE bench_inner SET enable_bitmapscan = off;
	ALTER DATABASE bench_inner SET max_parallel_workers_per_gather = 0;
	ALTER DATABASE bench_inner SET gxy_balancer.touch_interval = '1h'; ALTER DATABASE bench_inner SET gxy_balancer.assignment_grace = '1d';
	CREATE TABLE driving AS SELECT (1 + i::bigint * 7919 % $rooms)::text AS room_id FROM generate_series(1, $calls) i;"
query bench_inner 'VACUUM (ANALYZE) driving'

# Calls per second in one backend, from the shortest of five runs, with and without: other load only
# adds to a time.
in_one_backend() {
	query bench_inner "SELECT $calls / greatest(min(t.with_it) - min(t.without), 1e-4)
		FROM (SELECT bench.seconds('SELECT count(room_id) FROM driving') AS without, bench.seconds('$1') AS with_it
			FROM generate_series(1, 5)) t"
}
side_empty() { in_one_backend 'SELECT count(bench_empty(room_id)) FROM driving'; }
side_join() {
	in_one_backend 'SELECT count(a.gateway_name) FROM driving d JOIN room_server_assignments a ON a.room_id = d.room_id'
}
side_sticky() { in_one_backend 'SELECT count(get_or_assign_server(room_id)) FROM driving'; }
side_lookup() { in_one_backend 'SELECT count(room_server(room_id)) FROM driving'; }
side_plpgsql() { in_one_backend 'SELECT count(bench_plpgsql(room_id)) FROM driving'; }

alternate inner empty join sticky lookup plpgsql
verdict inner sticky join '>=0.6' 'sticky call, in one backend' 'inner side of an index join'
verdict inner lookup join '' 'room_server(), in one backend' 'inner side of an index join'
verdict inner sticky plpgsql '' 'sticky call, in one backend' 'plpgsql'
for side in empty join sticky lookup plpgsql; do
	fact inner "one call in one backend, $side" "$(awk -v rate="$(median_rate inner $side)" 'BEGIN { printf "%.3f us", 1e6 / rate }')"
done
