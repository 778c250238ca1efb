# New rooms with a load that may be a second old, as sessions and rooms grow; and sticky calls as
# rooms grow. Eight clients. The tables grow during the row. The bare INSERT shows what a larger
# table costs by itself.
servers=12 clients=8

small=s5k_r500
points=("500 5000 $small" '500 1000000 s1m_r500' '1000000 5000 s5k_r1m')
[[ -z $full ]] || points+=('500 100000 s100k_r500' '20000 5000 s5k_r20k' '200000 5000 s5k_r200k' '1000000 1000000 s1m_r1m')
[[ -z ${GROWTH_POINTS:-} ]] || IFS=';' read -ra points <<<"$GROWTH_POINTS"

names=() stickies=() bares=()
for point in "${points[@]}"; do
	read -r rooms live name <<<"$point"
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

alternate growth.sticky "${stickies[@]}"
for side in "${stickies[@]:1}"; do
	verdict growth.sticky "$side" "sticky_$small" '' "sticky call, ${side#sticky_}" "itself at $small"
done
if have_setting "bench_$small" load_max_age; then
	for name in "${names[@]#new_}"; do
		query "bench_$name" "ALTER DATABASE bench_$name SET gxy_balancer.load_max_age = '1s'"
		# The first count after a server's start; callers wait for it meanwhile.
		fact growth "the first new room after a start, $name" "$(query "bench_$name" "
			SELECT round(1000 * bench.seconds('SELECT get_or_assign_server(''first'')')) || ' ms'")"
	done
	alternate growth.new "${names[@]}" "${bares[@]}"
	for side in "${names[@]:1}"; do
		verdict growth.new "$side" "new_$small" '>=0.9' "new room, ${side#new_}" "itself at $small"
		verdict growth.new "$side" "bare_${side#new_}" '' "new room, ${side#new_}" 'bare INSERT beside as many rooms'
	done
else
	for side in "${names[@]:1}"; do
		skip "new room, ${side#new_}" "itself at $small" '>=0.9' 'this build has no load_max_age'
	done
fi
