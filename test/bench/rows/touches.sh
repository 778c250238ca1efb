# The effect of renewals on the tables: a million of them, each written (touch_interval = 0), over
# 500 rooms; and the service's UPDATE, whose table has an index on last_used_at. Commits do not wait
# for the disk, since their speed is not measured here.
rooms=500 clients=8 touches=$((full ? 1000000 : 200000))

make_database bench_touches 0 0 $rooms 12
query bench_touches "ALTER DATABASE bench_touches SET synchronous_commit = off;
	ALTER DATABASE bench_touches SET gxy_balancer.touch_interval = 0"

touched() {
	local table=$1 script=$2 before after bytes
	before=$(query bench_touches "SELECT pg_total_relation_size('$table') / 1024")
	bytes=$(wal_of bench bench_touches "$script" $clients -t $((touches / clients)) -D rooms=$rooms)
	after=$(query bench_touches "SELECT pg_total_relation_size('$table') / 1024")
	# The statistics of a backend are complete when it has ended.
	query bench_touches "SELECT pg_stat_force_next_flush()" >/dev/null
	fact touches "$touches renewals of $table" "$before kB before, $after kB after; $(query bench_touches "
		SELECT round(100.0 * n_tup_hot_upd / nullif(n_tup_upd, 0), 2) || '% of ' || n_tup_upd || ' heap-only, '
			|| autovacuum_count || ' autovacuums'
		FROM pg_stat_user_tables WHERE relname = '$table'"); $((bytes / touches)) bytes of WAL each"
}
touched room_server_assignments touch
touched go_assignments touch_go
