# test/lib/copies.sh: copies of the tree with a PostgreSQL of their own, for other scripts to source after
# test/lib/cluster.sh: a library that is built there is installed there, and nothing outside of the copy changes.

quiet_make() {
	make -s --no-print-directory with_llvm=no "$@"
}
export -f quiet_make

# copy_postgresql TARGET: a copy of PostgreSQL's installation that works from there. Only the programs are copies, because
# they follow links to find their place. Prints the path of its pg_config.
copy_postgresql() {
	local prefix=$bindir folder option
	for option in --sharedir --pkglibdir; do
		folder=$("$pg_config" "$option")
		while [[ $folder/ != "$prefix"/* ]]; do
			prefix=${prefix%/*}
		done
	done
	mkdir -p "$1/${bindir#"$prefix"/}"
	cp -r "$bindir/." "$1/${bindir#"$prefix"/}"
	for option in --sharedir --pkglibdir --includedir --includedir-server; do
		folder=$("$pg_config" "$option")
		[[ $folder == "$prefix"/* && -d $folder && ! -e $1/${folder#"$prefix"/} ]] || continue
		mkdir -p "$1/${folder#"$prefix"/}"
		cp -rs "$folder/." "$1/${folder#"$prefix"/}"
	done
	echo "$1/${bindir#"$prefix"/}/pg_config"
}

# copy_tree TARGET [OPTION OF tar...]: a copy of the tree in TARGET/tree, and of PostgreSQL, whose pg_config
# TARGET/pg_config names.
copy_tree() {
	mkdir -p "$1/tree"
	tar --exclude=.git --exclude='./build/*/*' --exclude=./test/output "${@:2}" -cf - . | tar -xf - -C "$1/tree"
	copy_postgresql "$1/postgresql" >"$1/pg_config"
}
