# test/bench/lib.sh: functions that measure, for test/bench/run and its rows to source.
#
# A side is a function side_NAME that does the work once and prints the rate, in units per second.
# alternate runs the sides in turn, round after round, so that other load on the machine affects all
# of them; verdict compares two of them round by round, and so does the report.
#
# Results are lines of tab-separated fields: rates (row, side, round, rate) and facts (row, what,
# value); verdicts are those of the table.

say() {
	printf '%5d s  %s\n' $((SECONDS - started)) "$*"
}

# An error in a subshell ends only the subshell; its caller runs under set -e.
die() {
	echo "test/bench: $*" >&2
	exit 1
}

# The empty function, for make_database.
build_empty() {
	cp -r "$here/empty" "$work/empty"
	make -s --no-print-directory -C "$work/empty" PG_CONFIG="$pg_config" >"$work/log/empty.log" 2>&1 ||
		{ cat "$work/log/empty.log" >&2; die 'could not build the empty function'; }
}

# query DATABASE SQL
query() {
	psql -X -q -At -v ON_ERROR_STOP=1 -d "$1" -c "$2"
}

fact() {
	printf '%s\t%s\t%s\n' "$1" "$2" "$3" >>"$results/facts.tsv"
	say "$1: $2: $3"
}

# median, least and most of the numbers on standard input.
spread() {
	sort -g | awk '{ v[NR] = $1 } END { if (NR) print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2, v[1], v[NR] }'
}

# percentiles of the numbers on standard input: 50, 99 and 99.9.
percentiles() {
	sort -g | awk '{ v[NR] = $1 }
		function at(p,  i) { i = int(NR * p); return v[i < 1 ? 1 : i] }
		END { if (NR) print at(0.5), at(0.99), at(0.999) }'
}

# rates ROW SIDE: prints the rates of all rounds, in order.
rates() {
	awk -F'\t' -v row="$1" -v side="$2" '$1 == row && $2 == side { print $4 }' "$results/rates.tsv"
}

median_rate() {
	rates "$@" | spread | cut -d' ' -f1
}

# alternate ROW SIDE...: runs every other round in the opposite order.
alternate() {
	local row=$1 round side rate order
	shift
	for ((round = 1; round <= rounds; round++)); do
		order="$*"
		((round % 2)) || order=$(printf '%s\n' "$@" | tac | tr '\n' ' ')
		for side in $order; do
			rate=$("side_$side" "$round")
			[[ -n $rate ]] || die "$row: $side gave no figure"
			printf '%s\t%s\t%s\t%s\n' "$row" "$side" "$round" "$rate" >>"$results/rates.tsv"
		done
		say "$row: round $round of $rounds"
	done
	for side in "$@"; do
		say "$row: $(printf '%-24s %12.1f /s' "$side" "$(median_rate "$row" "$side")")"
	done
}

# judge VALUE TARGET: TARGET is >=N or <=N, or empty if there is none.
judge() {
	awk -v value="$1" -v target="$2" 'BEGIN {
		limit = substr(target, 3) + 0
		if (target == "") print "-"
		else if (target ~ /^>=/) print (value >= limit ? "met" : "not met")
		else print (value <= limit ? "met" : "not met")
	}'
}

# note_verdict WORK AGAINST MEDIAN LEAST MOST TARGET
note_verdict() {
	local met
	met=$(judge "$3" "$6")
	printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$4" "$5" "$6" "$met" >>"$results/verdicts.tsv"
	say "$(printf '%s / %s: %.2fx (%.2f..%.2f) %s %s' "$1" "$2" "$3" "$4" "$5" "$6" "$met")"
}

# verdict ROW SIDE AGAINST-SIDE TARGET WORK AGAINST: the ratio of the rates in each round.
verdict() {
	local median least most
	read -r median least most < <(paste <(rates "$1" "$2") <(rates "$1" "$3") | awk '{ print $1 / $2 }' | spread)
	note_verdict "$5" "$6" "$median" "$least" "$most" "$4"
}

# Records a row that this build of the extension cannot measure.
skip() {
	printf '%s\t%s\t\t\t\t%s\tnot measured\n' "$1" "$2" "$3" >>"$results/verdicts.tsv"
	say "$1: not measured: $4"
}

# bench DATABASE SCRIPT CLIENTS [ARGUMENT OF pgbench]...: transactions a second.
bench() {
	local database=$1 script=$2 clients=$3 log=$work/log/pgbench.$2.log
	shift 3
	pgbench -n -M prepared -f "$here/pgbench/$script.sql" -c "$clients" -j $((clients < 2 ? 1 : 2)) \
		-D clients="$clients" -D n=0 -D size=8000000 "$@" "$database" >"$log" 2>&1 || { tail "$log" >&2; die "pgbench $script failed"; }
	grep -q 'failed transactions: 0 ' "$log" || { tail "$log" >&2; die "transactions of $script failed"; }
	sed -n 's/^tps = \([0-9.]*\).*/\1/p' "$log"
}

