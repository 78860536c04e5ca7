#!/usr/bin/env bash
# Measure the frames between frames of the shapes world (docs/interpolation.md) and draw their picture.
#   bash scripts/interpolation.sh FOLDER [CLIPS]     tables as text and JSON, and sheets, into FOLDER; 64 clips, half an hour of one core
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
FOLDER=${1:?"give a folder for the tables"}
CLIPS=${2:-64}
PY="${MINDLONG_VENV:-.venv}/bin/python"
command -v "$PY" >/dev/null || PY=python
mkdir -p "$FOLDER"

measure() { # NAME EVERY STAGES...
  local name=$1 every=$2
  shift 2
  "$PY" tools/evaluate_interpolation.py --shapes "$CLIPS" --frames 65 --every "$every" --stages "$@" \
    --bounce --speed 0.004 0.02 --weights shipped:interpolation_shapes --steps 10 --detail network flow \
    --sheet "$FOLDER/$name.png" --json "$FOLDER/$name.json" | tee "$FOLDER/$name.txt"
}
measure from_5 16 4 4
measure from_17 4 4
cp "$FOLDER/from_5.png" docs/images/interpolation.png
echo "written: $FOLDER, docs/images/interpolation.png"
