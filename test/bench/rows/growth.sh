# New rooms with a load that may be a second old, as sessions and rooms grow; and sticky calls as rooms grow. Eight
# clients. Assignments are left to grow during the row: by the same number on every side.
servers=12 clients=8

small='500r_5ks'
points=("500 5000 $small" '500 1000000 500r_1Ms' '1000000 5000 1Mr_5ks')
[[ -z $full ]] || points+=('500 100000 500r_100ks' '20000 5000 20kr_5ks' '200000 5000 200kr_5ks' '1000000 1000000 1Mr_1Ms')
[[ -z ${GROWTH_POINTS:-} ]] || IFS=';' read -ra points <<<"$GROWTH_POINTS"

names=() stickies=()
for point in "${points[@]}"; do
	read -r rooms live name <<<"$point"
	make_database "bench_$name" "$live" 0 "$rooms" $servers
	# Sticky calls are to look up, not to renew leases that a wide spread of rooms lets grow old.
	query "bench_$name" "ALTER DATABASE bench_$name SET gxy_balancer.touch_interval = '1h';
		ALTER DATABASE bench_$name SET gxy_balancer.assignment_grace = '1d'"
	eval "side_sticky_$name() { bench bench_$name sticky $clients -T $seconds -D rooms=$rooms; }"
	eval "side_new_$name() { bench bench_$name new $clients -T $seconds -D base=\"\$1\"0000000; }"
	stickies+=("sticky_$name")
	names+=("new_$name")
done

alternate growth.sticky "${stickies[@]}"
for side in "${stickies[@]:1}"; do
	verdict growth.sticky "$side" "sticky_$small" '' "sticky call, ${side#sticky_}" "itself at $small"
done
if have_setting "bench_$small" load_max_age; then
	for name in "${names[@]#new_}"; do
		query "bench_$name" "ALTER DATABASE bench_$name SET gxy_balancer.load_max_age = '1s'"
	done
	alternate growth.new "${names[@]}"
	for side in "${names[@]:1}"; do
		verdict growth.new "$side" "new_$small" '>=0.9' "new room, ${side#new_}" "itself at $small"
	done
else
	for side in "${names[@]:1}"; do
		skip "new room, ${side#new_}" "itself at $small" '>=0.9' 'this build has no load_max_age'
	done
fi
