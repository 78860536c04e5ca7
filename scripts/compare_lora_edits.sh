#!/usr/bin/env bash
# LoRA against full tuning on edits of the shapes world (docs/lora.md): each clip is tuned both ways, edited under the same
# prompts, and measured. usage: scripts/compare_lora_edits.sh FOLDER [CLIPS] [RANK] [LEARNING_RATE]
set -euo pipefail
source "$(dirname "$0")/_folder.sh"
take_folder 2,3p "$@"
clips=${2:-8} rank=${3:-2} rate=${4:-0.001}
cd "$(dirname "$0")/.."
source scripts/_edit_prompts.sh
source scripts/_made.sh
clips_written "$clips"

for ((i = 0; i < clips; i++)); do
    clip=$(printf '%s/clips/clip-%03d' "$folder" "$i")
    caption=$(cat "$clip.txt")
    prompts=$(edit_prompts "$caption")
    tune=(train.py --config configs/train/tune_a_video_shapes.yaml tune.video="$clip" tune.prompt="$caption" train.preview_every=0)
    edit=(infer.py --config configs/infer/tune_a_video_shapes.yaml frames=16 edit.video="$clip" edit.invert_prompt="$caption" prompts="$prompts")
    "$python" "${tune[@]}" run_dir="$folder/full-$i"
    "$python" "${edit[@]}" weights="$folder/full-$i" output="$folder/edits-full/$i"
    "$python" "${tune[@]}" run_dir="$folder/lora-$i" train.lora.rank="$rank" train.lr="$rate"
    "$python" "${edit[@]}" weights=shipped:stable_diffusion_shapes latent.vae=shipped:latent_shapes lora="[$folder/lora-$i]" \
        output="$folder/edits-lora/$i"
done
for way in full lora; do
    echo "$way:"
    "$python" tools/evaluate_edits.py "$folder/edits-$way"/*/0001 --json "$folder/edits-$way.json"
done
