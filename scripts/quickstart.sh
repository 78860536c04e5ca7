#!/usr/bin/env bash
# Installs mindlong and makes a captioned video of 226 frames with the shipped weights, on any CPU.
#   bash scripts/quickstart.sh [--here] [key=value ...]
# --here uses the active Python; MINDLONG_VENV=FOLDER another virtual environment than .venv in the checkout.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_setup.sh"
HERE=
ARGS=()
for word in "$@"; do
  case "$word" in
    --here) HERE=--here ;;
    -h | --help) sed -n '2,4s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) ARGS+=("$word") ;;
  esac
done
setup_python run $HERE
exec "$PY" "$ROOT/infer.py" --config "$ROOT/configs/infer/quickstart_long.yaml" "${ARGS[@]+"${ARGS[@]}"}"
