# Sticky calls as Go's drivers send them, beside a plain SELECT that is sent alike: latencies seen by
# the service, direct and through pgbouncer in transaction mode. No lease is due; the row renewals
# has what a renewal costs.
rooms=500 debian=/usr/share/gocode

[[ -e $debian/src/github.com/jackc/pgx/v4 ]] || {
	for what in p50 p99; do
		skip "sticky call from Go, $what" 'plain SELECT sent alike, 8 ways' '<=1.05' 'there is no pgx 4'
	done
	return 0
}
source test/lib/poolers.sh
make_database bench_go 5000 200000 $rooms 12
query bench_go "ALTER DATABASE bench_go SET gxy_balancer.touch_interval = '1h';
	ALTER DATABASE bench_go SET gxy_balancer.assignment_grace = '1d'"
(cd "$here/client" && GO111MODULE=off GOPATH=$debian GOFLAGS='' CGO_ENABLED=0 GOCACHE="${GOCACHE:-${HOME:-$work}/.cache/go-build}" \
	go build -o "$work/client" .)
pgbouncer_start 6432
trap pgbouncer_stop EXIT

# figures MODE CONNECTIONS SIDE COLUMN: of all rounds, in order; with any number of connections, if
# that is empty.
figures() {
	awk -F'\t' -v mode="$1" -v connections="$2" -v side="$3" -v column="$4" \
		'$1 == mode && (connections == "" || $2 == connections) && $3 == side { print $column }' "$results/go.tsv"
}

# go_ratios MODE CONNECTIONS COLUMN: median, least and most of the rounds.
go_ratios() {
	paste <(figures "$1" "$2" sticky "$3") <(figures "$1" "$2" plain "$3") | awk '{ print $1 / $2 }' | spread
}

# go_verdict WHAT COLUMN: of the medians of the modes.
go_verdict() {
	local median least most mode
	read -r median least most < <(for mode in "${modes[@]}"; do go_ratios "$mode" '' "$2" | cut -d' ' -f1; done | spread)
	note_verdict "sticky call from Go, $1" "plain SELECT sent alike, ${#modes[@]} ways" "$median" "$least" "$most" '<=1.05'
}

mapfile -t modes < <("$work/client")
for mode in "${modes[@]}"; do
	for connections in 1 8 64; do
		PGDATABASE=bench_go "$work/client" -mode "$mode" -connections $connections -rooms $rooms -rounds "$rounds" \
			-slice $((seconds * 200))ms >>"$results/go.tsv" || die "the client failed: $mode"
		fact go "$mode, $connections connections, us: p50 and p99 of a plain SELECT; of a sticky call" "$(for side in plain sticky; do
			for column in 5 6; do
				figures "$mode" $connections $side $column | spread | cut -d' ' -f1
			done
		done | paste -sd' ' | awk '{ printf "%.0f %.0f; %.0f %.0f", $1, $2, $3, $4 }')"
		fact go "$mode, $connections connections, ratios of p50 and of p99" \
			"$(for column in 5 6; do go_ratios "$mode" $connections $column | cut -d' ' -f1; done | paste -sd' ')"
	done
done
go_verdict p50 5
go_verdict p99 6
