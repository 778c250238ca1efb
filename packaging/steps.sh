# packaging/steps.sh: the steps of packaging/build, which sources this file.
#
# Sets nothing; uses $version, $major, $source, $epoch, $pg_config, $output, $scratch, $matrix.

# Ends the step: it cannot run here.
cannot() {
	echo "$1"
	exit 77
}

# none COMMAND...: fails if the command succeeds, which `!` does not do under set -e.
none() {
	! "$@"
}

# need_tools COMMAND...: ends the step if one is not installed. In CI, where test/prepare has installed them, that is a
# failure.
need_tools() {
	local tool
	for tool in "$@"; do
		type -P "$tool" >/dev/null && continue
		[[ -z ${REQUIRE_FORMAT:-} ]] || { echo "$tool is not installed"; exit 1; }
		cannot "$tool is not installed"
	done
}

# as_builder FOLDER COMMAND...: with a clean environment and, if the caller is root, as the user postgres.
as_builder() (
	cd "$1"
	shift
	local command=(env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME="$scratch" LC_ALL=C.UTF-8 "$@")
	((EUID != 0)) || command=(setpriv --reuid=postgres --regid=postgres --clear-groups "${command[@]}")
	exec "${command[@]}"
)

give_to_builder() {
	((EUID != 0)) || chown -R postgres:postgres "$@"
}

# Fails, with the difference, unless the lines of standard input are those of packaging/contents/NAME.
same_contents() {
	diff -u "packaging/contents/$1" -
}

# The files below a folder, without it.
files_below() {
	find "$1" ! -type d -printf '/%P\n' | sort
}

#
# Source archives
#

# Prints a commit of the tree as it stands. Its date is that of debian/changelog, so that archives do not depend on the
# time.
snapshot() {
	local git=(git -c safe.directory='*' -c user.name=packaging -c user.email=packaging@localhost) tree
	export GIT_INDEX_FILE=$scratch/index
	"${git[@]}" read-tree HEAD
	"${git[@]}" add --all
	tree=$("${git[@]}" write-tree)
	GIT_AUTHOR_DATE="@$epoch +0000" GIT_COMMITTER_DATE="@$epoch +0000" "${git[@]}" commit-tree "$tree" -m snapshot
}

# The archive for PGXN and the RPM, as `make dist` makes it of the last commit; and that of the Debian source package.
make_archives() {
	local commit git=(git -c safe.directory='*' archive)
	git -c safe.directory='*' rev-parse --git-dir || cannot 'not a checkout of git'
	need_tools unzip
	commit=$(snapshot)
	"${git[@]}" --format=zip --prefix="gxy_balancer-$version/" -o "$output/gxy_balancer-$version.zip" "$commit"
	"${git[@]}" --format=tar --prefix="gxy-balancer-$version/" "$commit" -- . ':(exclude)debian' |
		gzip -9n >"$output/$source.orig.tar.gz"
	unzip -Z1 "$output/gxy_balancer-$version.zip" >"$scratch/files"
	sed -nE "s,^gxy_balancer-$version/([^/]+/?).*,\1,p" "$scratch/files" | sort -u | same_contents archive
	none grep -E '\.(o|bc|so|deb|zip)$' "$scratch/files"
	unzip -qo "$output/gxy_balancer-$version.zip" -d "$scratch/zip"
	"$scratch/zip/gxy_balancer-$version/test/check-meta" "$scratch/zip/gxy_balancer-$version/META.json"
}

# unpack FOLDER: the source package's tree in FOLDER/gxy-balancer-VERSION, with the archive beside it. debian/control is
# that of the major versions that this machine's distribution supports.
unpack() {
	[[ -e $output/$source.orig.tar.gz ]] || cannot 'there is no source archive'
	need_tools dpkg-buildpackage dh dh_pgxs_test pg_buildext
	mkdir -p "$1"
	cp "$output/$source.orig.tar.gz" "$1/"
	tar -xf "$output/$source.orig.tar.gz" -C "$1"
	cp -r "$scratch/zip/gxy_balancer-$version/debian" "$1/gxy-balancer-$version/"
	give_to_builder "$1"
	as_builder "$1/gxy-balancer-$version" pg_buildext updatecontrol
}

