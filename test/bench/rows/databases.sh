# New rooms in the last of many databases, on a server that nothing was configured for: CREATE
# EXTENSION in one database after the other, no preload, no restart, all settings at their defaults.
databases=40 rooms=500 servers=12

restart() {
	as_server pg_ctl -D data -m fast -l server.log -s -w restart >/dev/null
}

as_server cp data/postgresql.conf configured.conf
as_server sed -i -E '/^(shared_preload_libraries|gxy_balancer)/d' data/postgresql.conf
restart
for ((number = 1; number < databases; number++)); do
	createdb -S file_copy "bench_$number"
	query "bench_$number" 'SET client_min_messages = warning; CREATE EXTENSION gxy_balancer'
	query "bench_$number" 'SELECT get_or_assign_server(1)' >/dev/null
done
make_database bench_last 5000 200000 $rooms $servers

new_rooms() {
	refill bench_last $rooms $servers
	bench bench_last "$1" "$clients" -T "$seconds" -D base="$2"0000000
}
side_new() { new_rooms new "$1"; }
side_bare() { new_rooms new_bare "$1"; }

for clients in 1 8 32; do
	alternate "databases.$clients" bare new
	verdict "databases.$clients" new bare '>=0.9' "new room in the last of $databases databases, $clients clients" \
		'bare INSERT ... ON CONFLICT DO NOTHING'
done
fact databases 'rooms placed by the load cache, by counting' \
	"$(query bench_last "SELECT placed_by_cache || ', ' || placed_by_count FROM balancer_stats")"
fact databases 'shared memory of all databases' \
	"$(query bench_last "SELECT pg_size_pretty(sum(bytes)) FROM balancer_memory WHERE what <> 'limit'")"
# The other rows have their settings again.
as_server mv configured.conf data/postgresql.conf
restart
