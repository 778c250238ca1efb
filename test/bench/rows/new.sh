# New rooms with a load that may be a second old, against the bare durable INSERT into a table like
# the extension's.
rooms=500 servers=12

make_database bench_new 5000 200000 $rooms $servers
if ! have_setting bench_new load_max_age; then
	for clients in 1 8 32 128; do
		skip "new room, $clients clients" 'bare INSERT ... ON CONFLICT DO NOTHING' '>=0.9' 'this build has no load_max_age'
	done
	return 0
fi
query bench_new "ALTER DATABASE bench_new SET gxy_balancer.load_max_age = '1s'"

# Each measurement begins with tables of the same size.
new_rooms() {
	refill bench_new $rooms $servers
	# The time begins before the clients have connected, and the first call of each is dearer.
	bench bench_new "$1" "$clients" -T $((seconds + clients / 32)) -D base="$2"0000000
}
side_new() { new_rooms new "$1"; }
side_bare() { new_rooms new_bare "$1"; }

for clients in 1 8 32 128; do
	# In a subshell: rounds of many clients take longer, so there are fewer.
	(
		rounds=$((clients < 128 || full || rounds < 3 ? rounds : 3))
		alternate "new.$clients" bare new
	)
	verdict "new.$clients" new bare '>=0.9' "new room, $clients clients" 'bare INSERT ... ON CONFLICT DO NOTHING'
done
[[ -n $full ]] || return 0
clients=8
for script in new_bare new; do
	refill bench_new $rooms $servers
	fact new "latency of $script, $clients clients: p50, p99, p99.9" \
		"$(latencies bench_new $script $clients -T "$seconds" -D base=70000000) us"
	refill bench_new $rooms $servers
	bytes=$(wal_of bench bench_new $script $clients -t 2500 -D base=80000000)
	fact new "WAL of $script" "$((bytes / 20000)) bytes"
done
# The difference between the largest and the smallest number of rooms on a server, among the rooms
# assigned last.
fact new 'rooms of the fullest and of the emptiest server, expected within 1 of each other in users' "$(query bench_new "SELECT max(n), min(n)
	FROM (SELECT count(*) AS n FROM room_server_assignments GROUP BY gateway_name) s")"
