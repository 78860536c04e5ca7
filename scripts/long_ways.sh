#!/usr/bin/env bash
# Measures the long ways on shipped:base_shapes, 16 videos each with seeds that chose nothing: tables, plots and sheets in FOLDER.
# Hours on two cores; what is there is not made again, so that the same command goes on after a stop.
# usage: scripts/long_ways.sh FOLDER [hierarchy|clips] ...     without a word both
set -euo pipefail
source "$(dirname "$0")/_folder.sh"
take_folder 2,4p "$@"
shift
for word in "$@"; do
    case "$word" in hierarchy | clips) ;; *) usage 2,4p ;; esac
done
[ $# -ge 1 ] || set -- hierarchy clips
cd "$(dirname "$0")/.."
config=configs/infer/long_base_evaluation.yaml
. scripts/_made.sh
mapfile -t prompts < <(prompts_of "$config")

hierarchy() {
    local base=(weights=shipped:base_shapes key_weights= 'lengths=[16]' frames=226 'level_steps=[10]' 'level_guidance=[1.5]'
        'level_strength=[]' 'level_seams=[]' fps=8)
    made hierarchy --config "$config"
    made deep --config "$config" 'lengths=[16,16,16]' 'level_steps=[20,4,4]' 'level_guidance=[1.5,1,1]' \
        'level_strength=[1,0.15,0.15]' 'level_seams=[free,fade,fade]'
    made one pipeline=text_to_video weights=shipped:base_shapes frames=226 fps=24 seed=20261127 batch=1 'formats=[frames,png]' \
        sample.steps=10 sample.guidance=1.5 prompts="$(listed "${prompts[@]}")"
    made joined --config "$config" "${base[@]}" order=independent
    made next --config "$config" "${base[@]}" order=autoregressive overlap=1
    "$python" tools/evaluate_long.py "$(last hierarchy)" --sheet "$folder/hierarchy.png" --json "$folder/hierarchy.json"
    "$python" tools/evaluate_long.py "$(last deep)" --sheet "$folder/deep.png" --json "$folder/deep.json"
    "$python" tools/evaluate_long.py "$(last hierarchy)" "$(last one)" "$(last joined)" "$(last next)" --joins 15 0 16 15 \
        --names hierarchy 'one run' 'clips joined' 'run after run' --json "$folder/ways.json" \
        --plot "$folder/ways.png" --sheet "$folder/ways_sheet.png"
}

clips() {
    "$python" tools/compare_long.py --weights shipped:base_shapes --clips 4 8 --prompts "${prompts[@]}" --out "$folder/clips" \
        sample.steps=15 sample.guidance=1.5
    "$python" tools/compare_long.py --weights shipped:base_shapes --clips 4 8 --ways exact --prompts "${prompts[@]}" --out "$folder/clips_shared" \
        sample.steps=15 sample.guidance=1.5 clip_parallel.shared_low=0.125
    "$python" tools/compare_long.py --weights shipped:base_shapes --clips 4 8 --ways FreeNoise-style windows --prompts "${prompts[@]}" --out "$folder/clips_beside" \
        sample.steps=15 sample.guidance=1.5 clip_parallel.shared_low=0.125
}

mkdir -p "$folder"
for part in "$@"; do "$part"; done
