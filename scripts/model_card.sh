#!/usr/bin/env bash
# Measures a shipped model again and writes its card's table and picture: 64 captions by the reader of the shapes world.
# usage: scripts/model_card.sh NAME [KEY=VALUE ...]     NAME: base_shapes, cogvideox_shapes, latent_shapes, stable_diffusion_shapes, vdm_shapes
set -euo pipefail
source "$(dirname "$0")/_folder.sh"
[ $# -ge 1 ] || usage 2,3p
take_python
cd "$(dirname "$0")/.."
name=$1
config=configs/infer/${name}_evaluation.yaml card=mindlong/weights/$name/README.md
for file in "$config" "$card"; do
    [ -f "$file" ] || { echo "error: $file is not there; models that are measured so: $(cd configs/infer && ls *_shapes*_evaluation.yaml | sed 's/_evaluation.yaml//' | xargs)" >&2; exit 2; }
done
mark='<!-- measured: written by scripts/model_card.sh -->'
grep -qF -- "$mark" "$card" || { echo "error: $card has no place for the table; it needs the line '$mark', and '<!-- end of measured -->' behind it" >&2; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" infer.py --config "$config" output="$folder" "${@:2}"
"$python" tools/evaluate_shapes.py "$folder/0001" --shapes circle square triangle --colours red green blue yellow \
    --card "$card" --sheet "docs/images/$name.png"
echo "written: $card, docs/images/$name.png"
