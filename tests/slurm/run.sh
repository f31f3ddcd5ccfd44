#!/usr/bin/env bash
# Start a Slurm of one node, run the tests that need it, and end it again. Where there can be none (start.sh ends with 77),
# say why; that is no failure. A Slurm that is there and does not start is one.
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
