# What an index of the live sessions costs the service and saves the count: no index, the
# recommended one, and a wide one that includes updated_at, so that the count need not visit the
# table. 5 000 live sessions among 205 000.
#
# The service writes a session with each report of its client, by an upsert that sets updated_at.
live=5000 rooms=500 servers=12

make_database bench_index $live 200000 $rooms $servers
# The index that the upsert uses.
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

# upserts NUMBER: reports of clients, one transaction each.
upserts() {
	PGOPTIONS='-c synchronous_commit=off' bench bench_index session 2 -t $(($1 / 2)) \
		-D live=$live -D rooms=$rooms -D servers=$servers >/dev/null
}

# The number of updates of sessions so far, and how many were heap-only. A backend's statistics are
# complete when it has ended.
updates() {
	query bench_index "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'sessions'" | tr '|' ' '
}

# new_room BASE CALLS: the server's processor time for a call that counts; other load on the machine
# does not affect it.
new_room() {
	PGOPTIONS='-c synchronous_commit=off' server_time bench_index new 1 -t "$2" -D base="$1" | awk '{ printf "%.1f ms", $1 / 1000 }'
}

base=10000000
for kind in none narrow wide; do
	use_index $kind
	# Repeats until updates find free space on the pages, and no page is written to the WAL in full
	# any more.
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
