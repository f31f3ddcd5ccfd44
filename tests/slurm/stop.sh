#!/usr/bin/env bash
# End the Slurm that tests/slurm/start.sh FOLDER started, its jobs first, and remove FOLDER.
#
#   tests/slurm/stop.sh FOLDER
set -uo pipefail
export PATH=$PATH:/usr/sbin:/sbin LC_ALL=C
folder=$1
[ -d "$folder/pid" ] || exit 0
export SLURM_CONF=$folder/etc/slurm.conf

running() { # the process of a daemon, from its file, if it is still that daemon
    local process
    process=$(cat "$folder/pid/$1" 2> /dev/null) && grep -qs "$folder/" "/proc/$process/cmdline" && echo "$process"
}
if running slurmctld > /dev/null; then
    timeout 10 scancel --user="$(id -u)" --full
    for ((tries = 0; tries < 100; tries++)); do
        [ -z "$(timeout 5 squeue -h 2> /dev/null)" ] && break
        sleep 0.2
    done
fi
status=0
for name in slurmd slurmctld munged; do
    process=$(running "$name") || continue
    kill "$process"
    for ((tries = 0; tries < 100; tries++)); do
        running "$name" > /dev/null || continue 2
        sleep 0.1
    done
    kill -KILL "$process"
    echo "stop.sh: $name had to be killed" >&2
    status=1
done
rm -rf "$folder"
exit "$status"
