#!/usr/bin/env bash
# Start a Slurm of one node, run the tests that need it, and stop it. If Slurm cannot run here (start.sh exits with 77), the
# tests are skipped, with the reason. If it is installed but does not start, that is a failure.
#
#   tests/slurm/run.sh PYTHON [PYTEST-OPTION ...]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=$1
shift
folder=$(mktemp -d /tmp/nstyle-slurm.XXXXXX)
trap '"$here/stop.sh" "$folder" || true; rm -rf "$folder"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
status=0
"$here/start.sh" "$folder" || status=$?
if [ "$status" = 77 ]; then
    echo "tests on Slurm: skipped"
    exit 0
fi
[ "$status" = 0 ] || exit "$status"
# shellcheck disable=SC1091
source "$folder/environment"
"$python" -m pytest -m slurm "$here" "$@"
