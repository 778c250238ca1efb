# Calls that renew a lease beside calls that do not, and a storm: every lease due at once. About two
# minutes.
clients=8 rooms=10000 storm=100000
rounds=$((rounds < 5 ? rounds : 5))

make_database bench_renewals 5000 0 $storm 12
query bench_renewals "ALTER DATABASE bench_renewals SET gxy_balancer.touch_interval = '1h';
	ALTER DATABASE bench_renewals SET gxy_balancer.assignment_grace = '1d'"

# Enough rooms that hardly two callers renew the same one at a time, which only the first does.
side_resting() { bench bench_renewals sticky $clients -T "$seconds" -D rooms=$rooms; }
side_renewing() { PGOPTIONS='-c gxy_balancer.touch_interval=0' side_resting; }
side_resting >/dev/null
alternate renewals resting renewing
verdict renewals renewing resting '>=0.8' "call that renews, $clients clients" 'call that does not'
[[ -z $full ]] || fact renewals "the service's UPDATE of last_used_at, $clients clients, a second" \
	"$(bench bench_renewals touch_go $clients -T "$seconds" -D rooms=$rooms)"

# make_due: the age of every lease is between the two intervals.
make_due() {
	query bench_renewals "UPDATE room_server_assignments SET (assigned_at, last_used_at) = (now() - interval '2 hours', now() - interval '2 hours')"
	query bench_renewals 'VACUUM (ANALYZE) room_server_assignments'
}
due() {
	query bench_renewals "SELECT count(*) FROM room_server_assignments WHERE last_used_at < now() - interval '1 hour'"
}
# each_room: each room is called once. The rate; the latencies are left in a file.
each_room() {
	local folder
	folder=$(mktemp -d "$work/latency.XXXXXX")
	bench bench_renewals sticky_each $clients -t $((storm / clients)) -l --log-prefix="$folder/log"
	cat "$folder"/log* | cut -d' ' -f3 | percentiles >"$work/latencies.$1"
	rm -r "$folder"
}
side_calm() {
	each_room calm
}
side_storm() {
	make_due
	each_room storm
	(($(due) == 0)) || die "$(due) leases were not renewed"
}
# A round has the storm first: what it writes is calm for the other side.
storms=()
for ((round = 1; round <= (full ? 7 : 3); round++)); do
	for side in storm calm; do
		rate=$(side_$side)
		printf 'storm\t%s\t%s\t%s\n' $side $round "$rate" >>"$results/rates.tsv"
	done
	fact renewals "$storm rooms called once, p50, p99, p99.9, no lease due / all due" \
		"$(cat "$work/latencies.calm") / $(cat "$work/latencies.storm") us"
	storms+=("$(paste -d' ' "$work/latencies."{storm,calm} | awk '{ print $3 / $6 }')")
done
verdict storm storm calm '' "storm: $storm leases due at once, rate" 'no lease due'
read -r median least most < <(printf '%s\n' "${storms[@]}" | spread)
note_verdict "storm: $storm leases due at once, p99.9" 'no lease due' "$median" "$least" "$most" ''
