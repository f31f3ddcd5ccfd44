#!/usr/bin/env bash
# Stop the Slurm that tests/slurm/start.sh FOLDER started, after its jobs, and remove FOLDER.
#
#   tests/slurm/stop.sh FOLDER
set -uo pipefail
export PATH=$PATH:/usr/sbin:/sbin LC_ALL=C
folder=${1%/}
[ -d "$folder/pid" ] || exit 0
export SLURM_CONF=$folder/etc/slurm.conf

running() { # the processes of a daemon; one that is still starting has no pid file
    local each program
    for each in /proc/[0-9]*; do
        { IFS= read -r -d '' program < "$each/cmdline"; } 2> /dev/null && [ "${program##*/}" = "$1" ] &&
            grep -qsF "$folder/" "$each/cmdline" && echo "${each#/proc/}"
    done
}
if [ -n "$(running slurmctld)" ]; then
    timeout 10 scancel --user="$(id -u)" --full
    for ((tries = 0; tries < 100; tries++)); do
        [ -z "$(timeout 5 squeue -h 2> /dev/null)" ] && break
        sleep 0.2
    done
fi
status=0
for name in slurmd slurmctld munged; do
    # shellcheck disable=SC2046
    [ -z "$(running "$name")" ] || kill $(running "$name")
    for ((tries = 0; tries < 100; tries++)); do
        [ -n "$(running "$name")" ] || continue 2
        sleep 0.1
    done
    # shellcheck disable=SC2046
    kill -KILL $(running "$name")
    echo "stop.sh: $name had to be killed" >&2
    status=1
done
rm -rf "$folder"
exit "$status"
