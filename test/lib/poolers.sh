# test/lib/poolers.sh: a pgbouncer in front of the server of test/lib/cluster.sh, for test/run to
# source.

# pgbouncer_start PORT: in transaction mode, with fewer connections to the server than clients. It
# uses the socket in the server's folder. From version 1.21 on pgbouncer can track named prepared
# statements; that is switched off, because the tests are about poolers that cannot. What else it
# needs is what doc/clients.md says.
pgbouncer_start() {
	local version
	version=$(pgbouncer --version | sed -n 's/^PgBouncer 1\.\([0-9]*\).*/\1/p')
	as_server tee pgbouncer.ini >/dev/null <<-INI
		[databases]
		* = host=$PGHOST port=$PGPORT user=$PGUSER
		[pgbouncer]
		listen_port = $1
		unix_socket_dir = $PGHOST
		auth_type = any
		pool_mode = transaction
		default_pool_size = 3
		$(grep -o '^ignore_startup_parameters = .*' doc/clients.md)
		logfile = $work/server/pgbouncer.log
		pidfile = $work/server/pgbouncer.pid
		$( ((version < 21)) || echo 'max_prepared_statements = 0')
	INI
	as_server pgbouncer -q -d pgbouncer.ini </dev/null
}

pgbouncer_stop() {
	local pid
	pid=$(cat "$work/server/pgbouncer.pid" 2>/dev/null) || return 0
	kill -INT "$pid" 2>/dev/null || true
}
