#!/usr/bin/env bash
# Installs mindlong with its test tools and runs the tests.
#   bash scripts/run_tests.sh [--here] [pytest arguments ...]      for example: bash scripts/run_tests.sh -m slow
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_setup.sh"
HERE=
ARGS=()
for word in "$@"; do
  if [ "$word" = --here ]; then HERE=--here; else ARGS+=("$word"); fi
done
setup_python test $HERE
cd "$ROOT"
command -v mpirun >/dev/null 2>&1 || echo "note: no mpirun on this machine; the two-process tests start their ranks with msrun only. To add it: apt-get install openmpi-bin"
# two at a time, with a thread each: most of a test is compiling, on one core; loadfile keeps what a file sets up once to one process,
# and as the files come: those with few tests but long ones would otherwise be last, on one core
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
exec "$PY" -m pytest -n "${MINDLONG_TEST_WORKERS:-2}" --dist loadfile --no-loadscope-reorder "${ARGS[@]+"${ARGS[@]}"}"
