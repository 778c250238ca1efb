# New rooms with a pool of 12 and of 1 000 servers; with --full also of 100, and other calls.
rooms=2000 clients=8

counts=(12 ${full:+100} 1000)
stickies=() exacts=() news=()
for servers in "${counts[@]}"; do
	database=bench_servers_$servers
	make_database "$database" 5000 0 $rooms "$servers"
	eval "side_sticky_$servers() { bench $database sticky $clients -T $seconds -D rooms=$rooms; }"
	eval "side_exact_$servers() { refill $database $rooms $servers
		PGOPTIONS='-c gxy_balancer.load_max_age=0' bench $database new $clients -t 100 -D base=\"\$1\"0000000; }"
	eval "side_new_$servers() { refill $database $rooms $servers
		PGOPTIONS='-c gxy_balancer.load_max_age=1s' bench $database new $clients -T $seconds -D base=\"\$1\"0000000; }"
	stickies+=("sticky_$servers")
	exacts+=("exact_$servers")
	news+=("new_$servers")
done
if [[ -n $full ]]; then
	alternate servers.sticky "${stickies[@]}"
	alternate servers.exact "${exacts[@]}"
fi
if have_setting bench_servers_12 load_max_age; then
	alternate servers.new "${news[@]}"
else
	skip 'new room, 1 000 servers' 'itself with 12' '>=0.95' 'this build has no load_max_age'
fi
for servers in "${counts[@]:1}"; do
	! have_setting bench_servers_12 load_max_age ||
		verdict servers.new "new_$servers" new_12 '>=0.95' "new room, ${servers/%000/ 000} servers" 'itself with 12'
	[[ -n $full ]] || continue
	verdict servers.sticky "sticky_$servers" sticky_12 '' "sticky call, $servers servers" 'itself with 12'
	verdict servers.exact "exact_$servers" exact_12 '' "new room, exact, $servers servers" 'itself with 12'
done