# latencies DATABASE SCRIPT CLIENTS ARGUMENT...: p50, p99 and p99.9 in microseconds.
latencies() {
	local database=$1 script=$2 clients=$3 folder
	folder=$(mktemp -d "$work/latency.XXXXXX")
	shift 3
	bench "$database" "$script" "$clients" -l --log-prefix="$folder/log" "$@" >/dev/null
	cat "$folder"/log* | cut -d' ' -f3 | percentiles
	rm -r "$folder"
}

# beside DATABASE ROOMS RATE FOLDER COMMAND...: lets eight clients make sticky calls at that rate for
# ten seconds, of which they are alone for four, before the command. Appends the latencies of the
# calls that ended in these four seconds to FOLDER/idle, of those during the command to FOLDER/busy,
# and its duration to FOLDER/seconds.
beside() {
	local database=$1 rooms=$2 rate=$3 folder=$4 log from before after caller
	shift 4
	log=$(mktemp -d "$work/latency.XXXXXX")
	bench "$database" sticky 8 -T 10 -R "$rate" -D rooms="$rooms" -l --log-prefix="$log/log" >"$log/rate" &
	caller=$!
	sleep 1
	from=$EPOCHREALTIME
	sleep 4
	before=$EPOCHREALTIME
	"$@" >/dev/null
	after=$EPOCHREALTIME
	wait $caller
	awk -v from="$before" -v to="$after" 'BEGIN { printf "%.2f\n", to - from }' >>"$folder/seconds"
	cat "$log"/log* | awk -v from="$from" -v before="$before" -v after="$after" -v folder="$folder" '{
			at = $5 + $6 / 1e6
			if (at >= from && at < before) print $3 >>(folder "/idle")
			if (at >= before && at <= after) print $3 >>(folder "/busy")
		}'
	rm -r "$log"
}

# The processor time of the server's ended processes, in clock ticks.
ended_ticks() {
	local fields
	read -ra fields <"/proc/$(as_server head -n 1 data/postmaster.pid)/stat"
	echo $((fields[15] + fields[16]))
}

# server_time DATABASE SCRIPT CLIENTS ARGUMENT...: microseconds of processor time for each
# transaction, of the server only. Waits and other programs do not affect it. It includes the start
# of the sessions, so it takes many transactions.
server_time() {
	local before calls
	before=$(ended_ticks)
	bench "$@" >/dev/null
	calls=$(sed -n 's/^number of transactions actually processed: \([0-9]*\).*/\1/p' "$work/log/pgbench.$2.log")
	# The server may not have reaped a backend that has just ended.
	while [[ $(query postgres "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgbench'") != 0 ]]; do
		sleep 0.05
	done
	awk -v ticks=$(($(ended_ticks) - before)) -v hz="$(getconf CLK_TCK)" -v calls="$calls" \
		'BEGIN { printf "%.1f\n", ticks * 1e6 / hz / calls }'
}

# wal_of COMMAND...: bytes of WAL written during the command.
wal_of() {
	local before
	before=$(query postgres 'SELECT pg_current_wal_insert_lsn()')
	"$@" >/dev/null
	query postgres "SELECT pg_current_wal_insert_lsn() - '$before'::pg_lsn"
}

have_setting() {
	query "$1" "LOAD 'gxy_balancer'; SHOW gxy_balancer.$2" &>/dev/null
}

# make_database NAME LIVE ENDED ROOMS SERVERS: the sample service with its sessions attached; see
# sql/fill.sql.
make_database() {
	say "database $1: $2 live sessions, $3 ended, $4 rooms, $5 servers"
	createdb "$1"
	{
		echo 'CREATE EXTENSION gxy_balancer;'
		printf '\\i %s\n' "$root/examples/gxydb/schema.sql" "$root/examples/gxydb/views.sql" "$here/sql/peers.sql"
		# Rooms are not checked against a rooms relation: the peers do not check either.
		echo 'SELECT attach_rooms(NULL);'
		cat "$here/sql/fill.sql"
	} | psql -X -q -v ON_ERROR_STOP=1 -v live="$2" -v ended="$3" -v rooms="$4" -v servers="$5" \
		-v empty_library="$work/empty/empty" -d "$1" -o /dev/null 2>"$work/log/fill.log" ||
		{ cat "$work/log/fill.log" >&2; die "could not fill $1"; }
	query "$1" 'CHECKPOINT'
}

# Empties the tables, so that no row is measured with what another has left.
drop_databases() {
	local database
	for database in $(query postgres "SELECT datname FROM pg_database WHERE datname LIKE 'bench%'"); do
		dropdb "$database"
	done
}

# refill DATABASE ROOMS SERVERS: restores the assignments of the start.
refill() {
	query "$1" "SELECT bench.refill($2, $3)" >/dev/null
	query "$1" 'VACUUM (ANALYZE) room_server_assignments, bare, plain, go_assignments, plpgsql_assignments'
}