# uninstall_is_complete [ARGUMENT OF make]...: in the unpacked archive.
uninstall_is_complete() {
	[[ -e $scratch/zip ]] || cannot 'there is no source archive'
	local bitcode make=(make -s --no-print-directory -C "$scratch/zip/gxy_balancer-$version" PG_CONFIG="$pg_config" DESTDIR="$scratch/root")
	"${make[@]}" "$@" install
	grep -x '/.*/gxy_balancer\.so' <(files_below "$scratch/root")
	"${make[@]}" "$@" uninstall
	files_below "$scratch/root" | diff /dev/null -
	# Bitcode that was installed with clang goes where clang is not installed any more.
	grep -qE '^with_llvm[[:space:]]*= yes' "$(dirname "$("$pg_config" --pgxs)")/../Makefile.global" || return 0
	bitcode=$scratch/root$("$pg_config" --pkglibdir)/bitcode
	mkdir -p "$bitcode/gxy_balancer"
	touch "$bitcode/gxy_balancer.index.bc" "$bitcode/gxy_balancer/module.bc"
	"${make[@]}" SERVER_CLANG=none uninstall
	files_below "$scratch/root" | diff /dev/null -
}

# copy_objects FOLDER: objects and bitcode of the tree, new enough for make to take them.
copy_objects() {
	find src '(' -name '*.o' -o -name '*.bc' ')' -print0 | tar --null --files-from=- -cf - | tar -xmf - -C "$1"
}

# With the objects of the tree, and with its bitcode if it is there.
quick_uninstall() {
	local llvm=() objects bitcode
	objects=$(find src -name '*.o' | wc -l) bitcode=$(find src -name '*.bc' | wc -l)
	((objects == bitcode)) || llvm=(with_llvm=no)
	[[ ! -e $scratch/zip ]] || copy_objects "$scratch/zip/gxy_balancer-$version"
	uninstall_is_complete "${llvm[@]}"
}

# With bitcode, if the server's clang is installed.
archive_builds() {
	[[ -e $scratch/zip ]] || cannot 'there is no source archive'
	make -s -C "$scratch/zip/gxy_balancer-$version" -j"$(nproc)" PG_CONFIG="$pg_config"
	uninstall_is_complete
}

flags_are_used() {
	local commands flag
	commands=$(CXXFLAGS=-DGIVEN_CXX CPPFLAGS=-DGIVEN_CPP LDFLAGS=-Wl,--given-ld \
		make -n --no-print-directory PG_CONFIG="$pg_config" -W src/module.cpp src/module.o gxy_balancer.so)
	for flag in -DGIVEN_CXX -DGIVEN_CPP -Wl,--given-ld; do
		grep -e " $flag" <<<"$commands"
	done
}

#
# Debian packages
#

# build_deb FOLDER OPTIONS [ARGUMENT...]: runs dpkg-buildpackage in an unpacked FOLDER, with DEB_BUILD_OPTIONS=OPTIONS. -d:
# test/prepare has installed what is needed; matrix_deb() checks the declared needs.
build_deb() {
	local folder=$1 options=$2
	shift 2
	as_builder "$folder/gxy-balancer-$version" DEB_BUILD_OPTIONS="$options" TZ="${zone:-UTC}" \
		dpkg-buildpackage -us -uc -d "$@"
}

