# Instructions of the server process a call; see test/bench/instructions, which starts a server of its own.
# With --full those without a target, too.
"$here/instructions" --out "$results/instructions.tsv" ${full:+--full} | tee "$work/log/instructions.log"

instructions_of() {
	awk -F'\t' -v side="$1" '$1 == side { print $2 }' "$results/instructions.tsv"
}

# instructions_verdict SIDE AGAINST-SIDE TARGET WORK AGAINST
instructions_verdict() {
	local ratio
	[[ -n $(instructions_of "$1") && -n $(instructions_of "$2") ]] || return 0
	ratio=$(awk -v a="$(instructions_of "$1")" -v b="$(instructions_of "$2")" 'BEGIN { print a / b }')
	note_verdict "$4" "$5" "$ratio" "$ratio" "$ratio" "$3"
}

while IFS=$'\t' read -r side count; do
	fact instructions "$side, a call" "$count"
done <"$results/instructions.tsv"
instructions_verdict sticky sticky_empty '<=1.15' 'instructions of a sticky call' 'an empty C function'
instructions_verdict sticky sticky_plain '<=0.7' 'instructions of a sticky call' 'SELECT gateway_name ... WHERE room_id = $1'
instructions_verdict sticky_met sticky_plain '<=0.95' 'instructions of a sticky call, room not met before' 'the same SELECT'
for protocol in simple extended; do
	instructions_verdict $protocol:sticky_text $protocol:sticky_plain_text '<=1.05' \
		"instructions of a sticky call, unprepared, $protocol protocol" 'the same SELECT sent alike'
done
instructions_verdict pipeline_sticky pipeline_plain '<=1.05' 'instructions of ten sticky calls in a pipeline' 'the same SELECT sent alike'
instructions_verdict renewing:sticky update '<=0.5' 'instructions of a sticky call that renews' 'UPDATE of last_used_at'
instructions_verdict renewing:sticky sticky '' 'instructions of a sticky call that renews' 'one that does not'
instructions_verdict new new_plain '<=1.5' 'instructions of a new room' 'INSERT ... ON CONFLICT DO NOTHING without constraints'
instructions_verdict new new_bare '' 'instructions of a new room' "the same INSERT with the table's constraints"
instructions_verdict sessions:new new '<=1.05' 'instructions of a new room, 1 000 000 sessions' 'itself with 5 000'
instructions_verdict servers:new new '<=1.05' 'instructions of a new room, 1 000 servers' 'itself with 12'
instructions_verdict exact:new exact:new_go_rooms '<=1' 'instructions of a new room, exact' "the service's latest version: counts rooms, not users"
