# New rooms with a load that may be a second old, as sessions and rooms grow; with --full at more
# points, and sticky calls, too. Eight clients. The tables grow during the row. The bare INSERT shows
# what a larger table costs by itself.
servers=12 clients=8

# rooms, live sessions, name, what is said of it
points=('500 5000 small' '500 1000000 sessions 1 000 000 sessions' '1000000 5000 rooms 1 000 000 rooms')
[[ -z $full ]] || points+=('500 100000 s100k 100 000 sessions' '20000 5000 r20k 20 000 rooms' '200000 5000 r200k 200 000 rooms'
	'1000000 1000000 both 1 000 000 sessions and rooms')

names=() stickies=() bares=()
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
	bares+=("bare_$name")
done

if [[ -n $full ]]; then
	alternate growth.sticky "${stickies[@]}"
	for side in "${stickies[@]:1}"; do
		verdict growth.sticky "$side" sticky_small '' "sticky call, ${labels[${side#sticky_}]}" 'itself with 5 000 and 500'
	done
fi
if ! have_setting bench_small load_max_age; then
	for side in "${names[@]:1}"; do
		skip "new room, ${labels[${side#new_}]}" 'itself with 5 000 and 500' '>=0.9' 'this build has no load_max_age'
	done
	return 0
fi
for name in "${names[@]#new_}"; do
	query "bench_$name" "ALTER DATABASE bench_$name SET gxy_balancer.load_max_age = '1s'"
	# The first count after a server's start; callers wait for it meanwhile.
	fact growth "the first new room after a start, ${labels[$name]:-few}" "$(query "bench_$name" "
		SELECT round(1000 * bench.seconds('SELECT get_or_assign_server(''first'')')) || ' ms'")"
done
alternate growth.new "${names[@]}" ${full:+"${bares[@]}"}
for side in "${names[@]:1}"; do
	target='>=0.9'
	[[ $side != new_sessions ]] || target='>=0.95'
	verdict growth.new "$side" new_small "$target" "new room, ${labels[${side#new_}]}" 'itself with 5 000 and 500'
	[[ -z $full ]] || verdict growth.new "$side" "bare_${side#new_}" '' "new room, ${labels[${side#new_}]}" 'bare INSERT beside as many rooms'
done