# With the objects of the tree. -nc: cleaning would delete them.
quick_deb() {
	local folder=$scratch/quick
	unpack "$folder"
	grep -x "Package: postgresql-$major-gxy-balancer" "$folder/gxy-balancer-$version/debian/control" ||
		cannot "the distribution has no PostgreSQL $major"
	as_builder "$folder" dpkg-source -b "gxy-balancer-$version"
	mkdir "$folder/gxy-balancer-$version/build-$major"
	copy_objects "$folder/gxy-balancer-$version/build-$major"
	# What `go build` leaves in a user's tree.
	mkdir "$folder/gxy-balancer-$version/examples/go/bin"
	cp "$folder/gxy-balancer-$version/gxy_balancer.control" "$folder/gxy-balancer-$version/examples/go/bin/monitor"
	give_to_builder "$folder"
	build_deb "$folder" "nocheck parallel=$(nproc)" -b -nc
	check_debs "$folder"
}

full_deb() {
	unpack "$scratch/first"
	build_deb "$scratch/first" "parallel=$(nproc)"
	cp "$scratch"/first/*.{deb,dsc,debian.tar.xz,changes,buildinfo} "$output/"
}

# check_debs FOLDER: the package for each major version has the files that it should have, among them all documents.
check_debs() {
	local deb v
	for deb in "$1"/postgresql-*-gxy-balancer_*.deb; do
		v=$(sed -E 's,.*/postgresql-([0-9]+)-.*,\1,' <<<"$deb")
		dpkg-deb -c "$deb" | awk '{ print substr($6, 2) }' | grep -v '/$' | sort >"$scratch/list"
		sed -E "s,/postgresql([-/])$v([-/]),/postgresql\1%v\2,; s,(-gxy-balancer/(doc|examples))/.*,\1/*," "$scratch/list" | sort -u | same_contents deb
		diff <(printf '%s\n' README.md doc/*.md doc/*.png | sort) \
			<(sed -nE 's,.*-gxy-balancer/(README.md|doc/.*),\1,p' "$scratch/list" | sort)
		none grep -E '/examples/(demo|janus|monitoring/picture|go/bin)' "$scratch/list"
	done
}

# The packages are not uploaded to Debian, so the first one closes no bug of its own there.
lint_debs() {
	[[ -n $(compgen -G "$1/*.changes") ]] || cannot 'there are no packages'
	need_tools lintian
	local files=("$1"/*.dsc "$1"/*.changes)
	as_builder "$1" TMPDIR=. lintian --fail-on error,warning --suppress-tags initial-upload-closes-no-bugs "${files[@]##*/}"
}

deb_is_reproducible() {
	local folder=$scratch/elsewhere/second deb
	unpack "$folder"
	(umask 0002 && zone=Pacific/Kiritimati build_deb "$folder" 'nocheck parallel=1')
	for deb in "$folder"/*.deb "$folder"/*.dsc "$folder"/*.tar.*; do
		cmp "$deb" "$scratch/first/${deb##*/}"
	done
}

# in_overlay ROOT FOLDER COMMAND: runs COMMAND as root in an overlay over ROOT, with FOLDER as /packages. Nothing that it
# writes elsewhere, mounts or starts stays.
in_overlay() {
	((EUID == 0)) || cannot 'a chroot needs root'
	unshare --mount true || cannot 'no mount namespaces here'
	mkdir -p "$scratch/overlay"
	unshare --mount --pid --fork --kill-child bash -c '
		set -e
		mount -t tmpfs -o mode=755 tmpfs "$1"
		mkdir "$1"/{upper,work,root}
		mount -t overlay overlay -o lowerdir="$2",upperdir="$1/upper",workdir="$1/work" "$1/root"
		mount -t proc proc "$1/root/proc"
		[[ $2 != / ]] || mount --rbind /dev "$1/root/dev"
		mkdir -p "$1/root/dev/shm" "$1/root/packages"
		mount -t tmpfs tmpfs "$1/root/dev/shm"
		mount --bind "$3" "$1/root/packages"
		cp --remove-destination -L /etc/resolv.conf "$1/root/etc/resolv.conf"
		printf "#!/bin/sh\nexit 101\n" >"$1/root/usr/sbin/policy-rc.d"
		chmod 755 "$1/root/usr/sbin/policy-rc.d"
		# The lists of a release in preparation expire.
		echo "Acquire::Check-Valid-Until \"false\";" >"$1/root/etc/apt/apt.conf.d/99lists"
		set +e
		env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb \
			DEBIAN_FRONTEND=noninteractive chroot "$1/root" bash -euo pipefail -c "$4"
		exit $?' - "$scratch/overlay" "$1" "$2" "$3"
}

