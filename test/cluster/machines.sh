# test/cluster/machines.sh: machines that share this one, for the files of test/cluster to source.
#
# A machine is a network namespace with an address of its own on a common bridge, a host name, and
# folders of its own in the place of some of the system's. All machines know each other by name.
# The caller has unshared its network, mounts and process ids (`machines_alone`), so names and
# ports conflict with nothing, and nothing is left when it ends, however it ends.
#
# Sets $machines, the folder below which each machine has its own.

machines=
declare -A machine_pid=() # of the process that keeps the namespaces
readonly network=10.83.0  # seen by these machines only

# machines_alone FOLDER SCRIPT [ARGUMENT]...: runs the script with a network, mounts and process ids
# of its own. The process ids end with it.
machines_alone() {
	local folder=$1
	shift
	MACHINES=$folder exec unshare --net --mount --propagation private --pid --fork --kill-child --mount-proc -- "$@"
}

# machines_begin NAME...: of the machines that will be there.
machines_begin() {
	local name number=0
	machines=$MACHINES
	ip link set lo up
	ip link add bridge type bridge
	ip link set bridge up
	{
		echo '127.0.0.1 localhost'
		for name; do
			number=$((number + 1))
			echo "$network.$number $name"
		done
	} >"$machines/hosts"
}

# machine_new NAME [FOLDER OR FILE OF THE SYSTEM]...: the folders begin empty, with the owner and the
# mode of the system's.
machine_new() {
	local name=$1 address path copy
	shift
	mkdir -p "$machines/$name"
	unshare --net --mount --propagation private --uts sleep infinity &
	machine_pid[$name]=$!
	until [[ $(readlink "/proc/${machine_pid[$name]}/ns/net") != "$(readlink /proc/self/ns/net)" &&
		$(readlink "/proc/${machine_pid[$name]}/ns/uts") != "$(readlink /proc/self/ns/uts)" ]]; do
		sleep 0.05
	done
	address=$(awk -v name="$name" '$2 == name { print $1 }' "$machines/hosts")
	machine_run "$name" hostname "$name"
	ip link add "to_$name" type veth peer name eth0 netns "${machine_pid[$name]}"
	ip link set "to_$name" master bridge up
	machine_run "$name" ip address add "$address/24" dev eth0
	machine_run "$name" ip link set eth0 up
	machine_run "$name" ip link set lo up
	machine_run "$name" mount --bind "$machines/hosts" /etc/hosts
	for path; do
		copy=$machines/$name/$(tr / _ <<<"${path#/}")
		if [[ -d $path ]]; then
			mkdir "$copy"
			chown --reference="$path" "$copy"
			chmod --reference="$path" "$copy"
		else
			: >"$copy"
		fi
		machine_run "$name" mount --bind "$copy" "$path"
	done
}

# machine_run NAME COMMAND...: runs the command on the machine.
machine_run() {
	local pid=${machine_pid[$1]}
	shift
	nsenter --target "$pid" --net --mount --uts -- "$@"
}

# machine_start NAME COMMAND...: the same in the background; $! is the process of the command.
machine_start() {
	local pid=${machine_pid[$1]}
	shift
	(exec nsenter --target "$pid" --net --mount --uts -- "$@") &
}

# machine_processes NAME: the ids of all processes that run there.
machine_processes() {
	local pid=${machine_pid[$1]} net folder
	net=$(readlink "/proc/$pid/ns/net")
	for folder in /proc/[0-9]*; do
		if [[ ${folder#/proc/} != "$pid" && $(readlink "$folder/ns/net") == "$net" ]]; then
			echo "${folder#/proc/}"
		fi
	done
}

# machine_kill NAME: all its processes end at once, as without power. Its disk stays.
machine_kill() {
	local pids
	while pids=$(machine_processes "$1") && [[ -n $pids ]]; do
		kill -KILL $pids 2>/dev/null || true
		sleep 0.05
	done
}

# machine_cut NAME: what it sends and what is sent to it is lost, without a word.
machine_cut() {
	ip link set "to_$1" nomaster
}

machine_join() {
	ip link set "to_$1" master bridge
}
