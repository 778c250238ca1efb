# Cleanup of a million assignments, a tenth of them idle, against one DELETE with an anti-join over
# a similar table. The other nine tenths have a live session each. With --full also the effect on
# callers: sticky calls come at a fixed rate, before and during the cleanup; and a cleanup with all
# leases due. The row beside has the effect on callers of a smaller one.
rooms=${CLEANUP_ROOMS:-1000000} servers=12 rate=2000
idle=$((rooms / 10)) active=$((rooms - rooms / 10))
rounds=$((full ? 5 : 3))

make_database bench_cleanup $active 0 $active $servers
query bench_cleanup "ALTER DATABASE bench_cleanup SET gxy_balancer.touch_interval = '1h';
	ALTER DATABASE bench_cleanup SET gxy_balancer.assignment_grace = '3h'"

# Inserts the idle assignments again, spread over the rooms' ids as the others are, and vacuums the
# tables.
make_idle() {
	local table
	for table in room_server_assignments bare; do
		query bench_cleanup "INSERT INTO $table (room_id, gateway_name, assigned_at, last_used_at, reason)
			SELECT i || 'x', 'gxy1', now() - interval '4h', now() - interval '4h', 'least loaded'
			FROM generate_series(1, $idle) i ON CONFLICT DO NOTHING"
		query bench_cleanup "VACUUM (ANALYZE) $table"
	done
}

clean='SELECT clean_inactive_assignments()'
anti_join="WITH freed AS (DELETE FROM bare a WHERE a.last_used_at < now() - interval '3h' AND NOT EXISTS (
		SELECT FROM live_sessions s WHERE s.room_id = a.room_id AND s.last_seen_at > now() - interval '90s')
	RETURNING 1) SELECT count(*) FROM freed"

# Rooms freed per second.
timed() {
	local from=$EPOCHREALTIME freed
	freed=$(query bench_cleanup "$1")
	((freed == idle)) || die "freed $freed rooms, not $idle"
	awk -v from="$from" -v to="$EPOCHREALTIME" -v rooms="$idle" 'BEGIN { print rooms / (to - from) }'
}

# Odd rounds begin with the cleanup, even ones with the DELETE; the idle assignments are inserted
# before both.
for ((round = 1; round <= rounds; round++)); do
	make_idle
	order='clean anti_join'
	((round % 2)) || order='anti_join clean'
	for side in $order; do
		printf 'cleanup\t%s\t%s\t%s\n' "$side" "$round" "$(timed "${!side}")" >>"$results/rates.tsv"
	done
	say "cleanup: round $round of $rounds"
done
verdict cleanup clean anti_join '>=0.7' "cleanup of $rooms, a tenth inactive" 'one DELETE with an anti-join'

[[ -n $full ]] || return 0

# disturbed STATEMENT: the percentiles of sticky calls without other load, and while the statement
# runs.
disturbed() {
	local folder
	folder=$(mktemp -d "$work/beside.XXXXXX")
	make_idle
	query bench_cleanup 'CHECKPOINT'
	beside bench_cleanup $active $rate "$folder" query bench_cleanup "$1"
	idle_figures=$(percentiles <"$folder/idle")
	busy_figures=$(percentiles <"$folder/busy")
	rm -r "$folder"
}
for side in clean anti_join; do
	ratios=()
	for ((round = 1; round <= rounds; round++)); do
		disturbed "${!side}"
		fact cleanup "sticky at $rate/s, p50, p99, p99.9, idle / during $side" "$idle_figures / $busy_figures us"
		ratios+=("$(awk -v a="$(cut -d' ' -f2 <<<"$busy_figures")" -v b="$(cut -d' ' -f2 <<<"$idle_figures")" 'BEGIN { print a / b }')")
	done
	read -r median least most < <(printf '%s\n' "${ratios[@]}" | spread)
	if [[ $side == clean ]]; then
		note_verdict "sticky p99 during the cleanup, $rate/s" 'idle' "$median" "$least" "$most" '<=2'
	else
		note_verdict "sticky p99 during that DELETE, $rate/s" 'idle' "$median" "$least" "$most" ''
	fi
done

# The worker's case if there are no calls between two runs: every lease is due and is renewed as
# well.
make_idle
query bench_cleanup "ALTER DATABASE bench_cleanup SET gxy_balancer.touch_interval = '1ms'"
fact cleanup "rooms freed a second with $active leases to renew besides" "$(timed "$clean" | cut -d. -f1)"
fact cleanup 'size of the table afterwards, and of the one that was deleted from' "$(query bench_cleanup "
	SELECT pg_size_pretty(pg_table_size('room_server_assignments')) || ', ' || pg_size_pretty(pg_table_size('bare'))")"