# Run as root in an overlay, with the packages in /packages: installs, uses and purges them, and fails if a file stays.
readonly install_cycle='
	listing() {
		find /usr/lib/postgresql /usr/share/{doc,man,postgresql} /etc /opt /var/lib ! -path "/var/lib/dpkg/*" ! -path "/var/lib/apt/*" | sort
	}
	deb=$(ls /packages/postgresql-*-gxy-balancer_*.deb)
	major=$(sed -E "s,.*/postgresql-([0-9]+)-.*,\1," <<<"$deb")
	# What `make install` may have left on this machine.
	rm -rf /usr/lib/postgresql/$major/lib/{,bitcode/}gxy_balancer* /usr/share/postgresql/$major/extension/gxy_balancer*
	# A trigger of postgresql-common runs it for every package, and it writes for any that has dictionaries.
	pg_updatedicts
	listing >/tmp/before
	apt-get -qq install -y --no-install-recommends "$deb"
	mkdir -p /tmp/source
	tar -xf /packages/gxy-balancer_*.orig.tar.gz -C /tmp/source --strip-components=1
	tar -xf /packages/gxy-balancer_*.debian.tar.xz -C /tmp/source
	chown -R postgres: /tmp/source
	cd /tmp/source
	as_user() { setpriv --reuid=postgres --regid=postgres --clear-groups env HOME=/tmp/source "$@"; }
	as_user pg_virtualenv -v $major psql -X -v ON_ERROR_STOP=1 \
		-c "CREATE EXTENSION gxy_balancer" -c "SELECT init_servers(\$\$gxy1,gxy2\$\$), get_or_assign_server(1)"
	as_user pg_buildext updatecontrol
	as_user debian/tests/installcheck
	dpkg --remove postgresql-$major-gxy-balancer
	dpkg --purge postgresql-$major-gxy-balancer
	listing >/tmp/after
	diff /tmp/before /tmp/after'

# installs_in ROOT FOLDER
installs_in() {
	in_overlay "$1" "$2" "$install_cycle"
}

