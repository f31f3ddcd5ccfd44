#!/usr/bin/env bash
# Run the tests of the page in a headless Chromium. Where there is none and none can be installed, say so; that is no failure.
#
#   tests/page/run.sh PYTHON-OF-THE-PAGE PYTHON-OF-THE-RUNS [PYTEST-OPTION ...]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=$1
export NSTYLE_PYTHON=$2
shift 2
present() { command -v chromium > /dev/null && command -v chromedriver > /dev/null; }
skipped() { echo "tests of the page: SKIPPED: $*" >&2; exit 0; }
if ! present; then
    [ "$(id -u)" = 0 ] || skipped "chromium and chromium-driver are not installed, and only root can do it"
    command -v apt-get > /dev/null || skipped "chromium and chromium-driver are not installed, and there is no apt-get"
    install() { DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium chromium-driver; }
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    { install || { apt-get update -qq && install; }; } > "$log" 2>&1 || {
        tail -n 3 "$log" >&2
        skipped "chromium and chromium-driver cannot be installed"
    }
    present || skipped "chromium and chromium-driver are installed, and a program of theirs is missing"
fi
"$python" -m pytest -m page "$here" "$@"
