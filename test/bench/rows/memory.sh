# The memory of one backend that meets a million different rooms; with --full also of one that makes
# a million sticky calls for few rooms, and places some thousand new ones: by PostgreSQL's figures and
# by the kernel's.
calls=1000000 met=1000000 news=2000 rooms=500

make_database bench_memory 5000 0 $rooms 12
query bench_memory "ALTER DATABASE bench_memory SET gxy_balancer.touch_interval = '1h';
	ALTER DATABASE bench_memory SET gxy_balancer.assignment_grace = '1d';
	INSERT INTO room_server_assignments (room_id, gateway_name, reason)
		SELECT i, 'gxy' || (1 + i % 12), 'least loaded' FROM generate_series($rooms + 1, $met) i"
query bench_memory 'VACUUM (ANALYZE) room_server_assignments'
load_max_age=''
! have_setting bench_memory load_max_age || load_max_age="SET gxy_balancer.load_max_age = '1s';"

# memory WHAT WARM-UP CALLS...: in one backend, each statement a transaction. Sets figures: kB in
# memory contexts and kB private, after the warm-up and after each of the calls.
memory() {
	local what=$1 statement
	shift
	figures=$({
		printf '%s\n' 'SET synchronous_commit = off;' "$load_max_age" "$1;" \
			'SELECT round(contexts), resident FROM bench.memory() \g /dev/null'
		shift
		echo 'SELECT round(contexts), resident FROM bench.memory();'
		for statement in "$@"; do
			printf '%s\n' "$statement;" 'SELECT round(contexts), resident FROM bench.memory();'
		done
	} | psql -X -q -At -F ' ' -v ON_ERROR_STOP=1 -d bench_memory) || die 'no figures of memory'
	fact memory "kB in memory contexts, kB private: before, and after $what" "$(paste -sd';' <<<"$figures" | sed 's/;/; /g')"
}
memory "$((met / 2)), and as many other rooms" "CALL bench.call_sticky(20000, $rooms)" \
	"CALL bench.call_sticky($((met / 2)), $((met / 2)))" "CALL bench.call_sticky($met, $met)"
growth=$(awk 'NR == 1 { before = $2 } { after = $2 } END { print (after - before) / 2048 }' <<<"$figures")
note_verdict "memory of a backend that meets $met rooms, growth" '2 MB' "$growth" "$growth" "$growth" '<=1'
[[ -n $full ]] || return 0
memory "$calls sticky calls" "CALL bench.call_sticky(20000, $rooms)" "CALL bench.call_sticky($calls, $rooms)"
memory "$news new rooms" "CALL bench.call_new('warm', 200)" "CALL bench.call_new('new', $news)"
