# Instructions of the server process a call; see test/bench/instructions, which starts a server of its own.
"$here/instructions" --out "$results/instructions.tsv" | tee "$work/log/instructions.log"

instructions_of() {
	awk -F'\t' -v side="$1" '$1 == side { print $2 }' "$results/instructions.tsv"
}

# instructions_verdict SIDE AGAINST-SIDE TARGET WORK AGAINST
instructions_verdict() {
	local ratio
	ratio=$(awk -v a="$(instructions_of "$1")" -v b="$(instructions_of "$2")" 'BEGIN { print a / b }')
	note_verdict "$4" "$5" "$ratio" "$ratio" "$ratio" "$3"
}

for side in sticky_empty sticky_plain sticky sticky_met new_bare new_plain new; do
	fact instructions "$side, a call" "$(instructions_of $side)"
done
instructions_verdict sticky sticky_empty '<=1.15' 'instructions of a sticky call' 'an empty C function'
instructions_verdict sticky sticky_plain '<=0.7' 'instructions of a sticky call' 'SELECT gateway_name ... WHERE room_id = $1'
instructions_verdict sticky_met sticky_plain '<=0.95' 'instructions of a sticky call, room not met before' 'the same SELECT'
instructions_verdict new new_plain '<=1.5' 'instructions of a new room' 'INSERT ... ON CONFLICT DO NOTHING without constraints'
instructions_verdict new new_bare '' 'instructions of a new room' "the same INSERT with the table's constraints"
