# The memory of one backend before and after a million sticky calls, and some thousand new rooms, by
# PostgreSQL's figures and by the kernel's.
calls=1000000 news=2000 rooms=500

make_database bench_memory 5000 0 $rooms 12
load_max_age=''
! have_setting bench_memory load_max_age || load_max_age="SET gxy_balancer.load_max_age = '1s';"

# memory WHAT WARM-UP CALLS: all in one backend, each statement a transaction.
memory() {
	local before after
	{ read -r before && read -r after; } < <(psql -X -q -At -F ' ' -v ON_ERROR_STOP=1 -d bench_memory <<-END
		SET synchronous_commit = off;
		$load_max_age
		$2;
		SELECT round(contexts), resident FROM bench.memory() \g /dev/null
		SELECT round(contexts), resident FROM bench.memory();
		$3;
		SELECT round(contexts), resident FROM bench.memory();
	END
	) || die 'no figures of memory'
	fact memory "kB in memory contexts, kB private: before and after $1" "$before; $after"
}
memory "$calls sticky calls" "CALL bench.call_sticky(20000, $rooms)" "CALL bench.call_sticky($calls, $rooms)"
memory "$news new rooms" "CALL bench.call_new('warm', 200)" "CALL bench.call_new('new', $news)"