# Builds in a chroot of test/matrix, which `make test-matrix` makes, with what debian/control asks for.
matrix_deb() {
	local root=$matrix/pg$1 folder=$scratch/pg$1
	((EUID == 0)) || cannot 'a chroot needs root'
	[[ -e $root/etc/debian_version ]] || cannot "no chroot $root: run \`make test-matrix\`"
	unpack "$folder"
	in_overlay "$root" "$folder" "
		cd /packages/gxy-balancer-$version
		apt-get -qq update
		apt-get -qq install -y --no-install-recommends postgresql-server-dev-all lintian
		pg_buildext updatecontrol
		apt-get -qq build-dep -y --no-install-recommends -P nocheck ./
		chown -R postgres: /packages
		setpriv --reuid=postgres --regid=postgres --clear-groups env HOME=/tmp \
			DEB_BUILD_OPTIONS='nocheck parallel=$(nproc)' dpkg-buildpackage -us -uc -Pnocheck
		cd ..
		setpriv --reuid=postgres --regid=postgres --clear-groups env HOME=/tmp TMPDIR=. \
			lintian --fail-on error,warning --suppress-tags initial-upload-closes-no-bugs *.changes
		$install_cycle"
	check_debs "$folder"
	cp "$folder"/*.deb "$output/"
}

#
# RPM, images
#

readonly spec=packaging/gxy_balancer.spec

lint_spec() {
	need_tools rpmspec rpmlint
	local v
	for v in 15 16 17 18; do
		rpmspec --define "pgmajorversion $v" -P $spec | grep -x "Name:		gxy_balancer_$v"
	done
	rpmlint --ignore-unused-rpmlintrc $spec
}

# With the PostgreSQL of PG_CONFIG in the place of PGDG's; so without a look at the needed RPMs.
rpm_builds() {
	need_tools rpmbuild
	local rpm folder=$scratch/rpm prefix
	prefix=$(dirname "$("$pg_config" --bindir)")
	mkdir -p "$folder"
	cp "$output/gxy_balancer-$version.zip" $spec "$folder/"
	give_to_builder "$folder"
	as_builder "$folder" rpmbuild -ba --nodeps --define "_topdir $folder" --define "_sourcedir $folder" \
		--define "_dbpath $folder/db" --define "pgmajorversion $major" --define "pginstdir $prefix" \
		--define "pgsharedir $("$pg_config" --sharedir)" --define "_smp_mflags -j$(nproc)" gxy_balancer.spec
	rpm=$(echo "$folder"/RPMS/*/gxy_balancer_"$major"-"$version"-1*.rpm)
	rpm -qlp --dbpath "$folder/db" "$rpm" | grep -vE '/doc/|/licenses/|\.build-id' >"$scratch/list"
	printf '%s\n' "$prefix/lib/gxy_balancer.so" "$("$pg_config" --sharedir)/extension/gxy_balancer"{"--$version.sql",.control} |
		sort | diff - <(sort "$scratch/list")
	cp "$rpm" "$folder"/SRPMS/*.rpm "$output/"
}

# Of the tree or, if that need not be built, of the archive.
image_has_files() {
	local tree=.
	[[ $mode == quick ]] || tree=$scratch/zip/gxy_balancer-$version
	"$tree/packaging/image-layout" "$scratch/image" "$pg_config"
	files_below "$scratch/image" | same_contents image
}

# dockerfile_runs MAJOR: the RUN steps of the first stage, in order, in a chroot of Debian in the place of the image, which
# has PostgreSQL from another source. No container engine is used, so FROM and COPY --from are not tried.
dockerfile_runs() {
	local root=$matrix/pg$1 steps
	[[ -e $root/etc/debian_version ]] || cannot "no chroot $root: run \`make test-matrix\`"
	mkdir -p "$scratch/docker$1"
	cp -r "$scratch/zip/gxy_balancer-$version" "$scratch/docker$1/source"
	find "$scratch/docker$1/source" '(' -name '*.o' -o -name '*.so' -o -name '*.bc' ')' -delete
	steps=$(sed -n 's/^RUN \(.*\)/(\1) || exit/p' packaging/Dockerfile)
	in_overlay "$root" "$scratch/docker$1" "
		export PG_MAJOR=$1
		cp -r /packages/source /source
		cd /source
		$steps
		test -e /server/usr/lib/postgresql/$1/lib/gxy_balancer.so
		cp -r /extension /packages/"
	files_below "$scratch/docker$1/extension" | same_contents image
}

# Whether PostgreSQL 18 finds the extension and, for the worker, the library in the folders of the image only.
image_loads() {
	[[ -e $scratch/docker18/extension ]] || cannot 'no image was made'
	cp -r "$scratch/docker18/extension" "$output/image-18"
	cp packaging/image-test "$scratch/docker18/"
	in_overlay "$matrix/pg18" "$scratch/docker18" '
		mkdir -p /extensions
		cp -r /packages/extension /extensions/gxy-balancer
		rm -f /usr/lib/postgresql/18/lib/gxy_balancer* /usr/share/postgresql/18/extension/gxy_balancer*
		setpriv --reuid=postgres --regid=postgres --clear-groups /packages/image-test'
}
