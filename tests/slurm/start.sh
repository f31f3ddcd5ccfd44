#!/usr/bin/env bash
# Start a Slurm of one node for tests: munged, slurmctld and slurmd from this machine's packages, with all their files in FOLDER.
#
#   tests/slurm/start.sh FOLDER      a short absolute path; source FOLDER/environment afterwards
#
# There are two partitions, `low` (the default; its jobs are preempted and requeued) and `high`, and two GPUs that exist only
# for the scheduler. The configured processors and memory are not those of the machine.
# Exit status 77: packages or an address are missing; 1: Slurm is installed but did not start. Standard error has the reason.
# tests/slurm/stop.sh FOLDER stops it.
set -euo pipefail
umask 022
export PATH=$PATH:/usr/sbin:/sbin LC_ALL=C
folder=${1%/}
impossible() { echo "no Slurm here: $*" >&2; exit 77; }
failed() {
    tail -n 20 "$folder"/log/* >&2
    echo "error: $* (the logs are above)" >&2
    exit 1
}
[[ $folder =~ ^/[A-Za-z0-9._/-]{1,60}$ ]] || {
    echo "error: $folder is too long for the path of a socket, or has other characters than letters, digits and ._/-" >&2
    exit 2
}

mkdir -p "$folder"/{etc,log,pid,state,spool,munge,dev}
chmod 755 "$folder" # munge requires a socket that everyone can reach; the key is private

# The packages.
present() { local name; for name in munged slurmctld slurmd sbatch; do command -v "$name" > /dev/null || return 1; done; }
if ! present; then
    [ "$(id -u)" = 0 ] || impossible "slurm-wlm and munge are not installed, and only root can install them"
    command -v apt-get > /dev/null || impossible "slurm-wlm and munge are not installed, and apt-get is missing"
    install() { DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends slurm-wlm munge; }
    install_alone() ( # one at a time; policy-rc.d keeps packages from starting daemons
        exec 9< /usr/sbin && flock 9
        kept=/usr/sbin/policy-rc.d
        if [ ! -e "$kept" ]; then
            trap 'rm -f "$kept"' EXIT
            printf '#!/bin/sh\nexit 101\n' > "$kept" && chmod 755 "$kept"
        fi
        install || { apt-get update -qq && install; }
    )
    install_alone > "$folder/log/install" 2>&1 || {
        tail -n 3 "$folder/log/install" >&2
        impossible "slurm-wlm and munge could not be installed"
    }
    present || failed "slurm-wlm and munge are installed, but one of their programs is missing"
fi

# The addresses: slurmctld requires the name of this machine.
host=$(uname -n)
host=${host%%.*}
address=$(getent ahostsv4 "$host" | awk '{ print $1; exit }') || true
[ -n "$address" ] || impossible "the name of this machine, $host, has no IPv4 address"
local_address() { # according to the kernel, if that can be read
    [[ $address = 127.* ]] || [ ! -r /proc/net/fib_trie ] ||
        awk -v address="$address" '$1 == "|--" { here = $2 == address } here && /\/32 host LOCAL/ { found = 1 }
            END { exit !found }' /proc/net/fib_trie
}
local_address || impossible "the name of this machine, $host, has the address $address, which belongs to another machine"
free_port() { # FIRST: one of the 6000 ports from FIRST on
    local port
    while port=$(($1 + RANDOM % 6000)); do
        (exec 3<> "/dev/tcp/$address/$port") 2> /dev/null || { echo "$port"; return; }
    done
}

(umask 077 && head -c 1024 /dev/urandom > "$folder/munge/key")
gpus=()
for number in 0 1; do # a GPU must be a device; if none can be created, use existing ones
    mknod -m 666 "$folder/dev/gpu$number" c 1 3 2> /dev/null && gpus+=("$folder/dev/gpu$number")
done
[ ${#gpus[@]} = 2 ] || gpus=(/dev/null /dev/zero)
cat > "$folder/etc/gres.conf" << END
AutoDetect=off
NodeName=node1 Name=gpu File=${gpus[0]},${gpus[1]} Flags=nvidia_gpu_env
END
# slurmd sets up cgroups even if they are not used; version 1 does not need them to be mounted.
case $(slurmctld -V) in
    *" "2[0-3].*) echo CgroupPlugin=cgroup/v1 ;;
    *) echo CgroupPlugin=disabled ;;
esac > "$folder/etc/cgroup.conf"
cat > "$folder/etc/slurm.conf" << END
ClusterName=tests
SlurmctldHost=$host($address)
SlurmctldPort=$(free_port 20000)
SlurmdPort=$(free_port 26000)
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
# cred_expire: how long a requeued job waits; by default two minutes
AuthInfo=socket=$folder/munge/socket,cred_expire=5
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/pid/slurmctld
SlurmdPidFile=$folder/pid/slurmd
SlurmctldLogFile=$folder/log/slurmctld
SlurmdLogFile=$folder/log/slurmd
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
PropagateResourceLimits=NONE
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=100
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,batch_sched_delay=0,sched_min_interval=100000
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
ReturnToService=2
KillWait=5
GresTypes=gpu
NodeName=node1 NodeHostname=$host NodeAddr=$address CPUs=8 Boards=1 SocketsPerBoard=1 CoresPerSocket=8 ThreadsPerCore=1 RealMemory=16000 Gres=gpu:2
PartitionName=low Nodes=node1 Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=15 MaxTime=INFINITE DefaultTime=10
PartitionName=high Nodes=node1 PriorityTier=100 PreemptMode=OFF MaxTime=INFINITE DefaultTime=10
END
echo "export SLURM_CONF=$folder/etc/slurm.conf PATH=\$PATH:/usr/sbin:/sbin" > "$folder/environment"

# The daemons.
export SLURM_CONF=$folder/etc/slurm.conf
munged --key-file="$folder/munge/key" --socket="$folder/munge/socket" --pid-file="$folder/pid/munged" \
    --log-file="$folder/log/munged" --seed-file="$folder/munge/seed" < /dev/null > "$folder/log/munged.out" 2>&1 ||
    failed "munged did not start"
slurmctld -f "$SLURM_CONF" < /dev/null > "$folder/log/slurmctld.out" 2>&1 || failed "slurmctld did not start"
slurmd -f "$SLURM_CONF" -N node1 < /dev/null > "$folder/log/slurmd.out" 2>&1 || failed "slurmd did not start"
for ((SECONDS = 0; SECONDS < 60;)); do
    if [ "$(timeout 5 sinfo -h -N -p low -o %t 2> /dev/null)" = idle ]; then exit 0; fi
    sleep 0.1
done
failed "its node is not idle after a minute"
