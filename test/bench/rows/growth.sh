# New rooms with a load that may be a second old, as sessions and rooms grow; with --full at more
# points, and sticky calls, too. Eight clients. The tables grow during the row.
servers=12 clients=8

# rooms, live sessions, name, what is said of it; GROWTH_SESSIONS is for trying the row out
points=('500 5000 few' "500 ${GROWTH_SESSIONS:-1000000} s1m 1 000 000 sessions" '1000000 5000 r1m 1 000 000 rooms')
[[ -z $full ]] || points+=('500 100000 s100k 100 000 sessions' '20000 5000 r20k 20 000 rooms' '200000 5000 r200k 200 000 rooms'
	'1000000 1000000 s1m_r1m 1 000 000 sessions and rooms')

names=() stickies=()
declare -A labels
for point in "${points[@]}"; do
	read -r rooms live name label <<<"$point"
	labels[$name]=$label
	make_database "bench_$name" "$live" 0 "$rooms" $servers
	# Sticky calls must not renew leases, which grow old if there are many rooms.
	query "bench_$name" "ALTER DATABASE bench_$name SET gxy_balancer.touch_interval = '1h';
		ALTER DATABASE bench_$name SET gxy_balancer.assignment_grace = '1d'"
	eval "side_sticky_$name() { bench bench_$name sticky $clients -T $seconds -D rooms=$rooms; }"
	eval "side_new_$name() { bench bench_$name new $clients -T $((seconds * 2)) -D base=\"\$1\"0000000; }"
	eval "side_bare_$name() { bench bench_$name new_bare $clients -T $((seconds * 2)) -D base=\"\$1\"0000000; }"
	stickies+=("sticky_$name")
	names+=("new_$name")
done

if [[ -n $full ]]; then
	alternate growth.sticky "${stickies[@]}"
	for side in "${stickies[@]:1}"; do
		verdict growth.sticky "$side" sticky_few '' "sticky call, ${labels[${side#sticky_}]}" 'itself with 5 000 and 500'
	done
fi
if ! have_setting bench_few load_max_age; then
	for side in "${names[@]:1}"; do
		skip "new room, ${labels[${side#new_}]}" 'itself with few' '>=0.9' 'this build has no load_max_age'
	done
	return 0
fi
# The first count after a server's start, in seconds; callers wait for it meanwhile.
declare -A first_count
for name in "${names[@]#new_}"; do
	query "bench_$name" "ALTER DATABASE bench_$name SET gxy_balancer.load_max_age = '1s'"
	first_count[$name]=$(query "bench_$name" "SELECT bench.seconds('SELECT get_or_assign_server(''first'')')")
	fact growth "the first new room after a start, ${labels[$name]:-few of both}" "${first_count[$name]} s"
done

# A count is made every 20 times its own duration. Between two short turns it would fall due each
# time, and take a larger share of them than it takes of a whole day. So a turn beside many sessions
# begins after a count and lasts until after the next.
counting() {
	query "bench_$1" "SELECT get_or_assign_server('before $2')" >/dev/null
	bench "bench_$1" new $clients -T "$turn" -D base="$2$3"000000 -D size=900000
}
for name in "${names[@]#new_}"; do
	[[ $name == s* ]] || continue
	turn=$(awk -v count="${first_count[$name]}" -v least=$((seconds * 2)) 'BEGIN { turn = int(20 * count) + 2; print (turn > least ? turn : least) }')
	say "growth: turns of $turn s"
	eval "side_few() { counting few \"\$1\" ${#name}; }; side_many() { counting $name \"\$1\" ${#name}; }"
	(
		rounds=$((rounds < 3 || full ? rounds : 3))
		alternate "growth.$name" few many
	)
	verdict "growth.$name" many few '>=0.95' "new room, ${labels[$name]}" 'itself with 5 000'
done

# Beside many rooms both write more pages to the WAL in full, so the INSERT is what tells.
for name in "${names[@]#new_}"; do
	[[ $name == r* ]] || continue
	alternate "growth.$name" "bare_$name" "new_$name"
	verdict "growth.$name" "new_$name" "bare_$name" '>=0.9' "new room, ${labels[$name]}" 'bare INSERT beside as many rooms'
done
