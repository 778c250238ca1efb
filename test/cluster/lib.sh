# test/cluster/lib.sh: several PostgreSQL servers on one machine, and TAP, for the files of test/cluster to source.
#
# A node is a server in a folder of its own below $work/server. Nodes listen on Unix sockets in one folder, each with
# a port that only names its socket, and on no network port. cluster_begin makes the folders of test/lib/cluster.sh and
# removes them, and the servers, when the script ends. A test calls the checks and, as its last command, cluster_end.
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source test/lib/cluster.sh
export LC_ALL=C.UTF-8

checks=0
failures=0

cluster_begin() {
	make_folders
	unset PGPORT
	trap 'cluster_cleanup $?' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
}

# Ends the background jobs of the script, then the servers. A script that dies has not printed its plan.
cluster_cleanup() {
	trap '' INT TERM HUP
	local jobs
	jobs=$(jobs -p)
	[[ -z $jobs ]] || kill $jobs 2>/dev/null || true
	if (($1 != 0)); then
		tail -n 20 "$work"/server/*.log 2>/dev/null | sed 's/^/# /' || true
	fi
	cluster_remove
}

cluster_end() {
	echo "1..$checks"
	((failures == 0))
}

# ok CONDITION WHAT: CONDITION is a command.
ok() {
	checks=$((checks + 1))
	if eval "$1"; then
		echo "ok $checks - $2"
	else
		failures=$((failures + 1))
		echo "not ok $checks - $2"
	fi
}

# is GOT EXPECTED WHAT
is() {
	checks=$((checks + 1))
	if [[ $1 == "$2" ]]; then
		echo "ok $checks - $3"
	else
		failures=$((failures + 1))
		echo "not ok $checks - $3"
		printf 'got:      %s\nexpected: %s\n' "$1" "$2" | sed 's/^/# /'
	fi
}

# like GOT REGEXP WHAT
like() {
	checks=$((checks + 1))
	if [[ $1 =~ $2 ]]; then
		echo "ok $checks - $3"
	else
		failures=$((failures + 1))
		echo "not ok $checks - $3"
		printf 'got:  %s\nlike: %s\n' "$1" "$2" | sed 's/^/# /'
	fi
}

# wait_until COMMAND [SECONDS]: runs it until it succeeds; fails after the time, which is for a busy machine.
wait_until() {
	local limit=$((SECONDS + ${2:-180}))
	until eval "$1"; do
		((SECONDS < limit)) || { echo "# waited in vain: $1"; return 1; }
		sleep 0.1
	done
}

#
# Nodes: declare -A port, by name.
#

declare -A port=()

# node_port NAME: gives the node its port.
node_port() {
	[[ -n ${port[$1]:-} ]] || port[$1]=$((5432 + ${#port[@]}))
}

# node_start NAME: starts a node that is there.
node_start() {
	as_server pg_ctl -D "$1" -l "$1.log" -s -w -t 180 start >"$work/log/start.$1.log" 2>&1 ||
		{ as_server tail "$1.log" >&2; return 1; }
}

# node_new NAME [LINE OF postgresql.conf]...: makes and starts a server.
node_new() {
	local name=$1
	shift
	node_port "$name"
	as_server initdb -D "$name" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync >"$work/log/initdb.$name.log" 2>&1 ||
		{ tail "$work/log/initdb.$name.log" >&2; return 1; }
	printf '%s\n' "listen_addresses = ''" "unix_socket_directories = '$PGHOST'" "port = ${port[$name]}" 'fsync = off' \
		"log_line_prefix = '%m [%p] %q%a %d '" "$@" | as_server tee -a "$name/postgresql.conf" >/dev/null
	node_start "$name"
}

# node_standby NAME PRIMARY [LINE OF postgresql.conf]...: a streaming standby.
node_standby() {
	local name=$1 primary=$2
	shift 2
	node_port "$name"
	as_server pg_basebackup -D "$name" -R -c fast -X stream \
		-d "host=$PGHOST port=${port[$primary]} user=postgres application_name=$name" >"$work/log/basebackup.$name.log" 2>&1 ||
		{ tail "$work/log/basebackup.$name.log" >&2; return 1; }
	printf '%s\n' "port = ${port[$name]}" "$@" | as_server tee -a "$name/postgresql.conf" >/dev/null
	node_start "$name"
}

# node_kill NAME: the machine is gone: all processes of the server end at once, without a word.
node_kill() {
	local pid
	pid=$(as_server head -n 1 "$1/postmaster.pid")
	kill -KILL "$pid" $(pgrep -P "$pid") 2>/dev/null || true
	wait_until "! kill -0 $pid 2>/dev/null"
	as_server rm -f "$1/postmaster.pid"
}

# node_freeze NAME [SIGNAL]: STOP: its processes stand still, while the kernel goes on taking connections. CONT: they go on.
node_freeze() {
	local pid
	pid=$(as_server head -n 1 "$1/postmaster.pid")
	kill -"${2:-STOP}" "$pid" $(pgrep -P "$pid") 2>/dev/null || true
}

node_stop() {
	as_server pg_ctl -D "$1" -s -m "${2:-fast}" -w -t 180 stop >/dev/null
}

# sql NODE DATABASE SQL: the rows, unaligned.
sql() {
	psql -X -q -At -v ON_ERROR_STOP=1 -p "${port[$1]}" -d "$2" -c "$3"
}

# error_of NODE DATABASE SQL: what it prints as an error, with SQLSTATE; the same as sql() if there is none.
error_of() {
	psql -X -q -At -v VERBOSITY=verbose -p "${port[$1]}" -d "$2" -c "$3" 2>&1 || true
}

#
# Balance over shards: databases of the node main, and a proxy for some of them.
#

# balance_proxy POOLS SHARDS: makes databases POOLS1, POOLS2, ... unless they are there, and the proxy POOLS_proxySHARDS. Each
# shard has 12 servers if POOLS is "same"; if it is "part", 8 of them, from 1 to 8 for the first and 5 to 12 for the last.
balance_proxy() {
	local number first=1 count=12
	for ((number = 1; number <= $2; number++)); do
		sql main postgres "CREATE DATABASE $1_$2_$number"
		sql main "$1_$2_$number" "SET client_min_messages = warning; CREATE EXTENSION gxy_balancer"
		[[ $1 == same ]] || { count=8; first=$((1 + ($2 < 2 ? 0 : (number - 1) * 4 / ($2 - 1)))); }
		sql main "$1_$2_$number" "SELECT init_servers(string_agg('gxy' || i, ',')) FROM generate_series($first, $first + $count - 1) i" >/dev/null
	done
	sql main postgres "CREATE DATABASE $1_proxy$2"
	psql -X -q -v ON_ERROR_STOP=1 -p "${port[main]}" -d "$1_proxy$2" -f examples/plproxy/proxy.sql
	sql main "$1_proxy$2" "SELECT create_shards(16, VARIADIC array_agg(format('host=%s port=%s dbname=%s', '$PGHOST', '${port[main]}', '$1_$2_' || i)))
		FROM generate_series(1, $2) i" >/dev/null
	sql main "$1_proxy$2" "CREATE USER MAPPING FOR CURRENT_USER SERVER balancer OPTIONS (user 'postgres')"
}

# balance_run POOLS SHARDS EVERY SEEDS: sets figure to the mean of the runs' busiest / mean. Needs $rooms and $rounds. Run those
# with EVERY = 0 first: a load that was told counts for 30 s.
balance_run() {
	local seed
	[[ $(sql main postgres "SELECT count(*) FROM pg_database WHERE datname = '$1_proxy$2'") == 1 ]] || balance_proxy "$1" "$2"
	figure=$(for ((seed = 1; seed <= $4; seed++)); do
		psql -X -q -At -v ON_ERROR_STOP=1 -v rooms="$rooms" -v rounds="$rounds" -v every="$3" -v seed="0.$seed" -p "${port[main]}" \
			-d "$1_proxy$2" -f test/cluster/balance.sql || exit
	done | awk '{ sum += $1 } END { if (NR) printf "%.2f", sum / NR }')
}
