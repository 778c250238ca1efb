# What an index of the live sessions costs the service and saves the count: none, the recommended one, and a wide one that
# has updated_at in it, so that the count need not visit the table. 5 000 live sessions among 205 000.
#
# The service writes a session with each report of its client, by an upsert that sets updated_at.
live=5000 rooms=500 servers=12

make_database bench_index $live 200000 $rooms $servers
# What the upsert looks for.
query bench_index "CREATE UNIQUE INDEX ON sessions (user_id, gateway_id, gateway_session)"

index_none='SELECT'
index_narrow='CREATE INDEX sessions_live_idx ON sessions (room_id) INCLUDE (user_id, gateway_id) WHERE removed_at IS NULL'
index_wide='CREATE INDEX sessions_live_idx ON sessions (room_id)
	INCLUDE (user_id, gateway_id, updated_at, created_at) WHERE removed_at IS NULL'

# use_index KIND: every kind begins with the same table.
use_index() {
	local definition=index_$1
	query bench_index 'SET client_min_messages = warning; DROP INDEX IF EXISTS sessions_live_idx'
	query bench_index "${!definition}"
	query bench_index 'VACUUM FULL sessions'
	query bench_index 'VACUUM (ANALYZE) sessions'
	query bench_index 'CHECKPOINT'
}

# upserts NUMBER: as clients report, one transaction each.
upserts() {
	PGOPTIONS='-c synchronous_commit=off' bench bench_index session 2 -t $(($1 / 2)) \
		-D live=$live -D rooms=$rooms -D servers=$servers >/dev/null
}

# Updates of sessions so far, and how many of them were heap-only. Statistics of a session are there when it has ended.
updates() {
	query bench_index "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'sessions'" | tr '|' ' '
}

# new_room BASE CALLS: processor time of the server for one that counts, whatever else the machine does.
new_room() {
	PGOPTIONS='-c synchronous_commit=off' server_time bench_index new 1 -t "$2" -D base="$1" | awk '{ printf "%.1f ms", $1 / 1000 }'
}

base=10000000
for kind in none narrow wide; do
	use_index $kind
	# Until the pages have the free space that updates leave them, and none is written to the WAL in full any more.
	upserts $((4 * live))
	before=($(updates))
	bytes=$(wal_of upserts $((2 * live)))
	after=($(updates))
	fact index "WAL of a session upsert, index: $kind" "$((bytes / (2 * live))) bytes"
	fact index "heap-only upserts, index: $kind" "$(((after[1] - before[1]) * 100 / (after[0] - before[0]))) %"
	[[ $kind == none ]] && calls=30 || calls=300
	fact index "an exact new room, table as updates leave it, index: $kind" "$(new_room $base $calls)"
	query bench_index 'VACUUM sessions'
	fact index "an exact new room after VACUUM, index: $kind" "$(new_room $((base + 1000000)) $calls)"
	base=$((base + 10000000))
done
