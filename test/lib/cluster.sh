# test/lib/cluster.sh: a throwaway PostgreSQL server, for other scripts to source.
#
# The server has a folder of its own and listens on a socket in it and on no port, so it does not
# conflict with other servers of the machine. PostgreSQL does not run as root: for root the server
# runs as the user postgres, who may be unable to read the source tree. So the files the server
# needs are copied, and the caller does all else through the socket.
#
# Sets $work (the folder; $work/log is the caller's), and the PG* environment of a client. The
# caller must call cluster_remove at the end, also after a failure.

pg_config=${PG_CONFIG:-pg_config}
bindir=$("$pg_config" --bindir)
work=

# Runs a command as the owner of the server, in the server's folder.
as_server() (
	cd "$work/server"
	if ((EUID == 0)); then
		exec env HOME="$work/server" runuser -u postgres -- "$@"
	else
		exec "$@"
	fi
)

# Variables that would make psql and other clients use another server.
forget_other_servers() {
	local name
	for name in "${!PG@}"; do
		[[ $name == PG_CONFIG ]] || unset "$name"
	done
}

# The path of a socket is limited to about 100 bytes: always under /tmp. FOLDERS_IN: another short
# folder, of a script that starts this one and removes what it leaves.
make_folders() {
	work=$(mktemp -d "${FOLDERS_IN:-/tmp}/gxy_balancer.XXXXXX")
	chmod 755 "$work"
	mkdir "$work/log"
	mkdir -m 700 "$work/server" "$work/server/socket"
	((EUID != 0)) || chown -R postgres: "$work/server"
	forget_other_servers
	export PATH="$bindir:$PATH:/usr/sbin" PGHOST="$work/server/socket" PGPORT=5432 PGUSER=postgres PGSSLMODE=disable
}

# server_start [LINE OF postgresql.conf]...: starts a server in the folders that make_folders has
# made. DATA_TEMPLATE: a data folder to copy instead of making one.
server_start() {
	if [[ -n ${DATA_TEMPLATE:-} ]]; then
		as_server cp -r "$DATA_TEMPLATE" data
	else
		as_server initdb -D data -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync >"$work/log/initdb.log" 2>&1 ||
			{ tail "$work/log/initdb.log" >&2; return 1; }
	fi
	printf '%s\n' "listen_addresses = ''" "unix_socket_directories = '$PGHOST'" 'fsync = off' \
		"log_line_prefix = '%m [%p] %q%a %d '" "$@" | as_server tee -a data/postgresql.conf >/dev/null
	as_server pg_ctl -D data -l server.log -s -w start >"$work/log/start.log" 2>&1 ||
		{ tail "$work/log/start.log" "$work/server/server.log" >&2; return 1; }
}

# cluster_start [LINE OF postgresql.conf]...
cluster_start() {
	make_folders
	server_start "$@"
}

# Stops the server, and any that a test has left running. STOP_MODE: fast, if its processes have something to write when they
# end (test/coverage).
stop_servers() {
	local pidfile
	while IFS= read -r pidfile; do
		as_server pg_ctl -D "$(dirname "$pidfile")" -m "${STOP_MODE:-immediate}" -s -w stop &>/dev/null || true
	done < <(find "$work/server" -name postmaster.pid)
}

# Waits until no process works in a data folder. A postmaster removes its pid file before it ends;
# what it writes as it ends (the profile of valgrind) would come between rm and its folder.
await_servers() {
	local deadline=$((SECONDS + 60))
	while [[ -n $(find /proc/[0-9]*/cwd -maxdepth 0 -lname "$work/server/*" 2>/dev/null) ]]; do
		if ((SECONDS >= deadline)); then
			echo "processes still run in $work/server" >&2
			return
		fi
		sleep 0.05
	done
}

# cluster_remove [keep]: keep leaves the logs.
cluster_remove() {
	[[ -n $work ]] || return 0
	stop_servers
	await_servers
	if [[ ${1:-} == keep ]]; then
		cp "$work/server/server.log" "$work/log/" 2>/dev/null || true
		rm -rf "$work/server"
	else
		rm -rf "$work"
	fi
}
