#!/usr/bin/env bash
# Measure the frames between frames of the shapes world (docs/interpolation.md): 64 clips, half an hour of one core.
# usage: scripts/interpolation.sh FOLDER [CLIPS [PICTURE]]     tables as text and JSON, and sheets, into FOLDER; the first sheet also to PICTURE
set -euo pipefail
source "$(dirname "$0")/_folder.sh"
take_folder 2,3p "$@"
clips=${2:-64} picture=${3:+$(full "$3")}
cd "$(dirname "$0")/.."
mkdir -p "$folder"

measure() { # NAME EVERY STAGES...
  local name=$1 every=$2
  shift 2
  "$python" tools/evaluate_interpolation.py --shapes "$clips" --frames 65 --every "$every" --stages "$@" \
    --bounce --speed 0.004 0.02 --weights shipped:interpolation_shapes --steps 10 --detail network flow \
    --sheet "$folder/$name.png" --json "$folder/$name.json" | tee "$folder/$name.txt"
}
measure from_5 16 4 4
measure from_17 4 4
[ -z "$picture" ] || cp "$folder/from_5.png" "$picture"
echo "written: $folder${picture:+, $picture}"
